import { expect, test } from 'vitest';

import { bytes, many, span } from './measure';

test('bytes carry binary units', () => {
  expect([0, 1023, 1024, 1536, 262144000, 2 ** 40].map(bytes)).toEqual([
    '0 B',
    '1023 B',
    '1.0 KiB',
    '1.5 KiB',
    '250 MiB',
    '1.0 TiB',
  ]);
});

test('a span is told by its two largest parts', () => {
  expect([0, 59, 61, 3600, 86399, 86400, 97200].map(span)).toEqual([
    '0s',
    '59s',
    '1m 01s',
    '1h 00m',
    '23h 59m',
    '1d',
    '1d 3h',
  ]);
});

test('one thing is not many', () => {
  expect([many(1, 'client'), many(25000, 'endpoint')]).toEqual(['1 client', '25,000 endpoints']);
});
