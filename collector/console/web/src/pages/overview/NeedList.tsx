// What needs a person, each with the way to it.

import { Link } from '@tanstack/react-router';
import { ChevronRight } from 'lucide-react';
import { useState } from 'react';
import { Button } from 'react-aria-components';

import { Foreign } from '../../parts/Foreign';
import { Badge } from '../../parts/Mark';
import { Ago } from '../../parts/Time';
import type { Need } from '../../words/attention';

/** Shown at first, so that what stands below is not out of reach. */
const SHOWN_FIRST = 12;

/** More than these are not read by anybody; their number is told. */
const SHOWN_MAX = 60;

export function NeedList({ needs, named }: { needs: Need[]; named: boolean }) {
  const [isAll, setAll] = useState(false);
  const shown = needs.slice(0, isAll ? SHOWN_MAX : SHOWN_FIRST);
  const next = Math.min(needs.length, SHOWN_MAX) - shown.length;
  const rest = needs.length - SHOWN_MAX;
  return (
    <>
      <ul className="list">
        {shown.map((need) => (
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
      {next > 0 ? (
        <Button className="link more-needs" onPress={() => setAll(true)}>
          Show {next} more
        </Button>
      ) : null}
      {isAll && rest > 0 ? <p className="foot-note">and {rest} more</p> : null}
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
