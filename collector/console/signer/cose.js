//! A command under passkeys' signatures: COSE_Sign (RFC 9052) as PROTOCOL.md has it.

import { decode, encode } from "./cbor.js";

const PASSKEY_ALGORITHM = -65_600;
const BODY = encode(new Map([[3, "cordon/command;v=1"]]));
const NOTHING = new Uint8Array();

/** @param {Uint8Array} keyId */
const signer = (keyId) =>
  encode(
    new Map(
      /** @type {[number, unknown][]} */ ([
        [1, PASSKEY_ALGORITHM],
        [4, keyId],
      ]),
    ),
  );

/** The bytes that a signature with this key is over. @param {Uint8Array} payload @param {Uint8Array} keyId */
export const toBeSigned = (payload, keyId) => encode(["Signature", BODY, signer(keyId), NOTHING, payload]);

/**
 * A command under one signature, as it travels.
 * @param {Uint8Array} payload @param {Uint8Array} keyId @param {Uint8Array} value the assertion
 */
export const signed = (payload, keyId, value) =>
  encode([BODY, new Map(), payload, [[signer(keyId), new Map(), value]]]);

/** The command's own bytes in one that travels. @param {Uint8Array} message @returns {Uint8Array} */
export function contentOf(message) {
  const parts = decode(message);
  const [body, , payload] = Array.isArray(parts) && parts.length === 4 ? parts : [];
  const isBody = body instanceof Uint8Array && body.length === BODY.length && body.every((byte, at) => byte === BODY[at]);
  if (!isBody || !(payload instanceof Uint8Array)) throw new Error("this is no signed command");
  return payload;
}
