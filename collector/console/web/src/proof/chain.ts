// Whether a batch continues the one before it in its lane. Numbers may be jumped over only where
// signed gaps name exactly what was dropped.

import { type Bytes, isSame, isZero } from './bytes';
import type { Header } from './batch';
import { type Cbor, decode } from './cbor';
import { bytes, count, fields, large, optional, U32_MAX } from './shape';

/** Batches that were dropped whole, as a signed gap tells it. */
export interface Gap {
  lane: number;
  epoch: number;
  first: bigint;
  last: bigint;
  head: Bytes;
}

/** Where a lane stands. */
export interface Place {
  epoch: number;
  last: bigint;
  head: Bytes;
}

export type Verdict = { fits: true; afterGap: boolean } | { fits: false; why: string };

const broken = (why: string): Verdict => ({ fits: false, why });
const FITS: Verdict = { fits: true, afterGap: false };

export function judge(before: Place, header: Header, gaps: Gap[]): Verdict {
  if (header.epoch > before.epoch) {
    const begins = header.first === 1n && isZero(header.previous);
    return begins || isCovered(header, 1n, gaps) ? FITS : broken('the batch is of a new epoch, and not its first');
  }
  if (header.epoch < before.epoch || header.last <= before.last) return broken('it stands twice');
  const next = before.last + 1n;
  if (header.first === next) {
    return isSame(header.previous, before.head) ? FITS : broken('the batch names another predecessor than the one stored');
  }
  if (header.first < next) return broken('the batch overlaps what is stored');
  if (isCovered(header, next, gaps)) return { fits: true, afterGap: true };
  return broken('numbers are missing before the batch, and no signed gap accounts for them');
}

/** Whether gaps lead from a number to the header without a hole, and to its predecessor. */
function isCovered(header: Header, from: bigint, gaps: Gap[]): boolean {
  let [covered, reached] = [from, null as Bytes | null];
  while (covered < header.first) {
    const fitting = gaps.filter(
      (gap) => gap.lane === header.lane && gap.epoch === header.epoch && gap.first <= covered && gap.last >= covered && gap.last < header.first,
    );
    const [farthest] = fitting.sort((a, b) => (a.last < b.last ? 1 : -1));
    if (!farthest) return false;
    covered = farthest.last + 1n;
    reached = farthest.head;
  }
  return reached !== null && isSame(reached, header.previous);
}

const GAP_BODY = 4;

/** The sealed batches that an event says were dropped; null if it is no such event. */
export function gapOf(event: Bytes): Gap | null {
  try {
    const [kind, body] = fields((decode(event) as Cbor[])[4], 2);
    if (kind !== GAP_BODY || !Array.isArray(body)) return null;
    return optional(body[4], (sealed) => {
      const [lane, epoch, first, last, head] = fields(sealed, 5);
      return { lane: count(lane, 1), epoch: count(epoch, U32_MAX), first: large(first), last: large(last), head: bytes(head, 32) };
    });
  } catch {
    return null;
  }
}
