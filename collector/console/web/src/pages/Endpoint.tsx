// One endpoint: who it is and how it fares, and tabs for all that it told.

import { useQuery } from '@tanstack/react-query';
import { Link, useParams, useSearch } from '@tanstack/react-router';
import { type ReactNode, lazy, Suspense } from 'react';

import { EndpointActions } from '../acting/EndpointActions';
import { endpoint as one } from '../api/queries';
import type { EndpointWhole } from '../api/types';
import { Foreign } from '../parts/Foreign';
import { Badge, StateMark } from '../parts/Mark';
import { Answer, Waiting } from '../parts/Notice';
import { useTitle } from '../parts/Page';
import { Ago } from '../parts/Time';
import { plain } from '../words/foreign';
import { standingWord } from '../words/state';
import { CommandsOf } from './endpoint/CommandsOf';
import { Network } from './endpoint/Network';
import { Summary } from './endpoint/Summary';
import { Timeline } from './endpoint/Timeline';
import { useStanding } from './endpoint/useStanding';

const Processes = lazy(() => import('./endpoint/Processes'));
const Inventory = lazy(() => import('./endpoint/Inventory'));
const Logs = lazy(() => import('./endpoint/Logs'));
const Resources = lazy(() => import('./endpoint/Resources'));

interface Tab {
  key: string;
  name: string;
  show: (endpoint: EndpointWhole) => ReactNode;
}

const TABS: Tab[] = [
  { key: '', name: 'Summary', show: (endpoint) => <Summary endpoint={endpoint} /> },
  { key: 'timeline', name: 'Timeline', show: (endpoint) => <Timeline endpoint={endpoint} /> },
  { key: 'logs', name: 'Logs', show: (endpoint) => <Logs endpoint={endpoint} /> },
  { key: 'resources', name: 'Resources', show: (endpoint) => <Resources endpoint={endpoint} /> },
  { key: 'processes', name: 'Processes', show: (endpoint) => <Processes endpoint={endpoint} /> },
  { key: 'network', name: 'Network', show: (endpoint) => <Network endpoint={endpoint} /> },
  { key: 'inventory', name: 'Inventory', show: (endpoint) => <Inventory endpoint={endpoint} /> },
  { key: 'commands', name: 'Commands', show: (endpoint) => <CommandsOf endpoint={endpoint} /> },
];

export function EndpointPage() {
  const { client, endpoint: id } = useParams({ from: '/shell/c/$client/endpoints/$endpoint' });
  const asked = useQuery(one(client, id));
  return (
    <div className="page">
      <nav className="crumbs" aria-label="Where this is">
        <Link to="/c/$client/endpoints" params={{ client }}>
          Endpoints
        </Link>
        <span aria-hidden>/</span>
        <span>{id.slice(0, 12)}</span>
      </nav>
      <Answer asked={asked} rows={8}>
        {(endpoint) => <Whole key={id} endpoint={endpoint} />}
      </Answer>
    </div>
  );
}

function Whole({ endpoint }: { endpoint: EndpointWhole }) {
  const { tab = '' } = useSearch({ from: '/shell/c/$client/endpoints/$endpoint' });
  const chosen = TABS.find((one) => one.key === tab) ?? TABS[0];
  const standing = useStanding(endpoint);
  useTitle(plain(endpoint.host_name, 60));
  return (
    <>
      <header className="endpoint-head">
        <h1>
          <Foreign text={endpoint.host_name} max={120} />
        </h1>
        <div className="endpoint-marks">
          <StateMark endpoint={endpoint} />
          {endpoint.state === 'online' ? null : (
            <span className="faint">
              heard <Ago at={endpoint.last_seen} />
            </span>
          )}
          {standing.map((stands) => (
            <Badge key={stands.command} tone="held">
              {standingWord(stands.action)}
            </Badge>
          ))}
          {endpoint.criticality === 'high' || endpoint.criticality === 'critical' ? <Badge tone="plain">{endpoint.criticality}</Badge> : null}
          {endpoint.labels.map((label) => (
            <Badge key={label} tone="plain">
              {label}
            </Badge>
          ))}
        </div>
        <EndpointActions endpoint={endpoint} />
      </header>
      <nav className="tabs" aria-label="About this endpoint">
        {TABS.map(({ key, name }) => (
          <Link
            key={key}
            to="."
            search={{ tab: key || undefined }}
            className="tab" activeOptions={{ includeSearch: true, explicitUndefined: true }}
          >
            {name}
          </Link>
        ))}
      </nav>
      <Suspense fallback={<Waiting rows={6} />}>{chosen?.show(endpoint)}</Suspense>
    </>
  );
}
