// An endpoint whose names, command lines and log lines are markup and scripts: all of it is text.

import { type Browser, type BrowserContext } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { addresses, faults, launch, open, visit, world } from './world';

let browser: Browser;
let context: BrowserContext;
let pages: Record<string, string>;

beforeAll(async () => {
  browser = await launch();
  context = await open(browser);
  pages = await addresses(context);
});

afterAll(() => browser.close());

test('nothing that an endpoint says runs on any page', async () => {
  const page = await context.newPage();
  const wrong = faults(page);
  for (const [name, path] of Object.entries(pages)) {
    await visit(page, path);
    const made = await page.evaluate(() => ({
      ran: 'hacked' in window,
      foreign: document.querySelectorAll('main img, main iframe, main script, main style, main b').length,
    }));
    expect(made, name).toEqual({ ran: false, foreign: 0 });
    expect(wrong, name).toEqual([]);
  }
  await page.close();
});

test('its host name, lines and command lines are shown as they are written', async () => {
  const page = await context.newPage();
  await visit(page, pages['hostile'] ?? '');
  expect(await page.getByRole('heading', { level: 1 }).textContent()).toBe(world.hostile);
  await visit(page, `${pages['hostile-timeline']}&class=log&text=hacked`);
  await page.getByText('<script>window.hacked=1</script>').first().waitFor();
  await page.getByText('\\u{202e}').first().waitFor();
  await page.getByText('\\u{1b}').first().waitFor();
  await visit(page, `${pages['hostile-timeline']}&class=process&text=${encodeURIComponent('window.hacked=2')}`);
  await page.getByText('"><img src=x onerror=window.hacked=2>').first().waitFor();
  await visit(page, `${pages['hostile-timeline']}&class=file&text=${encodeURIComponent('window.hacked=7')}`);
  await page.getByText('<img src=x onerror=window.hacked=7>\\u{202e}gpj.sh').first().click();
  await page.getByRole('dialog', { name: 'Event' }).getByText('window.hacked=7').first().waitFor();
  await visit(page, `${pages['hostile-logs']}`);
  await page.getByText('<script>window.hacked=1</script>').first().waitFor();
});
