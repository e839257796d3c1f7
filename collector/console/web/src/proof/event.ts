// One event, proved alone: its bytes, the way from them to the root of its batch, and the signature
// over that root by the key that the endpoint is named by. Each step says what it found.

import { type Bytes, fromHex, hex, isSame, sha256, short } from './bytes';
import { checkNumber, type Header, headerOf, LANES } from './batch';
import { type Cbor, decode, Malformed } from './cbor';
import { leaf, rootFrom } from './merkle';
import { bytes, count, fields, large, list, U32_MAX } from './shape';

/** One thing that was checked on the way, in words. */
export interface Step {
  holds: boolean;
  name: string;
  words: string;
}

export interface Proved {
  steps: Step[];
  holds: boolean;
  /** What was signed; null if it did not come that far. */
  signed: Cbor;
  header: Header | null;
}

/** Which event, and what the page shows of it. */
export interface Asked {
  /** The endpoint's id, in hexadecimal. */
  endpoint: string;
  lane: string;
  epoch: number;
  seq: string;
  class: string;
  /** Milliseconds since 1970. */
  shownMs: number;
}

/** The number of each body on the wire, and the class that it is shown under. */
const CLASSES: Record<number, string> = {
  0: 'process', 1: 'log', 2: 'disk', 3: 'health', 4: 'gap', 5: 'receipt', 6: 'lifecycle', 7: 'network', 8: 'dns', 9: 'file',
  10: 'authentication', 11: 'account', 12: 'inventory', 13: 'device', 14: 'finding', 15: 'lifecycle', 16: 'lifecycle', 18: 'finding',
};

/** Checks what the collector gave as proof of an event. */
export async function proveEvent(asked: Asked, key: Bytes, proof: Bytes): Promise<Proved> {
  const steps: Step[] = [];
  const say = (holds: boolean, name: string, words: string) => {
    steps.push({ holds, name, words });
    return holds;
  };
  const end = (signed: Cbor = null, header: Header | null = null): Proved => ({ steps, holds: steps.every((step) => step.holds), signed, header });
  const isNamed = isSame(await sha256(key), fromHex(asked.endpoint));
  if (!say(isNamed, 'Key', isNamed ? `The endpoint's id ${asked.endpoint.slice(0, 12)} is SHA-256 of the key that came along.` : 'The key that came along is not the one that the endpoint is named by.')) return end();
  let parts;
  let header;
  try {
    parts = read(proof);
    header = await headerOf(parts.header, key);
    say(true, 'Signature', `The header of its batch (${short(await sha256(parts.header))}) is signed by that key: ${header.count} events, the first is number ${header.first}.`);
  } catch (error) {
    say(false, 'Signature', error instanceof Malformed ? sentence(error.message) : 'The proof cannot be read.');
    return end();
  }
  const isPlace = hex(header.endpoint) === asked.endpoint && LANES[header.lane] === asked.lane && header.epoch === asked.epoch;
  say(isPlace, 'Place', `The header names endpoint ${short(header.endpoint)}, the ${LANES[header.lane]} lane, epoch ${header.epoch}${isPlace ? '' : '; the page shows another place'}.`);
  const found = await rootFrom(await leaf(parts.event), parts.index, header.count, parts.path);
  const leads = found !== null && isSame(found, header.root);
  say(leads, 'Path', leads ? `From the event's ${parts.event.length} bytes, ${parts.path.length} hashes lead to the root that was signed.` : "The event's bytes do not lead to the root that was signed.");
  try {
    checkNumber(parts.event, header.first + BigInt(parts.index));
    const number = header.first + BigInt(parts.index);
    say(number === BigInt(asked.seq), 'Number', `It is number ${number} of its lane${number === BigInt(asked.seq) ? '' : `, and the page shows number ${asked.seq}`}.`);
    const signed = decode(parts.event);
    say(...compare(asked, signed));
    return end(signed, header);
  } catch (error) {
    say(false, 'Number', error instanceof Malformed ? sentence(error.message) : 'The event cannot be read.');
    return end(null, header);
  }
}

interface Parts {
  header: Bytes;
  event: Bytes;
  index: number;
  path: Bytes[];
}

function read(proof: Bytes): Parts {
  const [header, event, index, path] = fields(decode(proof), 4);
  return { header: bytes(header), event: bytes(event), index: count(index, U32_MAX), path: list(path).map((one) => bytes(one, 32)) };
}

/** Whether what is shown can be what was signed: its time and its class. */
function compare(asked: Asked, signed: Cbor): [boolean, string, string] {
  const [, time, , , body] = Array.isArray(signed) ? signed : [];
  const ms = Number(large(time) / 1_000_000n);
  const kind = Array.isArray(body) && typeof body[0] === 'number' ? body[0] : -1;
  const known = CLASSES[kind];
  const at = new Date(ms).toISOString().replace('T', ' ').replace('Z', ' UTC');
  const isTime = Math.abs(ms - asked.shownMs) <= 1;
  const isClass = known === undefined || known === asked.class;
  const words = `Signed is an event of class ${known ?? `number ${kind}`} at ${at}`;
  return [isTime && isClass, 'What is shown', isTime && isClass ? `${words}, as shown above.` : `${words}; the page shows another one.`];
}

const sentence = (words: string) => `${words.charAt(0).toUpperCase()}${words.slice(1)}.`;

/** What was signed as text: bytes that are text as text, others in hexadecimal. */
export function written(value: Cbor, depth = 0): string {
  if (Array.isArray(value)) {
    const inner = value.map((one) => written(one, depth + 1));
    const flat = `[${inner.join(', ')}]`;
    if (flat.length < 90 && !flat.includes('\n')) return flat;
    const pad = '  '.repeat(depth + 1);
    return `[\n${inner.map((one) => `${pad}${one}`).join(',\n')}\n${'  '.repeat(depth)}]`;
  }
  if (value instanceof Uint8Array) return `h'${hex(value)}'`;
  if (typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'symbol') return '{}';
  if (typeof value === 'object' && value !== null) return String(value.value);
  return String(value);
}
