//! A command's bytes as the fields that it says, nothing left out, and its fields as bytes. Follows
//! the command of the protocol (PROTOCOL.md); the order of fields and variants is theirs on the wire.

import { fromHex, hex } from "./bytes.js";
import { decode, encode } from "./cbor.js";
import * as ip from "./ip.js";
import { as, bool, bytes, count, inner, list, number, optional, string, struct, text, variant, word } from "./shape.js";

const hash = as(bytes(32), hex, fromHex);
const endpoint = hash;
const lease = optional(count);
const address = as(bytes(4, 16), ip.toText, ip.fromText);

const uuid = as(
  bytes(16),
  (raw) => hex(raw).replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-"),
  (words) => fromHex(words.replaceAll("-", "")),
);

const none = struct({});
const process = struct({ pid: number(1 << 22), start_boot_ns: count, sha256: optional(hash) });
const network = struct({ address, bits: number(128) });
const ports = struct({ transport: word("TCP", "UDP"), first: number(65_535), last: number(65_535) });
const peer = variant({ anyone: none, network, name: struct({ name: string }) });
const rule = struct({
  peer,
  direction: word("both", "in", "out"),
  ports: optional(ports),
  at: optional(number(255)),
});
const executable = variant({ sha256: struct({ sha256: hash }), path: struct({ path: text }) });

const tooMuch = () => {
  throw new Error("a policy is too much for one page to show; sign it with: cordon policy set");
};
/** @type {import("./shape.js").Shape<{}>} */
const policy = { read: tooMuch, write: tooMuch };

const action = variant({
  isolate: inner(
    struct({
      lease_secs: count,
      if_unproved: word("hold", "release"),
      at_end: word("let_back", "stay"),
      accept_loss: bool,
    }),
  ),
  release: none,
  set_policy: policy,
  query: inner(struct({ sql: string, rows_max: count, bytes_max: count, time_ms_max: count })),
  undo: struct({ of: uuid }),
  release_all: none,
  kill: inner(struct({ process, tree: bool })),
  suspend: inner(struct({ process, tree: bool, lease_secs: lease })),
  quarantine: inner(struct({ path: text, sha256: optional(hash) })),
  deny: inner(struct({ what: executable, lease_secs: lease })),
  block: inner(
    struct({
      rules: list(rule),
      lease_secs: lease,
      except: optional(list(network)),
      groups: optional(list(list(endpoint))),
    }),
  ),
  lock_account: inner(struct({ user: string, end_sessions: bool, lease_secs: lease })),
  stop_service: inner(struct({ unit: string, disable: bool, lease_secs: lease })),
  block_storage: inner(struct({ lease_secs: lease })),
  collect: inner(
    struct({
      sources: list(word("processes", "sockets", "sessions", "autoruns", "packages", "logs")),
      globs: list(text),
      bytes_max: count,
      unsealed: optional(bool),
    }),
  ),
});

const nonce = struct({ boot_count: count, endpoint_secs: count, mac: bytes(16) });
const command = struct({
  id: uuid,
  client: string,
  targets: list(struct({ endpoint, host_name: string, nonce })),
  action,
  age_max_secs: count,
  queued: bool,
  roster_min: struct({ version: count, hash }),
  reason: string,
  incident: optional(string),
  snapshot: optional(struct({ wait_ms: count })),
});

/** @typedef {import("./shape.js").Of<typeof command>} Command */
/** @typedef {Command["action"]} Action */

/** Longest signed document, as PROTOCOL.md bounds it. */
const BYTES_MAX = 256 << 10;

/** Reads a command, or says why it cannot be shown. @param {Uint8Array} payload @returns {Command} */
export function readCommand(payload) {
  if (payload.length > BYTES_MAX) throw new Error("it is longer than any command may be");
  const read = command.read(decode(payload));
  if (read.targets.length === 0) throw new Error("it names no endpoint");
  // What is shown is all that is there only if it gives back these very bytes.
  const again = encode(command.write(read));
  if (again.length !== payload.length || again.some((byte, at) => byte !== payload[at])) {
    throw new Error("it is written in another way than commands are");
  }
  return read;
}

/** The bytes that are signed. @param {Command} fields */
export function writeCommand(fields) {
  const payload = encode(command.write(fields));
  if (payload.length > BYTES_MAX) throw new Error("it is longer than any command may be");
  return payload;
}
