// Which endpoints are chosen, to do one thing with all of them. They stay chosen while the list is
// narrowed and sorted; another client's page begins with none.

import { useRef, useState } from 'react';

import { api, take } from '../../api/client';
import type { Endpoint } from '../../api/types';
import { plain } from '../../words/foreign';
import { many } from '../../words/measure';
import type { Choosing } from '../../parts/TableHead';
import type { Rows } from './rows';

/** As many as one command names. */
export const CHOSEN_MAX = 256;

export interface Choice {
  chosen: Endpoint[];
  choosing: Choosing;
  /** What a person has to know of the last choosing. */
  told: string | null;
  none: () => void;
}

export function useChoice({ rows, total, question }: Rows): Choice {
  const [chosen, setChosen] = useState<Map<string, Endpoint>>(new Map());
  const [told, setTold] = useState<string | null>(null);
  const anchor = useRef<number | null>(null);

  const add = (found: Endpoint[], wanted: number) => {
    const next = new Map(chosen);
    for (const one of found) {
      if (next.size < CHOSEN_MAX || next.has(one.id)) next.set(one.id, one);
    }
    const isAll = found.every((one) => next.has(one.id)) && found.length >= wanted;
    setTold(isAll ? null : `${many(next.size, 'endpoint')} of ${wanted.toLocaleString('en')} are chosen: one command names at most ${CHOSEN_MAX}.`);
    setChosen(next);
  };
  const fetch = async (offset: number, limit: number): Promise<Endpoint[]> => {
    const query = { ...question, offset, limit: Math.min(limit, CHOSEN_MAX) };
    return (await take(api.GET('/api/v1/endpoints', { params: { query } }))).items;
  };
  const asking = (asked: Promise<Endpoint[]>, wanted: number) => {
    asked.then((found) => add(found, wanted)).catch((error: Error) => setTold(error.message));
  };
  const turn = (index: number, range: boolean) => {
    const from = anchor.current;
    anchor.current = index;
    if (range && from !== null && from !== index) {
      const [low, high] = [Math.min(from, index), Math.max(from, index)];
      const between = rows.slice(low, high + 1);
      const here = between.filter((row) => row !== undefined);
      if (here.length === between.length) add(here, between.length);
      else asking(fetch(low, between.length), between.length);
      return;
    }
    const row = rows[index];
    if (row === undefined) return;
    if (!chosen.has(row.id)) return add([row], 1);
    const next = new Map(chosen);
    next.delete(row.id);
    setTold(null);
    setChosen(next);
  };
  const none = () => {
    anchor.current = null;
    setTold(null);
    setChosen(new Map());
  };
  const choosing: Choosing = {
    count: chosen.size,
    isChosen: (index) => chosen.has(rows[index]?.id ?? ''),
    turn,
    all: () => asking(fetch(0, total ?? 0), total ?? 0),
    none,
    label: (index) => `Choose ${plain(rows[index]?.host_name ?? '', 80)}`,
    allLabel: chosen.size > 0 ? 'Choose none' : 'Choose all that fit',
  };
  return { chosen: [...chosen.values()], choosing, told, none };
}
