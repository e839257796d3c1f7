// Endpoints by state as one bar, with every kind of silence apart.

import { Link } from '@tanstack/react-router';

import type { components } from '../../../dist/schema';
import { ALL } from '../../api/queries';
import type { Endpoint } from '../../api/types';
import { Dot } from '../../parts/Mark';
import { STATES, type State, stateOf } from '../../words/state';

interface Props {
  client: string;
  counts: components['schemas']['Counts'];
  silent: Endpoint[];
  silentTotal: number | undefined;
}

export function Fleet({ client, counts, silent, silentTotal }: Props) {
  const byState = new Map<string, number>([['online', counts.online]]);
  for (const endpoint of silent) {
    const { key } = stateOf(endpoint);
    byState.set(key, (byState.get(key) ?? 0) + 1);
  }
  const rest = counts.offline - silent.length;
  return (
    <section className="fleet" aria-label="Endpoints by state">
      <div className="fleet-bar" aria-hidden>
        {STATES.map((state) => {
          const count = byState.get(state.key) ?? 0;
          return count > 0 ? <span key={state.key} className={`share ${state.tone} ${state.key}`} style={{ flexGrow: count }} /> : null;
        })}
      </div>
      <ul className="fleet-states">
        {STATES.map((state) => (
          <li key={state.key}>
            <Count client={client} state={state} count={byState.get(state.key) ?? 0} />
          </li>
        ))}
        <li>
          <Contained client={client} contained={counts.contained} isolated={counts.isolated} />
        </li>
      </ul>
      {silentTotal !== undefined && rest > 0 ? (
        <p className="foot-note">Kinds of silence are told for the {silent.length} endpoints heard last, of {silentTotal} that are not connected.</p>
      ) : null}
    </section>
  );
}

function Count({ client, state, count }: { client: string; state: State; count: number }) {
  const inside = (
    <>
      <span className="fleet-count">{count.toLocaleString('en')}</span>
      <span className="fleet-word">
        <Dot tone={state.tone} shape={state.key} />
        {state.word}
      </span>
    </>
  );
  const looks = `fleet-state ${count > 0 ? state.tone : 'none'}`;
  if (client === ALL) {
    return <div className={looks} title={state.meaning}>{inside}</div>;
  }
  const search = { state: state.key === 'online' ? 'online' : 'offline', sort: 'seen', order: 'descending' };
  return (
    <Link to="/c/$client/endpoints" params={{ client }} search={search} className={looks} title={state.meaning}>
      {inside}
    </Link>
  );
}

function Contained({ client, contained, isolated }: { client: string; contained: number; isolated: number }) {
  const inside = (
    <>
      <span className="fleet-count">{contained.toLocaleString('en')}</span>
      <span className="fleet-word">
        <Dot tone="held" shape="held" />
        Contained
      </span>
    </>
  );
  const looks = `fleet-state ${contained > 0 ? 'held' : 'none'}`;
  const title = `Something stands on ${contained}; ${isolated} of them isolated`;
  return client === ALL ? (
    <div className={looks} title={title}>{inside}</div>
  ) : (
    <Link to="/c/$client/endpoints" params={{ client }} search={{ contained: 'true' }} className={looks} title={title}>
      {inside}
    </Link>
  );
}
