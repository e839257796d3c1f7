// A batch: consecutive events of one lane under one signature. Its signed header holds the Merkle
// root over the events' bytes, which travel beside it as one zstd frame.

import { decompress } from 'fzstd';

import { type Bytes, isSame, sha256 } from './bytes';
import { type Cbor, decode, decodeSequence, Malformed } from './cbor';
import { verify } from './cose';
import { leaf, root } from './merkle';
import { bytes, count, fields, large, optional, U32_MAX } from './shape';

export const LANES = ['control', 'telemetry'] as const;

/** What is signed of a batch. */
export interface Header {
  endpoint: Bytes;
  lane: number;
  epoch: number;
  first: bigint;
  last: bigint;
  count: number;
  previous: Bytes;
  root: Bytes;
  timeNs: bigint;
}

/** A verified batch. */
export interface Batch {
  header: Header;
  /** SHA-256 of the signed header as it came: what the next batch names. */
  hash: Bytes;
  events: Bytes[];
}

const EVENTS_MAX = 1024;
const EVENT_BYTES_MAX = 96 << 10;
/** The events of a full batch, each with the head of its byte string. */
const FRAME_BYTES_MAX = (1 << 20) + EVENTS_MAX * 5;

const CAUSES = 4;

export function readHeader(value: Cbor): Header {
  const [endpoint, lane, epoch, first, number, previous, tree, time, cause] = fields(value, 8, 1);
  optional(cause, (one) => count(one, CAUSES - 1));
  const events = count(number, U32_MAX);
  const begins = large(first);
  return {
    endpoint: bytes(endpoint, 32),
    lane: count(lane, LANES.length - 1),
    epoch: count(epoch, U32_MAX),
    first: begins,
    last: begins + BigInt(events) - 1n,
    count: events,
    previous: bytes(previous, 32),
    root: bytes(tree, 32),
    timeNs: large(time),
  };
}

/** Verifies a batch: the signature, the events against the root, each event's number. */
export async function openBatch(signed: Bytes, frame: Bytes, key: Bytes): Promise<Batch> {
  const header = await headerOf(signed, key);
  const events = unpack(frame, header.count);
  const leaves = await Promise.all(events.map(leaf));
  if (!isSame(await root(leaves), header.root)) {
    throw new Malformed("the batch's events are not the ones its header was signed over");
  }
  events.forEach((event, at) => checkNumber(event, header.first + BigInt(at)));
  return { header, hash: await sha256(signed), events };
}

/** Verifies a batch's header. */
export async function headerOf(signed: Bytes, key: Bytes): Promise<Header> {
  try {
    return readHeader(await verify('batch', signed, key));
  } catch (error) {
    throw new Malformed(`the batch's header ${error instanceof Malformed ? error.message : 'cannot be read'}`);
  }
}

/** An event's number is its first element; its body may be of a newer kind. */
export function checkNumber(event: Bytes, number: bigint) {
  const told = (what: string) => new Malformed(`event ${number} of the batch ${what}`);
  let read;
  try {
    const [first] = decode(event) as Cbor[];
    read = large(first);
  } catch {
    throw told('is not an event');
  }
  if (read !== number) throw told('has another number');
}

function unpack(frame: Bytes, events: number): Bytes[] {
  const fault = (what: string) => new Malformed(`the batch's events cannot be unpacked: ${what}`);
  if (events === 0 || events > EVENTS_MAX) throw fault('no event, or more than the limit');
  const length = contentBytes(frame);
  if (length === null || length > FRAME_BYTES_MAX) throw fault('not a zstd frame within the limit');
  let content;
  try {
    // Into room of the stated length, so that no frame can ask for more.
    content = decompress(frame, new Uint8Array(length)) as Bytes;
  } catch {
    throw fault('not a zstd frame within the limit');
  }
  let read;
  try {
    read = decodeSequence(content, events).map((event) => bytes(event));
  } catch {
    throw fault('not byte strings');
  }
  if (read.some((event) => event.length > EVENT_BYTES_MAX)) throw fault('an event is longer than the limit');
  if (read.length !== events) throw fault('not as many events as the header says');
  return read;
}

/** How long the content of a zstd frame is by its own head (RFC 8878, section 3.1.1); null of what is not
    one whole frame. Agents always say it; a frame that does not is refused, for its content could be of
    any length. */
function contentBytes(frame: Bytes): number | null {
  const [a, b, c, d, flags] = frame;
  if (flags === undefined || a !== 0x28 || b !== 0xb5 || c !== 0x2f || d !== 0xfd) return null;
  const isSingle = (flags & 0x20) !== 0;
  const size = flags >> 6 === 0 ? (isSingle ? 1 : 0) : 1 << (flags >> 6);
  if (size === 0 || size === 8) return null;
  const dictionary = [0, 1, 2, 4][flags & 3] ?? 0;
  const at = 5 + (isSingle ? 0 : 1) + dictionary;
  const said = frame.subarray(at, at + size);
  if (said.length < size || blocksEnd(frame, at + size) + ((flags & 4) !== 0 ? 4 : 0) !== frame.length) return null;
  return said.reduceRight((sum, byte) => sum * 256 + byte, 0) + (size === 2 ? 256 : 0);
}

/** Where the last block of a frame ends, by the heads of its blocks. */
function blocksEnd(frame: Bytes, from: number): number {
  for (let at = from; at + 3 <= frame.length; ) {
    const [a = 0, b = 0, c = 0] = frame.subarray(at, at + 3);
    const isRun = ((a >> 1) & 3) === 1;
    at += 3 + (isRun ? 1 : (a >> 3) | (b << 5) | (c << 13));
    if ((a & 1) === 1) return at;
  }
  return Infinity;
}
