// A table whose rows exist only while they are seen, so that ten thousand of them stay fluid. Its
// rows are walked with the arrow keys and opened with Enter; on a narrow page each becomes a card.

import { useVirtualizer } from '@tanstack/react-virtual';
import { ArrowDown, ArrowUp } from 'lucide-react';
import { type KeyboardEvent, type ReactNode, useEffect, useRef, useState } from 'react';

import { useNarrow } from '../shell/narrow';

export interface Column<Row> {
  key: string;
  title: string;
  /** A track of the grid: `minmax(10rem, 2fr)`. */
  width: string;
  cell: (row: Row) => ReactNode;
  /** By what the server sorts for it. */
  sort?: string;
  /** Where it goes on a card; left out of it if nothing is said. */
  card?: 'title' | 'side' | 'line';
}

export interface Sorting {
  by: string;
  descending: boolean;
  change: (by: string, descending: boolean) => void;
}

interface Props<Row> {
  label: string;
  columns: Column<Row>[];
  rows: Row[];
  total?: number;
  rowKey: (row: Row) => string;
  open?: (row: Row) => void;
  sorting?: Sorting;
  /** Asked for when the end of the rows comes near. */
  more?: (() => void) | undefined;
  /** How many rows high it is before it scrolls by itself. */
  height?: string;
}

/** The least that the columns need, so that head and rows scroll as one. */
function leastRem<Row>(columns: Column<Row>[]): number {
  const least = (width: string) => Number(/([\d.]+)rem/.exec(width)?.[1] ?? 8);
  return columns.reduce((sum, column) => sum + least(column.width) + 0.9, 1.1);
}

const ROW_PX = 40;
const CARD_PX = 76;

export function Table<Row>(props: Props<Row>) {
  const { label, columns, rows, rowKey, open, more } = props;
  const narrow = useNarrow();
  const scroller = useRef<HTMLDivElement>(null);
  const [active, setActive] = useState(0);
  const size = narrow ? CARD_PX : ROW_PX;
  // The compiler that would memoise this is not in use; the virtualizer hands out fresh rows.
  // eslint-disable-next-line react-hooks/incompatible-library
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => size,
    overscan: 12,
  });
  const items = virtual.getVirtualItems();
  const last = items.at(-1)?.index ?? 0;
  useEffect(() => {
    if (more && last >= rows.length - 30) more();
  }, [more, last, rows.length]);
  useEffect(() => virtual.measure(), [virtual, size]);

  const walk = (event: KeyboardEvent) => {
    const steps: Record<string, number> = {
      ArrowDown: 1, j: 1, ArrowUp: -1, k: -1, PageDown: 15, PageUp: -15, Home: -rows.length, End: rows.length,
    };
    const step = steps[event.key];
    if (step !== undefined) {
      event.preventDefault();
      const to = Math.max(0, Math.min(rows.length - 1, active + step));
      setActive(to);
      virtual.scrollToIndex(to);
      requestAnimationFrame(() => {
        scroller.current?.querySelector<HTMLElement>(`[data-index="${to}"]`)?.focus();
      });
    } else if (event.key === 'Enter' && (event.target as HTMLElement).role === 'row') {
      const row = rows[active];
      if (row !== undefined) open?.(row);
    }
  };
  const tracks = { gridTemplateColumns: columns.map((column) => column.width).join(' ') };
  const wide = narrow ? {} : { minWidth: `${leastRem(columns)}rem` };
  const height = virtual.getTotalSize();
  return (
    <div
      ref={scroller}
      className={narrow ? 'table cards' : 'table'}
      role="grid"
      aria-label={label}
      aria-rowcount={props.total ?? rows.length}
      tabIndex={-1}
      style={props.height ? { maxHeight: props.height } : undefined}
      onKeyDown={walk}
    >
      <div role="rowgroup" className="table-head" style={wide}>
        <div role="row" className="table-row" style={tracks} aria-rowindex={1}>
          {columns.map((column) => (
            <Head key={column.key} column={column} {...(props.sorting ? { sorting: props.sorting } : {})} />
          ))}
        </div>
      </div>
      <div role="rowgroup" className="table-body" style={{ height, ...wide }}>
        {items.map((item) => {
          const row = rows[item.index];
          if (row === undefined) return null;
          return (
            // Enter is heard by the table.
            // eslint-disable-next-line jsx-a11y/click-events-have-key-events
            <div
              key={rowKey(row)}
              role="row"
              aria-rowindex={item.index + 2}
              data-index={item.index}
              tabIndex={item.index === active ? 0 : -1}
              className={open ? 'table-row opens' : 'table-row'}
              style={{ ...(narrow ? {} : tracks), height: size, transform: `translateY(${item.start}px)` }}
              onFocus={() => setActive(item.index)}
              onClick={() => open?.(row)}
            >
              {(narrow ? columns.filter((column) => column.card) : columns).map((column) => (
                <div key={column.key} role="gridcell" className={`cell ${narrow ? `card-${column.card}` : ''}`}>
                  {column.cell(row)}
                </div>
              ))}
            </div>
          );
        })}
      </div>
    </div>
  );
}

function Head<Row>({ column, sorting }: { column: Column<Row>; sorting?: Sorting }) {
  const { sort } = column;
  const isBy = sorting !== undefined && sort !== undefined && sorting.by === sort;
  const order = isBy ? (sorting.descending ? 'descending' : 'ascending') : 'none';
  return (
    <div role="columnheader" className="cell" aria-sort={sort ? order : undefined}>
      {sort && sorting ? (
        <button type="button" className="sort" onClick={() => sorting.change(sort, isBy && !sorting.descending)}>
          {column.title}
          {isBy ? sorting.descending ? <ArrowDown size={13} /> : <ArrowUp size={13} /> : null}
        </button>
      ) : (
        column.title
      )}
    </div>
  );
}
