// What a client's roster says of whoever is signed in: the passkeys that sign and where, and how many
// persons an action takes. Pure but for the questions.

import { useQuery } from '@tanstack/react-query';

import { clients, operators, roster } from '../api/queries';
import type { Grant, Operator, Roster } from '../api/types';
import type { Action } from './draft';

export type Kind = Action['kind'];

/** A signing page, and the person's passkeys that count there. */
export interface SigningPage {
  origin: string;
  keys: string[];
}

export interface Desk {
  client: string;
  /** The person's name in the roster. */
  operator: string;
  /** None if the roster does not name the person. */
  roles: string[];
  roster: { version: number; hash: string };
  grants: Grant[];
  leaseSecsMax: number;
  people: { id: string; roles: string[] }[];
  /** Where the person can sign; none without a passkey in the roster. */
  pages: SigningPage[];
}

export function deskOf(client: string, operator: string, held: Roster, people: Operator[]): Desk {
  const person = people.find((one) => one.id === operator);
  const pages = new Map<string, string[]>();
  for (const key of person?.keys ?? []) {
    if (key.kind !== 'passkey') continue;
    for (const origin of key.origins) pages.set(origin, [...(pages.get(origin) ?? []), key.id]);
  }
  return {
    client,
    operator,
    roles: person?.roles ?? [],
    roster: { version: held.version, hash: held.hash },
    grants: held.grants,
    leaseSecsMax: held.lease_secs_max,
    people: people.map(({ id, roles }) => ({ id, roles })),
    // This machine's own page is tried first.
    pages: [...pages].map(([origin, keys]) => ({ origin, keys })).sort((a, b) => rank(a.origin) - rank(b.origin)),
  };
}

const rank = (origin: string) => (origin.startsWith('http://localhost:') ? 0 : 1);

export type Need =
  /** So many persons, the one who asks among them, and who else may. */
  | { says: 'persons'; count: number; others: string[] }
  /** No role of the person may do this. */
  | { says: 'role' }
  /** Nobody's signatures allow so many endpoints. */
  | { says: 'targets'; most: number };

/** How many persons an action on so many endpoints takes; two at least where policy calls one critical. */
export function need(desk: Desk, kind: Kind, targets: number, critical = false): Need {
  const mine = desk.grants.filter((grant) => grant.action === kind && desk.roles.includes(grant.role));
  if (mine.length === 0) return { says: 'role' };
  const wide = mine.filter((grant) => targets <= grant.targets_max);
  const [least] = wide.sort((a, b) => a.approvals - b.approvals);
  if (!least) return { says: 'targets', most: Math.max(...mine.map((grant) => grant.targets_max)) };
  const others = desk.people.filter((one) => one.id !== desk.operator && one.roles.includes(least.role));
  return { says: 'persons', count: Math.max(least.approvals, critical ? 2 : 1), others: others.map((one) => one.id) };
}

/** Whether the person may sign for an action at all. */
export const may = (desk: Desk, kind: Kind) => need(desk, kind, 1).says !== 'role';

/** Reads it for a client; undefined while it is on its way. */
export function useDesk(client: string): { data: Desk | undefined; error: Error | null } {
  const held = useQuery(roster(client));
  const people = useQuery(operators(client));
  const seats = useQuery(clients);
  const seat = seats.data?.items.find((one) => one.id === client);
  const data = held.data && people.data && seat ? deskOf(client, seat.operator, held.data, people.data) : undefined;
  return { data, error: held.error ?? people.error ?? seats.error };
}
