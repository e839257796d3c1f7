// Merkle trees as in RFC 6962, section 2.1, over SHA-256.

import { type Bytes, concat, sha256 } from './bytes';

const LEAF = Uint8Array.of(0);
const NODE = Uint8Array.of(1);

export const leaf = (bytes: Bytes): Promise<Bytes> => sha256(concat(LEAF, bytes));
const node = (left: Bytes, right: Bytes): Promise<Bytes> => sha256(concat(NODE, left, right));

/** Where a tree of more than one leaf splits: the largest power of two below their number. */
function split(count: number): number {
  let at = 1;
  while (at * 2 < count) at *= 2;
  return at;
}

/** The root over hashes of leaves. */
export async function root(leaves: Bytes[]): Promise<Bytes> {
  const [only] = leaves;
  if (only === undefined) return sha256(new Uint8Array());
  if (leaves.length === 1) return only;
  const at = split(leaves.length);
  return node(...(await Promise.all([root(leaves.slice(0, at)), root(leaves.slice(at))])));
}

/** The root that a leaf and its audit path lead to; null if the path has the wrong length. */
export async function rootFrom(of: Bytes, index: number, count: number, path: Bytes[]): Promise<Bytes | null> {
  if (index >= count) return null;
  if (count === 1) return path.length === 0 ? of : null;
  const other = path.at(-1);
  if (!other) return null;
  const at = split(count);
  const isRight = index >= at;
  const below = await rootFrom(of, isRight ? index - at : index, isRight ? count - at : at, path.slice(0, -1));
  if (!below) return null;
  return isRight ? node(other, below) : node(below, other);
}
