import { expect, test } from 'vitest';

import type { Answer, Value } from '../../proof/answer';
import { compare, csv, jsonLines, unite } from './result';

const answer = (columns: string[], rows: Value[][]): Answer => ({ columns, rows, cut: null, error: null, tookMs: 1 });
const of = (...answers: [string, string[], Value[][]][]) =>
  unite(answers.map(([hostName, columns, rows]) => ({ endpoint: `${hostName}-id`, hostName, answer: answer(columns, rows) })));

test('answers become one table by the names of their columns', () => {
  const { columns, rows } = of(['web', ['pid', 'pid'], [[1, 2]]], ['db', ['name', 'pid'], [['init', 3]]]);
  expect(columns).toEqual(['pid', 'pid_2', 'name']);
  expect(rows.map((row) => [row.hostName, ...row.values])).toEqual([
    ['web', 1, 2, null],
    ['db', 3, null, 'init'],
  ]);
});

test('what a spreadsheet would run is text in it, and numbers stay numbers', () => {
  const rows: Value[][] = ['=1+1', '+1', '-1', '@SUM(A1)', '\t=1', '\r=1', '\n=1', 'a=1', -1, -0.5, 'say "no", or', null].map((value) => [value]);
  expect(csv(of(['web', ['=name'], rows])).split('\r\n')).toEqual([
    'host_name,"\'=name"',
    'web,"\'=1+1"',
    'web,"\'+1"',
    'web,"\'-1"',
    'web,"\'@SUM(A1)"',
    'web,"\'\t=1"',
    'web,"\'\r=1"',
    'web,"\'\n=1"',
    'web,a=1',
    'web,-1',
    'web,-0.5',
    'web,"say ""no"", or"',
    'web,',
    '',
  ]);
});

test('a host name that is a formula is text too', () => {
  expect(csv(of(["=cmd|'/c calc'!A1", ['pid'], [[1]]]))).toBe("host_name,pid\r\n\"'=cmd|'/c calc'!A1\",1\r\n");
});

test('JSON lines are exact', () => {
  const line = jsonLines(of(['web', ['big', 'raw', 'none', 'text', '__proto__'], [[2n ** 60n, Uint8Array.of(0xff, 0x41), null, '=1', 'x']]]));
  expect(line).toBe(
    '{"host_name":"web","endpoint":"web-id","row":{"big":"1152921504606846976","raw_b64":"/0E=","raw":"\ufffdA","none":null,"text":"=1","__proto__":"x"}}\n',
  );
});

test('values sort as SQLite sorts them', () => {
  const values: Value[] = ['b', 10, null, Uint8Array.of(1), 'a', 2n, 9, -1];
  expect(values.sort(compare)).toEqual([null, -1, 2n, 9, 10, 'a', 'b', Uint8Array.of(1)]);
});
