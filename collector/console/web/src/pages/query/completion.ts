// What the editor offers while one types: tables, columns of the tables that the text speaks of, and the
// functions that an endpoint allows. All of it from the agent's own list.

import type { Completion, CompletionContext, CompletionResult } from '@codemirror/autocomplete';
import { keywordCompletionSource, schemaCompletionSource, SQLDialect, type SQLNamespace, SQLite } from '@codemirror/lang-sql';

import { type Column, FUNCTIONS, spokenOf, type Table, TABLES } from './schema';

const KEYS = { equal: ' — name rows by = or IN', pattern: ' — name rows by =, IN, LIKE or GLOB' };

const column = (one: Column, table?: Table): Completion => ({
  label: one.name,
  type: 'property',
  detail: table ? `${table.name} · ${one.type}` : one.type,
  info: one.key ? one.about + KEYS[one.key] : one.about,
});

/** Tables with their columns, for what stands behind `FROM` and behind a dot. */
const SCHEMA: SQLNamespace = Object.fromEntries(
  TABLES.map((table) => [
    table.name,
    { self: { label: table.name, type: 'type', info: table.about, boost: 2 }, children: table.columns.map((one) => column(one)) },
  ]),
);

/** The words of a SELECT; whatever changes something is refused there. */
const WORDS =
  'all and as asc between by case cast collate cross current_date current_time current_timestamp desc distinct else end escape except exclude exists ' +
  'filter first following from full glob group groups having in inner intersect is isnull join last left like limit materialized natural not notnull ' +
  'null nulls offset on or order others outer over partition preceding range recursive right row rows select then ties unbounded union using values ' +
  'when where window with';

/** SQLite's dialect with these words, and with the functions that an endpoint allows. */
const DIALECT = SQLDialect.define({ ...SQLite.spec, keywords: WORDS, types: 'text integer real blob numeric', builtin: FUNCTIONS.join(' ') });

/** Offered in capitals, as they are written; functions are offered below, once. */
const KEYWORDS = SQLDialect.define({ ...SQLite.spec, keywords: WORDS, types: 'text integer real', builtin: ' ' });

/** All of the language for the editor. */
export const language = () =>
  [schemaCompletionSource({ dialect: DIALECT, schema: SCHEMA }), keywordCompletionSource(KEYWORDS, true), offer]
    .map((autocomplete) => DIALECT.language.data.of({ autocomplete }))
    .concat(DIALECT.extension);

/** Columns without their table's name, and functions. */
function offer(context: CompletionContext): CompletionResult | null {
  const typed = context.matchBefore(/[A-Za-z_][A-Za-z0-9_]*$/);
  if (!typed || (typed.from === typed.to && !context.explicit)) return null;
  if (context.state.sliceDoc(typed.from - 1, typed.from) === '.') return null;
  return { from: typed.from, options: offers(context.state.doc.toString()), validFor: /^\w*$/ };
}

export function offers(sql: string): Completion[] {
  const columns = new Map<string, Completion>();
  for (const table of spokenOf(sql)) {
    for (const one of table.columns) if (!columns.has(one.name)) columns.set(one.name, column(one, table));
  }
  const functions = FUNCTIONS.map((name): Completion => ({ label: name, type: 'function', apply: `${name}(`, boost: -1 }));
  return [...columns.values(), ...functions];
}
