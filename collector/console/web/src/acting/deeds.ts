// Everything that can be done to an endpoint from here: one line of a table each, with what it asks
// for, how it becomes a command's action, and how it is taken back.

import type { LucideIcon } from 'lucide-react';
import { Archive, Ban, CirclePause, CircleStop, FileLock2, PlugZap, RotateCcw, ShieldBan, ShieldCheck, ShieldOff, Split, Usb, UserLock } from 'lucide-react';

import type { Kind } from './desk';
import type { Action } from './draft';
import type { Field, Values } from './fields';
import { ACCEPT_LOSS, AT_END, BLOCKED, COLLECTED, DISABLE, END_SESSIONS, EXCEPT, IF_UNPROVED, lease, leaseOr, PROGRAM, TREE, UNIT, UNSEALED, USER } from './fields';
import * as make from './make';

/** What is known of what it is done to from where the dialog was opened. */
export interface Subject {
  process?: { pid: number; start_boot_ns: string; sha256: string; name: string };
  /** A file or program; the endpoint's own words. */
  path?: string;
  sha256?: string;
  /** Addresses or names, to be blocked. */
  peer?: string;
  /** A command to be undone, and what it did. */
  undo?: { command: string; action: string };
}

export interface Deed {
  kind: Kind;
  /** On its button. */
  verb: string;
  title: string;
  icon: LucideIcon;
  does: string;
  /** How it ends, or that it cannot be taken back. */
  ends: string;
  fields: Field[];
  /** It can be meant of one endpoint only. */
  one?: boolean;
  /** Whether a snapshot is taken first: by itself, if asked, never. */
  snapshot: 'taken' | 'offered' | 'never';
  isGrave?: boolean;
  action: (values: Values, subject: Subject) => Action;
  /** Its words at the terminal, without endpoint and reason; nothing of an endpoint's own text. */
  line: (subject: Subject) => string;
}

const until = 'It ends with its lease, or when it is undone.';

export const DEEDS = {
  isolate: {
    kind: 'isolate', verb: 'Isolate', title: 'Cut off from the network', icon: ShieldBan, snapshot: 'taken', isGrave: true,
    does: 'Everything is closed but loopback and the connection to the collector; sessions that stand are cut.',
    ends: 'It is a lease: it ends by itself, sooner by a release, and without the network by a break-glass code.',
    fields: [lease('24h'), AT_END, IF_UNPROVED, ACCEPT_LOSS],
    action: make.isolate, line: () => 'isolate WHOM',
  },
  release: {
    kind: 'release', verb: 'Release', title: 'Let back onto the network', icon: ShieldCheck, snapshot: 'never',
    does: 'The isolation ends, and the ruleset is put back exactly as it was.', ends: 'What else stands on it stays.',
    fields: [], action: () => ({ kind: 'release' }), line: () => 'release WHOM',
  },
  release_all: {
    kind: 'release_all', verb: 'Undo everything', title: 'Undo everything that stands', icon: RotateCcw, snapshot: 'never', isGrave: true,
    does: 'Isolation, blocks, denials, locks and quarantine are put back, the latest first.', ends: 'Ended processes do not come back.',
    fields: [], action: () => ({ kind: 'release_all' }), line: () => 'release WHOM --all',
  },
  kill: {
    kind: 'kill', verb: 'End', title: 'End a process', icon: CircleStop, snapshot: 'offered', one: true, isGrave: true,
    does: 'The process is named by its number, its start and its program: nothing else is ended, whoever has the number by then.',
    ends: 'An ended process cannot be brought back. What something starts again runs again; “Let not be started” stops that.',
    fields: [TREE('End all that it started, too')],
    action: make.kill, line: (subject) => `kill WHOM ${make.processWords(subject)}`,
  },
  suspend: {
    kind: 'suspend', verb: 'Suspend', title: 'Stop a process where it is', icon: CirclePause, snapshot: 'offered', one: true,
    does: 'It is frozen, its memory kept. What its connections and locks hold stays held.', ends: `It goes on when it is resumed. ${until}`,
    fields: [TREE('Stop all that it started, too'), leaseOr('none')],
    action: make.suspend, line: (subject) => `suspend WHOM ${make.processWords(subject)}`,
  },
  quarantine: {
    kind: 'quarantine', verb: 'Quarantine', title: 'Take a file away', icon: FileLock2, snapshot: 'offered',
    does: 'The file goes into an encrypted vault on the endpoint, with all that belongs to it. Processes that run it go on.',
    ends: 'It is put back bit for bit when it is restored.',
    fields: [
      { kind: 'text', key: 'path', label: 'File', hint: 'An absolute path without links', isRequired: true },
      { kind: 'text', key: 'sha256', label: 'SHA-256', hint: 'What it must contain; another content is refused' },
    ],
    action: make.quarantine, line: () => 'quarantine WHOM PATH',
  },
  deny: {
    kind: 'deny', verb: 'Deny', title: 'Let a program not be started', icon: Ban, snapshot: 'offered',
    does: 'The kernel asks before a program is started and is told no. What runs already goes on.', ends: `It is allowed again when it is undone. ${until}`,
    fields: [...PROGRAM, leaseOr('none')], action: make.deny, line: () => 'deny WHOM --path PATH',
  },
  block: {
    kind: 'block', verb: 'Block', title: 'Block addresses, names or ports', icon: ShieldOff, snapshot: 'offered',
    does: 'Nothing passes to or from them, sessions that stand included. A name is its addresses, and many names of a content network share one.',
    ends: until, fields: [...BLOCKED, lease('24h')], action: make.block, line: () => 'block WHOM --address ADDRESS',
  },
  lateral: {
    kind: 'block', verb: 'Shut', title: 'Shut the ports that intruders move by', icon: Split, snapshot: 'never',
    does: 'What comes in to SSH, RPC, NetBIOS, SMB, RDP, VNC and WinRM is shut, from everybody but those left out. Sessions that stand are cut, yours too.',
    ends: until, fields: [EXCEPT, lease('24h')], action: make.lateral, line: () => 'lateral --client CLIENT',
  },
  lock_account: {
    kind: 'lock_account', verb: 'Lock', title: 'Lock an account', icon: UserLock, snapshot: 'offered',
    does: 'No password fits, it is expired, and its SSH keys are set aside. Root and the last administrator are refused.', ends: `Unlocking puts back what was changed. ${until}`,
    fields: [USER, END_SESSIONS, leaseOr('none')], action: make.lockAccount, line: () => 'lock WHOM USER',
  },
  stop_service: {
    kind: 'stop_service', verb: 'Stop', title: 'Stop a service', icon: PlugZap, snapshot: 'never',
    does: 'Sockets, timers and paths that would start it stop with it, and so does what needs it. What the system or the agent needs is refused.',
    ends: `What ran when it was stopped runs again. ${until}`,
    fields: [UNIT, DISABLE, leaseOr('none')], action: make.stopService, line: () => 'service stop WHOM UNIT',
  },
  block_storage: {
    kind: 'block_storage', verb: 'Block', title: 'Block removable storage', icon: Usb, snapshot: 'never',
    does: 'Disks on USB and FireWire and SD cards, those that are there and those that come. What is mounted is written out and unmounted first.', ends: until,
    fields: [leaseOr('none')], action: make.blockStorage, line: () => 'storage block WHOM',
  },
  collect: {
    kind: 'collect', verb: 'Collect', title: 'Bring evidence away', icon: Archive, snapshot: 'never',
    does: 'One archive, its digest signed, sealed to every operator who may collect and has a sealing key; the collector cannot open it.',
    ends: 'Nothing on the endpoint changes. The archive is opened at the terminal: cordon collection get.',
    fields: [...COLLECTED, UNSEALED], action: make.collect, line: () => 'collect WHOM',
  },
  undo: {
    kind: 'undo', verb: 'Undo', title: 'Put back what a command changed', icon: RotateCcw, snapshot: 'never',
    does: 'What this command changed is put back; what others changed stays.', ends: 'Where nothing of it stands any more, the endpoint says so.',
    fields: [], action: make.undo, line: ({ undo }) => `undo ${undo?.command ?? 'COMMAND'} --on WHOM`,
  },
} satisfies Record<string, Deed>;

export type DeedName = keyof typeof DEEDS;

export const deed = (name: DeedName): Deed => DEEDS[name];

/** What taking back is called, by what it was. */
const TAKEN_BACK: Partial<Record<Kind, [verb: string, title: string]>> = {
  suspend: ['Resume', 'Let a process go on'],
  quarantine: ['Restore', 'Put a file back'],
  deny: ['Allow', 'Let a program be started again'],
  block: ['Unblock', 'Let traffic pass again'],
  lock_account: ['Unlock', 'Unlock an account'],
  stop_service: ['Start again', 'Put a service back as it was'],
  block_storage: ['Allow again', 'Let removable storage be used again'],
};

/** The deed that ends what stands, and what it is called. */
export function takingBack(action: string): { name: DeedName; verb: string; title: string } {
  if (action === 'isolate') return { name: 'release', verb: DEEDS.release.verb, title: DEEDS.release.title };
  const [verb, title] = TAKEN_BACK[action as Kind] ?? [DEEDS.undo.verb, DEEDS.undo.title];
  return { name: 'undo', verb, title };
}

/** Whether something stands after it that can be taken back. */
export const lasts = (action: string) => action === 'isolate' || action in TAKEN_BACK;

/** Those that need nothing but an endpoint, in the order of a menu. */
export const MENU: DeedName[] = ['quarantine', 'deny', 'block', 'lateral', 'lock_account', 'stop_service', 'block_storage', 'collect', 'release_all'];

