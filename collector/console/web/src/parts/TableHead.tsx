// What a table has beside its rows: heads that sort, and boxes that choose.

import { ArrowDown, ArrowUp } from 'lucide-react';
import { useEffect, useRef } from 'react';

import type { Sorting } from './Table';

/** Rows that are chosen, by their places. */
export interface Choosing {
  count: number;
  isChosen: (index: number) => boolean;
  /** Chooses a row or lets it go; with `range`, all from the one before on. */
  turn: (index: number, range: boolean) => void;
  all: () => void;
  none: () => void;
  /** Whose row it is, for those who cannot see. */
  label: (index: number) => string;
  allLabel: string;
}

export function Head({ title, sort, sorting }: { title: string; sort: string | undefined; sorting?: Sorting }) {
  const isBy = sorting !== undefined && sort !== undefined && sorting.by === sort;
  const order = isBy ? (sorting.descending ? 'descending' : 'ascending') : 'none';
  return (
    <div role="columnheader" className="cell" aria-sort={sort ? order : undefined}>
      {sort && sorting ? (
        <button type="button" className="sort" onClick={() => sorting.change(sort, isBy && !sorting.descending)}>
          {title}
          {isBy ? sorting.descending ? <ArrowDown size={13} /> : <ArrowUp size={13} /> : null}
        </button>
      ) : (
        title
      )}
    </div>
  );
}

interface BoxProps {
  label: string;
  state: 'none' | 'some' | 'all';
  turn: (range: boolean) => void;
}

export function ChooseBox({ label, state, turn }: BoxProps) {
  const box = useRef<HTMLInputElement>(null);
  useEffect(() => {
    if (box.current) box.current.indeterminate = state === 'some';
  }, [state]);
  return (
    // The whole cell is pressed; what was pressed here does not open the row.
    // eslint-disable-next-line jsx-a11y/click-events-have-key-events, jsx-a11y/no-noninteractive-element-interactions
    <label className="choose-box" onClick={(event) => event.stopPropagation()}>
      <input
        ref={box}
        type="checkbox"
        tabIndex={-1}
        aria-label={label}
        checked={state === 'all'}
        onChange={(event) => turn((event.nativeEvent as MouseEvent).shiftKey)}
      />
    </label>
  );
}
