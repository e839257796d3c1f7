import { expect, test } from 'vitest';

import type { Operator } from '../api/types';
import { deskOf, need } from './desk';

const PEOPLE: Operator[] = [
  {
    id: 'ann',
    roles: ['responder'],
    break_glass: false,
    keys: [
      { id: 'a1', kind: 'file', origins: [] },
      { id: 'a2', kind: 'passkey', origins: ['https://sign.example'] },
      { id: 'a3', kind: 'passkey', origins: ['http://localhost:9443'] },
      { id: 'a4', kind: 'passkey', origins: ['http://localhost:9443'] },
    ],
  },
  { id: 'bob', roles: ['responder'], break_glass: false, keys: [] },
  { id: 'eve', roles: ['viewer'], break_glass: false, keys: [{ id: 'e1', kind: 'passkey', origins: ['http://localhost:9443'] }] },
];

const grant = (approvals: number, targets_max: number) => ({ action: 'isolate', role: 'responder', approvals, targets_max });
const ROSTER = { version: 3, hash: 'cd', document: '', laggards: [], lease_secs_max: 60, grants: [grant(1, 5), grant(2, 100)] };
const desk = (operator: string) => deskOf('acme', operator, ROSTER, PEOPLE);

test('a person signs with the passkeys that are theirs, at the page each belongs to, this machine’s first', () => {
  expect(desk('ann').pages).toEqual([
    { origin: 'http://localhost:9443', keys: ['a3', 'a4'] },
    { origin: 'https://sign.example', keys: ['a2'] },
  ]);
  expect(desk('bob').pages).toEqual([]);
  expect(desk('nobody')).toMatchObject({ roles: [], pages: [] });
});

test('as many persons must sign as the table says for so many endpoints', () => {
  expect(need(desk('ann'), 'isolate', 5)).toEqual({ says: 'persons', count: 1, others: ['bob'] });
  expect(need(desk('ann'), 'isolate', 6)).toEqual({ says: 'persons', count: 2, others: ['bob'] });
  expect(need(desk('ann'), 'isolate', 101)).toEqual({ says: 'targets', most: 100 });
  expect(need(desk('ann'), 'isolate', 1, true)).toEqual({ says: 'persons', count: 2, others: ['bob'] });
  expect(need(desk('ann'), 'kill', 1)).toEqual({ says: 'role' });
  expect(need(desk('eve'), 'isolate', 1)).toEqual({ says: 'role' });
});
