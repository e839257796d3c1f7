// What can be asked on an endpoint, as this version of the agent has it: made from the agent's own tables
// by a test of theirs. An endpoint with another version answers for itself: SELECT * FROM tables.

import known from '../../../tables.json';

export interface Column {
  name: string;
  type: string;
  about: string;
  /** How rows can be named by it: `=` and `IN`, or with LIKE and GLOB as well. */
  key: 'equal' | 'pattern' | null;
}

export interface Table {
  name: string;
  about: string;
  columns: Column[];
}

export const TABLES = known.tables as Table[];

export const FUNCTIONS: string[] = known.functions;

/** A table that has to be told which rows: nobody needs a list of every file, and all would pay for it. */
export const wantsKey = (table: Table) => table.columns.some((column) => column.key !== null);

/** The tables that a text speaks of, in whatever place of it. */
export function spokenOf(sql: string): Table[] {
  const words = new Set(sql.toLowerCase().match(/[a-z_][a-z0-9_]*/g) ?? []);
  return TABLES.filter((table) => words.has(table.name));
}

/** Limits of a question, as the protocol bounds them. */
export const LIMITS = { sqlBytes: 16 << 10, rows: 100_000, bytes: 8 << 20, timeMs: 60_000 };
