// What an endpoint signed about an archive of collected evidence.

import { type Bytes, hex, sha256 } from './bytes';
import { type Cbor, Malformed } from './cbor';
import { peek, verify } from './cose';
import { bytes, count, fields, flag, large, optional } from './shape';

export interface Archive {
  endpoint: string;
  command: string;
  bytes: number;
  /** Of what travels, in hexadecimal. */
  sha256: string;
  entries: number;
  missing: number;
  cut: boolean;
  isSealed: boolean;
}

/** Verifies it: under the key in it, whose hash the endpoint is named by. Throws with a sentence. */
export async function readCollected(signed: Bytes): Promise<Archive> {
  const { key, archive } = read(peek('collected', signed));
  if (hex(await sha256(key)) !== archive.endpoint) throw new Malformed("it is not the endpoint's own");
  return read(await verify('collected', signed, key)).archive;
}

function read(payload: Cbor): { key: Bytes; archive: Archive } {
  const [endpoint, key, command, hash, about] = fields(payload, 5);
  bytes(hash, 32);
  const [length, digest, entries, missing, cut, time, took, inside] = fields(about, 7, 1);
  large(time);
  large(took);
  const sealed = optional(inside, (one) => fields(one, 2));
  return {
    key: bytes(key, 32),
    archive: {
      endpoint: hex(bytes(endpoint, 32)),
      command: hex(bytes(command, 16)),
      bytes: count(length),
      sha256: hex(bytes(digest, 32)),
      entries: count(entries),
      missing: count(missing),
      cut: flag(cut),
      isSealed: sealed !== null,
    },
  };
}
