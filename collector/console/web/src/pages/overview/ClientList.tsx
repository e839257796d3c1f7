// Each client as a card with its endpoints in one bar.

import { Link } from '@tanstack/react-router';

import type { components } from '../../../dist/schema';

type Schemas = components['schemas'];

export function ClientList({ counts, seats }: { counts: Schemas['Count'][]; seats: Schemas['Client'][] }) {
  const byClient = new Map(counts.map((count) => [count.of, count]));
  return (
    <section aria-label="Clients" className="client-cards">
      {seats.map((seat) => {
        const { total = 0, online = 0, contained = 0 } = byClient.get(seat.id) ?? {};
        return (
          <Link key={seat.id} to="/c/$client" params={{ client: seat.id }} className="client-card">
            <span className="client-card-head">
              <strong>{seat.id}</strong>
              <span className="faint">{seat.role}</span>
            </span>
            <span className="fleet-bar thin" aria-hidden>
              {online > 0 ? <span className="share good" style={{ flexGrow: online }} /> : null}
              {total > online ? <span className="share quiet" style={{ flexGrow: total - online }} /> : null}
            </span>
            <span className="client-card-foot">
              <span>{online.toLocaleString('en')} of {total.toLocaleString('en')} online</span>
              {contained > 0 ? <span className="held-words">{contained} contained</span> : null}
            </span>
          </Link>
        );
      })}
    </section>
  );
}
