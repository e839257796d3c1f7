import { expect, test } from 'vitest';

import type { Command, Containment, Endpoint, NeedName } from '../api/types';
import { needs, NEEDS } from './attention';

const ENDPOINT = {
  id: 'e1', client: 'acme', host_name: 'web-01', state: 'online', silence: null, conditions: [], needs: [], clones: 0,
  last_seen: '2026-01-01T00:00:00Z', health_at: '2026-01-01T00:00:00Z',
} as unknown as Endpoint;

const CONTAINMENT = {
  client: 'acme', endpoint: 'e1', host_name: 'web-01', action: 'isolate', command: 'c1',
  since: '2026-01-01T00:00:00Z', proved: '2026-01-01T00:00:01Z', left_secs: 7200, observed: { state: 'holds' },
} as unknown as Containment;

function check(endpoints: object[], containments: object[], commands: object[], expected: string[]) {
  const found = needs(
    endpoints.map((over) => ({ ...ENDPOINT, ...over })),
    containments.map((over) => ({ ...CONTAINMENT, ...over })),
    commands as Command[],
  );
  expect(found.map((need) => `${need.host}: ${need.what}`)).toEqual(expected);
}

test('a quiet fleet needs nobody', () => {
  check([{}], [{}], [], []);
});

test('what the collector says of an endpoint is told with what it saw', () => {
  const blinded = { condition: 'blinded', sensor: 'file', reason: null };
  const wrong = { condition: 'clock_wrong', offset_secs: 90 };
  check([{ needs: ['blinded', 'clock_wrong'], conditions: [blinded, blinded, wrong] }], [], [], ['web-01: Cannot see', 'web-01: Clock wrong']);
  check([{ needs: ['stopped', 'blinded'], conditions: [blinded], state: 'offline', silence: 'stopped' }], [], [], ['web-01: Agent stopped']);
});

test('every reason of the collector has words, the gravest first', () => {
  expect(NEEDS.every((need) => need.word !== '' && need.meaning !== '')).toBe(true);
  expect(NEEDS.map((need) => need.rank)).toEqual(NEEDS.map((need) => need.rank).sort((a, b) => a - b));
  const known: NeedName[] = ['agent_dead', 'cloned', 'network_lost', 'blinded', 'stalled', 'stopped', 'over_budget', 'clock_wrong'];
  expect(NEEDS.map((need) => need.name)).toEqual(known);
});

test('an agent that was killed comes before a network that is lost', () => {
  check(
    [
      { needs: ['network_lost'], host_name: 'lost' },
      { id: 'e2', needs: ['agent_dead'], host_name: 'dead' },
    ],
    [],
    [],
    ['dead: Agent dead', 'lost: Network lost'],
  );
});

test('a containment is told of when it does not hold, is not proved, or ends soon', () => {
  check([], [{ observed: { state: 'drifted' } }], [], ['web-01: Does not hold']);
  check([], [{ proved: null }], [], ['web-01: Not proved']);
  check([], [{ left_secs: 600 }], [], ['web-01: Lease ends soon']);
});

test('a command that waits for a second person is told of', () => {
  const waits = { id: 'c', client: 'acme', action: 'isolate', targets: [{ host_name: 'db-01' }], signed_by: ['ann'], waits_for: 'one more', requested_at: 'x' };
  check([], [], [waits], ['db-01: Waits for a signature']);
});
