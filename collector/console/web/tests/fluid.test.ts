// How fluid the console is over very many endpoints: what its first page weighs, when it is painted,
// how long frames take while the list rushes by, how soon a sort or a filter is there, and how long the
// collector took for each list. Measures, and judges nothing; `cargo measure console` tells of it.

import { writeFile } from 'node:fs/promises';

import { type Browser, type BrowserContext, type Page } from 'playwright-core';
import { afterAll, beforeAll, test } from 'vitest';

import { comeIn } from './arrival';
import { launch, open, world } from './world';

const ROW_PX = 40;
const count = Number(process.env['CORDON_COUNT']);
const figures: Record<string, number> = {};

let browser: Browser;
let ann: BrowserContext;

beforeAll(async () => {
  browser = await launch();
  ann = await open(browser);
  await comeIn(ann, 'ann', world.invitation);
});

afterAll(async () => {
  await browser.close();
  await writeFile(process.env['CORDON_FIGURES'] ?? '', JSON.stringify(figures));
});

const percentile = (values: number[], percent: number) => {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil((sorted.length * percent) / 100) - 1)] ?? Number.NaN;
};

/** Opens a page with nothing kept from before; when what matters on it was there. */
async function fresh(path: string, ready: string): Promise<{ page: Page; painted: number; useful: number; kib: number }> {
  const page = await ann.newPage();
  const devtools = await ann.newCDPSession(page);
  await devtools.send('Network.setCacheDisabled', { cacheDisabled: true });
  await page.addInitScript(() => performance.setResourceTimingBufferSize(5000));
  await page.goto(world.url + path);
  const useful = await page.waitForFunction((sought) => document.querySelector(sought) && performance.now(), ready, { polling: 'raf' });
  // A busy browser notes a moment later what it has painted.
  await page.waitForFunction(() => performance.getEntriesByName('first-contentful-paint').length > 0);
  const { painted, bytes } = await page.evaluate(() => {
    const all = [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')] as PerformanceResourceTiming[];
    const built = all.filter((one) => !one.name.includes('/api/'));
    const first = performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? Number.NaN;
    return { painted: first, bytes: built.reduce((sum, one) => sum + one.encodedBodySize, 0) };
  });
  return { page, painted, useful: (await useful.jsonValue()) as number, kib: bytes / 1024 };
}

test('the first page', async () => {
  const rounds = [];
  for (let round = 0; round < 5; round += 1) {
    const { page, ...one } = await fresh('/', '.fleet-count');
    rounds.push(one);
    await page.close();
  }
  figures['first_paint_ms'] = percentile(rounds.map((one) => one.painted), 50);
  figures['first_figures_ms'] = percentile(rounds.map((one) => one.useful), 50);
  figures['first_page_kib'] = percentile(rounds.map((one) => one.kib), 50);
});

test('the list, walked, sorted and filtered', async () => {
  const { page, useful } = await fresh('/c/acme/endpoints', '[data-index="0"] .name');
  figures['first_rows_ms'] = useful;
  await walk(page, '');
  figures['far_row_ms'] = await until(page, (at) => {
    document.querySelector('[role=grid]')?.scrollTo({ top: at * 40 });
  }, (at) => document.querySelector(`[data-index="${at + 2}"]:not([aria-busy])`) !== null, Math.min(20_000, count - 100));
  // Names go by numbers, from those that are nearly 0 to those that are nearly all.
  figures['sort_ms'] = await until(page, () => {
    document.querySelectorAll<HTMLElement>('button.sort')[0]?.click();
  }, (first) => Number(/[0-9]+$/.exec(document.querySelector('[data-index="0"] .name')?.textContent ?? '')?.[0]) > first, Math.floor(count / 2));
  const text = '-002';
  await page.getByRole('searchbox').fill(text);
  const begun = Date.now();
  await page.waitForFunction((sought) => new URL(location.href).searchParams.get('text') === sought, text, { polling: 'raf' });
  await page.waitForFunction((all) => Number(document.querySelector('[role=grid]')?.getAttribute('aria-rowcount')) < all, count, { polling: 'raf' });
  figures['filter_ms'] = Date.now() - begun;
  const server = await page.evaluate(() => {
    const asked = performance.getEntriesByType('resource') as PerformanceResourceTiming[];
    const lists = asked.filter((one) => new URL(one.name).pathname === '/api/v1/endpoints');
    return lists.flatMap((one) => one.serverTiming.map((timing) => timing.duration));
  });
  figures['lists'] = server.length;
  figures['list_server_p50_ms'] = percentile(server, 50);
  figures['list_server_p99_ms'] = percentile(server, 99);
  const counts = await page.evaluate(async () => {
    for (let round = 0; round < 20; round += 1) await fetch('/api/v1/endpoints/counts');
    const asked = performance.getEntriesByType('resource') as PerformanceResourceTiming[];
    const found = asked.filter((one) => new URL(one.name).pathname === '/api/v1/endpoints/counts');
    return found.flatMap((one) => one.serverTiming.map((timing) => timing.duration));
  });
  figures['counts_server_p99_ms'] = percentile(counts, 99);
});

test('the list, walked while all endpoints are cut off and come back', async ({ skip }) => {
  const storm = process.env['CORDON_STORM'];
  if (!storm) return skip();
  const { page } = await fresh('/c/acme/endpoints', '[data-index="0"] .name');
  await writeFile(storm, '');
  await walk(page, 'storm_');
});

/** Twelve seconds of steady scrolling: as fast as a wheel goes, then as fast as a hand drags the bar. */
async function walk(page: Page, before: string) {
  const { frames, long, empty } = await page.evaluate(
    async ({ rows, rowPx }) => {
      const table = document.querySelector<HTMLElement>('[role=grid]');
      if (!table) throw new Error('there is no table');
      const long: number[] = [];
      const watch = new PerformanceObserver((list) => list.getEntries().forEach((one) => long.push(one.duration)));
      watch.observe({ entryTypes: ['longtask'] });
      const frames: number[] = [];
      let empty = 0;
      const end = rows * rowPx - table.clientHeight;
      let last = await new Promise<number>(requestAnimationFrame);
      for (let frame = 0; frame < 720; frame += 1) {
        table.scrollTop += frame < 360 ? 160 : end / 360;
        const now = await new Promise<number>(requestAnimationFrame);
        frames.push(now - last);
        last = now;
        if (table.querySelector('[aria-busy]')) empty += 1;
      }
      watch.disconnect();
      return { frames, long, empty };
    },
    { rows: count, rowPx: ROW_PX },
  );
  figures[`${before}frame_median_ms`] = percentile(frames, 50);
  figures[`${before}frame_p95_ms`] = percentile(frames, 95);
  figures[`${before}frame_longest_ms`] = Math.max(...frames);
  figures[`${before}long_tasks`] = long.length;
  figures[`${before}long_task_longest_ms`] = Math.max(0, ...long);
  figures[`${before}frames_with_a_row_on_its_way_percent`] = (empty / frames.length) * 100;
}

/** Milliseconds from an act until something is so, by the page's own frames. */
function until(page: Page, act: (at: number) => void, isSo: (at: number) => boolean, at: number): Promise<number> {
  return page.evaluate(
    `(async () => {
      const begun = performance.now();
      (${act.toString()})(${at});
      while (!(${isSo.toString()})(${at})) {
        await new Promise(requestAnimationFrame);
        if (performance.now() - begun > 30000) throw new Error('not within 30 s');
      }
      return performance.now() - begun;
    })()`,
  );
}
