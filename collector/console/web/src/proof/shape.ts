// The shapes that decoded CBOR must have: an array of fields in their order, those at the end that
// may be missing left out where there is none. What does not fit is refused.

import type { Bytes } from './bytes';
import { type Cbor, Malformed } from './cbor';

const refuse = (): never => {
  throw new Malformed('it is not of the expected shape');
};

/** The fields of a structure: so many that are always there, and so many that may be left out. */
export function fields(value: Cbor | undefined, always: number, optional = 0): Cbor[] {
  if (!Array.isArray(value)) return refuse();
  if (value.length < always || value.length > always + optional) return refuse();
  // What is null at the end would have been left out.
  if (value.length > always && value.at(-1) === null) return refuse();
  return value;
}

export function list(value: Cbor | undefined): Cbor[] {
  return Array.isArray(value) ? value : refuse();
}

export function bytes(value: Cbor | undefined, length?: number): Bytes {
  if (!(value instanceof Uint8Array)) return refuse();
  return length === undefined || value.length === length ? value : refuse();
}

export function string(value: Cbor | undefined): string {
  return typeof value === 'string' ? value : refuse();
}

export function flag(value: Cbor | undefined): boolean {
  return typeof value === 'boolean' ? value : refuse();
}

/** A whole number that is not negative and not above. */
export function count(value: Cbor | undefined, max = Number.MAX_SAFE_INTEGER): number {
  return typeof value === 'number' && value >= 0 && value <= max ? value : refuse();
}

/** Any number of 64 bits that is not negative. */
export function large(value: Cbor | undefined): bigint {
  if (typeof value !== 'number' && typeof value !== 'bigint') return refuse();
  const number = BigInt(value);
  return number >= 0n && number < 1n << 64n ? number : refuse();
}

export function optional<T>(value: Cbor | undefined, of: (value: Cbor) => T): T | null {
  return value === undefined || value === null ? null : of(value);
}

export const U32_MAX = 0xffff_ffff;
