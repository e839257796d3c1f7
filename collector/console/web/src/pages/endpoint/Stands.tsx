// What stands on an endpoint with its lease, how to take it away, and the way out that is held for it.

import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';

import { TakeBack } from '../../acting/TakeBack';
import { WayOut } from '../../acting/Warnings';
import { containments } from '../../api/queries';
import type { EndpointWhole } from '../../api/types';
import { Foreign } from '../../parts/Foreign';
import { Badge } from '../../parts/Mark';
import { Answer } from '../../parts/Notice';
import { Panel } from '../../parts/Page';
import { Left, Since } from '../../parts/Time';
import { standingWord } from '../../words/state';
import { Hold } from '../overview/ContainmentList';

export function Stands({ endpoint }: { endpoint: EndpointWhole }) {
  const { client } = endpoint;
  const asked = useQuery(containments(client));
  return (
    <Panel title="What stands on it">
      <Answer asked={asked}>
        {({ items }) => {
          const here = items.filter((one) => one.endpoint === endpoint.id);
          const isIsolated = here.some((one) => one.action === 'isolate');
          return (
            <>
              {here.length === 0 ? <p className="faint">Nothing: it is as its owner set it up.</p> : null}
              <ul className="stands">
                {here.map((one) => (
                  <li key={one.command}>
                    <div className="need-first">
                      <Badge tone="held">{standingWord(one.action)}</Badge>
                      <Hold containment={one} />
                      <span className="faint">
                        for <Since at={one.since} />
                      </span>
                      <span className="push">
                        {one.left_secs === null || one.left_secs === undefined ? 'no end' : <>ends in <Left secs={one.left_secs} since={asked.dataUpdatedAt} /></>}
                      </span>
                    </div>
                    <p>
                      <strong>{one.by}</strong>: <Foreign text={one.reason} max={400} />
                    </p>
                    <div className="row">
                      <Link to="/c/$client/commands/$command" params={{ client, command: one.command }}>
                        The command and its proof
                      </Link>
                      <span className="push">
                        <TakeBack stands={one} />
                      </span>
                    </div>
                  </li>
                ))}
              </ul>
              {isIsolated ? <WayOut endpoint={endpoint} /> : null}
            </>
          );
        }}
      </Answer>
    </Panel>
  );
}
