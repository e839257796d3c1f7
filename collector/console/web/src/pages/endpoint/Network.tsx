// Whom an endpoint talks with and what it listens on, and which of that an isolation would cut.

import { useQuery } from '@tanstack/react-query';
import { Waypoints } from 'lucide-react';

import { api, take } from '../../api/client';
import type { EndpointWhole } from '../../api/types';
import { Foreign } from '../../parts/Foreign';
import { Badge } from '../../parts/Mark';
import { Answer, Empty } from '../../parts/Notice';
import { Panel } from '../../parts/Page';
import { Ago } from '../../parts/Time';
import { many } from '../../words/measure';
import { word } from '../../words/summary';

type Row = Record<string, unknown>;

function Fate({ row }: { row: Row }) {
  const fate = word(row, 'fate');
  return (
    <Badge tone={fate === 'kept' ? 'good' : fate === 'cut' ? 'bad' : 'warn'} title={word(row, 'why')}>
      {fate || 'unknown'}
    </Badge>
  );
}

/** The names by which the endpoint asked for the address. */
const names = (row: Row) => (Array.isArray(row['names']) ? row['names'].filter((name) => typeof name === 'string').join(', ') : '');

const place = (row: Row, address: string, port: string) => {
  const at = word(row, address);
  return `${at.includes(':') ? `[${at}]` : at}:${word(row, port)}`;
};

export function Network({ endpoint }: { endpoint: EndpointWhole }) {
  const { client, id } = endpoint;
  const asked = useQuery({
    queryKey: [client, 'endpoints', 'preview', id],
    queryFn: () => take(api.GET('/api/v1/endpoints/{id}/preview', { params: { path: { id } } })),
  });
  return (
    <Answer asked={asked} rows={6}>
      {(shown) => {
        const [flows, listeners, sessions] = [shown.flows, shown.listeners, shown.sessions] as unknown as Row[][];
        return (
          <>
            <p className="note">
              From {many(shown.events, 'event')} since <Ago at={shown.since} />. Kept or cut says what an isolation would do to it, foretold from what the
              endpoint told.{shown.left_out > 0 ? ` ${shown.left_out.toLocaleString('en')} more are left out.` : ''}
            </p>
            <Connections rows={flows ?? []} />
            <div className="columns">
              <Panel title="Listening" flush>
                <Listeners rows={listeners ?? []} />
              </Panel>
              <Panel title="Logged in">
                {sessions && sessions.length > 0 ? (
                  <ul className="stands">
                    {sessions.map((row, index) => (
                      <li key={index}>
                        <Foreign text={`${word(row, 'user') || 'somebody'} from ${word(row, 'from')}`} max={200} />{' '}
                        <span className="faint">
                          since <Ago at={word(row, 'since')} />
                        </span>
                      </li>
                    ))}
                  </ul>
                ) : (
                  <p className="faint">Nobody that its logs tell of.</p>
                )}
              </Panel>
            </div>
          </>
        );
      }}
    </Answer>
  );
}

function Connections({ rows }: { rows: Row[] }) {
  return (
    <Panel title="Connections" flush>
      {rows.length === 0 ? (
        <Empty icon={Waypoints} title="No connections in that time">
          <p>Connections other than loopback’s appear once the network sensor saw them.</p>
        </Empty>
      ) : (
        <div className="scroll-x">
          <table className="plain-table in-cards">
            <thead>
              <tr>
                <th>With</th>
                <th>Program</th>
                <th>Connections</th>
                <th>Last</th>
                <th>Isolation</th>
              </tr>
            </thead>
            <tbody>
              {rows.map((row, index) => (
                <tr key={index}>
                  <td data-head="With">
                    <span className="faint">{word(row, 'direction') === 'inbound' ? 'from' : 'to'}</span>{' '}
                    <code>
                      {word(row, 'transport')} {place(row, 'address', 'port')}
                    </code>
                    {names(row) ? (
                      <p className="faint">
                        <Foreign text={names(row)} max={160} />
                      </p>
                    ) : null}
                  </td>
                  <td data-head="Program">
                    <Foreign text={word(row, 'program')} max={120} />
                  </td>
                  <td data-head="Connections" className="number">
                    {Number(word(row, 'count')).toLocaleString('en')}
                    <span className="faint">
                      {word(row, 'open') === '0' ? '' : `, ${word(row, 'open')} open`}
                      {word(row, 'failed') === '0' ? '' : `, ${word(row, 'failed')} failed`}
                    </span>
                  </td>
                  <td data-head="Last">
                    <Ago at={word(row, 'last')} />
                  </td>
                  <td data-head="Isolation">
                    <Fate row={row} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Panel>
  );
}

function Listeners({ rows }: { rows: Row[] }) {
  if (rows.length === 0) return <p className="note padded">Nothing listens, as far as it told.</p>;
  return (
    <div className="scroll-x">
      <table className="plain-table in-cards">
        <thead>
          <tr>
            <th>At</th>
            <th>Program</th>
            <th>Isolation</th>
          </tr>
        </thead>
        <tbody>
          {rows.map((row, index) => (
            <tr key={index}>
              <td data-head="At">
                <code>
                  {word(row, 'transport')} {place(row, 'address', 'port')}
                </code>
              </td>
              <td data-head="Program">
                <Foreign text={word(row, 'program')} max={120} />
              </td>
              <td data-head="Isolation">
                <Fate row={row} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
