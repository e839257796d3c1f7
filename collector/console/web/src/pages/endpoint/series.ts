// What an endpoint told of its resources, as lines over time. Pure. Where it told nothing for longer
// than it usually takes, a line ends and another begins: nothing is guessed in between.

import type { EventShown } from '../../api/types';
import { interrupted, type Line, type Point } from '../../words/line';
import { word } from '../../words/summary';
import { milliseconds } from '../../words/time';

/** An agent reports health every 30 s; after so long without one, one is missing. */
export const HEALTH_GAP_MS = 75_000;

/** Readings of a disk come every minute, and less often where little happens. */
export const DISK_GAP_MS = 11 * 60_000;

/** Disks drawn; those fullest now come first. */
export const DISKS_MAX = 6;

export interface Resources {
  cpu: Line;
  memory: Line;
  sent: Line;
  spool: Line;
  memoryMax: number | null;
  spoolMax: number | null;
  cpuMax: number | null;
}

interface Reading {
  at: number;
  cpuUs: number;
  uptime: number;
  rss: number;
  sent: number | null;
  spool: number | null;
}

/** The number at a path of an event; null if there is none. */
function numberAt(event: unknown, path: string): number | null {
  const found = word(event, path);
  return found === '' || Number.isNaN(Number(found)) ? null : Number(found);
}

function reading(event: EventShown): Reading {
  const health = event['health'] as { lanes?: { bytes?: number | string }[] } | undefined;
  const lanes = health?.lanes;
  return {
    at: milliseconds(event.time_dt),
    cpuUs: numberAt(event, 'health.cpu_us') ?? 0,
    uptime: numberAt(event, 'health.uptime_secs') ?? 0,
    rss: numberAt(event, 'health.rss_bytes') ?? 0,
    sent: numberAt(event, 'health.sent_bytes'),
    spool: Array.isArray(lanes) ? lanes.reduce((sum, lane) => sum + Number(lane.bytes ?? 0), 0) : null,
  };
}

/** What grew between two readings of one run of the agent, each second; null where that is not known. */
function rate(before: Reading, now: Reading, of: (reading: Reading) => number | null): number | null {
  const secs = (now.at - before.at) / 1000;
  const [from, to] = [of(before), of(now)];
  const isOneRun = now.uptime >= before.uptime && secs > 0 && now.at - before.at <= HEALTH_GAP_MS;
  return isOneRun && from !== null && to !== null && to >= from ? (to - from) / secs : null;
}

export function resources(events: EventShown[]): Resources {
  const told = events.filter((event) => event.class === 'health');
  const readings = told.map(reading).sort((a, b) => a.at - b.at);
  const level = (name: string, of: (reading: Reading) => number | null): Line => ({
    name,
    points: interrupted(readings.map((one) => ({ at: one.at, value: of(one) })), HEALTH_GAP_MS),
  });
  const flow = (name: string, of: (reading: Reading) => number | null): Line => ({
    name,
    points: readings.slice(1).map((now, index) => {
      const before = readings[index];
      return { at: now.at, value: before ? rate(before, now, of) : null };
    }),
  });
  const newest = told.reduce<EventShown | undefined>((a, b) => (a && a.time_dt > b.time_dt ? a : b), undefined);
  return {
    cpu: flow('Processor', (one) => one.cpuUs / 1e4),
    memory: level('Memory', (one) => one.rss),
    sent: flow('Sent', (one) => one.sent),
    spool: level('Waiting to be sent', (one) => one.spool),
    cpuMax: numberAt(newest, 'health.budget.cpu_percent'),
    memoryMax: numberAt(newest, 'health.budget.memory_bytes'),
    spoolMax: numberAt(newest, 'health.budget.spool_bytes'),
  };
}

/** How full each file system was, in percent, the fullest first; with how many there are beyond those. */
export function disks(events: EventShown[]): { lines: Line[]; beyond: number } {
  const byPath = new Map<string, { point: Point; event: EventShown }[]>();
  for (const event of events) {
    const [path, total] = [word(event, 'mount.path'), numberAt(event, 'space.bytes_total')];
    if (event.class !== 'disk' || path === '' || !total) continue;
    const free = numberAt(event, 'space.bytes_available') ?? 0;
    const value = Math.min(100, Math.max(0, (1 - free / total) * 100));
    const known = byPath.get(path) ?? [];
    known.push({ point: { at: milliseconds(event.time_dt), value }, event });
    byPath.set(path, known);
  }
  const lines = [...byPath].map(([name, told]): Line => {
    const sorted = told.sort((a, b) => a.point.at - b.point.at);
    const points = interrupted(sorted.map((one) => one.point), DISK_GAP_MS);
    const last = sorted.at(-1);
    const secs = last ? numberAt(last.event, 'space.full_in_secs') : null;
    if (!last || secs === null) return { name, points };
    const percentSure = numberAt(last.event, 'space.confidence_percent');
    return { name, points, forecast: { from: last.point, fullAt: last.point.at + secs * 1000, percentSure } };
  });
  lines.sort((a, b) => (b.points.at(-1)?.value ?? 0) - (a.points.at(-1)?.value ?? 0));
  return { lines: lines.slice(0, DISKS_MAX), beyond: Math.max(0, lines.length - DISKS_MAX) };
}
