// Events of an endpoint that fit a question: page by page from the newest back, and those that come in
// meanwhile.

import { useInfiniteQuery } from '@tanstack/react-query';
import { useState } from 'react';

import { useFeed } from './live';
import { type EventsAsked, eventsPage } from './queries';
import type { EventShown } from './types';

const PAGE = 200;

/** @param name what the answers are kept under  @param freshMax of those that came in, so many are kept */
export function useFollowed(client: string, name: string, asked: EventsAsked, isLive: boolean, freshMax: number) {
  const found = useInfiniteQuery({
    queryKey: [client, 'events', name, asked],
    queryFn: ({ pageParam }) => eventsPage(client, { ...asked, limit: PAGE }, pageParam || undefined),
    initialPageParam: '',
    getNextPageParam: (last) => last.next ?? undefined,
    staleTime: Infinity,
  });
  // What came in belongs to one question only; another question begins with nothing.
  const question = JSON.stringify(asked);
  const [heard, setHeard] = useState<{ question: string; events: EventShown[] }>({ question, events: [] });
  const feed = useFeed(client, asked, isLive, (event) =>
    setHeard((before) => ({
      question,
      events: [event, ...(before.question === question ? before.events : [])].slice(0, freshMax),
    })),
  );
  return {
    found,
    feed,
    /** Both the newest first; an event may be in both. */
    past: found.data?.pages.flatMap((page) => page.items) ?? [],
    fresh: heard.question === question ? heard.events : [],
  };
}
