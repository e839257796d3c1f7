// What came back: how it ended with each endpoint, and the rows of all that answered as one table.

import { Ban, Check, CircleDashed, CircleSlash, Download, ShieldAlert, Square, TriangleAlert } from 'lucide-react';
import { useMemo, useState, useSyncExternalStore } from 'react';
import { Button } from 'react-aria-components';

import { Foreign } from '../../parts/Foreign';
import { Menu } from '../../parts/Menu';
import { Panel } from '../../parts/Page';
import { type Column, Table } from '../../parts/Table';
import { bytes, many, span } from '../../words/measure';
import { type Asking, type Snapshot, type Track } from './asking';
import { cell, compare, csv, jsonLines, type Result, type Row, unite } from './result';
import { RowDrawer } from './RowDrawer';
import { save } from './save';

/** Characters of a value that a table shows; the row, opened, shows more. */
const CELL_MAX = 200;

interface Props {
  asking: Asking;
  timeMs: number;
  /** Shows where in the text an endpoint found a mistake. */
  look: (at: number) => void;
}

export function Answers({ asking, timeMs, look }: Props) {
  const now = useSyncExternalStore(asking.subscribe, asking.snapshot);
  const result = useMemo(() => unite(now.answers), [now.answers]);
  const answered = now.answers.length;
  const title = now.isOver ? many(result.rows.length, 'row') : `${many(result.rows.length, 'row')} so far`;
  return (
    <Panel
      title={title}
      flush
      aside={
        <>
          <span role="status">
            {answered} of {many(now.tracks.length, 'endpoint')} answered
          </span>
          {now.isOver ? null : (
            <Button className="button small" onPress={() => asking.stop()}>
              <Square size={12} aria-hidden /> Stop waiting
            </Button>
          )}
          <Export result={result} sql={asking.question.sql} />
        </>
      }
    >
      <Endings now={now} look={look} sql={asking.question.sql} />
      {now.isOver ? null : (
        <p className="foot-note">
          Stopping ends the wait here. The protocol has no way to call an endpoint back: each goes on until it has answered or its {span(timeMs / 1000)} are over, and what it still sends is dropped.
        </p>
      )}
      {result.columns.length > 0 ? <Rows result={result} several={now.tracks.length > 1} /> : null}
    </Panel>
  );
}

/** Endings that are shown one by one; the quiet ones are counted. */
const ENDINGS_MAX = 40;

function Endings({ now, look, sql }: { now: Snapshot; look: (at: number) => void; sql: string }) {
  const isShort = now.tracks.length <= 6;
  const loud = now.tracks.filter((track) => isShort || isLoud(track));
  return (
    <ul className="endings">
      {loud.slice(0, ENDINGS_MAX).map((track) => (
        <Ending key={track.id} track={track} look={look} sql={sql} />
      ))}
      {loud.length > ENDINGS_MAX ? <li className="faint">and {many(loud.length - ENDINGS_MAX, 'other')}</li> : null}
    </ul>
  );
}

function isLoud({ ended }: Track): boolean {
  return ended !== null && (ended.how === 'without' || ended.answer.error !== null || ended.answer.cut !== null);
}

function Ending({ track, look, sql }: { track: Track; look: (at: number) => void; sql: string }) {
  const { ended } = track;
  const name = (
    <strong>
      <Foreign text={track.host_name} max={60} />
    </strong>
  );
  if (ended === null) {
    return (
      <li>
        <CircleDashed size={15} aria-hidden /> {name} <span className="faint">{track.received > 0 ? `${bytes(track.received)} so far` : 'is asked …'}</span>
      </li>
    );
  }
  if (ended.how === 'without') {
    const Icon = ended.isForged ? ShieldAlert : CircleSlash;
    return (
      <li className={ended.isForged ? 'bad' : 'warn'}>
        <Icon size={15} aria-hidden /> {name} <Foreign text={ended.why} max={500} />
      </li>
    );
  }
  const { answer } = ended;
  if (answer.error) {
    const at = answer.error.offset;
    return (
      <li className="bad">
        <Ban size={15} aria-hidden /> {name} <Foreign text={answer.error.sentence} max={500} />
        {at === null ? null : (
          <Button className="link" onPress={() => look(characterAt(sql, at))}>
            Show where
          </Button>
        )}
      </li>
    );
  }
  return (
    <li className={answer.cut ? 'warn' : 'good'}>
      {answer.cut ? <TriangleAlert size={15} aria-hidden /> : <Check size={15} aria-hidden />} {name}{' '}
      <span className="faint">
        {many(answer.rows.length, 'row')} in {answer.tookMs} ms, signed by the endpoint and verified here
        {answer.cut ? `; there is more: the limit on ${answer.cut} was reached` : ''}
      </span>
    </li>
  );
}

/** A place in bytes as one in characters of the text. */
function characterAt(sql: string, byte: number): number {
  return new TextDecoder().decode(new TextEncoder().encode(sql).subarray(0, byte)).length;
}

function Rows({ result, several }: { result: Result; several: boolean }) {
  const [sort, setSort] = useState<{ by: string; descending: boolean }>({ by: '', descending: false });
  const [opened, setOpened] = useState<Row | null>(null);
  const columns = useMemo(() => columnsOf(result, several), [result, several]);
  const rows = useMemo(() => sorted(result, sort), [result, sort]);
  return (
    <>
      <Table
        label="Rows"
        columns={columns}
        rows={rows.map((row, at) => ({ row, at }))}
        rowKey={({ at }) => String(at)}
        open={({ row }) => setOpened(row)}
        sorting={{ ...sort, change: (by, descending) => setSort({ by, descending }) }}
        height="70dvh"
      />
      {opened ? <RowDrawer row={opened} columns={result.columns} close={() => setOpened(null)} /> : null}
    </>
  );
}

interface Shown {
  row: Row;
  at: number;
}

function columnsOf(result: Result, several: boolean): Column<Shown>[] {
  const own = result.columns.map((name, at): Column<Shown> => ({
    key: `c${at}`,
    title: name,
    width: 'minmax(9rem, 1fr)',
    sort: `c${at}`,
    card: at === 0 ? 'title' : 'line',
    cell: ({ row }) => {
      const value = row.values[at] ?? null;
      if (value === null) return <span className="null">null</span>;
      const isNumber = typeof value === 'number' || typeof value === 'bigint';
      return isNumber ? <span className="number">{String(value)}</span> : <Foreign text={cell(value)} max={CELL_MAX} />;
    },
  }));
  if (!several) return own.map((column, at) => (at > 3 ? { ...column, card: undefined } : column) as Column<Shown>);
  const whose: Column<Shown> = { key: 'host', title: 'Endpoint', width: 'minmax(9rem, 12rem)', sort: 'host', card: 'side', cell: ({ row }) => <Foreign text={row.hostName} max={60} /> };
  return [whose, ...own.map((column, at) => (at > 3 ? { ...column, card: undefined } : column) as Column<Shown>)];
}

function sorted({ rows }: Result, { by, descending }: { by: string; descending: boolean }): Row[] {
  if (by === '') return rows;
  const at = Number(by.slice(1));
  const order = by === 'host' ? (a: Row, b: Row) => compare(a.hostName, b.hostName) : (a: Row, b: Row) => compare(a.values[at] ?? null, b.values[at] ?? null);
  return [...rows].sort((a, b) => (descending ? order(b, a) : order(a, b)));
}

function Export({ result, sql }: { result: Result; sql: string }) {
  if (result.rows.length === 0) return null;
  const name = /\bfrom\s+([a-z_]+)/i.exec(sql)?.[1]?.toLowerCase() ?? 'rows';
  const line = (words: string, what: string) => (
    <span className="menu-two">
      <span>{words}</span>
      <span className="note">{what}</span>
    </span>
  );
  return (
    <Menu
      label="Take the rows along"
      className="button small"
      items={[
        { id: 'csv', text: 'CSV', words: line('CSV', 'Text that a spreadsheet would run gets an apostrophe'), act: () => save(`${name}.csv`, csv(result), 'text/csv') },
        { id: 'jsonl', text: 'JSON lines', words: line('JSON lines', 'Exact, one object a row'), act: () => save(`${name}.jsonl`, jsonLines(result), 'application/jsonl') },
        { id: 'copy', text: 'Copy as CSV', words: line('Copy as CSV', 'To paste elsewhere'), act: () => void navigator.clipboard.writeText(csv(result)) },
      ]}
    >
      <Download size={14} aria-hidden /> Export
    </Menu>
  );
}
