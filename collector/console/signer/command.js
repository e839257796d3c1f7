//! A command's bytes as the fields that it says, nothing left out. Follows the command of the
//! protocol (PROTOCOL.md); the order of fields and variants is theirs on the wire.

import { hex } from "./bytes.js";
import { decode } from "./cbor.js";
import { bool, bytes, count, list, number, optional, string, struct, text, variant, word } from "./shape.js";

const hash = (value) => hex(bytes(32)(value));
const endpoint = hash;
const lease = optional(count);

const uuid = (value) => {
  const digits = hex(bytes(16)(value));
  return [8, 12, 16, 20].map((end, at) => digits.slice([0, 8, 12, 16][at], end)).concat(digits.slice(20)).join("-");
};

const address = (value) => {
  const raw = bytes(4, 16)(value);
  if (raw.length === 4) return raw.join(".");
  return Array.from({ length: 8 }, (_, at) => ((raw[2 * at] << 8) | raw[2 * at + 1]).toString(16)).join(":");
};

const none = struct({});
/** A variant's only field, itself a structure, becomes the variant's fields. */
const inner = (of) => (value) => struct({ only: of })(value).only;

const process = struct({ pid: number(1 << 22), start_boot_ns: count, sha256: optional(hash) });
const network = struct({ address, bits: number(128) });
const ports = struct({ transport: word("TCP", "UDP"), first: number(65_535), last: number(65_535) });
const peer = variant(["anyone", none], ["network", network], ["name", struct({ name: string })]);
const rule = struct({
  peer,
  direction: word("both", "in", "out"),
  ports: optional(ports),
  at: optional(number(255)),
});
const executable = variant(["sha256", struct({ sha256: hash })], ["path", struct({ path: text })]);

const action = variant(
  [
    "isolate",
    inner(
      struct({
        lease_secs: count,
        if_unproved: word("hold", "release"),
        at_end: word("let_back", "stay"),
        accept_loss: bool,
      }),
    ),
  ],
  ["release", none],
  [
    "set_policy",
    () => {
      throw new Error("a policy is too much for one page to show; sign it with: cordon policy set");
    },
  ],
  ["query", inner(struct({ sql: string, rows_max: count, bytes_max: count, time_ms_max: count }))],
  ["undo", struct({ of: uuid })],
  ["release_all", none],
  ["kill", inner(struct({ process, tree: bool }))],
  ["suspend", inner(struct({ process, tree: bool, lease_secs: lease }))],
  ["quarantine", inner(struct({ path: text, sha256: optional(hash) }))],
  ["deny", inner(struct({ what: executable, lease_secs: lease }))],
  [
    "block",
    inner(
      struct({
        rules: list(rule),
        lease_secs: lease,
        except: optional(list(network)),
        groups: optional(list(list(endpoint))),
      }),
    ),
  ],
  ["lock_account", inner(struct({ user: string, end_sessions: bool, lease_secs: lease }))],
  ["stop_service", inner(struct({ unit: string, disable: bool, lease_secs: lease }))],
  ["block_storage", inner(struct({ lease_secs: lease }))],
  [
    "collect",
    inner(
      struct({
        sources: list(word("processes", "sockets", "sessions", "autoruns", "packages", "logs")),
        globs: list(text),
        bytes_max: count,
        unsealed: optional(bool),
      }),
    ),
  ],
);

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

/** Longest signed document, as PROTOCOL.md bounds it. */
const BYTES_MAX = 256 << 10;

/** Reads a command, or says why it cannot be shown. @param {Uint8Array} payload */
export function readCommand(payload) {
  if (payload.length > BYTES_MAX) throw new Error("it is longer than any command may be");
  const read = command(decode(payload));
  if (read.targets.length === 0) throw new Error("it names no endpoint");
  return read;
}

