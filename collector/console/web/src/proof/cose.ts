// Documents under one signature: COSE_Sign1 (RFC 9052) with Ed25519, verified over the bytes as they
// came. Each kind is bound into the signature by its content type.

import { type Bytes, concat, isSame, utf8 } from './bytes';
import { type Cbor, decode, EMPTY_MAP, head, Malformed } from './cbor';
import { bytes, fields } from './shape';

export type Kind = 'batch' | 'collected' | 'roster' | 'rows';

/** Longest signed document, as PROTOCOL.md bounds it. */
const DOCUMENT_BYTES_MAX = 256 << 10;

export const NOT_VERIFIED = 'the signature does not verify';

const byteString = (content: Bytes) => concat(head(2, content.length), content);
const textString = (content: string) => concat(head(3, utf8(content).length), utf8(content));

/** `{1: -8 (EdDSA), 3: content type}`, and nothing else. */
function protectedOf(kind: Kind): Bytes {
  return concat(Uint8Array.of(0xa2, 0x01, 0x27, 0x03), textString(`cordon/${kind};v=1`));
}

/** What is inside a document, unverified: for finding out whose key to verify it with. */
export function peek(kind: Kind, document: Bytes): Cbor {
  return decode(open(kind, document).payload);
}

interface Opened {
  payload: Bytes;
  signature: Bytes;
}

function open(kind: Kind, document: Bytes): Opened {
  if (document.length > DOCUMENT_BYTES_MAX) throw new Malformed(`is ${document.length} bytes long; the limit is ${DOCUMENT_BYTES_MAX}`);
  const form = (what: string) => new Malformed(`is not a signed document of this protocol: ${what}`);
  let parts;
  try {
    parts = fields(decode(document), 4);
  } catch {
    throw form('it is not COSE_Sign1');
  }
  const [headers, outside, payload, signature] = parts;
  if (!(headers instanceof Uint8Array) || !isSame(headers, protectedOf(kind))) throw form('its kind or algorithm is not the one expected');
  if (outside !== EMPTY_MAP) throw form('it has headers outside the signature');
  return { payload: bytes(payload), signature: bytes(signature) };
}

/** Verifies a document, and answers what is inside; throws with a sentence. */
export async function verify(kind: Kind, document: Bytes, key: Bytes): Promise<Cbor> {
  const { payload, signature } = open(kind, document);
  const signed = concat(Uint8Array.of(0x84), textString('Signature1'), byteString(protectedOf(kind)), byteString(new Uint8Array()), byteString(payload));
  if (!(await isSigned(key, signature, signed))) throw new Malformed(NOT_VERIFIED);
  return decode(payload);
}

let imported: { key: Bytes; as: CryptoKey } | undefined;

async function isSigned(key: Bytes, signature: Bytes, signed: Bytes): Promise<boolean> {
  if (signature.length !== 64) return false;
  try {
    if (!imported || !isSame(imported.key, key)) {
      const made = await crypto.subtle.importKey('raw', key, 'Ed25519', false, ['verify']);
      imported = { key, as: made };
    }
    return await crypto.subtle.verify('Ed25519', imported.as, signature, signed);
  } catch {
    return false;
  }
}

/** RFC 8032, section 7.1, test 1: the public key of an empty message, and its signature. */
const TEST_KEY = 'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a';

/** Why nothing can be verified in this browser; null if it can. */
export async function whyNot(): Promise<string | null> {
  // Outside https and localhost a browser has none of this, whatever the types say.
  const subtle = (globalThis.crypto as Partial<Crypto> | undefined)?.subtle;
  if (!subtle) return 'This browser verifies signatures only where the console is reached by https or on localhost.';
  try {
    const raw = Uint8Array.from(TEST_KEY.match(/../g) ?? [], (pair) => parseInt(pair, 16));
    await subtle.importKey('raw', raw, 'Ed25519', false, ['verify']);
    return null;
  } catch {
    return 'This browser does not know Ed25519 signatures; Chromium does from 137 on, Firefox from 129, Safari from 17.';
  }
}
