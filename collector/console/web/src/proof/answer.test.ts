import { expect, test } from 'vitest';

import { type Answer, Gather, type Question } from './answer';
import { type Bytes, concat, hex } from './bytes';
import { decode, head } from './cbor';
import { peek } from './cose';
import { sample } from './sample';

/** The rows message of the protocol's sample, without the kind before it; it is command, index, content. */
const part = sample('agent-rows.cbor').slice(2);
const signed = sample('rows.cose');
const [endpoint, , command] = peek('rows', signed) as [Bytes, Bytes, Bytes];

const byteString = (content: Bytes) => concat(head(2, content.length), content);
const last = (cose = signed, index = 1) => concat(head(4, 4), byteString(command), head(0, index), byteString(new Uint8Array()), head(4, 1), byteString(cose));

const question: Question = {
  command: hex(command),
  sql: 'SELECT pid, name FROM processes',
  rowsMax: 1000,
  bytesMax: 1 << 20,
};

async function gather(parts: Bytes[], over: Partial<Question> = {}, of = hex(endpoint)): Promise<Answer | null | string> {
  const asked = new Gather(of, { ...question, ...over });
  let answer: Answer | null = null;
  try {
    for (const one of parts) answer = await asked.take(one);
  } catch (error) {
    return (error as Error).message;
  }
  return answer;
}

test('an answer counts with its last part, with every kind of value in it', async () => {
  expect(await gather([part])).toBeNull();
  expect(await gather([part, last()])).toEqual({
    columns: ['pid', 'name'],
    rows: [[1, 'init'], [0.5, null], [-7, Uint8Array.of(0xff, 0)]],
    cut: 'time',
    error: { sentence: 'no such column', offset: 7 },
    tookMs: 12,
  });
});

test('an answer to anything else is refused with what it is about', async () => {
  expect(await gather([part, last()], { sql: 'SELECT 1' })).toBe('the signed summary is about other SQL than was asked');
  expect(await gather([part, last()], {}, '00'.repeat(32))).toBe("the answer's signed summary: it is not the endpoint's own");
  expect(await gather([part, last()], { rowsMax: 2 })).toBe('the answer is longer than was asked for');
  expect(await gather([part], { bytesMax: 3 })).toBe('the answer is longer than was asked for');
  expect(await gather([last()])).toMatch(/missing, doubled/);
  expect(await gather([last(signed, 0)])).toBe('the rows are not those that the endpoint signed');
  expect(await gather([part, part])).toMatch(/missing, doubled/);
});

test('whichever byte of the rows or of the summary is changed, nothing counts', async () => {
  const passed: string[] = [];
  const flip = (bytes: Bytes, at: number) => bytes.map((byte, index) => (index === at ? byte ^ 1 : byte));
  const check = async (name: string, parts: Bytes[]) => {
    if (typeof (await gather(parts)) !== 'string') passed.push(name);
  };
  for (let at = 0; at < part.length; at += 1) await check(`row byte ${at}`, [flip(part, at), last()]);
  for (let at = 0; at < signed.length; at += 1) await check(`summary byte ${at}`, [part, last(flip(signed, at))]);
  expect(passed).toEqual([]);
});

test('what has another form than the one is not read', () => {
  const read = (...bytes: number[]) => {
    try {
      return decode(Uint8Array.from(bytes));
    } catch (error) {
      return (error as Error).message;
    }
  };
  expect(read(0x82, 0x01, 0x20)).toEqual([1, -1]);
  expect(read(0x18, 0x01)).toBe('a number is longer than it must be');
  expect(read(0x9f, 0x01, 0xff)).toBe('it holds something of no stated length');
  expect(read(0x01, 0x01)).toBe('something follows the end');
  expect(read(0x9a, 0xff, 0xff, 0xff, 0xff)).toBe('it ends too early');
  expect(read(0xf9, 0x3c, 0x00)).toMatch(/does not have/);
  expect(read(...Array.from({ length: 40 }, () => 0x81), 0x01)).toBe('it is nested too deep');
  expect(read(0x1b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)).toBe(2n ** 64n - 1n);
});
