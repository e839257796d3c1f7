import { expect, test } from 'vitest';

import { type Frame, Frames } from './sse';

/** Feeds a stream whole and byte by byte; both must say the same. */
function check(stream: string, says: [string, string][]) {
  const bytes = new TextEncoder().encode(stream);
  for (const size of [bytes.length, 1]) {
    const frames = new Frames();
    const found: Frame[] = [];
    for (let at = 0; at < bytes.length; at += size) found.push(...frames.take(bytes.subarray(at, at + size)));
    expect(found.map(({ event, data }) => [event, data]), `in chunks of ${size}`).toEqual(says);
  }
}

test('frames come whole with their kind', () => {
  check('event: rows\ndata: {"a":1}\n\n', [['rows', '{"a":1}']]);
  check('data: a\ndata: b\n\n', [['message', 'a\nb']]);
  check('event: ended\r\ndata:é\r\n\r\ndata: 2\n\n', [['ended', 'é'], ['message', '2']]);
  check(': still here\n\n', []);
  check('data: cut off', []);
});

test('a frame without end is passed over, and the next one is read', () => {
  const frames = new Frames();
  const half = new TextEncoder().encode('x'.repeat(700_000));
  for (let at = 0; at < 5; at += 1) expect(frames.take(half)).toEqual([]);
  expect(frames.take(new TextEncoder().encode('\n\ndata: next\n\n'))).toEqual([{ event: 'message', data: 'next' }]);
});
