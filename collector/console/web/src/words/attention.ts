// What needs a person now, gravest first. Pure: from what the collector last said of endpoints,
// containments and commands.

import type { Command, Containment, Endpoint } from '../api/types';
import { actionWord, conditionWords, stateOf } from './state';

export interface Need {
  key: string;
  /** 0 is the gravest. */
  rank: number;
  tone: 'bad' | 'warn' | 'held';
  client: string;
  /** The endpoint's host name: hostile text. */
  host: string;
  what: string;
  detail: string;
  at: string | null;
  endpoint?: string;
  command?: string;
}

/** A lease with less left than this is told of. */
const LEASE_ENDS_SOON_SECS = 3600;

/** How an observation of a containment reads, where it is not that it holds. */
const OBSERVED: Record<string, string> = {
  drifted: 'was found changed on the endpoint and could not be put back',
  gone: 'is gone from the endpoint',
  unproved: 'stands, but was not seen to hold',
};

export function needs(endpoints: Endpoint[], containments: Containment[], commands: Command[]): Need[] {
  const found = [
    ...unique(endpoints).flatMap(ofEndpoint),
    ...containments.flatMap(ofContainment),
    ...commands.flatMap(ofCommand),
  ];
  return found.sort((a, b) => a.rank - b.rank || (b.at ?? '').localeCompare(a.at ?? ''));
}

function unique(endpoints: Endpoint[]): Endpoint[] {
  return [...new Map(endpoints.map((endpoint) => [endpoint.id, endpoint])).values()];
}

function ofEndpoint(endpoint: Endpoint): Need[] {
  const found: Need[] = [];
  const { id, client, host_name: host } = endpoint;
  const need = (rank: number, tone: Need['tone'], what: string, detail: string, at: string | null) =>
    found.push({ key: `${id} ${what} ${detail}`, rank, tone, client, host, what, detail, at, endpoint: id });
  const state = stateOf(endpoint);
  const last = endpoint.last_seen ?? null;
  if (state.tone === 'bad') need(state.key === 'agent_dead' ? 0 : 2, 'bad', state.word, state.meaning, last);
  if (state.key === 'stopped') need(4, 'warn', state.word, state.meaning, last);
  if (endpoint.clones > 0) {
    need(1, 'bad', 'Two machines, one key', 'Another machine was noticed to share its key: it was copied', last);
  }
  for (const condition of endpoint.conditions) {
    const isBlind = condition.condition === 'blinded' || condition.condition === 'stalled';
    need(isBlind ? 3 : 6, 'warn', isBlind ? 'Cannot see' : 'Not well', conditionWords(condition), endpoint.health_at ?? null);
  }
  return found;
}

function ofContainment(containment: Containment): Need[] {
  const { client, endpoint, host_name: host, action, command } = containment;
  const common = { client, endpoint, command, host, at: containment.since };
  const observed = containment.observed?.state;
  if (observed && observed !== 'holds') {
    const how = OBSERVED[observed] ?? `was observed as ${observed.replaceAll('_', ' ')}`;
    return [{ ...common, key: `${command} ${endpoint} observed`, rank: 1, tone: 'bad', what: 'Does not hold', detail: `${actionWord(action)} ${how}` }];
  }
  if (!containment.proved) {
    return [{ ...common, key: `${command} ${endpoint} unproved`, rank: 2, tone: 'warn', what: 'Not proved', detail: `${actionWord(action)} was applied, and nothing shows yet that it holds` }];
  }
  const left = containment.left_secs;
  if (left !== null && left !== undefined && left < LEASE_ENDS_SOON_SECS) {
    return [{ ...common, key: `${command} ${endpoint} ends`, rank: 5, tone: 'held', what: 'Lease ends soon', detail: `${actionWord(action)} ends by itself in ${Math.max(1, Math.round(left / 60))} min unless it is renewed` }];
  }
  return [];
}

function ofCommand(command: Command): Need[] {
  if (!command.waits_for) return [];
  const hosts = command.targets.map((target) => target.host_name);
  const more = hosts.length > 1 ? ` and ${hosts.length - 1} more` : '';
  return [
    {
      key: `${command.id} waits`,
      rank: 3,
      tone: 'held',
      client: command.client,
      host: hosts[0] ?? '',
      what: 'Waits for a signature',
      detail: `${actionWord(command.action)}${more}, signed by ${command.signed_by.join(', ')}: ${command.waits_for}`,
      at: command.requested_at,
      command: command.id,
    },
  ];
}
