import { expect, test } from 'vitest';

import { readCommand } from '../../../signer/command.js';
import { type Draft, type Fresh, compose, newId } from './draft';

const ID = 'ab'.repeat(32);
const NONCE = { boot_count: '18446744073709551615', endpoint_secs: 7000, mac: 'AAECAwQFBgcICQoLDA0ODw' };
const ROSTER = { version: 4, hash: 'cd'.repeat(32) };

const draft = (more: Partial<Draft> = {}): Draft => ({
  client: 'acme',
  endpoints: [{ id: ID, host_name: 'web-01' }],
  action: { kind: 'release' },
  reason: ' cleaned ',
  ...more,
});

const fresh = (more: Partial<Fresh> = {}): Fresh => ({ id: ID, host_name: 'web-01', client: 'acme', nonce: NONCE, ...more });

test('a command binds to the id, the name and the nonce that were seen', () => {
  const read = readCommand(compose(draft(), [fresh()], ROSTER, '0190f7e4-5c00-7000-8000-000000000001'));
  expect(read.targets[0]).toMatchObject({ endpoint: ID, host_name: 'web-01', nonce: { boot_count: 18446744073709551615n, endpoint_secs: 7000 } });
  expect(read).toMatchObject({ id: '0190f7e4-5c00-7000-8000-000000000001', client: 'acme', reason: 'cleaned', age_max_secs: 900, queued: false });
  expect(read).toMatchObject({ roster_min: ROSTER, incident: null, snapshot: null, action: { kind: 'release' } });
});

test('a command that waits for a machine switched off may be a week old', () => {
  const read = readCommand(compose(draft({ queued: true, snapshotMs: 2000, incident: 'case 7' }), [fresh()], ROSTER));
  expect(read).toMatchObject({ queued: true, age_max_secs: 604_800, snapshot: { wait_ms: 2000 }, incident: 'case 7' });
});

test('what no endpoint would obey is not made', () => {
  const made = (of: Partial<Draft>, seen: Fresh[]) => () => compose(draft(of), seen, ROSTER);
  expect(made({ endpoints: [] }, [])).toThrow('No endpoint');
  expect(made({ reason: '  ' }, [fresh()])).toThrow('Say why');
  expect(made({ reason: 'ü'.repeat(600) }, [fresh()])).toThrow('too long');
  expect(made({}, [])).toThrow('not this client');
  expect(made({}, [fresh({ client: 'globex' })])).toThrow('not this client');
  expect(made({}, [fresh({ host_name: 'db-01' })])).toThrow('another name');
  expect(made({}, [fresh({ nonce: null })])).toThrow('not reported its health');
});

test('names of commands are in the order of time', () => {
  const id = newId(0x0190f7e45c00, new Uint8Array(10).fill(0xff));
  expect(id).toBe('0190f7e4-5c00-7fff-bfff-ffffffffffff');
  expect(newId(1) < newId(2)).toBe(true);
  expect(newId()).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
});
