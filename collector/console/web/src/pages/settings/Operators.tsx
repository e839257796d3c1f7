// The people of a client's roster with their keys, and how each signs in.

import { useQuery } from '@tanstack/react-query';

import { api, Problem, take } from '../../api/client';
import { Command } from '../../parts/Copy';
import { Badge } from '../../parts/Mark';
import { Answer } from '../../parts/Notice';
import { Panel } from '../../parts/Page';
import { Moment } from '../../parts/Time';

export function Operators({ client }: { client: string }) {
  const path = { params: { path: { client } } };
  const people = useQuery({ queryKey: [client, 'operators'], queryFn: () => take(api.GET('/api/v1/clients/{client}/operators', path)) });
  // Only administrators see who has an account.
  const accounts = useQuery({ queryKey: [client, 'accounts'], queryFn: () => take(api.GET('/api/v1/clients/{client}/accounts', path)) });
  const byName = new Map(accounts.data?.items.map((one) => [one.operator, one]));
  const mayNot = accounts.error instanceof Problem && accounts.error.status === 403;
  return (
    <>
      <Panel title="Operators" flush>
        <Answer asked={people}>
          {({ items }) => (
            <div className="scroll-x">
              <table className="plain-table in-cards">
                <thead>
                  <tr>
                    <th>Operator</th>
                    <th>Roles</th>
                    <th>Keys</th>
                    <th>Signs in to this console as</th>
                    <th>Sessions</th>
                  </tr>
                </thead>
                <tbody>
                  {items.map((one) => {
                    const account = byName.get(one.id);
                    return (
                      <tr key={one.id}>
                        <td data-head="Operator">
                          <strong>{one.id}</strong>
                        </td>
                        <td data-head="Roles">
                          {one.roles.join(', ')} {one.break_glass ? <Badge tone="plain">opens break-glass codes</Badge> : null}
                        </td>
                        <td data-head="Keys">
                          {one.keys.map((key) => (
                            <div key={key.id}>
                              <code title={key.id}>{key.id.slice(0, 12)}</code> <span className="faint">{key.rp_id ? `${key.kind} of ${key.rp_id}` : key.kind}</span>
                            </div>
                          ))}
                        </td>
                        <td data-head="Signs in as">
                          {mayNot ? (
                            <span className="faint">for administrators to see</span>
                          ) : account?.account ? (
                            <>
                              {account.account}
                              {account.made_at ? (
                                <span className="faint">
                                  , since <Moment at={account.made_at} />
                                </span>
                              ) : null}
                            </>
                          ) : (
                            <span className="faint">with the key alone</span>
                          )}
                        </td>
                        <td data-head="Sessions" className="number">{account?.sessions ?? <span className="faint">—</span>}</td>
                      </tr>
                    );
                  })}
                </tbody>
              </table>
            </div>
          )}
        </Answer>
      </Panel>
      <Command why="Let an operator set a way into this console up" text="cordon account invite OPERATOR" />
    </>
  );
}
