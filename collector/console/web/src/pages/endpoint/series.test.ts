import { expect, test } from 'vitest';

import type { EventShown } from '../../api/types';
import { gaps } from '../../words/line';
import { disks, resources } from './series';

const T0 = Date.parse('2026-01-01T00:00:00Z');
const at = (secs: number) => new Date(T0 + secs * 1000).toISOString();

function health(secs: number, over: object): EventShown {
  const told = { cpu_us: 0, rss_bytes: 1000, uptime_secs: secs, sent_bytes: '0', lanes: [{ bytes: 5 }, { bytes: 7 }], ...over };
  return { class: 'health', time_dt: at(secs), health: told } as unknown as EventShown;
}

function disk(secs: number, path: string, free: number, over: object = {}): EventShown {
  const space = { bytes_total: '100', bytes_available: String(free), ...over };
  return { class: 'disk', time_dt: at(secs), mount: { path }, space } as unknown as EventShown;
}

const values = (points: { value: number | null }[]) => points.map((point) => point.value);

test('a share is what grew between two readings', () => {
  const told = resources([health(60, { cpu_us: 900_000, sent_bytes: '6000' }), health(30, { cpu_us: 300_000, sent_bytes: '3000' }), health(0, {})]);
  expect(values(told.cpu.points)).toEqual([1, 2]);
  expect(values(told.sent.points)).toEqual([100, 100]);
  expect(values(told.spool.points)).toEqual([12, 12, 12]);
});

test('where nothing was told a line ends, and no share is made up', () => {
  const told = resources([health(0, {}), health(30, { cpu_us: 300_000 }), health(300, { cpu_us: 600_000 }), health(330, { cpu_us: 600_000 })]);
  expect(values(told.memory.points)).toEqual([1000, 1000, null, 1000, 1000]);
  expect(gaps(told.memory.points)).toEqual([[T0 + 30_000, T0 + 300_000]]);
  expect(values(told.cpu.points)).toEqual([1, null, 0]);
});

test('an agent that began again has no share over its beginning', () => {
  const told = resources([health(0, { uptime_secs: 900, cpu_us: 900_000 }), health(30, { uptime_secs: 5, cpu_us: 100_000 })]);
  expect(values(told.cpu.points)).toEqual([null]);
});

test('what an old agent does not tell is not nought', () => {
  const told = resources([health(0, { sent_bytes: null, lanes: null }), health(30, { sent_bytes: null, lanes: null })]);
  expect(values(told.sent.points)).toEqual([null]);
  expect(values(told.spool.points)).toEqual([null, null]);
});

test('file systems are told apart, the fullest first, with when they will be full', () => {
  const told = disks([disk(60, '/var', 10, { full_in_secs: 600, confidence_percent: 80 }), disk(0, '/var', 20), disk(0, '/', 50)]);
  expect(told.lines.map((line) => [line.name, values(line.points)])).toEqual([['/var', [80, 90]], ['/', [50]]]);
  expect(told.lines[0]?.forecast).toEqual({ from: { at: T0 + 60_000, value: 90 }, fullAt: T0 + 660_000, percentSure: 80 });
  expect(told.beyond).toBe(0);
});

test('disks beyond those drawn are counted', () => {
  const many = Array.from({ length: 9 }, (_, index) => disk(0, `/mnt/${index}`, index));
  expect(disks(many)).toMatchObject({ beyond: 3 });
  expect(disks([disk(0, '/', 5, { bytes_total: '0' })]).lines).toEqual([]);
});
