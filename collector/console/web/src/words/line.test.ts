import { expect, test } from 'vitest';

import { binaryTicks, nearest } from './line';

test('marks of bytes are steps of a power of two and reach as far as what is drawn', () => {
  expect(binaryTicks(0)).toEqual([0, 1]);
  expect(binaryTicks(1024)).toEqual([0, 256, 512, 768, 1024]);
  expect(binaryTicks(67_108_864).map((mark) => mark / 2 ** 20)).toEqual([0, 16, 32, 48, 64]);
  expect(binaryTicks(4100).map((mark) => mark / 1024)).toEqual([0, 2, 4, 6]);
});

test('the nearest reading may be one that is none', () => {
  const points = [{ at: 0, value: 1 }, { at: 10, value: null }, { at: 20, value: 3 }];
  expect(nearest(points, 4)?.value).toBe(1);
  expect(nearest(points, 12)?.value).toBe(null);
  expect(nearest([], 0)).toBe(undefined);
});
