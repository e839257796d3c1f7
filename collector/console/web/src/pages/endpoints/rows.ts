// The rows of a long list by their places: only the pages that are seen are asked for, wherever in the
// list they are, and what is no longer seen before it came is given up.

import { keepPreviousData, useQueries, useQuery } from '@tanstack/react-query';
import { useCallback, useEffect, useMemo, useRef, useState } from 'react';

import { api, take } from '../../api/client';
import type { Endpoint } from '../../api/types';
import type { Question } from './question';

/** Rows asked for at once: three windows full. */
export const PAGE = 100;

/** Rows beyond those seen that are asked for with them. */
const AHEAD = 40;

/** Somebody who drags the bar far away passes pages that are not asked for. */
const SETTLE_MS = 90;

const page = (question: Question, number: number) => ({
  queryKey: [question.client, 'endpoints', 'list', question, number],
  queryFn: ({ signal }: { signal: AbortSignal }) =>
    take(api.GET('/api/v1/endpoints', { params: { query: { ...question, limit: PAGE, offset: number * PAGE } }, signal })),
});

export interface Rows {
  rows: (Endpoint | undefined)[];
  total: number | undefined;
  /** The question that these rows answer: another one's stay until its own are here. */
  question: Question;
  error: Error | null;
  seen: (first: number, last: number) => void;
}

export function useRows(asked: Question): Rows {
  const head = useQuery({ ...page(asked, 0), placeholderData: keepPreviousData });
  const key = JSON.stringify(asked);
  const [answered, setAnswered] = useState({ key, question: asked });
  if (head.data && !head.isPlaceholderData && answered.key !== key) setAnswered({ key, question: asked });
  const [window, setWindow] = useState({ first: 0, last: 0 });
  const waiting = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const now = useRef(window);
  const seen = useCallback((firstRow: number, lastRow: number) => {
    const next = { first: Math.floor(Math.max(0, firstRow - AHEAD) / PAGE), last: Math.floor((lastRow + AHEAD) / PAGE) };
    clearTimeout(waiting.current);
    const go = () => {
      if (now.current.first === next.first && now.current.last === next.last) return;
      now.current = next;
      setWindow(next);
    };
    const isNear = next.first <= now.current.last + 1 && next.last >= now.current.first - 1;
    if (isNear) go();
    else waiting.current = setTimeout(go, SETTLE_MS);
  }, []);
  useEffect(() => () => clearTimeout(waiting.current), []);
  const total = head.data?.total;
  const beyond = Math.max(0, Math.ceil((total ?? 0) / PAGE) - 1);
  const first = Math.min(window.first, beyond);
  const last = Math.min(window.last, beyond);
  const pages = useQueries({
    queries: Array.from({ length: last - first + 1 }, (_, index) => page(answered.question, first + index)),
  });
  // Pages are the same as long as they came at the same time.
  const stamp = `${answered.key} ${total} ${first} ${pages.map((one) => one.dataUpdatedAt).join(' ')}`;
  const rows = useMemo(() => {
    const all: (Endpoint | undefined)[] = Array.from({ length: total ?? 0 });
    pages.forEach((one, at) => {
      one.data?.items.forEach((row, index) => {
        const place = (first + at) * PAGE + index;
        if (place < all.length) all[place] = row;
      });
    });
    return all;
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [stamp]);
  const error = head.error ?? pages.find((one) => one.error)?.error ?? null;
  return { rows, total, question: answered.question, error, seen };
}
