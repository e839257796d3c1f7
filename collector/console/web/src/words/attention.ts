// What needs a person now, gravest first. Pure. Of endpoints the collector has decided it, for all of
// them; of containments and commands it is read here from what the collector says of each.

import type { Command, Containment, Endpoint, NeedName } from '../api/types';
import { actionWord, conditionWords, SILENCES, type Tone } from './state';

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

interface NeedWords {
  name: NeedName;
  word: string;
  meaning: string;
  tone: Extract<Tone, 'bad' | 'warn'>;
  rank: number;
}

const silence = (name: NeedName) => {
  const found = SILENCES.find((one) => one.key === name);
  return { word: found?.word ?? name, meaning: found?.meaning ?? '' };
};

/** Why somebody should look at an endpoint, as the collector tells it, the gravest first. */
export const NEEDS: NeedWords[] = [
  { name: 'agent_dead', ...silence('agent_dead'), tone: 'bad', rank: 0 },
  { name: 'cloned', word: 'Two machines, one key', meaning: 'Another machine was noticed to share its key: it was copied', tone: 'bad', rank: 1 },
  { name: 'network_lost', ...silence('network_lost'), tone: 'bad', rank: 2 },
  { name: 'blinded', word: 'Cannot see', meaning: 'A sensor sees nothing', tone: 'warn', rank: 3 },
  { name: 'stalled', word: 'Sensor stalled', meaning: 'A sensor says that it runs, and does not show it', tone: 'warn', rank: 3 },
  { name: 'stopped', ...silence('stopped'), tone: 'warn', rank: 4 },
  { name: 'over_budget', word: 'Over budget', meaning: 'It gives something up to stay within its budget', tone: 'warn', rank: 6 },
  { name: 'clock_wrong', word: 'Clock wrong', meaning: 'Its clock is more than a minute off the collector’s', tone: 'warn', rank: 6 },
];

export function needs(endpoints: Endpoint[], containments: Containment[], commands: Command[]): Need[] {
  const found = [...endpoints.flatMap(ofEndpoint), ...containments.flatMap(ofContainment), ...commands.flatMap(ofCommand)];
  return found.sort((a, b) => a.rank - b.rank || (b.at ?? '').localeCompare(a.at ?? ''));
}

function ofEndpoint(endpoint: Endpoint): Need[] {
  const { id, client, host_name: host, conditions } = endpoint;
  const isSilent = SILENCES.some(({ key }) => endpoint.needs.some((name) => name === key));
  return endpoint.needs.flatMap((name) => {
    const words = NEEDS.find((one) => one.name === name);
    if (!words) return [];
    const { word: what, meaning, tone, rank } = words;
    const told = conditions.filter((condition) => condition.condition === name).map(conditionWords);
    // What one that fell silent said against itself before matters less than that it is silent.
    if (told.length > 0 && isSilent) return [];
    const at = (told.length > 0 ? endpoint.health_at : endpoint.last_seen) ?? null;
    const [first = meaning, ...more] = told;
    const detail = more.length > 0 ? `${first}, and ${more.length} more` : first;
    return [{ rank, tone, client, host, what, detail, at, endpoint: id, key: `${id} ${name}` }];
  });
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
