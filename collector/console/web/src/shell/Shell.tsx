// What stands around every page: whose endpoints these are, where else to go, who is signed in.

import { useQuery } from '@tanstack/react-query';
import { Outlet } from '@tanstack/react-router';

import { ActingProvider } from '../acting/Acting';
import { Problem } from '../api/client';
import { type Feed, useFreshness } from '../api/live';
import { ALL, session } from '../api/queries';
import { NotFound } from '../pages/NotFound';
import { Failure, Waiting } from '../parts/Notice';
import { useClient } from './client';
import { ClientSwitch } from './ClientSwitch';
import { Keys } from './Keys';
import { Logo } from './Logo';
import { BottomBar, SideNav } from './Nav';
import { Person } from './Person';

export function Shell() {
  const { data: current, error } = useQuery(session);
  const client = useClient();
  if (!current) {
    // Whoever is not signed in is on the way to the page for that: see main.tsx.
    const isRefused = error instanceof Problem && error.status === 401;
    return <main className="alone">{error && !isRefused ? <Failure error={error} /> : <Waiting />}</main>;
  }
  const isSeen = client === ALL || current.clients.some((seat) => seat.id === client);
  return (
    <div className="shell">
      <a className="skip" href="#page">
        Skip to the page
      </a>
      <header className="side">
        <div className="side-top">
          <Logo />
          <ClientSwitch seats={current.clients} client={client} />
        </div>
        <SideNav client={client} />
        <div className="side-foot">
          {isSeen ? <FeedMark client={client} key={client} /> : null}
          <Person current={current} />
        </div>
      </header>
      {/* Another client is another page altogether: nothing of the one before is kept on it. */}
      <main id="page" key={client} tabIndex={-1}>
        {isSeen ? (
          <ActingProvider>
            <Outlet />
          </ActingProvider>
        ) : (
          <NotFound />
        )}
      </main>
      <BottomBar client={client} />
      <Keys client={client} />
    </div>
  );
}

const WORDS: Record<Feed, string> = {
  connecting: 'Connecting…',
  live: 'Live',
  lost: 'Not live: trying again',
};

function FeedMark({ client }: { client: string }) {
  const feed = useFreshness(client);
  return (
    <span className={`feed ${feed}`} role="status" title="Whether changes show here as they happen">
      <span aria-hidden className="feed-dot" />
      <span className="feed-words">{WORDS[feed]}</span>
    </span>
  );
}
