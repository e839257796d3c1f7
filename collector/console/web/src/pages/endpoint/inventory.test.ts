import { expect, test } from 'vitest';

import type { EventShown } from '../../api/types';
import { inventory } from './inventory';

function told(at: number, over: object): EventShown {
  return {
    time_dt: new Date(at).toISOString(),
    metadata: { sequence: String(at) },
    inventory: { subject: 'users', is_base: false, part: 0, changes: [], ...over },
  } as unknown as EventShown;
}

const BASE = told(1, { is_base: true, changes: [{ key: 'ann', action: 'added', after: { uid: '1' } }, { key: 'bob', action: 'added', after: { uid: '2' } }] });

function check(events: EventShown[], items: string[], changes: string[], isPart = false) {
  const [subject] = inventory(events);
  expect([...(subject?.items.keys() ?? [])]).toEqual(items);
  expect(subject?.changes.map(({ change }) => `${change.action} ${change.key}`)).toEqual(changes);
  expect(subject?.isPart).toBe(isPart);
}

test('the first list is what is there', () => {
  check([BASE], ['ann', 'bob'], []);
});

test('changes are applied in the order of their times, and shown newest first', () => {
  const gone = told(2, { changes: [{ key: 'bob', action: 'removed', before: { uid: '2' } }] });
  const come = told(3, { changes: [{ key: 'eve', action: 'added', after: { uid: '0' } }] });
  check([come, gone, BASE], ['ann', 'eve'], ['added eve', 'removed bob']);
});

test('a further part of a first list adds to it, a new first list replaces it', () => {
  const more = told(2, { is_base: true, part: 1, changes: [{ key: 'cid', action: 'added', after: {} }] });
  check([BASE, more], ['ann', 'bob', 'cid'], []);
  const anew = told(9, { is_base: true, changes: [{ key: 'zoe', action: 'added', after: {} }] });
  check([BASE, more, anew], ['zoe'], []);
});

test('without its first list it says that there may be more', () => {
  check([told(2, { changes: [{ key: 'eve', action: 'added', after: {} }] })], ['eve'], ['added eve'], true);
});
