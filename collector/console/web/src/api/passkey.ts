// Passkeys of the collector's own name: for signing in. What signs commands lives elsewhere.

import { api, take } from './client';

export function toB64(bytes: ArrayBuffer): string {
  const text = String.fromCharCode(...new Uint8Array(bytes));
  return btoa(text).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '');
}

export function fromB64(text: string): Uint8Array<ArrayBuffer> {
  const binary = atob(text.replaceAll('-', '+').replaceAll('_', '/'));
  return Uint8Array.from(binary, (character) => character.charCodeAt(0));
}

/** Opens a session with a passkey of this device. */
export async function signInWithPasskey(): Promise<void> {
  const asked = await take(api.POST('/api/v1/sign-in/passkey/challenge'));
  const credential = (await navigator.credentials.get({
    publicKey: {
      challenge: fromB64(asked.challenge),
      rpId: asked.rp_id,
      userVerification: 'required',
      timeout: asked.expires_secs * 1000,
    },
  })) as PublicKeyCredential | null;
  if (!credential) throw new Error('No passkey was chosen.');
  const answer = credential.response as AuthenticatorAssertionResponse;
  await api.POST('/api/v1/sign-in/passkey', {
    body: {
      credential: toB64(credential.rawId),
      authenticator_data: toB64(answer.authenticatorData),
      client_data: toB64(answer.clientDataJSON),
      signature: toB64(answer.signature),
      browser: true,
    },
  });
}

/** Makes a passkey on this device for whoever is signed in. */
export async function makePasskey(name: string): Promise<void> {
  const asked = await take(api.POST('/api/v1/account/passkeys/challenge'));
  const made = (await navigator.credentials.create({
    publicKey: {
      challenge: fromB64(asked.challenge),
      rp: { id: asked.rp_id, name: 'Cordon' },
      user: { id: fromB64(asked.user_id), name: asked.user_name, displayName: asked.user_name },
      pubKeyCredParams: asked.algorithms.map((alg) => ({ type: 'public-key' as const, alg })),
      excludeCredentials: asked.exclude.map((id) => ({ type: 'public-key' as const, id: fromB64(id) })),
      authenticatorSelection: { residentKey: 'required', userVerification: 'required' },
      attestation: 'none',
      timeout: asked.expires_secs * 1000,
    },
  })) as PublicKeyCredential | null;
  if (!made) throw new Error('No passkey was made.');
  const answer = made.response as AuthenticatorAttestationResponse;
  await api.POST('/api/v1/account/passkeys', {
    body: { name, client_data: toB64(answer.clientDataJSON), attestation: toB64(answer.attestationObject) },
  });
}

/** What a browser's refusal means, in a sentence. */
export function passkeyWords(error: Error): string {
  if (error.name === 'NotAllowedError') return 'The passkey was not used: it was cancelled, or took too long.';
  if (error.name === 'InvalidStateError') return 'This device holds a passkey for your account already.';
  if (error.name === 'SecurityError') {
    return 'Passkeys work only under the collector’s own host name, with https, and never under an address.';
  }
  return error.message;
}
