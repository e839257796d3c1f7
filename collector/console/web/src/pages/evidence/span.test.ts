import { expect, test } from 'vitest';

import { around, before, fromField, toField } from './span';

const NOW = Date.parse('2026-11-22T18:00:00Z');

test('a span ends now', () => {
  expect(before('1h', NOW)).toEqual({ since: '2026-11-22T17:00:00.000Z', until: '2026-11-22T18:00:00.000Z' });
  expect(before('nonsense', NOW).since).toBe('2026-11-21T18:00:00.000Z');
});

test('selected events are all inside the span around them', () => {
  const times = ['2026-11-22T10:00:05.123Z', '2026-11-22T10:00:01.000Z'].map((at) => Date.parse(at));
  expect(around(times)).toEqual({ since: '2026-11-22T10:00:01.000Z', until: '2026-11-22T10:00:05.124Z' });
  expect(around([])).toBeNull();
});

test('a field for date and time keeps the moment to the second', () => {
  expect(fromField(toField('2026-03-29T01:30:07.900Z'))).toBe('2026-03-29T01:30:07.000Z');
  expect([fromField(''), fromField('no'), toField('no')]).toEqual([null, null, '']);
});
