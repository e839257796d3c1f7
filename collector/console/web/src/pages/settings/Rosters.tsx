// The versions of a client's roster, what each changed, and which endpoints do not hold the newest.

import { useQuery } from '@tanstack/react-query';
import { Link, useSearch } from '@tanstack/react-router';

import { api, take } from '../../api/client';
import type { Difference } from '../../api/types';
import { Command } from '../../parts/Copy';
import { Foreign } from '../../parts/Foreign';
import { Badge } from '../../parts/Mark';
import { Answer } from '../../parts/Notice';
import { Panel } from '../../parts/Page';
import { Moment } from '../../parts/Time';
import { many } from '../../words/measure';

export function Rosters({ client }: { client: string }) {
  const search = useSearch({ from: '/shell/c/$client/settings' });
  const path = { params: { path: { client } } };
  const versions = useQuery({ queryKey: [client, 'rosters'], queryFn: () => take(api.GET('/api/v1/clients/{client}/rosters', path)) });
  const newest = useQuery({ queryKey: [client, 'roster'], queryFn: () => take(api.GET('/api/v1/clients/{client}/roster', path)) });
  const chosen = Number(search.version ?? newest.data?.version ?? 0);
  const laggards = newest.data?.laggards ?? [];
  return (
    <>
      <div className="columns">
        <Panel title="Versions" flush>
          <Answer asked={versions}>
            {({ items }) => (
              <ul className="list">
                {[...items].sort((a, b) => b.version - a.version).map((one) => (
                  <li key={one.version}>
                    <Link to="." search={{ tab: 'rosters', version: String(one.version) }} className={`pick ${one.version === chosen ? 'chosen' : ''}`} aria-current={one.version === chosen ? 'true' : undefined}>
                      <strong>Version {one.version}</strong>
                      <span className="faint">{many(one.operators, 'operator')}</span>
                      {one.version === newest.data?.version ? <Badge tone="good">held now</Badge> : null}
                      <span className="push faint">
                        made <Moment at={one.made_at} />
                      </span>
                    </Link>
                  </li>
                ))}
              </ul>
            )}
          </Answer>
        </Panel>
        <Panel title="Endpoints that do not hold it yet" flush={laggards.length > 0}>
          {laggards.length === 0 ? (
            <p className="faint">None: a revocation in the newest version counts as done.</p>
          ) : (
            <ul className="list">
              {laggards.slice(0, 100).map((one) => (
                <li key={one.endpoint}>
                  <Link to="/c/$client/endpoints/$endpoint" params={{ client, endpoint: one.endpoint }} className="pick">
                    <Foreign text={one.host_name} max={80} />
                    <span className="push faint">holds version {one.roster_version}</span>
                  </Link>
                </li>
              ))}
            </ul>
          )}
        </Panel>
      </div>
      {chosen > 0 ? <Changes client={client} version={chosen} /> : null}
      <Command why="Write the next version, sign it on the authority’s machine, and hand it over" text="cordon roster make --help" />
    </>
  );
}

function Changes({ client, version }: { client: string; version: number }) {
  const asked = useQuery({
    queryKey: [client, 'rosters', version, 'differences'],
    queryFn: () =>
      take(
        api.GET('/api/v1/clients/{client}/rosters/{version}/differences', {
          params: { path: { client, version: String(version) }, query: {} },
        }),
      ),
  });
  return (
    <Panel title={asked.data?.from ? `What version ${version} changed, from ${asked.data.from}` : `What version ${version} says`} flush>
      <Answer asked={asked} rows={5}>
        {({ items }) => <DifferenceTable items={items} />}
      </Answer>
    </Panel>
  );
}

/** Values as they are written, side by side. */
export function DifferenceTable({ items }: { items: Difference[] }) {
  if (items.length === 0) return <p className="note padded">Nothing differs.</p>;
  const value = (one: unknown) => (one === null || one === undefined ? <span className="faint">—</span> : <Foreign text={typeof one === 'string' ? one : JSON.stringify(one)} max={400} />);
  const hasBefore = items.some((one) => one.before !== null && one.before !== undefined);
  return (
    <div className="scroll-x">
      <table className="plain-table">
        <thead>
          <tr>
            <th>What</th>
            {hasBefore ? <th>Before</th> : null}
            <th>{hasBefore ? 'After' : 'Value'}</th>
          </tr>
        </thead>
        <tbody>
          {items.map((one) => (
            <tr key={one.field} title={one.words}>
              <td>
                <code>
                  <Foreign text={one.field} max={200} />
                </code>
              </td>
              {hasBefore ? <td className="before">{value(one.before)}</td> : null}
              <td>{value(one.after)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
