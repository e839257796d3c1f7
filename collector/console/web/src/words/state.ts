// What the states of an endpoint are called, and how much each asks of a person. Every kind of
// silence is another word: a machine that was switched off is not one whose agent was killed.

import type { Endpoint } from '../api/types';

export type Tone = 'good' | 'quiet' | 'warn' | 'bad' | 'held';

export interface State {
  /** For addresses and classes. */
  key: string;
  word: string;
  meaning: string;
  tone: Tone;
}

const ONLINE: State = { key: 'online', word: 'Online', meaning: 'Connected to this collector', tone: 'good' };

/** Every silence, the gravest first. */
export const SILENCES: State[] = [
  {
    key: 'agent_dead',
    word: 'Agent dead',
    meaning: 'The agent ended without a word: it was killed, or it crashed',
    tone: 'bad',
  },
  {
    key: 'network_lost',
    word: 'Network lost',
    meaning: 'Nothing came any more: the network is lost, or the power',
    tone: 'bad',
  },
  {
    key: 'stopped',
    word: 'Agent stopped',
    meaning: 'Somebody stopped the agent in the regular way, and the machine goes on',
    tone: 'warn',
  },
  {
    key: 'unheard',
    word: 'Unheard',
    meaning: 'Not heard since the collector started, or the collector ended the last session itself',
    tone: 'warn',
  },
  { key: 'asleep', word: 'Asleep', meaning: 'The machine sleeps, and said so', tone: 'quiet' },
  { key: 'off', word: 'Switched off', meaning: 'The machine was switched off, and said so', tone: 'quiet' },
];

const UNKNOWN: State = { key: 'offline', word: 'Offline', meaning: 'Not connected', tone: 'warn' };

/** All states in the order in which they are shown. */
export const STATES: State[] = [ONLINE, ...SILENCES];

export function stateOf(endpoint: Pick<Endpoint, 'state' | 'silence'>): State {
  if (endpoint.state === 'online') return ONLINE;
  return SILENCES.find((silence) => silence.key === endpoint.silence) ?? UNKNOWN;
}

/** A condition of an endpoint in a sentence. */
export function conditionWords(condition: Endpoint['conditions'][number]): string {
  switch (condition.condition) {
    case 'blinded':
      return `The ${condition.sensor} sensor sees nothing${because(condition.reason)}`;
    case 'stalled':
      return `The ${condition.sensor} sensor says that it runs and does not show it${because(condition.reason)}`;
    case 'over_budget':
      return `It gives something up to stay within its budget: ${condition.reason}`;
    case 'clock_wrong':
      return `Its clock is ${Math.abs(condition.offset_secs)} s ${condition.offset_secs > 0 ? 'ahead' : 'behind'}`;
  }
}

function because(reason: string | null | undefined): string {
  return reason ? `: ${reason}` : '';
}

/** Names of actions as sentences begin with them. */
export function actionWord(action: string): string {
  const words = action.replaceAll('_', ' ');
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** What stands after an action, until its lease ends or it is taken back. */
const STANDING: Record<string, string> = {
  isolate: 'Isolated',
  suspend: 'Process suspended',
  quarantine: 'File quarantined',
  deny: 'Program denied',
  block: 'Peers blocked',
  lock_account: 'Account locked',
  stop_service: 'Service stopped',
  block_storage: 'Storage blocked',
};

/** Whether something stands after an action. */
export const lasts = (action: string) => action in STANDING;

/** What stands after an action, in a word or two. */
export const standingWord = (action: string) => STANDING[action] ?? actionWord(action);
