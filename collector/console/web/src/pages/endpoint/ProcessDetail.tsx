// One process: its command line, who ran it, what it is, and what it did with network and files.

import { useQuery } from '@tanstack/react-query';
import { Button } from 'react-aria-components';

import { EventActions } from '../../acting/EventActions';
import { launched, sha256 } from '../../acting/launched';
import { ProcessActions } from '../../acting/ProcessActions';
import { events } from '../../api/queries';
import type { EndpointWhole } from '../../api/types';
import { CopyButton } from '../../parts/Copy';
import { Foreign } from '../../parts/Foreign';
import { Answer } from '../../parts/Notice';
import { Field, Fields, Panel } from '../../parts/Page';
import { Moment } from '../../parts/Time';
import { bytes } from '../../words/measure';
import { summary, word } from '../../words/summary';
import { type Family, type Process, name } from './family';
import { ClassBadge } from './Timeline';

interface Props {
  endpoint: EndpointWhole;
  process: Process;
  all: Family;
  choose: (key: string) => void;
}

const DEEDS_MAX = 60;

export function ProcessDetail({ endpoint, process, all, choose }: Props) {
  const { launch, end, pid } = process;
  const parent = process.parent ? all.get(process.parent) : undefined;
  const of = (path: string) => (launch ? word(launch, path) : '');
  const hash = launch ? sha256(launch) : '';
  const user = of('process.user.name') || of('process.user.uid');
  return (
    <div className="columns">
      <Panel title={`Process ${pid}`}>
        {launch ? (
          <ProcessActions endpoint={endpoint} {...launched(launch)} isRunning={!end} />
        ) : null}
        <Fields>
          <Field name="Program">{launch ? <Foreign text={of('process.file.path') || name(process)} /> : 'It began before what was looked at.'}</Field>
          {launch ? (
            <Field name="Command line">
              <code className="block">
                <Foreign text={summary(launch)} />
              </code>
            </Field>
          ) : null}
          {user ? <Field name="User">{user === '0' ? 'root (0)' : <Foreign text={user} max={80} />}</Field> : null}
          {of('process.working_directory') ? (
            <Field name="In">
              <Foreign text={of('process.working_directory')} />
            </Field>
          ) : null}
          {launch ? (
            <Field name="Began">
              <Moment at={launch.time_dt} precise />
            </Field>
          ) : null}
          <Field name="Ended">
            {end ? (
              <>
                <Moment at={end.time_dt} precise /> {summary(end).replace(/^pid \d+ ended/, '')}
              </>
            ) : (
              'not seen to end'
            )}
          </Field>
          {parent ? (
            <Field name="Child of">
              <Button className="link" onPress={() => choose(parent.key)}>
                <Foreign text={name(parent)} max={80} />
                {parent.launch ? ` (${parent.pid})` : ''}
              </Button>
            </Field>
          ) : null}
          {hash ? (
            <Field name="SHA-256">
              <span className="id">
                <code>{hash.slice(0, 24)}…</code>
                <CopyButton text={hash} label="Copy the hash" />
              </span>
            </Field>
          ) : null}
          {of('process.file.size') ? <Field name="Size">{bytes(Number(of('process.file.size')))}</Field> : null}
        </Fields>
      </Panel>
      <Deeds endpoint={endpoint} pid={pid} since={launch?.time_dt} until={end?.time_dt} />
    </div>
  );
}

/** Looked for by the process's number within its life. */
function Deeds({ endpoint, pid, since, until }: { endpoint: EndpointWhole; pid: string; since: string | undefined; until: string | undefined }) {
  const asked = useQuery(
    events(
      endpoint.client,
      {
        endpoint: endpoint.id,
        class: 'network,dns,file',
        where: `actor.process.pid = ${pid}`,
        ...(since ? { since } : {}),
        ...(until ? { until } : {}),
      },
      DEEDS_MAX,
    ),
  );
  return (
    <Panel title="Network and files" flush>
      <Answer asked={asked}>
        {({ items }) =>
          items.length === 0 ? (
            <p className="note padded">Nothing that the network, name and file sensors put down to it.</p>
          ) : (
            <ul className="list sensors">
              {items.map((event) => (
                <li key={event.metadata.uid}>
                  <div className="sensor-head">
                    <ClassBadge event={event} />
                    <span className="push faint">
                      <Moment at={event.time_dt} precise />
                    </span>
                    <EventActions event={event} client={endpoint.client} endpoint={endpoint} />
                  </div>
                  <p className="need-detail">
                    <Foreign text={summary(event)} max={300} />
                  </p>
                </li>
              ))}
            </ul>
          )
        }
      </Answer>
    </Panel>
  );
}
