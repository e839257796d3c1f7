// What the pages ask, each with the name that its answer is kept under. Every name begins with the
// client it belongs to, so that nothing of one client is ever shown at another.

import { keepPreviousData, queryOptions } from '@tanstack/react-query';

import { api, setCsrf, take } from './client';
import type { Containment, EventShown, Operator } from './types';

/** How often what is live is asked again though no event told of a change. */
export const REFRESH_MS = 20_000;

/** Endpoints that need a person, shown on the overview. */
const NEEDY_MAX = 50;

/** Every client that the person sees, as a name. */
export const ALL = '*';

const of = (client: string) => (client === ALL ? {} : { client });

export const session = queryOptions({
  queryKey: ['session'],
  queryFn: async () => {
    const current = await take(api.GET('/api/v1/session'));
    setCsrf(current.csrf);
    return current;
  },
  staleTime: 60_000,
  retry: false,
});

export const clients = queryOptions({
  queryKey: ['clients'],
  queryFn: () => take(api.GET('/api/v1/clients', { params: { query: { limit: 500 } } })),
});

export const counts = (client: string) =>
  queryOptions({
    queryKey: [client, 'endpoints', 'counts'],
    queryFn: () => take(api.GET('/api/v1/endpoints/counts', { params: { query: of(client) } })),
    refetchInterval: REFRESH_MS,
  });

/** Those that somebody should look at, the gravest first; more of them nobody reads at once. */
export const needy = (client: string) =>
  queryOptions({
    queryKey: [client, 'endpoints', 'needy'],
    queryFn: () =>
      take(api.GET('/api/v1/endpoints', { params: { query: { ...of(client), needs_person: true, sort: 'need', limit: NEEDY_MAX } } })),
    refetchInterval: REFRESH_MS,
  });

/** A client's sites; a client has at most a thousand, and no list of choices shows more than these. */
export const sites = (client: string) =>
  queryOptions({
    queryKey: [client, 'sites'],
    queryFn: () => take(api.GET('/api/v1/clients/{client}/sites', { params: { path: { client }, query: { limit: 500 } } })),
    staleTime: 60_000,
  });

/** All that stands, however many pages that takes. */
export const containments = (client: string) =>
  queryOptions({
    queryKey: [client, 'containments'],
    queryFn: async () => {
      const items: Containment[] = [];
      let cursor: string | undefined;
      do {
        const query = { ...of(client), limit: 500, ...(cursor ? { cursor } : {}) };
        const page = await take(api.GET('/api/v1/containments', { params: { query } }));
        items.push(...page.items);
        cursor = page.next ?? undefined;
      } while (cursor);
      return { items };
    },
    refetchInterval: REFRESH_MS,
  });

export const endpoint = (client: string, id: string) =>
  queryOptions({
    queryKey: [client, 'endpoints', 'one', id],
    queryFn: () => take(api.GET('/api/v1/endpoints/{id}', { params: { path: { id } } })),
    refetchInterval: REFRESH_MS,
  });

/** What isolating an endpoint would cut, as it was a moment ago. */
export const preview = (client: string, id: string) =>
  queryOptions({
    queryKey: [client, 'preview', id],
    queryFn: () => take(api.GET('/api/v1/endpoints/{id}/preview', { params: { path: { id } } })),
    staleTime: 30_000,
  });

export const roster = (client: string) =>
  queryOptions({
    queryKey: [client, 'roster'],
    queryFn: () => take(api.GET('/api/v1/clients/{client}/roster', { params: { path: { client } } })),
    staleTime: 15_000,
  });

/** All persons of the roster, however many pages that takes. */
export const operators = (client: string) =>
  queryOptions({
    queryKey: [client, 'operators', 'all'],
    queryFn: async () => {
      const items: Operator[] = [];
      let cursor: string | undefined;
      do {
        const query = { limit: 500, ...(cursor ? { cursor } : {}) };
        const page = await take(api.GET('/api/v1/clients/{client}/operators', { params: { path: { client }, query } }));
        items.push(...page.items);
        cursor = page.next ?? undefined;
      } while (cursor);
      return items;
    },
    staleTime: 15_000,
  });

interface CommandsAsked {
  endpoint?: string;
  waiting?: boolean;
  limit: number;
}

/** One page of commands, newest first. */
export const commandsPage = (client: string, asked: CommandsAsked, cursor?: string) =>
  take(api.GET('/api/v1/commands', { params: { query: { ...of(client), ...asked, ...(cursor ? { cursor } : {}) } } }));

/** Commands that more signatures can authorise, the newest of them. */
export const waitingCommands = (client: string) =>
  queryOptions({
    queryKey: [client, 'commands', 'waiting'],
    queryFn: () => commandsPage(client, { waiting: true, limit: 100 }),
    refetchInterval: REFRESH_MS,
  });

export const command = (client: string, id: string) =>
  queryOptions({
    queryKey: [client, 'commands', 'one', id],
    queryFn: () => take(api.GET('/api/v1/commands/{id}', { params: { path: { id } } })),
    refetchInterval: REFRESH_MS,
  });

export interface EventsAsked {
  endpoint?: string;
  class?: string;
  text?: string;
  where?: string;
  since?: string;
  until?: string;
  limit?: number;
}

/** Words of a filter that are not empty. */
function given(asked: EventsAsked): EventsAsked {
  return Object.fromEntries(Object.entries(asked).filter(([, value]) => value !== '' && value !== undefined));
}

/** One page of events, newest first. */
export async function eventsPage(client: string, asked: EventsAsked, cursor?: string) {
  const query = { ...of(client), ...given(asked), order: 'newest', ...(cursor ? { cursor } : {}) };
  const page = await take(api.GET('/api/v1/events', { params: { query } }));
  return { ...page, items: page.items as unknown as EventShown[] };
}

/** Events newest first, until there are so many or the log's beginning is reached. */
export const events = (client: string, asked: EventsAsked, countMax: number) =>
  queryOptions({
    queryKey: [client, 'events', asked, countMax],
    queryFn: async () => {
      const found: EventShown[] = [];
      let cursor: string | undefined;
      for (let page = 0; page < 12 && found.length < countMax; page += 1) {
        const { items, next } = await eventsPage(client, { ...asked, limit: 500 }, cursor);
        found.push(...items);
        cursor = next ?? undefined;
        if (!cursor) break;
      }
      return { items: found.slice(0, countMax), whole: cursor === undefined && found.length <= countMax };
    },
    placeholderData: keepPreviousData,
  });
