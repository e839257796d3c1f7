// What needs a person, each with the way to it.

import { Link } from '@tanstack/react-router';
import { ChevronRight } from 'lucide-react';

import { Foreign } from '../../parts/Foreign';
import { Badge } from '../../parts/Mark';
import { Ago } from '../../parts/Time';
import type { Need } from '../../words/attention';

/** More than these are not read by anybody; their number is told. */
const SHOWN_MAX = 40;

export function NeedList({ needs, named }: { needs: Need[]; named: boolean }) {
  const rest = needs.length - SHOWN_MAX;
  return (
    <>
      <ul className="list">
        {needs.slice(0, SHOWN_MAX).map((need) => (
          <li key={need.key}>
            <Way need={need}>
              <span className={`need-edge ${need.tone}`} aria-hidden />
              <span className="need-words">
                <span className="need-first">
                  <strong>
                    <Foreign text={need.host} max={80} />
                  </strong>
                  <Badge tone={need.tone}>{need.what}</Badge>
                  {named ? <span className="faint">{need.client}</span> : null}
                </span>
                <span className="need-detail">
                  <Foreign text={need.detail} max={240} />
                </span>
              </span>
              <span className="need-at">
                <Ago at={need.at} />
              </span>
              <ChevronRight size={16} aria-hidden className="need-go" />
            </Way>
          </li>
        ))}
      </ul>
      {rest > 0 ? <p className="foot-note">and {rest} more</p> : null}
    </>
  );
}

function Way({ need, children }: { need: Need; children: React.ReactNode }) {
  const { client, command, endpoint } = need;
  if (command) {
    return (
      <Link to="/c/$client/commands/$command" params={{ client, command }} className="need">
        {children}
      </Link>
    );
  }
  return (
    <Link to="/c/$client/endpoints/$endpoint" params={{ client, endpoint: endpoint ?? '' }} className="need">
      {children}
    </Link>
  );
}
