//! CBOR (RFC 8949), as far as signed commands use it: read strictly, so that what is shown is all
//! there is, and written in the shortest form, which is the only one that is read.
//!
//! Whole numbers come as numbers up to 2^53 and as BigInt beyond; null is null. A map is written in
//! the order it has, and only an empty one is read: commands have none.

import { concat } from "./bytes.js";

const DEPTH_MAX = 16;

/** @typedef {{ bytes: Uint8Array, at: number }} Reader */

/** One item that fills the bytes. @param {Uint8Array} bytes @returns {unknown} */
export function decode(bytes) {
  const reader = { bytes, at: 0 };
  const value = item(reader, 0);
  if (reader.at !== bytes.length) throw new Error("something follows the end");
  return value;
}

/** @param {Reader} reader @param {number} count */
function take(reader, count) {
  const end = reader.at + count;
  if (end > reader.bytes.length) throw new Error("it ends too early");
  const taken = reader.bytes.subarray(reader.at, end);
  reader.at = end;
  return taken;
}

/** The number in an item's head, in its shortest form only. @param {Reader} reader @param {number} low */
function argument(reader, low) {
  if (low < 24) return low;
  if (low > 27) throw new Error("it holds something of no stated length");
  const size = 1 << (low - 24);
  const number = take(reader, size).reduce((sum, byte) => sum * 256n + BigInt(byte), 0n);
  const least = size === 1 ? 24n : 1n << BigInt(4 * size);
  if (number < least) throw new Error("a number is longer than it must be");
  return number <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(number) : number;
}

/** @param {Reader} reader @param {number} depth @returns {unknown} */
function item(reader, depth) {
  if (depth > DEPTH_MAX) throw new Error("it is nested too deep");
  const [head = 0] = take(reader, 1);
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
    case 5:
      if (number === 0) return new Map();
      break;
  }
  throw new Error("it holds a kind of item that no command has");
}

/** @param {number} low */
function simple(low) {
  if (low === 20) return false;
  if (low === 21) return true;
  if (low === 22) return null;
  throw new Error("it holds a kind of item that no command has");
}

/** The bytes of an item. @param {unknown} value @returns {Uint8Array} */
export function encode(value) {
  if (value === null) return Uint8Array.of(0xf6);
  if (typeof value === "boolean") return Uint8Array.of(value ? 0xf5 : 0xf4);
  if (typeof value === "number" || typeof value === "bigint") return integer(BigInt(value));
  if (value instanceof Uint8Array) return concat(head(2, value.length), value);
  if (typeof value === "string") {
    const bytes = new TextEncoder().encode(value);
    return concat(head(3, bytes.length), bytes);
  }
  if (Array.isArray(value)) return concat(head(4, value.length), ...value.map(encode));
  if (value instanceof Map) return concat(head(5, value.size), ...[...value].flat().map(encode));
  throw new Error("it holds a kind of item that no command has");
}

/** @param {bigint} number */
const integer = (number) => (number < 0n ? head(1, -1n - number) : head(0, number));

/** An item's head. @param {number} kind @param {number | bigint} count */
function head(kind, count) {
  let rest = BigInt(count);
  const size = rest < 24n ? 0 : rest < 1n << 8n ? 1 : rest < 1n << 16n ? 2 : rest < 1n << 32n ? 4 : 8;
  const bytes = new Uint8Array(1 + size);
  for (let at = size; at > 0; at -= 1) {
    bytes[at] = Number(rest & 255n);
    rest >>= 8n;
  }
  bytes[0] = (kind << 5) | (size === 0 ? Number(rest) : 24 + Math.log2(size));
  return bytes;
}
