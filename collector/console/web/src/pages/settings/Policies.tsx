// Signed policies of a client, and which endpoints hold what they should.

import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';

import { api, take } from '../../api/client';
import type { Json } from '../../api/types';
import { Command } from '../../parts/Copy';
import { Foreign } from '../../parts/Foreign';
import { Badge, StateMark } from '../../parts/Mark';
import { Answer } from '../../parts/Notice';
import { Panel } from '../../parts/Page';
import { Moment } from '../../parts/Time';
import { leaves } from '../endpoint/EventDrawer';

export function Policies({ client }: { client: string }) {
  const path = { params: { path: { client } } };
  const asked = useQuery({ queryKey: [client, 'policies'], queryFn: () => take(api.GET('/api/v1/clients/{client}/policies', path)) });
  const status = useQuery({
    queryKey: [client, 'policies', 'status'],
    queryFn: () => take(api.GET('/api/v1/clients/{client}/policies/status', { params: { path: { client }, query: { limit: 500 } } })),
  });
  return (
    <>
      <Answer asked={asked}>
        {({ items }) =>
          items.length === 0 ? (
            <Panel title="Policies">
              <p className="faint">None is signed: endpoints follow their agent’s defaults. A policy says what they keep open, which rules they follow, and what they do by themselves.</p>
              <Command text="cordon policy --help" />
            </Panel>
          ) : (
            items.map((one) => (
              <Panel
                key={one.version}
                title={`Policy ${one.version}`}
                aside={
                  <>
                    {one.authorised ? <Badge tone="good">authorised</Badge> : <Badge tone="held">waits for a signature</Badge>}
                    <span>
                      held by {one.hold} of {one.endpoints}
                    </span>
                    <span>
                      {one.by}, <Moment at={one.requested_at} />
                    </span>
                  </>
                }
              >
                <dl className="leaves">
                  {leaves(one.policy as unknown as Json).map(([name, value]) => (
                    <div key={name}>
                      <dt>{name}</dt>
                      <dd>
                        <Foreign text={value} max={600} />
                      </dd>
                    </div>
                  ))}
                </dl>
              </Panel>
            ))
          )
        }
      </Answer>
      <Panel title="What endpoints hold" flush>
        <Answer asked={status}>
          {({ items, next }) => (
            <div className="scroll-x">
              <table className="plain-table in-cards">
                <thead>
                  <tr>
                    <th>Endpoint</th>
                    <th>State</th>
                    <th>Holds</th>
                    <th>As wanted</th>
                  </tr>
                </thead>
                <tbody>
                  {items.map((one) => (
                    <tr key={one.endpoint}>
                      <td data-head="Endpoint">
                        <Link to="/c/$client/endpoints/$endpoint" params={{ client, endpoint: one.endpoint }}>
                          <Foreign text={one.host_name} max={80} />
                        </Link>
                      </td>
                      <td data-head="State">
                        <StateMark endpoint={{ state: one.state, silence: null }} />
                      </td>
                      <td data-head="Holds">{one.holds ? `version ${one.holds}` : <span className="faint">none</span>}</td>
                      <td data-head="As wanted">{one.as_wanted ? <Badge tone="good">yes</Badge> : <Badge tone="warn">{one.signed_for_it ? `version ${one.signed_for_it} is signed for it` : 'no'}</Badge>}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
              {next ? <p className="foot-note">The first {items.length} are shown; all of them: cordon policy status</p> : null}
            </div>
          )}
        </Answer>
      </Panel>
    </>
  );
}
