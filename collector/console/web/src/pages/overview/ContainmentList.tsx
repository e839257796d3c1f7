// Containments that stand, the one that ends next first, each with its lease running down.

import { Link } from '@tanstack/react-router';
import { ShieldBan } from 'lucide-react';

import type { Containment } from '../../api/types';
import { Foreign } from '../../parts/Foreign';
import { Badge } from '../../parts/Mark';
import { Empty } from '../../parts/Notice';
import { Left } from '../../parts/Time';
import { standingWord } from '../../words/state';

const SHOWN_MAX = 20;

/** How a containment was last seen, in a word. */
export function Hold({ containment }: { containment: Pick<Containment, 'proved' | 'observed'> }) {
  const state = containment.observed?.state;
  if (state && state !== 'holds') return <Badge tone="bad">{state.replaceAll('_', ' ')}</Badge>;
  if (!containment.proved) return <Badge tone="warn">not proved</Badge>;
  return (
    <Badge tone="good" title="Proved by the endpoint, and its last health says that it holds">
      {state === 'holds' ? 'holds' : 'proved'}
    </Badge>
  );
}

export function ContainmentList({ items, since, named }: { items: Containment[]; since: number; named: boolean }) {
  if (items.length === 0) {
    return (
      <Empty icon={ShieldBan} title="Nothing is contained">
        <p>What is isolated, blocked, denied or locked stands here with its lease, until it ends or is let go.</p>
      </Empty>
    );
  }
  const order = (one: Containment) => one.left_secs ?? Infinity;
  const sorted = [...items].sort((a, b) => order(a) - order(b));
  return (
    <>
      <ul className="list">
        {sorted.slice(0, SHOWN_MAX).map((one) => (
          <li key={`${one.command} ${one.endpoint}`}>
            <Link to="/c/$client/commands/$command" params={{ client: one.client, command: one.command }} className="need">
              <span className="need-edge held" aria-hidden />
              <span className="need-words">
                <span className="need-first">
                  <strong>
                    <Foreign text={one.host_name} max={80} />
                  </strong>
                  <Badge tone="held">{standingWord(one.action)}</Badge>
                  <Hold containment={one} />
                  {named ? <span className="faint">{one.client}</span> : null}
                </span>
                <span className="need-detail">
                  {one.by}: <Foreign text={one.reason} max={160} />
                </span>
              </span>
              <span className="need-at">
                {one.left_secs === null || one.left_secs === undefined ? (
                  <span className="faint">no end</span>
                ) : (
                  <Left secs={one.left_secs} since={since} />
                )}
              </span>
            </Link>
          </li>
        ))}
      </ul>
      {items.length > SHOWN_MAX ? <p className="foot-note">and {items.length - SHOWN_MAX} more</p> : null}
    </>
  );
}
