// What a question may cost at most: each limit within what the protocol allows, and all of them signed.

import { Choice } from '../../parts/Input';
import { bytes, span } from '../../words/measure';
import { LIMITS } from './schema';

export interface Limited {
  rows: number;
  bytes: number;
  timeMs: number;
}

export const USUAL: Limited = { rows: 1_000, bytes: LIMITS.bytes, timeMs: 10_000 };

const ROWS = [100, 1_000, 10_000, LIMITS.rows];
const BYTES = [64 << 10, 1 << 20, LIMITS.bytes];
const TIMES_MS = [2_000, 10_000, 30_000, LIMITS.timeMs];

interface Props {
  limits: Limited;
  change: (limits: Limited) => void;
}

export function Limits({ limits, change }: Props) {
  const set = (name: keyof Limited) => (value: string) => change({ ...limits, [name]: Number(value) });
  const options = (values: number[], words: (value: number) => string) => values.map((value): [string, string] => [String(value), words(value)]);
  return (
    <fieldset className="limits">
      <legend>Of each endpoint at most</legend>
      <Choice label="Rows" value={String(limits.rows)} onChange={set('rows')} options={options(ROWS, (rows) => `${rows.toLocaleString('en')} rows`)} />
      <Choice label="Bytes" value={String(limits.bytes)} onChange={set('bytes')} options={options(BYTES, bytes)} />
      <Choice label="Time" value={String(limits.timeMs)} onChange={set('timeMs')} options={options(TIMES_MS, (ms) => span(ms / 1000))} />
    </fieldset>
  );
}
