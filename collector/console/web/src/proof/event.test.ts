import { expect, test } from 'vitest';

import { openBatch } from './batch';
import { type Bytes, concat, hex } from './bytes';
import { type Cbor, decode, head } from './cbor';
import { type Asked, proveEvent } from './event';
import { leaf, root, rootFrom } from './merkle';
import { sample } from './sample';

const [, , , , [[endpoint, key, , [[header, frame] = []] = []] = []]] = decode(sample('bundle.cbor')) as [
  string, string, number, Cbor, [Bytes, Bytes, string, [Bytes, Bytes][]][],
];

/** What the second event of the sample is. */
const CLASS = 'process';

const byteString = (content: Bytes) => concat(head(2, content.length), content);

/** The proof of the second of the three events, as the collector would give it. */
async function second(): Promise<{ proof: Bytes; asked: Asked }> {
  const { events } = await openBatch(header ?? new Uint8Array(), frame ?? new Uint8Array(), key ?? new Uint8Array());
  const leaves = await Promise.all(events.map(leaf));
  const path = [leaves[0], leaves[2]].map((hash) => byteString(hash ?? new Uint8Array()));
  const event = events[1] ?? new Uint8Array();
  const proof = concat(head(4, 4), byteString(header ?? new Uint8Array()), byteString(event), head(0, 1), head(4, 2), ...path);
  const [, time] = decode(event) as [number, bigint];
  const asked = { endpoint: hex(endpoint ?? new Uint8Array()), lane: 'telemetry', epoch: 1, seq: '2', class: CLASS, shownMs: Number(BigInt(time) / 1_000_000n) };
  return { proof, asked };
}

async function check(over: Partial<Asked>, change: (proof: Bytes) => void = () => undefined) {
  const { proof, asked } = await second();
  change(proof);
  const { steps } = await proveEvent({ ...asked, ...over }, key ?? new Uint8Array(), proof);
  return steps.map((step) => `${step.holds ? '' : 'not '}${step.name}`).join(', ');
}

test('an event is proved in steps', async () => {
  const { proof, asked } = await second();
  const proved = await proveEvent(asked, key ?? new Uint8Array(), proof);
  expect(proved.steps.at(-1)?.words).toMatch(/as shown above/);
  expect(await check({})).toBe('Key, Signature, Place, Path, Number, What is shown');
  expect(proved.holds).toBe(true);
});

test('an event that is shown as another one is not proved', async () => {
  expect(await check({ seq: '3' })).toMatch(/not Number/);
  expect(await check({ lane: 'control' })).toMatch(/not Place/);
  expect(await check({ epoch: 2 })).toMatch(/not Place/);
  expect(await check({ class: 'receipt' })).toMatch(/not What is shown/);
  expect(await check({ shownMs: 5 })).toMatch(/not What is shown/);
  expect(await check({ endpoint: '00'.repeat(32) })).toBe('not Key');
});

test('whichever byte of a proof is changed, a step fails', async () => {
  const { proof, asked } = await second();
  const passed: number[] = [];
  for (let at = 0; at < proof.length; at += 1) {
    const changed = proof.map((byte, index) => (index === at ? byte ^ 1 : byte));
    if ((await proveEvent(asked, key ?? new Uint8Array(), changed)).holds) passed.push(at);
  }
  expect(passed).toEqual([]);
});

test('every leaf of every small tree has a way to its root', async () => {
  for (let count = 1; count < 12; count += 1) {
    const leaves = await Promise.all(Array.from({ length: count }, (_, at) => leaf(Uint8Array.of(at))));
    const path = async (of: Bytes[], index: number): Promise<Bytes[]> => {
      if (of.length === 1) return [];
      let at = 1;
      while (at * 2 < of.length) at *= 2;
      const [left, right] = [of.slice(0, at), of.slice(at)];
      return index < at ? [...(await path(left, index)), await root(right)] : [...(await path(right, index - at)), await root(left)];
    };
    for (const [index, one] of leaves.entries()) {
      const found = await rootFrom(one, index, count, await path(leaves, index));
      expect(hex(found ?? new Uint8Array())).toBe(hex(await root(leaves)));
    }
  }
});
