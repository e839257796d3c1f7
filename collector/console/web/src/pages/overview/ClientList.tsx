// Each client as a card: its endpoints by state in one bar, what is silent there, what needs a person.
// Those with most to do come first.

import { Link } from '@tanstack/react-router';
import { useMemo, useState } from 'react';

import type { components } from '../../../dist/schema';
import type { Count } from '../../api/types';
import { Dot } from '../../parts/Mark';
import { Panel } from '../../parts/Page';
import { SILENCES } from '../../words/state';
import { countOf, StateBar } from './Fleet';

type Seat = components['schemas']['Client'];

/** With more clients than these one looks for them by name. */
const SEARCHED_FROM = 12;

const NOTHING: Count = {
  total: 0,
  online: 0,
  contained: 0,
  isolated: 0,
  needs_person: 0,
  silences: { agent_dead: 0, network_lost: 0, stopped: 0, unheard: 0, asleep: 0, off: 0 },
};

export function ClientList({ counts, seats }: { counts: Count[]; seats: Seat[] }) {
  const [text, setText] = useState('');
  const sorted = useMemo(() => {
    const byClient = new Map(counts.map((count) => [count.of, count]));
    const all = seats.map((seat) => ({ seat, count: byClient.get(seat.id) ?? NOTHING }));
    return all.sort((a, b) => b.count.needs_person - a.count.needs_person || a.seat.id.localeCompare(b.seat.id));
  }, [counts, seats]);
  const shown = sorted.filter(({ seat }) => seat.id.includes(text.trim().toLowerCase()));
  const search =
    seats.length >= SEARCHED_FROM ? (
      <label className="search short" data-search>
        <span className="unseen">Look for a client</span>
        <input type="search" value={text} onChange={(event) => setText(event.target.value)} placeholder="Client" />
      </label>
    ) : null;
  return (
    <Panel title="Clients" aside={search} flush>
      <div className="client-cards">
        {shown.map(({ seat, count }) => (
          <Card key={seat.id} seat={seat} count={count} />
        ))}
        {shown.length === 0 ? <p className="faint">No client has this in its name.</p> : null}
      </div>
    </Panel>
  );
}

function Card({ seat, count }: { seat: Seat; count: Count }) {
  const silent = SILENCES.filter((state) => countOf(count, state) > 0);
  return (
    <Link to="/c/$client" params={{ client: seat.id }} className="client-card">
      <span className="client-card-head">
        <strong>{seat.id}</strong>
        {count.needs_person > 0 ? (
          <span className="need-count">{count.needs_person.toLocaleString('en')} need a person</span>
        ) : (
          <span className="faint">{seat.role}</span>
        )}
      </span>
      <StateBar counts={count} thin />
      <span className="client-card-foot">
        <span>
          {count.online.toLocaleString('en')} of {count.total.toLocaleString('en')} online
        </span>
        {count.contained > 0 ? <span className="held-words">{count.contained.toLocaleString('en')} contained</span> : null}
      </span>
      <span className="client-card-silences">
        {silent.map((state) => (
          <span key={state.key} title={state.meaning}>
            <Dot tone={state.tone} shape={state.key} /> {countOf(count, state).toLocaleString('en')} {state.word.toLowerCase()}
          </span>
        ))}
      </span>
    </Link>
  );
}
