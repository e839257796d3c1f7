// What an endpoint lost, in its own signed words.

import type { EndpointWhole } from '../../api/types';
import { Foreign } from '../../parts/Foreign';
import { Panel } from '../../parts/Page';
import { Moment } from '../../parts/Time';

interface Gap {
  at: string;
  seq: string;
  epoch: number;
  from: string;
  to: string;
  reason: string;
  detail: string | null;
  counts: { class: string; count: number }[];
}

const SHOWN_MAX = 5;

export function Gaps({ endpoint }: { endpoint: EndpointWhole }) {
  const gaps = endpoint.gaps as unknown as Gap[];
  if (gaps.length === 0) return null;
  return (
    <Panel title="What it could not see" aside={gaps.length > SHOWN_MAX ? `the last ${SHOWN_MAX} of ${gaps.length}` : null} flush>
      <ul className="list sensors">
        {gaps.slice(0, SHOWN_MAX).map((gap) => (
          <li key={`${gap.epoch} ${gap.seq}`}>
            <div className="sensor-head">
              <strong>{gap.counts.map((one) => one.class).join(', ') || 'events'}</strong>
              <span className="faint">{count(gap)}</span>
              <span className="push faint">
                <Moment at={gap.from} />
              </span>
            </div>
            <p className="need-detail">
              <Foreign text={gap.detail ?? gap.reason.replaceAll('_', ' ')} max={300} />
            </p>
          </li>
        ))}
      </ul>
    </Panel>
  );
}

/** None counted means that it cannot be known how many there were. */
function count(gap: Gap): string {
  const sum = gap.counts.reduce((total, one) => total + one.count, 0);
  return sum > 0 ? `${sum.toLocaleString('en')} dropped` : 'not seen, so not counted';
}
