// Endpoints by state, with every kind of silence apart: as one bar, and as numbers that lead to them.

import { Link } from '@tanstack/react-router';

import { ALL } from '../../api/queries';
import type { Count, Counts } from '../../api/types';
import { Dot } from '../../parts/Mark';
import { type State, STATES } from '../../words/state';

type Counted = Pick<Count | Counts, 'online' | 'silences'>;

export function countOf(counts: Counted, state: State): number {
  return state.key === 'online' ? counts.online : (counts.silences[state.key as keyof Counts['silences']] ?? 0);
}

/** All states side by side, each as wide as it has endpoints. */
export function StateBar({ counts, thin = false }: { counts: Counted; thin?: boolean }) {
  return (
    <span className={thin ? 'fleet-bar thin' : 'fleet-bar'} aria-hidden>
      {STATES.map((state) => {
        const count = countOf(counts, state);
        return count > 0 ? <span key={state.key} className={`share ${state.tone} ${state.key}`} style={{ flexGrow: count }} /> : null;
      })}
    </span>
  );
}

export function Fleet({ client, counts }: { client: string; counts: Counts }) {
  return (
    <section className="fleet" aria-label="Endpoints by state">
      <StateBar counts={counts} />
      <ul className="fleet-states">
        {STATES.map((state) => (
          <li key={state.key}>
            <Figure
              client={client}
              count={countOf(counts, state)}
              tone={state.tone}
              shape={state.key}
              word={state.word}
              meaning={state.meaning}
              search={state.key === 'online' ? { state: 'online' } : { silence: state.key }}
            />
          </li>
        ))}
        <li>
          <Figure
            client={client}
            count={counts.contained}
            tone="held"
            shape="held"
            word="Contained"
            meaning={`Something stands on ${counts.contained}; ${counts.isolated} of them isolated`}
            search={{ contained: 'true' }}
          />
        </li>
      </ul>
    </section>
  );
}

interface FigureProps {
  client: string;
  count: number;
  tone: State['tone'];
  shape: string;
  word: string;
  meaning: string;
  search: Record<string, string>;
}

function Figure({ client, count, tone, shape, word, meaning, search }: FigureProps) {
  const inside = (
    <>
      <span className="fleet-count">{count.toLocaleString('en')}</span>
      <span className="fleet-word">
        <Dot tone={tone} shape={shape} />
        {word}
      </span>
    </>
  );
  const looks = `fleet-state ${count > 0 ? tone : 'none'}`;
  return client === ALL ? (
    <div className={looks} title={meaning}>
      {inside}
    </div>
  ) : (
    <Link to="/c/$client/endpoints" params={{ client }} search={search} className={looks} title={meaning}>
      {inside}
    </Link>
  );
}
