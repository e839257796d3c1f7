// Moments: in the zone of whoever reads, with UTC at hand, and how long ago.

import { span } from './measure';

const DAY = new Intl.DateTimeFormat(undefined, { day: '2-digit', month: 'short' });
const DATE = new Intl.DateTimeFormat(undefined, { day: '2-digit', month: 'short', year: 'numeric' });
const CLOCK = new Intl.DateTimeFormat(undefined, {
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  hourCycle: 'h23',
});

/** Milliseconds since 1970 of a moment as the API writes it; not a number if it cannot be read. */
export function milliseconds(rfc3339: string): number {
  return Date.parse(rfc3339.replace(/(\.\d{3})\d+/, '$1'));
}

/** Date and time of day in the reader's zone; the day is left out if it is today. */
export function moment(rfc3339: string, now = Date.now()): string {
  const at = new Date(milliseconds(rfc3339));
  if (Number.isNaN(at.getTime())) return rfc3339;
  const clock = CLOCK.format(at);
  const today = new Date(now);
  if (at.toDateString() === today.toDateString()) return clock;
  const day = at.getFullYear() === today.getFullYear() ? DAY : DATE;
  return `${day.format(at)}, ${clock}`;
}

/** The time of day with milliseconds, for rows that stand close together. */
export function clock(rfc3339: string): string {
  const at = new Date(milliseconds(rfc3339));
  if (Number.isNaN(at.getTime())) return rfc3339;
  return `${CLOCK.format(at)}.${String(at.getMilliseconds()).padStart(3, '0')}`;
}

/** The moment in UTC, to the millisecond. */
export function utc(rfc3339: string): string {
  const at = new Date(milliseconds(rfc3339));
  return Number.isNaN(at.getTime()) ? rfc3339 : at.toISOString().replace('T', ' ').replace('Z', ' UTC');
}

/** How long ago, or until when: `3m 20s ago`, `in 2h 05m`. */
export function relative(rfc3339: string, now: number): string {
  const secs = (now - milliseconds(rfc3339)) / 1000;
  if (Number.isNaN(secs)) return rfc3339;
  if (Math.abs(secs) < 5) return 'just now';
  return secs > 0 ? `${span(secs)} ago` : `in ${span(-secs)}`;
}

const MINUTE = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
const SECOND = new Intl.DateTimeFormat(undefined, { minute: '2-digit', second: '2-digit' });

/** A mark under an axis, in the reader's zone: the day where one begins, else the time. */
export function tick(at: Date, spanMs: number): string {
  if (at.getHours() === 0 && at.getMinutes() === 0 && at.getSeconds() === 0) return DAY.format(at);
  return spanMs < 240_000 ? SECOND.format(at) : MINUTE.format(at);
}
