// Tokens with which programs ask in one's name: those that stand, and taking one back.

import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { Button } from 'react-aria-components';

import { api, take } from '../../api/client';
import { Command } from '../../parts/Copy';
import { Badge } from '../../parts/Mark';
import { Answer } from '../../parts/Notice';
import { Panel } from '../../parts/Page';
import { PanelRefusal } from '../../parts/Refusal';
import { Ago } from '../../parts/Time';

/** One's own, or all that reach a client. */
export function ApiTokens({ client }: { client?: string }) {
  const queries = useQueryClient();
  const key = client ? [client, 'api-tokens'] : ['account', 'api-tokens'];
  const asked = useQuery({
    queryKey: key,
    queryFn: () => take(api.GET('/api/v1/api-tokens', { params: { query: client ? { client } : {} } })),
  });
  const revoke = useMutation({
    mutationFn: (id: string) => api.DELETE('/api/v1/api-tokens/{id}', { params: { path: { id } } }),
    onSuccess: () => queries.invalidateQueries({ queryKey: key }),
  });
  return (
    <Panel title={client ? 'API tokens that reach this client' : 'Your API tokens'} flush>
      <Answer asked={asked}>
        {({ items }) =>
          items.length === 0 ? (
            <div className="padded">
              <p className="faint">None. A token lets a program look, or act, in your name, for these clients and until that day only.</p>
              <Command text="cordon api-token create --help" />
            </div>
          ) : (
            <div className="scroll-x">
              <table className="plain-table in-cards">
                <thead>
                  <tr>
                    <th>Name</th>
                    {client ? <th>Whose</th> : null}
                    <th>May</th>
                    <th>Clients</th>
                    <th>Used</th>
                    <th>Ends</th>
                    <th>
                      <span className="unseen">Take it back</span>
                    </th>
                  </tr>
                </thead>
                <tbody>
                  {items.map((one) => (
                    <tr key={one.id}>
                      <td data-head="Name">
                        <strong>{one.name}</strong>
                      </td>
                      {client ? <td data-head="Whose">{one.operator}</td> : null}
                      <td data-head="May">
                        {one.role_max} {one.read_only ? <Badge tone="plain">looks only</Badge> : null}
                      </td>
                      <td data-head="Clients">{one.clients?.join(', ') ?? 'all'}</td>
                      <td data-head="Used">
                        <Ago at={one.used_at} />
                        {one.used_from ? <span className="faint"> from {one.used_from}</span> : null}
                      </td>
                      <td data-head="Ends">
                        <Ago at={one.expires_at} />
                      </td>
                      <td data-head="Take it back">
                        <Button className="link" onPress={() => revoke.mutate(one.id)}>
                          Revoke
                        </Button>
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          )
        }
      </Answer>
      <PanelRefusal error={revoke.error} />
    </Panel>
  );
}
