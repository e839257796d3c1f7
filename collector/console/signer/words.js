//! A command in the words of the person who is about to sign it: what is done, to what, for how
//! long, and what cannot be taken back. The words are those of the terminal program.

import { plain, shown } from "./bytes.js";

/** @typedef {{ title: string, facts: [string, string][], warnings: string[] }} Words */

/** @param {import("./command.js").Command} command @returns {Words} */
export function inWords(command) {
  const { title, facts = [], warnings = [] } = DEEDS[command.action.kind](command.action);
  const whom = command.targets.map((target) => `${plain(target.host_name)} (${target.endpoint.slice(0, 12)})`);
  const all = [...facts, ["On", whom.join("\n")], ["Client", plain(command.client)], ["Reason", plain(command.reason)]];
  if (command.incident !== null) all.push(["Incident", plain(command.incident)]);
  if (command.snapshot !== null) all.push(["Before", `a snapshot, at most ${command.snapshot.wait_ms} ms`]);
  all.push(["Counts for", `${length(command.age_max_secs)}${command.queued ? ", also after a reboot" : ""}`]);
  all.push(["Roster", `version ${command.roster_min.version} or newer`], ["Command", command.id]);
  if (command.targets.length > 1) warnings.push(`${command.targets.length} endpoints at once`);
  return { title, facts: all, warnings };
}

const DEEDS = {
  isolate: (deed) => ({
    title: "Cut off from the network",
    facts: [
      ["For", length(deed.lease_secs)],
      ["At its end", deed.at_end === "stay" ? "stays cut off until a signed release" : "is let back by itself"],
      [
        "If unproved",
        deed.if_unproved === "hold" ? "stands all the same" : "is undone (who blocks the collector can wait for that)",
      ],
    ],
    warnings: [
      ...(deed.at_end === "stay" ? ["It has no end of its own"] : []),
      ...(deed.accept_loss ? ["Goes on even if something the endpoint needs cannot be kept open"] : []),
    ],
  }),
  release: () => ({ title: "Let back onto the network" }),
  query: (deed) => ({
    title: "Ask a question",
    facts: [
      ["SQL", plain(deed.sql)],
      ["At most", `${deed.time_ms_max} ms, ${deed.rows_max} rows, ${deed.bytes_max} bytes`],
    ],
  }),
  undo: (deed) => ({ title: "Put back what a command changed", facts: [["Undone", `command ${deed.of}`]] }),
  release_all: () => ({
    title: "Undo everything that stands",
    warnings: ["Isolation, blocks, denials, locks, quarantine: all of it is put back, the latest first"],
  }),
  kill: (deed) => ({
    title: deed.tree ? "End a process and all that it started" : "End a process",
    facts: process(deed.process),
    warnings: ["An ended process cannot be brought back"],
  }),
  suspend: (deed) => ({
    title: deed.tree ? "Stop a process and all that it started where they are" : "Stop a process where it is",
    ...leased(deed, process(deed.process)),
  }),
  quarantine: (deed) => ({
    title: "Take a file away",
    facts: [
      ["File", shown(deed.path)],
      ["Content", deed.sha256 === null ? "whatever it is" : `SHA-256 ${deed.sha256}`],
    ],
    warnings: deed.sha256 === null ? ["Whatever the file contains by then is taken"] : [],
  }),
  deny: (deed) => ({
    title: "Let a program not be started",
    ...leased(deed, [
      deed.what.kind === "path" ? ["Program", shown(deed.what.path)] : ["Content", `SHA-256 ${deed.what.sha256}`],
    ]),
  }),
  block: (deed) => ({
    title: "Block traffic",
    ...leased(deed, [
      ["Blocked", deed.rules.map(rule).join("\n")],
      ...(deed.except?.length ? [["But not", deed.except.map(network).join("\n")]] : []),
      ...(deed.groups ?? []).map((group, at) => [`Group ${at + 1}`, group.map((id) => id.slice(0, 12)).join("\n")]),
    ]),
  }),
  lock_account: (deed) => ({
    title: deed.end_sessions ? "Lock an account and end its sessions" : "Lock an account",
    ...leased(deed, [["Account", plain(deed.user)]]),
  }),
  stop_service: (deed) => ({
    title: deed.disable ? "Stop a service and keep it from starting" : "Stop a service",
    ...leased(deed, [["Service", plain(deed.unit)]]),
  }),
  block_storage: (deed) => ({ title: "Block removable storage", ...leased(deed, []) }),
  collect: (deed) => ({
    title: "Bring evidence away",
    facts: [
      ["What", [...deed.sources, ...deed.globs.map(shown)].join("\n")],
      ["At most", `${deed.bytes_max} bytes`],
    ],
    warnings: deed.unsealed ? ["Goes unsealed if nobody who may collect has a sealing key"] : [],
  }),
};

function leased({ lease_secs }, facts) {
  if (lease_secs !== null) return { facts: [...facts, ["For", length(lease_secs)]] };
  return { facts, warnings: ["Stands until it is undone"] };
}

function process({ pid, start_boot_ns, sha256 }) {
  const started = `started ${(Number(start_boot_ns) / 1e9).toFixed(3)} s after boot`;
  const facts = [["Process", `${pid}, ${started}`]];
  return sha256 === null ? facts : [...facts, ["Executable", `SHA-256 ${sha256}`]];
}

const network = ({ address, bits }) => `${address}/${bits}`;

function rule({ peer, direction, ports, at }) {
  const whom = { anyone: () => "anyone", network: () => network(peer), name: () => plain(peer.name) }[peer.kind]();
  const way = { both: "to and from", in: "from", out: "to" }[direction];
  const range = ports && (ports.first === ports.last ? `${ports.first}` : `${ports.first}-${ports.last}`);
  const group = at === null ? "" : `group ${at + 1}: `;
  return `${group}${ports ? `${ports.transport} ${range} ` : ""}${way} ${whom}`;
}

/** A length of time as `1d2h`. */
export function length(seconds) {
  let rest = BigInt(seconds);
  const parts = [];
  for (const [unit, size] of [["d", 86_400n], ["h", 3600n], ["m", 60n], ["s", 1n]]) {
    if (rest >= size) parts.push(`${rest / size}${unit}`);
    rest %= size;
  }
  return parts.join("") || "0s";
}
