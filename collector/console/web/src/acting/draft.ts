// A command in the making: what the operator asks for, bound to the endpoints as they were seen.
// Pure. Its bytes come from the one description of commands, which the signing page reads them by.

import { base64url, fromBase64url, hex } from '../../../signer/bytes.js';
import { type Action, type Command, writeCommand } from '../../../signer/command.js';

export type { Action };

/** An endpoint under the name that the operator saw. */
export interface Seen {
  id: string;
  host_name: string;
}

export interface Draft {
  client: string;
  endpoints: Seen[];
  action: Action;
  reason: string;
  incident?: string | null;
  /** How long the action waits for a snapshot; none is taken if nothing is said. */
  snapshotMs?: number | null;
  /** Whether it counts for endpoints that are switched off now, too. */
  queued?: boolean;
  /** How old an endpoint's nonce may be. */
  ageMaxSecs?: number;
}

/** An endpoint as the collector knows it at this moment. */
export interface Fresh extends Seen {
  client: string;
  nonce?: { boot_count: string; endpoint_secs: number; mac: string } | null;
}

export const AGE_SECS = 15 * 60;
export const AGE_SECS_MAX = 7 * 86_400;
export const TARGETS_MAX = 256;
export const REASON_BYTES_MAX = 1024;

/** Why no command was made. */
export class Unmade extends Error {}

/** The bytes that are signed. */
export function compose(draft: Draft, fresh: Fresh[], roster: { version: number; hash: string }, id = newId()): Uint8Array {
  const { endpoints, queued = false } = draft;
  if (endpoints.length === 0) throw new Unmade('No endpoint was named.');
  if (endpoints.length > TARGETS_MAX) throw new Unmade(`One command names at most ${TARGETS_MAX} endpoints.`);
  const command: Command = {
    id,
    client: draft.client,
    targets: endpoints.map((seen) => target(draft.client, seen, fresh.find((one) => one.id === seen.id))),
    action: draft.action,
    age_max_secs: draft.ageMaxSecs ?? (queued ? AGE_SECS_MAX : AGE_SECS),
    queued,
    roster_min: { version: roster.version, hash: roster.hash },
    reason: reasonOf(draft.reason),
    incident: draft.incident?.trim() || null,
    snapshot: draft.snapshotMs ? { wait_ms: draft.snapshotMs } : null,
  };
  return writeCommand(command);
}

function reasonOf(words: string): string {
  const reason = words.trim();
  if (reason === '') throw new Unmade('Say why: everybody sees it, and the endpoint keeps it.');
  if (new TextEncoder().encode(reason).length > REASON_BYTES_MAX) throw new Unmade('The reason is too long.');
  return reason;
}

function target(client: string, seen: Seen, fresh: Fresh | undefined): Command['targets'][number] {
  if (!fresh || fresh.client !== client) throw new Unmade('One of the endpoints is not this client’s.');
  // A name that changed while the dialog stood open is for a person to look at.
  if (fresh.host_name !== seen.host_name) {
    throw new Unmade(`An endpoint has taken another name since it was shown (${seen.id.slice(0, 12)}). Look at it again.`);
  }
  if (!fresh.nonce) {
    throw new Unmade(
      `${seen.id.slice(0, 12)} has not reported its health yet, so nothing proves to it that a command is fresh. Try again in a minute.`,
    );
  }
  const { boot_count, endpoint_secs, mac } = fresh.nonce;
  const nonce = { boot_count: small(boot_count), endpoint_secs, mac: fromBase64url(mac) };
  return { endpoint: seen.id, host_name: seen.host_name, nonce };
}

/** A number that came as text, because it may be large. */
export function small(text: string): number | bigint {
  const number = BigInt(text);
  return number <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(number) : number;
}

/** A new name for a command: UUID version 7 (RFC 9562), so that names are in the order of time. */
export function newId(now = Date.now(), random = crypto.getRandomValues(new Uint8Array(10))): string {
  const time = now.toString(16).padStart(12, '0');
  const rest = random.slice();
  rest[0] = ((rest[0] ?? 0) & 0x0f) | 0x70;
  rest[2] = ((rest[2] ?? 0) & 0x3f) | 0x80;
  const digits = time + hex(rest);
  return [digits.slice(0, 8), digits.slice(8, 12), digits.slice(12, 16), digits.slice(16, 20), digits.slice(20)].join('-');
}

export { base64url };
