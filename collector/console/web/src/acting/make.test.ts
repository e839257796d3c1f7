import { expect, test } from 'vitest';

import { readCommand } from '../../../signer/command.js';
import { DEEDS, type DeedName, type Subject } from './deeds';
import { type Action, compose } from './draft';
import { type Values, first } from './fields';

const ID = 'ab'.repeat(32);
const HASH = '9f'.repeat(32);
const NONCE = { boot_count: '3', endpoint_secs: 7000, mac: 'AAECAwQFBgcICQoLDA0ODw' };
const SUBJECT: Subject = { process: { pid: 42, start_boot_ns: '811530000000', sha256: HASH, name: 'sh' }, undo: { command: '0190f7e4-5c00-7000-8000-000000000001', action: 'deny' } };

function made(name: DeedName, values: Values, subject = SUBJECT): Action {
  const deed = DEEDS[name];
  return deed.action({ ...first([...deed.fields]), ...values }, subject);
}

/** What the signing page will read. */
function read(action: Action): Action {
  const draft = { client: 'acme', endpoints: [{ id: ID, host_name: 'web-01' }], action, reason: 'drill' };
  const fresh = { id: ID, host_name: 'web-01', client: 'acme', nonce: NONCE };
  return readCommand(compose(draft, [fresh], { version: 1, hash: HASH })).action;
}

const NEEDED: Partial<Record<DeedName, Values>> = {
  quarantine: { path: '/tmp/x' }, deny: { path: '/tmp/x' }, block: { peers: '192.0.2.1' }, lock_account: { user: 'eve' }, stop_service: { unit: 'nginx' },
};

test.each(Object.keys(DEEDS) as DeedName[])('%s is read by the signing page as it was made', (name) => {
  const action = made(name, NEEDED[name] ?? {});
  expect(read(action)).toEqual(action);
  expect(action.kind).toBe(DEEDS[name].kind);
});

test('what is chosen is what is signed', () => {
  expect(made('isolate', { lease: '4h', at_end: 'stay' })).toEqual({ kind: 'isolate', lease_secs: 14_400, if_unproved: 'hold', at_end: 'stay', accept_loss: false });
  expect(made('kill', { tree: true })).toEqual({ kind: 'kill', process: { pid: 42, start_boot_ns: 811_530_000_000, sha256: HASH }, tree: true });
  expect(made('suspend', {})).toMatchObject({ lease_secs: null });
  expect(made('deny', { sha256: HASH.toUpperCase() })).toEqual({ kind: 'deny', what: { kind: 'sha256', sha256: HASH }, lease_secs: null });
  expect(made('stop_service', { unit: 'nginx', disable: true, lease: '1h' })).toMatchObject({ unit: 'nginx.service', disable: true, lease_secs: 3600 });
  expect(made('collect', { sources: [], globs: '/var/www/a b/*.php\n\n/etc/**' })).toMatchObject({ sources: [], globs: ['/var/www/a b/*.php', '/etc/**'], unsealed: null });
});

test('every other side is blocked at every port', () => {
  const block = made('block', { peers: '203.0.113.7, *.Evil.example\nabc.de 2001:db8::/48', ports: 'tcp/445 UDP/137-139', direction: 'in', except: '10.0.0.5' });
  expect(block).toMatchObject({ lease_secs: 86_400, except: [{ address: '10.0.0.5', bits: 32 }], groups: null });
  const rules = block.kind === 'block' ? block.rules : [];
  expect(rules.length).toBe(8);
  expect(rules.map(({ peer }) => (peer.kind === 'name' ? peer.name : peer.kind === 'network' ? `${peer.address}/${peer.bits}` : peer.kind))).toEqual(
    ['203.0.113.7/32', '203.0.113.7/32', '*.evil.example', '*.evil.example', 'abc.de', 'abc.de', '2001:db8::/48', '2001:db8::/48'],
  );
  expect(rules[1]).toMatchObject({ direction: 'in', ports: { transport: 'UDP', first: 137, last: 139 }, at: null });
  expect(made('block', { ports: 'tcp/22', direction: 'in' })).toMatchObject({ rules: [{ peer: { kind: 'anyone' } }] });
});

test.each<[DeedName, Values, string]>([
  ['block', {}, 'Say what to block'],
  ['block', { peers: '192.0.2.1', direction: 'out' }, 'A side needs ports'],
  ['block', { peers: '192.0.2.0/0' }, 'bits are 1 to 32'],
  ['block', { peers: '192.0.2.0/x' }, 'no address'],
  ['block', { peers: 'com' }, 'no host name'],
  ['block', { peers: '*.com' }, 'no host name'],
  ['block', { ports: '445' }, 'not like'],
  ['block', { ports: 'tcp/9-8' }, 'not like'],
  ['block', { ports: 'tcp/65536' }, 'not like'],
  ['deny', {}, 'either by its path'],
  ['deny', { path: '/x', sha256: HASH }, 'either by its path'],
  ['deny', { sha256: 'ab' }, '64 hexadecimal'],
  ['quarantine', { path: '/usr/../bin/nc' }, 'absolute path'],
  ['quarantine', { path: '/tmp/\ufffd' }, 'not UTF-8'],
  ['lock_account', { user: 'a:b' }, '32 bytes'],
  ['stop_service', { unit: '-x' }, 'systemd unit'],
  ['collect', { sources: [] }, 'what to bring'],
  ['collect', { globs: 'etc/*' }, 'absolute pattern'],
])('%s of %o is refused in a sentence', (name, values, words) => {
  expect(() => made(name, values)).toThrow(words);
});

test('a dialog that was opened about nothing makes nothing', () => {
  expect(() => made('kill', {}, {})).toThrow('Choose a process');
  expect(() => made('undo', {}, {})).toThrow('Choose a command');
});
