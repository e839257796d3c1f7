import { expect, test } from 'vitest';

import { offers } from './completion';
import { EXAMPLES } from './examples';
import { FUNCTIONS, spokenOf, TABLES } from './schema';

const labels = (sql: string) => offers(sql).map((one) => one.label);

test('columns are offered of the tables that the text speaks of, wherever it does', () => {
  expect(labels('SELECT  FROM listeners')).toContain('port');
  expect(labels('SELECT  FROM listeners')).not.toContain('cmdline');
  expect(labels('select * from LISTENERS l join processes p')).toContain('cmdline');
  expect(labels('SELECT ').filter((one) => !FUNCTIONS.includes(one))).toEqual([]);
});

test('the tables that an endpoint has are all known', () => {
  const wanted = ['processes', 'sockets', 'listeners', 'users', 'sessions', 'mounts', 'disks', 'packages', 'services', 'autoruns', 'files', 'hashes', 'containments', 'health'];
  expect(wanted.filter((name) => !TABLES.some((table) => table.name === name))).toEqual([]);
});

test('every example asks for columns that there are', () => {
  for (const { title, sql } of EXAMPLES) {
    const tables = spokenOf(sql);
    expect(tables.length, title).toBeGreaterThan(0);
    const known = new Set(tables.flatMap((table) => [table.name, ...table.columns.map((column) => column.name)]));
    const bare = sql.replaceAll(/'[^']*'/g, '').replaceAll(/AS \w+/g, '');
    const unknown = (bare.match(/\b[a-z][a-z0-9]*_[a-z0-9_]*\b/g) ?? []).filter((word) => !known.has(word));
    expect(unknown, title).toEqual([]);
  }
});
