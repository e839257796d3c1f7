// From what was typed and chosen to what a command says. What cannot be is refused in a sentence.

import type { Subject } from './deeds';
import { type Action, Unmade, small } from './draft';
import type { Values } from './fields';
import * as parse from './parse';

type Of<K extends Action['kind']> = Extract<Action, { kind: K }>;
type Rule = Of<'block'>['rules'][number];
type Peer = Rule['peer'];

const text = (values: Values, key: string) => (typeof values[key] === 'string' ? values[key].trim() : '');
const flag = (values: Values, key: string) => values[key] === true;

/** Seconds of `24h`; null for `none`. */
function leaseOf(values: Values): number | null {
  const chosen = text(values, 'lease');
  return chosen === 'none' || chosen === '' ? null : Number(chosen.replace('h', '')) * 3600;
}

export function isolate(values: Values): Of<'isolate'> {
  return {
    kind: 'isolate',
    lease_secs: leaseOf(values) ?? 86_400,
    if_unproved: text(values, 'if_unproved') === 'release' ? 'release' : 'hold',
    at_end: text(values, 'at_end') === 'stay' ? 'stay' : 'let_back',
    accept_loss: flag(values, 'accept_loss'),
  };
}

function process({ process: one }: Subject): Of<'kill'>['process'] {
  if (!one) throw new Unmade('Choose a process first.');
  return { pid: one.pid, start_boot_ns: small(one.start_boot_ns), sha256: one.sha256 === '' ? null : one.sha256 };
}

export const kill = (values: Values, subject: Subject): Of<'kill'> => ({ kind: 'kill', process: process(subject), tree: flag(values, 'tree') });

export const suspend = (values: Values, subject: Subject): Of<'suspend'> => ({
  kind: 'suspend', process: process(subject), tree: flag(values, 'tree'), lease_secs: leaseOf(values),
});

/** A process as the terminal program is told of it. */
export const processWords = ({ process: one }: Subject) => (one ? `${one.pid} --start ${one.start_boot_ns}` : 'PID');

export function quarantine(values: Values): Of<'quarantine'> {
  const hash = text(values, 'sha256');
  return { kind: 'quarantine', path: parse.path(text(values, 'path')), sha256: hash === '' ? null : parse.sha256(hash) };
}

export function deny(values: Values): Of<'deny'> {
  const [path, hash] = [text(values, 'path'), text(values, 'sha256')];
  if ((path === '') === (hash === '')) throw new Unmade('Name the program either by its path or by its SHA-256.');
  const what: Of<'deny'>['what'] = path === '' ? { kind: 'sha256', sha256: parse.sha256(hash) } : { kind: 'path', path: parse.path(path) };
  return { kind: 'deny', what, lease_secs: leaseOf(values) };
}

function peer(words: string): Peer {
  const isName = /[a-z]/i.test(words.replace(/\/.*/, '')) && !words.includes(':');
  return isName ? { kind: 'name', name: parse.hostName(words) } : { kind: 'network', ...parse.network(words) };
}

const except = (values: Values) => {
  const networks = parse.many(text(values, 'except')).map(parse.network);
  return networks.length === 0 ? null : networks;
};

export function block(values: Values): Of<'block'> {
  const peers = parse.many(text(values, 'peers')).map(peer);
  const ports = parse.many(text(values, 'ports')).map(parse.ports);
  const direction = text(values, 'direction') as Rule['direction'];
  if (peers.length === 0 && ports.length === 0) throw new Unmade('Say what to block: addresses, names or ports.');
  if (ports.length === 0 && direction !== 'both') throw new Unmade('A side needs ports: without ports nothing passes in either direction.');
  const whom: Peer[] = peers.length === 0 ? [{ kind: 'anyone' }] : peers;
  const which = ports.length === 0 ? [null] : ports;
  const rules = whom.flatMap((one) => which.map((run): Rule => ({ peer: one, direction, ports: run, at: null })));
  return { kind: 'block', rules, lease_secs: leaseOf(values), except: except(values), groups: null };
}

/** SSH, RPC, NetBIOS, SMB, RDP, VNC, WinRM, as `cordon lateral` has them. */
const LATERAL = [22, 135, 139, 445, 3389, 5900, 5985, 5986];

export function lateral(values: Values): Of<'block'> {
  const rules = LATERAL.map(
    (port): Rule => ({ peer: { kind: 'anyone' }, direction: 'in', ports: { transport: 'TCP', first: port, last: port }, at: null }),
  );
  return { kind: 'block', rules, lease_secs: leaseOf(values), except: except(values), groups: null };
}

export const lockAccount = (values: Values): Of<'lock_account'> => ({
  kind: 'lock_account', user: parse.account(text(values, 'user')), end_sessions: flag(values, 'end_sessions'), lease_secs: leaseOf(values),
});

export const stopService = (values: Values): Of<'stop_service'> => ({
  kind: 'stop_service', unit: parse.unit(text(values, 'unit')), disable: flag(values, 'disable'), lease_secs: leaseOf(values),
});

export const blockStorage = (values: Values): Of<'block_storage'> => ({ kind: 'block_storage', lease_secs: leaseOf(values) });

export function collect(values: Values): Of<'collect'> {
  const sources = (Array.isArray(values['sources']) ? values['sources'] : []) as Of<'collect'>['sources'];
  const globs = parse.lines(text(values, 'globs')).map(parse.glob);
  if (sources.length + globs.length === 0) throw new Unmade('Say what to bring away.');
  if (sources.length + globs.length > 64) throw new Unmade('One command names at most 64 sources and patterns.');
  return { kind: 'collect', sources, globs, bytes_max: Number(text(values, 'bytes_max')), unsealed: flag(values, 'unsealed') ? true : null };
}

export function undo(_: Values, subject: Subject): Of<'undo'> {
  if (!subject.undo) throw new Unmade('Choose a command first.');
  return { kind: 'undo', of: subject.undo.command };
}
