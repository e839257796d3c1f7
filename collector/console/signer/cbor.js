//! CBOR (RFC 8949), as far as signed commands use it: read strictly, so that what is shown is all
//! there is; and written for the few bytes that this page makes.
//!
//! Whole numbers come as numbers up to 2^53 and as BigInt beyond; null is null.

import { concat } from "./bytes.js";

const DEPTH_MAX = 16;

/** One item that fills the bytes. @param {Uint8Array} bytes */
export function decode(bytes) {
  const reader = { bytes, at: 0 };
  const value = item(reader, 0);
  if (reader.at !== bytes.length) throw new Error("something follows the end");
  return value;
}

function take(reader, count) {
  const end = reader.at + count;
  if (end > reader.bytes.length) throw new Error("it ends too early");
  const taken = reader.bytes.subarray(reader.at, end);
  reader.at = end;
  return taken;
}

/** The number in an item's head, in its shortest form only. */
function argument(reader, low) {
  if (low < 24) return low;
  if (low > 27) throw new Error("it holds something of no stated length");
  const size = 1 << (low - 24);
  const number = take(reader, size).reduce((sum, byte) => sum * 256n + BigInt(byte), 0n);
  const least = size === 1 ? 24n : 1n << BigInt(4 * size);
  if (number < least) throw new Error("a number is longer than it must be");
  return number <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(number) : number;
}

function item(reader, depth) {
  if (depth > DEPTH_MAX) throw new Error("it is nested too deep");
  const head = take(reader, 1)[0];
  const [kind, low] = [head >> 5, head & 31];
  if (kind === 7) return simple(low);
  const number = argument(reader, low);
  switch (kind) {
    case 0:
      return number;
    case 1:
      return typeof number === "bigint" ? -1n - number : -1 - number;
    case 2:
      return take(reader, Number(number)).slice();
    case 3:
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(take(reader, Number(number)));
    case 4: {
      // Each item takes a byte at least, so that a made-up length cannot ask for memory.
      if (number > reader.bytes.length) throw new Error("it ends too early");
      return Array.from({ length: Number(number) }, () => item(reader, depth + 1));
    }
    default:
      throw new Error("it holds a kind of item that no command has");
  }
}

function simple(low) {
  if (low === 20) return false;
  if (low === 21) return true;
  if (low === 22) return null;
  throw new Error("it holds a kind of item that no command has");
}

/** An item's head. */
function head(kind, number) {
  const size = number < 24 ? 0 : number < 256 ? 1 : number < 65_536 ? 2 : 4;
  const bytes = new Uint8Array(1 + size);
  bytes[0] = (kind << 5) | (size === 0 ? number : 24 + Math.log2(size));
  for (let i = 0; i < size; i += 1) bytes[size - i] = (number >>> (8 * i)) & 255;
  return bytes;
}

/** @param {number} number */
export const integer = (number) => (number < 0 ? head(1, -1 - number) : head(0, number));

/** @param {Uint8Array} bytes */
export const byteString = (bytes) => concat(head(2, bytes.length), bytes);

/** @param {string} text */
export function textString(text) {
  const bytes = new TextEncoder().encode(text);
  return concat(head(3, bytes.length), bytes);
}

/** @param {Uint8Array[]} items each encoded */
export const array = (...items) => concat(head(4, items.length), ...items);

/** @param {[Uint8Array, Uint8Array][]} entries each encoded, in the order wanted */
export const map = (...entries) => concat(head(5, entries.length), ...entries.flat());
