// What an isolation would cut, put in order for a person: what must be known first, what ends, what
// stays. All of it is the endpoint's own word. Pure.

import type { Preview } from '../api/types';
import { plain } from '../words/foreign';
import { many } from '../words/measure';

export interface Flow {
  direction: string | null;
  transport: string;
  address: string;
  port: number;
  names: string[];
  program: string | null;
  count: number;
  open: number;
  fate: 'cut' | 'kept' | 'unknown';
  why: string;
}

export interface Listener {
  transport: string;
  address: string;
  port: number;
  program: string | null;
  fate: 'cut' | 'kept' | 'unknown';
  why: string;
}

interface Judged {
  role: string;
  because: string[];
  settled: boolean;
}

interface Login {
  user: string | null;
  from: string;
}

export interface Forecast {
  /** What must be known before anything else. */
  warnings: string[];
  ends: Flow[];
  stays: Flow[];
  unknown: Flow[];
  closes: Listener[];
  /** Connections that stand now and end. */
  openCount: number;
}

export function forecast(preview: Preview): Forecast {
  const flows = preview.flows as unknown as Flow[];
  const of = (fate: Flow['fate']) => flows.filter((flow) => flow.fate === fate).sort((a, b) => b.open - a.open);
  const ends = of('cut');
  const warnings = (preview.roles as unknown as Judged[]).map(
    ({ role, because }) => `It is a ${role.replaceAll('_', ' ')} for others: ${plain(because.join('; '), 300)}`,
  );
  for (const { user, from } of preview.sessions as unknown as Login[]) {
    warnings.push(`${plain(user ?? 'Somebody', 80)} is logged in from ${plain(from, 80)} and is cut off`);
  }
  return {
    warnings,
    ends,
    stays: of('kept'),
    unknown: of('unknown'),
    closes: (preview.listeners as unknown as Listener[]).filter((one) => one.fate === 'cut'),
    openCount: ends.reduce((sum, flow) => sum + flow.open, 0),
  };
}

/** Why isolating it takes two persons, whatever the roster says; null if it does not. */
export function second(preview: Preview | undefined): string | null {
  if (preview?.needs_second) return plain(preview.needs_second, 300);
  return preview?.critical ? 'Signed policy calls it critical' : null;
}

/** All of it in one line. */
export function inShort({ ends, stays, unknown, closes, openCount }: Forecast): string {
  const parts = [
    ends.length === 0 ? 'No connection that was told of ends' : `${many(ends.length, 'kind')} of connection ${ends.length === 1 ? 'ends' : 'end'}${openCount > 0 ? ` (${openCount} stand now)` : ''}`,
    `${stays.length} ${stays.length === 1 ? 'is' : 'are'} kept`,
  ];
  if (unknown.length > 0) parts.push(`${unknown.length} cannot be told`);
  parts.push(closes.length === 0 ? 'no port closes' : `${many(closes.length, 'port')} ${closes.length === 1 ? 'closes' : 'close'}`);
  return parts.join(', ');
}

/** The other end of a flow, as it is known best. */
export function end({ direction, transport, address, port, names }: Flow): string {
  const place = `${address.includes(':') ? `[${address}]` : address}:${port}`;
  const way = direction === 'in' || direction === 'inbound' ? 'from' : 'to';
  const name = names[0] === undefined ? '' : ` (${plain(names[0], 80)})`;
  return `${way} ${transport} ${place}${name}`;
}
