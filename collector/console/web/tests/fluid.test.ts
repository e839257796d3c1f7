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
  const scrolled = await page.evaluate(
    async ({ rows, rowPx }) => {
      const table = document.querySelector<HTMLElement>('[role=grid]');
      if (!table) throw new Error('there is no table');
      const long: number[] = [];
      const watch = new PerformanceObserver((list) => list.getEntries().forEach((one) => long.push(one.duration)));
      watch.observe({ entryTypes: ['longtask'] });
      const frames: number[] = [];
      let empty = 0;
      // Twelve seconds of steady scrolling: as fast as a wheel goes, then as fast as a hand drags the bar.
      const end = rows * rowPx - table.clientHeight;
      let before = await new Promise<number>(requestAnimationFrame);
      for (let frame = 0; before < Infinity && frame < 720; frame += 1) {
        table.scrollTop += frame < 360 ? 160 : end / 360;
        const now = await new Promise<number>(requestAnimationFrame);
        frames.push(now - before);
        before = now;
        if (table.querySelector('[aria-busy]')) empty += 1;
      }
      watch.disconnect();
      return { frames, long, empty };
    },
    { rows: count, rowPx: ROW_PX },
  );
  figures['frame_median_ms'] = percentile(scrolled.frames, 50);
  figures['frame_p95_ms'] = percentile(scrolled.frames, 95);
  figures['frame_longest_ms'] = Math.max(...scrolled.frames);
  figures['long_tasks'] = scrolled.long.length;
  figures['long_task_longest_ms'] = Math.max(0, ...scrolled.long);
  figures['frames_with_a_row_on_its_way_percent'] = (scrolled.empty / scrolled.frames.length) * 100;
  figures['row_20000_ms'] = await until(page, (at) => {
    document.querySelector('[role=grid]')?.scrollTo({ top: at * 40 });
  }, (at) => document.querySelector(`[data-index="${at + 2}"]:not([aria-busy])`) !== null, Math.min(20_000, count - 100));
  figures['sort_ms'] = await until(page, () => {
    document.querySelectorAll<HTMLElement>('button.sort')[1]?.click();
  }, () => document.querySelector('[aria-sort=ascending] .sort')?.textContent === 'State' && document.querySelector('[data-index="0"] .state.bad') !== null, 0);
  const text = `-0${String(count).slice(0, 1)}`;
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
