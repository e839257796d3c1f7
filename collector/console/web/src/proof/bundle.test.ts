import { expect, test } from 'vitest';

import { verifyBundle } from './bundle';
import { type Bytes, fromHex } from './bytes';
import { decode } from './cbor';
import { sample } from './sample';

const bundle = sample('bundle.cbor');

async function said(file: Bytes): Promise<string> {
  try {
    const report = await verifyBundle(file, null);
    return report.holds ? `holds: ${report.events}` : 'does not hold';
  } catch {
    return 'no bundle';
  }
}

test('the golden bundle holds, in the words of `cordon verify`', async () => {
  const report = await verifyBundle(bundle, null);
  expect(report.holds).toBe(true);
  expect(report.events).toBe(3);
  const sentences = report.statements.map((one) => one.sentence.replaceAll(/[0-9a-f]{12}/g, 'ID'));
  expect(sentences).toEqual([
    'roster: not checked, because no authority key was given',
    'endpoint ID: its id is the hash of the key in the bundle',
    'endpoint ID, control: no batch in the bundle',
    'endpoint ID, telemetry: 3 events signed and in one chain from the beginning of its epoch; complete to header ID (event 3 of epoch 1); unknown after',
  ]);
});

/** What is in a bundle and under no signature of an endpoint: the client's name, when it was made, the
    host name, and rosters while nobody gave the authority's key. */
function unproved(): Set<number> {
  const [, client, made, rosters, endpoints] = decode(bundle) as [string, string, number, [Bytes][], [Bytes, Bytes, string, unknown][]];
  const free = new Set<number>();
  const mark = (from: number, length: number) => Array.from({ length }, (_, at) => free.add(from + at));
  const find = (text: string, from = 0) => Buffer.from(bundle).indexOf(text, from);
  mark(find(client), client.length);
  mark(find(client) + client.length, made < 24 ? 1 : 9);
  const [[roster] = []] = rosters;
  if (roster) mark(roster.byteOffset, roster.length);
  const host = endpoints[0]?.[2] ?? '';
  mark(find(host, (roster?.byteOffset ?? 0) + (roster?.length ?? 0)), host.length);
  return free;
}

test('whichever byte of it is changed, it is refused; all but what no endpoint signs', async () => {
  const free = unproved();
  const passed: number[] = [];
  for (let at = 0; at < bundle.length; at += 1) {
    const changed = bundle.slice();
    changed[at] = (changed[at] ?? 0) ^ 1;
    if (free.has(at)) continue;
    if ((await said(changed)) === 'holds: 3') passed.push(at);
  }
  expect(passed).toEqual([]);
});

test('the authority given decides over the rosters', async () => {
  const other = fromHex('d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a');
  const report = await verifyBundle(bundle, other);
  expect(report.statements[0]).toEqual({ holds: false, sentence: 'a roster is not signed by the authority given' });
  expect(report.holds).toBe(false);
});
