// Tokens with which endpoints join a client: what is left of each, and taking one back.

import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { Button } from 'react-aria-components';

import { api, take } from '../../api/client';
import { Command } from '../../parts/Copy';
import { Badge } from '../../parts/Mark';
import { Answer } from '../../parts/Notice';
import { Panel } from '../../parts/Page';
import { PanelRefusal } from '../../parts/Refusal';
import { Ago, Moment, useNow } from '../../parts/Time';
import { milliseconds } from '../../words/time';

export function Tokens({ client }: { client: string }) {
  const queries = useQueryClient();
  const now = useNow();
  const key = [client, 'tokens'];
  const asked = useQuery({
    queryKey: key,
    queryFn: () => take(api.GET('/api/v1/clients/{client}/tokens', { params: { path: { client }, query: { limit: 200 } } })),
  });
  const revoke = useMutation({
    mutationFn: (id: string) => api.DELETE('/api/v1/clients/{client}/tokens/{id}', { params: { path: { client, id } } }),
    onSuccess: () => queries.invalidateQueries({ queryKey: key }),
  });
  return (
    <>
      <Panel title="Enrolment tokens" flush>
        <Answer asked={asked}>
          {({ items }) =>
            items.length === 0 ? (
              <p className="note padded">None was made yet.</p>
            ) : (
              <div className="scroll-x">
                <table className="plain-table in-cards">
                  <thead>
                    <tr>
                      <th>Token</th>
                      <th>Note</th>
                      <th>Used</th>
                      <th>Made</th>
                      <th>Expires</th>
                      <th>State</th>
                      <th>
                        <span className="unseen">Take it back</span>
                      </th>
                    </tr>
                  </thead>
                  <tbody>
                    {items.map((one) => {
                      const isOver = milliseconds(one.expires) <= now;
                      const isSpent = one.used >= one.uses;
                      const isGood = !one.revoked && !isOver && !isSpent;
                      return (
                        <tr key={one.id}>
                          <td data-head="Token">
                            <code title={one.id}>{one.id.slice(0, 12)}</code>
                          </td>
                          <td data-head="Note">{one.note || <span className="faint">—</span>}</td>
                          <td data-head="Used" className="number">
                            {one.used} of {one.uses}
                          </td>
                          <td data-head="Made">
                            {one.made_by}, <Moment at={one.made_at} />
                          </td>
                          <td data-head="Expires">
                            <Ago at={one.expires} />
                          </td>
                          <td data-head="State">
                            {isGood ? <Badge tone="good">good</Badge> : <Badge tone="plain">{one.revoked ? 'revoked' : isSpent ? 'spent' : 'expired'}</Badge>}
                          </td>
                          <td data-head="Take it back">
                            {isGood ? (
                              <Button className="link" onPress={() => revoke.mutate(one.id)}>
                                Revoke
                              </Button>
                            ) : null}
                          </td>
                        </tr>
                      );
                    })}
                  </tbody>
                </table>
              </div>
            )
          }
        </Answer>
        <PanelRefusal error={revoke.error} />
      </Panel>
      <Command
        why="Make one on your own machine: the string carries what you know of this collector, so that nobody can stand in for it"
        text={`cordon token create --client ${client} --uses 50 --for 7d`}
      />
    </>
  );
}
