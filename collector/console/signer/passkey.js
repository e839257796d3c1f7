//! Passkeys of this origin: made, remembered by their public halves, and asked to sign commands.
//!
//! What is signed is a COSE signature (RFC 9052) whose value is a WebAuthn assertion; its challenge
//! is SHA-256 of the Sig_structure, built here from the bytes that were shown.

import { base64url, fromBase64url, hex } from "./bytes.js";
import { encode } from "./cbor.js";
import { toBeSigned } from "./cose.js";

const ES256 = -7;
const EDDSA = -8;
const KEPT = "cordon-signer-passkeys";

/** @typedef {{ name: string, id: string, credential: string, algorithm: string, public: string }} Kept */

const sha256 = async (bytes) => new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));

/** The passkeys that were made in this browser. @returns {Kept[]} */
export function kept() {
  try {
    const read = JSON.parse(localStorage.getItem(KEPT) ?? "[]");
    return Array.isArray(read) ? read : [];
  } catch {
    return [];
  }
}

/** Makes a passkey for signing. @param {string} name @returns {Promise<Kept>} */
export async function make(name) {
  const made = await navigator.credentials.create({
    publicKey: {
      rp: { id: location.hostname, name: "Cordon signer" },
      user: { id: crypto.getRandomValues(new Uint8Array(16)), name, displayName: name },
      challenge: crypto.getRandomValues(new Uint8Array(32)),
      pubKeyCredParams: [ES256, EDDSA].map((alg) => ({ type: "public-key", alg })),
      authenticatorSelection: { residentKey: "required", userVerification: "required" },
      attestation: "none",
    },
  });
  const { algorithm, raw } = publicHalf(made.response);
  const passkey = {
    name,
    id: hex(await sha256(raw)),
    credential: base64url(new Uint8Array(made.rawId)),
    algorithm,
    public: hex(raw),
  };
  localStorage.setItem(KEPT, JSON.stringify([...kept(), passkey]));
  return passkey;
}

/** The raw public key: the last bytes of both kinds of SubjectPublicKeyInfo (RFC 5480, RFC 8410). */
function publicHalf(response) {
  const info = new Uint8Array(response.getPublicKey());
  switch (response.getPublicKeyAlgorithm()) {
    case ES256:
      return { algorithm: "es256", raw: info.slice(-65) };
    case EDDSA:
      return { algorithm: "eddsa", raw: info.slice(-32) };
    default:
      throw new Error("the authenticator made a key of a kind that was not asked for");
  }
}

/** What `cordon roster make --add-passkey` takes. @param {Kept} passkey */
export const forRoster = (passkey) => `${passkey.algorithm}:${passkey.public}@${location.origin}`;

/**
 * Has a passkey sign a command. Without a remembered credential the browser lets the person choose.
 * @param {Uint8Array} payload @param {Uint8Array} keyId @param {Kept | undefined} passkey
 * @returns {Promise<string>} the signature's value, base64url
 */
export async function sign(payload, keyId, passkey) {
  const { response } = await navigator.credentials.get({
    publicKey: {
      challenge: await sha256(toBeSigned(payload, keyId)),
      rpId: location.hostname,
      allowCredentials: passkey ? [{ type: "public-key", id: fromBase64url(passkey.credential) }] : [],
      userVerification: "required",
    },
  });
  const parts = [response.authenticatorData, response.clientDataJSON, response.signature];
  return base64url(encode(parts.map((part) => new Uint8Array(part))));
}
