// The time that evidence is of: a span before now, or from and to. Pure.

export interface Span {
  since: string;
  until: string;
}

/** Spans before now that are offered: in minutes. */
export const SPANS: [string, string, number][] = [
  ['1h', 'The last hour', 60],
  ['24h', 'The last 24 hours', 24 * 60],
  ['7d', 'The last 7 days', 7 * 24 * 60],
  ['30d', 'The last 30 days', 30 * 24 * 60],
];

export const SPAN_USUAL = '24h';

/** A span by its name. */
export function before(name: string, nowMs: number): Span {
  const minutes = SPANS.find(([key]) => key === name)?.[2] ?? 24 * 60;
  return { since: new Date(nowMs - minutes * 60_000).toISOString(), until: new Date(nowMs).toISOString() };
}

/** The narrowest span around moments; it ends behind the last, which may have more digits. */
export function around(moments: number[]): Span | null {
  if (moments.length === 0) return null;
  return { since: new Date(Math.min(...moments)).toISOString(), until: new Date(Math.max(...moments) + 1).toISOString() };
}

const two = (number: number) => String(number).padStart(2, '0');

/** A moment as a field for date and time takes it, in the reader's zone. */
export function toField(rfc3339: string): string {
  const at = new Date(rfc3339);
  if (Number.isNaN(at.getTime())) return '';
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}T${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

/** What such a field says, as a moment; null of nothing. */
export function fromField(text: string): string | null {
  const at = new Date(text);
  return text === '' || Number.isNaN(at.getTime()) ? null : at.toISOString();
}
