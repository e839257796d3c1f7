// CBOR (RFC 8949) as the protocol uses it: read strictly, so that what is signed has one form only.
// Numbers in their shortest form, definite lengths, no maps but empty ones, nothing behind the end.

import type { Bytes } from './bytes';

/** A number with a fraction; always of 64 bits. */
export class Real {
  constructor(readonly value: number) {}
}

/** The only map there is, in COSE's headers outside the signature. */
export const EMPTY_MAP = Symbol('{}');

/** Whole numbers are numbers up to 2^53 and bigints beyond. */
export type Cbor = null | boolean | number | bigint | string | Bytes | Real | typeof EMPTY_MAP | Cbor[];

/** Bytes that are not what they must be. */
export class Malformed extends Error {}

const DEPTH_MAX = 24;

interface Reader {
  bytes: Bytes;
  at: number;
}

/** One item that fills the bytes. */
export function decode(bytes: Bytes): Cbor {
  const reader = { bytes, at: 0 };
  const value = item(reader, 0);
  if (reader.at !== bytes.length) throw new Malformed('something follows the end');
  return value;
}

/** Items one behind the other, until the bytes end. */
export function decodeSequence(bytes: Bytes, countMax: number): Cbor[] {
  const reader = { bytes, at: 0 };
  const items: Cbor[] = [];
  while (reader.at < bytes.length && items.length < countMax) items.push(item(reader, 0));
  if (reader.at !== bytes.length) throw new Malformed('it holds more items than it may');
  return items;
}

function take(reader: Reader, count: number): Bytes {
  const end = reader.at + count;
  if (end > reader.bytes.length) throw new Malformed('it ends too early');
  const taken = reader.bytes.subarray(reader.at, end);
  reader.at = end;
  return taken;
}

function byte(reader: Reader): number {
  return take(reader, 1)[0] ?? 0;
}

/** The number in an item's head. */
function argument(reader: Reader, low: number): number | bigint {
  if (low < 24) return low;
  if (low > 27) throw new Malformed('it holds something of no stated length');
  const size = 1 << (low - 24);
  const number = take(reader, size).reduce((sum, one) => sum * 256n + BigInt(one), 0n);
  if (number < (size === 1 ? 24n : 1n << BigInt(4 * size))) throw new Malformed('a number is longer than it must be');
  return number <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(number) : number;
}

function item(reader: Reader, depth: number): Cbor {
  if (depth > DEPTH_MAX) throw new Malformed('it is nested too deep');
  const head = byte(reader);
  const [kind, low] = [head >> 5, head & 31];
  if (kind === 7) return simple(reader, low);
  const number = argument(reader, low);
  if (kind === 0) return number;
  if (kind === 1) return negative(number);
  // A made-up length cannot ask for memory: every item has a byte at least.
  if (number > reader.bytes.length) throw new Malformed('it ends too early');
  const count = Number(number);
  switch (kind) {
    case 2:
      return take(reader, count);
    case 3:
      return text(take(reader, count));
    case 4:
      return Array.from({ length: count }, () => item(reader, depth + 1));
    case 5:
      if (count === 0) return EMPTY_MAP;
      throw new Malformed('it holds a map, which nothing of this protocol does');
    default:
      throw new Malformed('it holds a kind of item that this protocol does not have');
  }
}

function negative(number: number | bigint): number | bigint {
  const value = -1n - BigInt(number);
  return value >= BigInt(Number.MIN_SAFE_INTEGER) ? Number(value) : value;
}

function text(bytes: Bytes): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new Malformed('a text is not UTF-8');
  }
}

function simple(reader: Reader, low: number): Cbor {
  switch (low) {
    case 20:
      return false;
    case 21:
      return true;
    case 22:
      return null;
    case 27: {
      const raw = take(reader, 8);
      return new Real(new DataView(raw.buffer, raw.byteOffset, 8).getFloat64(0));
    }
    default:
      throw new Malformed('it holds a kind of item that this protocol does not have');
  }
}

/** The head of an item of a kind: for the few bytes that are made here. */
export function head(kind: number, length: number): Bytes {
  if (length < 24) return Uint8Array.of((kind << 5) | length);
  if (length < 256) return Uint8Array.of((kind << 5) | 24, length);
  if (length < 65_536) return Uint8Array.of((kind << 5) | 25, length >> 8, length & 255);
  return Uint8Array.of((kind << 5) | 26, length >>> 24, (length >> 16) & 255, (length >> 8) & 255, length & 255);
}
