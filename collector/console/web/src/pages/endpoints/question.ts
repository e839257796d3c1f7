// What the collector is asked for a list of endpoints, from the words of the address.

import type { paths } from '../../../dist/schema';

type Query = NonNullable<paths['/api/v1/endpoints']['get']['parameters']['query']>;

/** Which endpoints of which client, in which order. */
export type Question = Omit<Query, 'limit' | 'cursor' | 'offset' | 'client'> & { client: string };

export interface Search {
  text?: string | undefined;
  state?: string | undefined;
  silence?: string | undefined;
  need?: string | undefined;
  needs_person?: string | undefined;
  os?: string | undefined;
  site?: string | undefined;
  label?: string | undefined;
  criticality?: string | undefined;
  contained?: string | undefined;
  standing?: string | undefined;
  sort?: string | undefined;
  order?: string | undefined;
}

/** What narrows the list, of all that is in an address. */
export const NARROWING = [
  'text', 'state', 'silence', 'need', 'needs_person', 'os', 'site', 'label', 'criticality', 'contained', 'standing',
] as const;

/** A word that the collector does not know is refused by it, with a sentence that is shown. */
export function question(client: string, search: Search): Question {
  const { text, state, silence, need, os, site, label, criticality, standing } = search;
  const words = { text, state, silence, need, os, site, label, criticality, standing };
  const given = Object.fromEntries(Object.entries(words).filter(([, value]) => value));
  return {
    ...given,
    client,
    ...(search.needs_person === 'true' ? { needs_person: true } : {}),
    ...(search.contained === 'true' ? { contained: true } : {}),
    sort: (search.sort ?? 'name') as NonNullable<Query['sort']>,
    descending: search.order === 'descending',
  };
}
