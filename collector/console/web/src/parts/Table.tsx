// A table whose rows exist only while they are seen, so that ten thousand of them stay fluid. Its
// rows are walked with the arrow keys, opened with Enter and chosen with `x`; on a narrow page each
// becomes a card. A row that is not here yet keeps its place.

import { useVirtualizer } from '@tanstack/react-virtual';
import { type KeyboardEvent, type ReactNode, useEffect, useRef, useState } from 'react';

import { useNarrow } from '../shell/narrow';
import { type Choosing, ChooseBox, Head } from './TableHead';

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
  /** In their order; what is not here yet is undefined. */
  rows: (Row | undefined)[];
  total?: number;
  rowKey: (row: Row) => string;
  open?: (row: Row) => void;
  sorting?: Sorting;
  choosing?: Choosing | undefined;
  /** Asked for when the end of the rows comes near. */
  more?: (() => void) | undefined;
  /** Told which rows are seen, those just outside included. */
  seen?: (first: number, last: number) => void;
  /** When this changes the table begins at its first row again. */
  anew?: string;
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
const CHOOSE_TRACK = '1.3rem ';

const STEPS: Record<string, number> = {
  ArrowDown: 1, j: 1, ArrowUp: -1, k: -1, PageDown: 15, PageUp: -15, Home: -Infinity, End: Infinity,
};

export function Table<Row>(props: Props<Row>) {
  const { label, columns, rows, rowKey, open, choosing, more, seen, anew } = props;
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
  const first = items[0]?.index ?? 0;
  const last = items.at(-1)?.index ?? 0;
  useEffect(() => {
    if (more && last >= rows.length - 30) more();
  }, [more, last, rows.length]);
  useEffect(() => seen?.(first, last), [seen, first, last]);
  useEffect(() => virtual.measure(), [virtual, size]);
  const begun = useRef(anew);
  useEffect(() => {
    if (begun.current === anew) return;
    begun.current = anew;
    setActive(0);
    virtual.scrollToOffset(0);
  }, [anew, virtual]);

  const walk = (event: KeyboardEvent) => {
    const isRow = (event.target as HTMLElement).role === 'row';
    const step = STEPS[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (step !== undefined) {
      event.preventDefault();
      const to = Math.max(0, Math.min(rows.length - 1, active + step));
      setActive(to);
      virtual.scrollToIndex(to);
      focusSoon(scroller.current, to);
    } else if (event.key === 'Enter' && isRow) {
      const row = rows[active];
      if (row !== undefined) open?.(row);
    } else if (choosing && isRow && event.key.toLowerCase() === 'x') {
      choosing.turn(active, event.shiftKey);
    } else if (choosing && event.key === 'Escape' && choosing.count > 0) {
      choosing.none();
    }
  };
  const tracks = { gridTemplateColumns: (choosing ? CHOOSE_TRACK : '') + columns.map((column) => column.width).join(' ') };
  const wide = narrow ? {} : { minWidth: `${leastRem(columns) + (choosing ? 2.2 : 0)}rem` };
  const height = virtual.getTotalSize();
  return (
    <div
      ref={scroller}
      className={`table${narrow ? ' cards' : ''}${choosing ? ' choosing' : ''}`}
      role="grid"
      aria-label={label}
      aria-rowcount={props.total ?? rows.length}
      aria-multiselectable={choosing ? true : undefined}
      tabIndex={-1}
      style={props.height ? { maxHeight: props.height } : undefined}
      onKeyDown={walk}
    >
      <div role="rowgroup" className="table-head" style={wide}>
        <div role="row" className="table-row" style={tracks} aria-rowindex={1}>
          {choosing ? (
            <div role="columnheader" className="cell choose">
              <ChooseBox label={choosing.allLabel} state={choosing.count === 0 ? 'none' : 'some'} turn={() => (choosing.count > 0 ? choosing.none() : choosing.all())} />
            </div>
          ) : null}
          {columns.map((column) => (
            <Head key={column.key} title={column.title} sort={column.sort} {...(props.sorting ? { sorting: props.sorting } : {})} />
          ))}
        </div>
      </div>
      <div role="rowgroup" className="table-body" style={{ height, ...wide }}>
        {items.map((item) => {
          const row = rows[item.index];
          const isChosen = choosing !== undefined && row !== undefined && choosing.isChosen(item.index);
          const place = { ...(narrow ? {} : tracks), height: size, transform: `translateY(${item.start}px)` };
          if (row === undefined) {
            return (
              <div key={item.key} role="row" aria-busy aria-rowindex={item.index + 2} data-index={item.index} tabIndex={item.index === active ? 0 : -1} className="table-row waits-for" style={place}>
                <div role="gridcell" className="cell">
                  <span className="bone" />
                </div>
              </div>
            );
          }
          return (
            // Enter is heard by the table.
            // eslint-disable-next-line jsx-a11y/click-events-have-key-events
            <div
              key={rowKey(row)}
              role="row"
              aria-rowindex={item.index + 2}
              aria-selected={choosing ? isChosen : undefined}
              data-index={item.index}
              tabIndex={item.index === active ? 0 : -1}
              className={`table-row${open ? ' opens' : ''}${isChosen ? ' chosen' : ''}`}
              style={place}
              onFocus={() => setActive(item.index)}
              onClick={(event) => (choosing && event.shiftKey ? choosing.turn(item.index, true) : open?.(row))}
            >
              {choosing ? (
                <div role="gridcell" className="cell choose">
                  <ChooseBox label={choosing.label(item.index)} state={isChosen ? 'all' : 'none'} turn={(range) => choosing.turn(item.index, range)} />
                </div>
              ) : null}
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

/** A row far away is there a frame after it was scrolled to, or two. */
function focusSoon(scroller: HTMLElement | null, index: number, tries = 3) {
  requestAnimationFrame(() => {
    const row = scroller?.querySelector<HTMLElement>(`[data-index="${index}"]`);
    if (row) row.focus();
    else if (tries > 0) focusSoon(scroller, index, tries - 1);
  });
}
