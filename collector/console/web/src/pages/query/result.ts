// Rows of several endpoints as one table, and as files: comma-separated values and JSON lines.

import type { Answer, Value } from '../../proof/answer';
import { base64, type Bytes } from '../../proof/bytes';

export interface Row {
  endpoint: string;
  hostName: string;
  values: Value[];
}

export interface Result {
  columns: string[];
  rows: Row[];
}

export interface Answered {
  endpoint: string;
  hostName: string;
  answer: Answer;
}

/** One table of all answers. Columns are known by their names, because another version of the agent may
    have more of them; of two with one name the second gets a number. */
export function unite(answers: Answered[]): Result {
  const columns: string[] = [];
  const rows: Row[] = [];
  for (const { endpoint, hostName, answer } of answers) {
    const places = distinct(answer.columns).map((name) => {
      if (!columns.includes(name)) columns.push(name);
      return columns.indexOf(name);
    });
    for (const row of answer.rows) {
      const values: Value[] = columns.map(() => null);
      row.forEach((value, at) => {
        const place = places[at];
        if (place !== undefined) values[place] = value;
      });
      rows.push({ endpoint, hostName, values });
    }
  }
  // An earlier answer may have had fewer columns.
  for (const row of rows) while (row.values.length < columns.length) row.values.push(null);
  return { columns, rows };
}

export function distinct(names: string[]): string[] {
  const found: string[] = [];
  for (const name of names) {
    let called = name;
    for (let number = 2; found.includes(called); number += 1) called = `${name}_${number}`;
    found.push(called);
  }
  return found;
}

/** A value as text; bytes as far as they are text, the others as `\xff`. */
export function cell(value: Value): string {
  if (value === null) return '';
  if (value instanceof Uint8Array) return escaped(value);
  return String(value);
}

function escaped(bytes: Bytes): string {
  return Array.from(bytes, (byte) => {
    if (byte === 0x5c) return '\\\\';
    return byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, '0')}`;
  }).join('');
}

/** How SQLite sorts: nothing, numbers, texts, bytes. */
export function compare(a: Value, b: Value): number {
  const [left, right] = [rank(a), rank(b)];
  if (left !== right) return left - right;
  const [one, other] = a instanceof Uint8Array || b instanceof Uint8Array ? [cell(a), cell(b)] : [a, b];
  if (one === null || other === null || one === other) return 0;
  return one < other ? -1 : 1;
}

function rank(value: Value): number {
  if (value === null) return 0;
  if (typeof value === 'number' || typeof value === 'bigint') return 1;
  return typeof value === 'string' ? 2 : 3;
}

/** What a spreadsheet takes for the beginning of a formula. */
const RUNS = /^[=+\-@\t\r\n]/;

/** Comma-separated values (RFC 4180). Text that a spreadsheet would run gets an apostrophe before it,
    which spreadsheets take for "this is text"; numbers are left as they are. */
export function csv({ columns, rows }: Result): string {
  const lines = [['host_name', ...columns], ...rows.map(({ hostName, values }) => [hostName, ...values])];
  return lines.map((line) => line.map(field).join(',')).join('\r\n') + '\r\n';
}

function field(value: Value): string {
  const isNumber = typeof value === 'number' || typeof value === 'bigint';
  const text = cell(value);
  const harmless = !isNumber && RUNS.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(harmless) || harmless !== text ? `"${harmless.replaceAll('"', '""')}"` : harmless;
}

/** One object a line, as `cordon query --json` writes them. Exact: numbers beyond 2^53 are texts, bytes
    have a twin in base64. */
export function jsonLines({ columns, rows }: Result): string {
  return rows.map(({ hostName, endpoint, values }) => `${JSON.stringify({ host_name: hostName, endpoint, row: object(columns, values) })}\n`).join('');
}

export function object(columns: string[], values: Value[]): Record<string, string | number | null> {
  const made: [string, string | number | null][] = [];
  columns.forEach((name, at) => {
    const value = values[at] ?? null;
    if (value instanceof Uint8Array) {
      made.push([`${name}_b64`, base64(value)], [name, new TextDecoder().decode(value)]);
    } else {
      made.push([name, typeof value === 'bigint' ? String(value) : value]);
    }
  });
  return Object.fromEntries(made);
}
