// What isolating an endpoint would cut, before it is cut.

import { useQuery } from '@tanstack/react-query';
import { TriangleAlert } from 'lucide-react';
import type { ReactNode } from 'react';

import { preview } from '../api/queries';
import type { Preview } from '../api/types';
import { Foreign } from '../parts/Foreign';
import { Badge } from '../parts/Mark';
import { Ago } from '../parts/Time';
import type { Seen } from './draft';
import { type Flow, type Listener, end, forecast, inShort } from './forecast';

/** Lines of each list; the rest is counted. */
const SHOWN_MAX = 12;

export function Cuts({ client, endpoint, alone }: { client: string; endpoint: Seen; alone: boolean }) {
  const asked = useQuery(preview(client, endpoint.id));
  const name = (
    <strong>
      <Foreign text={endpoint.host_name} max={80} />
    </strong>
  );
  if (asked.error) {
    return (
      <p className="cuts note">
        {alone ? null : <>{name}: </>}What would be cut is not known: {asked.error.message}
      </p>
    );
  }
  if (!asked.data) {
    return (
      <div className="cuts" role="status" aria-label="Looking what would be cut">
        <span className="bone" />
        <span className="bone" />
      </div>
    );
  }
  return <Told name={alone ? null : name} preview={asked.data} />;
}

function Told({ name, preview: told }: { name: ReactNode; preview: Preview }) {
  const all = forecast(told);
  return (
    <div className="cuts">
      {all.warnings.map((words) => (
        <p key={words} className="cuts-warning">
          <TriangleAlert size={15} aria-hidden /> <span>{words}</span>
        </p>
      ))}
      <details>
        <summary>
          {name} {inShort(all)}
        </summary>
        <Flows fate="Ends" tone="bad" flows={all.ends} />
        <Flows fate="Stays" tone="good" flows={all.stays} />
        <Flows fate="Not known" tone="warn" flows={all.unknown} />
        <Ports listeners={all.closes} />
      </details>
      <p className="note">
        By what it told in 24 hours ({told.events.toLocaleString('en')} events, the newest <Ago at={told.newest} />
        {told.cut_at ? ', not all of which could be looked at' : ''}
        {told.left_out > 0 ? `; ${told.left_out} more are not kept apart` : ''}).
      </p>
    </div>
  );
}

function Flows({ fate, tone, flows }: { fate: string; tone: 'good' | 'bad' | 'warn'; flows: Flow[] }) {
  if (flows.length === 0) return null;
  return (
    <ul className="cuts-list">
      {flows.slice(0, SHOWN_MAX).map((flow, at) => (
        <li key={at}>
          <Badge tone={tone}>{fate}</Badge>
          <span className="cuts-what">
            <Foreign text={end(flow)} max={160} />
            <span className="faint">
              {flow.program ? (
                <>
                  {' '}
                  by <Foreign text={flow.program} max={60} />
                </>
              ) : null}
              , {flow.why}
            </span>
          </span>
          <span className="cuts-count">{flow.open > 0 ? `${flow.open} open` : `${flow.count} seen`}</span>
        </li>
      ))}
      {flows.length > SHOWN_MAX ? <li className="faint">and {flows.length - SHOWN_MAX} more</li> : null}
    </ul>
  );
}

function Ports({ listeners }: { listeners: Listener[] }) {
  if (listeners.length === 0) return null;
  return (
    <ul className="cuts-list">
      {listeners.slice(0, SHOWN_MAX).map((one, at) => (
        <li key={at}>
          <Badge tone="bad">Closes</Badge>
          <span className="cuts-what">
            {one.transport} {one.port}
            <span className="faint">
              {one.program ? (
                <>
                  {' '}
                  of <Foreign text={one.program} max={60} />
                </>
              ) : null}
            </span>
          </span>
        </li>
      ))}
      {listeners.length > SHOWN_MAX ? <li className="faint">and {listeners.length - SHOWN_MAX} more</li> : null}
    </ul>
  );
}
