// What a technician does: finds an endpoint, reads its timeline, follows a command to its proof.

import { type Browser, type BrowserContext, type Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';

import { faults, launch, open, PHONE, visit, world } from './world';

let browser: Browser;
let context: BrowserContext;
let page: Page;
let wrong: string[];

beforeAll(async () => {
  browser = await launch();
});

beforeEach(async () => {
  context = await open(browser);
  page = await context.newPage();
  wrong = faults(page);
});

afterEach(async () => {
  expect(wrong).toEqual([]);
  await context.close();
});

afterAll(() => browser.close());

test('the overview tells what stands, and what needs a person', async () => {
  await visit(page, '/');
  await page.getByRole('region', { name: 'Standing containments' }).getByText('web-01').waitFor();
  await page.getByRole('region', { name: 'Needs a person now' }).getByText('Agent stopped').waitFor();
  await page.getByText('Live', { exact: true }).waitFor();
});

test('the first page is painted within a second', async () => {
  await visit(page, '/');
  const painted = await page.evaluate(() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0);
  process.stdout.write(`first contentful paint after ${Math.round(painted)} ms\n`);
  expect(painted).toBeGreaterThan(0);
});

test('an endpoint is found by a part of its name, with the keyboard alone', async () => {
  await visit(page, '/c/acme');
  await page.keyboard.press('g');
  await page.keyboard.press('e');
  await page.getByRole('heading', { name: 'Endpoints' }).waitFor();
  await page.keyboard.press('/');
  await page.keyboard.type('web');
  await page.waitForURL(/text=web/);
  await page.getByText('1 endpoint', { exact: true }).waitFor();
  await page.getByRole('row').nth(1).focus();
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: 'web-01' }).waitFor();
  await page.getByRole('region', { name: 'Sensors' }).getByText('process', { exact: true }).waitFor();
});

test('a filter is kept under a name', async () => {
  await visit(page, '/c/acme/endpoints');
  await page.getByRole('combobox', { name: 'State' }).selectOption('state:offline');
  await page.waitForURL(/state=offline/);
  await page.getByRole('button', { name: 'Saved' }).click();
  await page.getByLabel('Save this filter as').fill('The silent ones');
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  await visit(page, '/c/acme/endpoints');
  await page.getByRole('button', { name: 'Saved (1)' }).click();
  await page.getByRole('button', { name: 'The silent ones', exact: true }).click();
  await page.waitForURL(/state=offline/);
});

test('a line that is written now appears in the timeline by itself', async () => {
  await visit(page, '/c/acme/endpoints?text=web-01');
  await page.getByRole('row').nth(1).click();
  await page.getByRole('link', { name: 'Timeline' }).click();
  await page.getByRole('combobox', { name: 'Class' }).selectOption('log');
  await page.getByRole('button', { name: 'Live' }).waitFor();
  const line = `the console was looking at ${Date.now()}`;
  const { appendFile } = await import('node:fs/promises');
  await appendFile(process.env['CORDON_LOG_FILE'] ?? '', `${line}\n`);
  await page.getByText(line).first().click();
  const event = page.getByRole('dialog', { name: 'Event' });
  await event.getByText('raw_data').waitFor();
  await event.getByRole('button', { name: 'Raw' }).click();
  await event.getByText('"class": "log"').waitFor();
});

test('a command is followed through five facts to a receipt that opens', async () => {
  await visit(page, '/c/acme/commands');
  await page.getByText('Isolate').first().click();
  const facts = page.getByRole('list', { name: 'The five facts' });
  for (const fact of ['requested', 'authorised', 'delivered', 'applied', 'proved']) {
    await facts.locator(`.step.done.${fact}`).waitFor();
  }
  await page.getByRole('button', { name: /^proved/ }).first().click();
  await page.getByRole('dialog', { name: 'Event' }).getByText('ruleset_equal', { exact: false }).first().waitFor();
});

test('a process is drawn with its family', async () => {
  await visit(page, '/c/acme/endpoints?text=web-01');
  await page.getByRole('row').nth(1).click();
  await page.getByRole('link', { name: 'Processes' }).click();
  const tree = page.getByRole('region', { name: 'Process tree' });
  await tree.getByRole('button').first().waitFor();
  expect(await tree.getByRole('button').count()).toBeGreaterThan(1);
  await page.getByRole('region', { name: /^Process \d/ }).getByText('Command line').waitFor();
});

test('another client shows nothing', async () => {
  await visit(page, '/c/nobody/endpoints');
  await page.getByText('There is nothing here for you').waitFor();
});

test('dark and light are chosen and stay', async () => {
  await visit(page, '/');
  const ground = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
  await page.getByRole('button', { name: /Signed in as/ }).click();
  await page.getByRole('menuitem', { name: 'Dark', exact: true }).click();
  const dark = await ground();
  await page.getByRole('button', { name: /Signed in as/ }).click();
  await page.getByRole('menuitem', { name: 'Light', exact: true }).click();
  const light = await ground();
  expect(dark).not.toBe(light);
  await visit(page, '/');
  expect(await ground()).toBe(light);
});

test('nothing is wider than a phone', async () => {
  const phone = await open(browser, PHONE);
  const narrow = await phone.newPage();
  for (const path of ['/', '/c/acme', '/c/acme/endpoints', '/c/acme/containments', '/c/acme/commands', '/c/acme/settings', '/account']) {
    await visit(narrow, path);
    const wide = await narrow.evaluate(() => document.documentElement.scrollWidth);
    expect(wide, path).toBeLessThanOrEqual(PHONE.viewport?.width ?? 0);
  }
  await narrow.getByRole('link', { name: 'Overview' }).tap();
  expect(new URL(narrow.url()).origin).toBe(world.url);
  await phone.close();
});
