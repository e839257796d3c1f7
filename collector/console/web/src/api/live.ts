// What comes in while a page is open. One feed for a client's control lane tells which answers are
// old; the timeline of an endpoint has a feed of its own.

import { useQueryClient } from '@tanstack/react-query';
import { useEffect, useRef, useState } from 'react';

import { ALL, type EventsAsked } from './queries';
import type { EventShown } from './types';

/** Classes after which endpoints, containments or commands may have changed. */
const TELLING = 'receipt,lifecycle,health,gap,finding';

/** Answers are asked again at most so often, however much comes in. */
const SETTLE_MS = 700;

/** Where many answer slowly, so many times as long as that took is waited before it is done again. */
const REST = 6;

export type Feed = 'connecting' | 'live' | 'lost';

/** Opens a feed; ends it with the component. */
export function useFeed(client: string, asked: EventsAsked, on: boolean, heard: (event: EventShown) => void): Feed {
  const [feed, setFeed] = useState<Feed>('connecting');
  const listener = useRef(heard);
  useEffect(() => {
    listener.current = heard;
  });
  const query = new URLSearchParams(client === ALL ? {} : { client });
  for (const name of ['endpoint', 'class', 'text', 'where'] as const) {
    const value = asked[name];
    if (value) query.set(name, value);
  }
  const address = `/api/v1/events/live?${query.toString()}`;
  useEffect(() => {
    if (!on) return;
    let source: EventSource | undefined;
    let again: ReturnType<typeof setTimeout> | undefined;
    const open = () => {
      setFeed('connecting');
      source = new EventSource(address);
      source.onopen = () => setFeed('live');
      source.onmessage = (message: MessageEvent<string>) => {
        listener.current(JSON.parse(message.data) as EventShown);
      };
      source.onerror = () => {
        setFeed('lost');
        // A refused feed is closed for good by the browser; the collector may only be busy.
        if (source?.readyState === EventSource.CLOSED) again = setTimeout(open, 5000);
      };
    };
    open();
    return () => {
      clearTimeout(again);
      source?.close();
    };
  }, [address, on]);
  return feed;
}

/** Asks again for what an event may have changed. */
export function useFreshness(client: string): Feed {
  const queries = useQueryClient();
  const waiting = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const heardMore = useRef(false);
  useEffect(() => () => clearTimeout(waiting.current), []);
  const askSoon = (restMs: number) => {
    waiting.current = setTimeout(() => {
      heardMore.current = false;
      const begun = performance.now();
      const asked = ['endpoints', 'containments', 'commands'].map((kind) => queries.invalidateQueries({ queryKey: [client, kind] }));
      void Promise.allSettled(asked).then(() => {
        waiting.current = undefined;
        if (heardMore.current) askSoon((performance.now() - begun) * REST);
      });
    }, Math.max(SETTLE_MS, restMs));
  };
  return useFeed(client, { class: TELLING }, true, () => {
    if (waiting.current === undefined) askSoon(0);
    else heardMore.current = true;
  });
}
