// Evidence taken out and verified: here, by `cordon verify`, and by neither if a byte was changed.

import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { type Browser, type BrowserContext, type Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';

import { cordon, endpoint } from './people';
import { faults, launch, open, PHONE, visit, world } from './world';

let browser: Browser;
let context: BrowserContext;
let page: Page;
let wrong: string[];
let web: string;
const file = join(world.folder, 'web-01.evidence');

beforeAll(async () => {
  browser = await launch();
  context = await open(browser, { acceptDownloads: true });
  page = await context.newPage();
  wrong = faults(page);
  web = (await endpoint(context, 'web-01')).id;
});

afterEach(() => expect(wrong.splice(0)).toEqual([]));

afterAll(() => browser.close());

const statements = () => page.locator('.statements li > :last-child').allInnerTexts();

test('a bundle is exported and verified, in the words of `cordon verify`', async () => {
  await visit(page, `/c/acme/evidence?endpoints=${web}`);
  await page.getByRole('grid', { name: 'Events' }).waitFor();
  const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'Export and verify' }).click()]);
  await download.saveAs(file);
  await page.getByText('Everything holds', { exact: true }).waitFor();
  await page.getByText(`cordon verify ${download.suggestedFilename()}`).first().waitFor();
  const said = (await cordon('verify', file, '--json')).trim().split('\n').map((line) => JSON.parse(line) as { holds: boolean; sentence: string });
  expect(said.every((one) => one.holds)).toBe(true);
  const chains = (all: string[]) => all.filter((one) => !one.startsWith('roster'));
  expect(chains(await statements())).toEqual(chains(said.map((one) => one.sentence)));
  expect(said.some((one) => one.sentence.includes('unknown after'))).toBe(true);
});

test('the rosters in it are held against the authority’s key', async () => {
  const keys = await readFile(join(world.folder, 'authority/authority.pub'), 'utf8');
  const daily = /daily = "([\w-]{43})"/.exec(keys)?.[1] ?? '';
  await page.getByLabel('The authority’s public key').fill(daily);
  await page.getByText(/^roster \d+ of client acme: signed by the authority$/).first().waitFor();
});

test('a bundle with a changed byte is refused here and by `cordon verify`', async () => {
  const bytes = await readFile(file);
  const at = bytes.indexOf('cordon/batch;v=1') + 60;
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  const changed = `${file}.changed`;
  await writeFile(changed, bytes);
  await expect(cordon('verify', changed)).rejects.toMatchObject({ code: 14 });
  await visit(page, '/c/acme/evidence?tab=verify');
  const [choose] = await Promise.all([page.waitForEvent('filechooser'), page.getByRole('button', { name: 'Choose a file' }).click()]);
  await choose.setFiles(changed);
  await page.getByText('NOT everything holds').waitFor();
  expect(await page.locator('.statements .bad').count()).toBeGreaterThan(0);
  const [again] = await Promise.all([page.waitForEvent('filechooser'), page.getByRole('button', { name: 'Choose a file' }).click()]);
  await again.setFiles(file);
  await page.getByText('Everything holds', { exact: true }).waitFor();
});

test('selected events narrow the time', async () => {
  await visit(page, `/c/acme/evidence?endpoints=${web}&class=log`);
  const boxes = page.getByRole('checkbox', { name: 'Select this event' });
  await boxes.first().check();
  await page.getByRole('button', { name: 'Narrow the time to 1 event' }).click();
  await page.waitForURL(/since=.*until=/);
  await page.getByRole('grid', { name: 'Events' }).getByRole('row').nth(1).waitFor();
});

test('one event is proved step by step; a proof that was changed proves nothing', async () => {
  await page.getByRole('grid', { name: 'Events' }).getByRole('row').nth(1).click();
  const event = page.getByRole('dialog', { name: 'Event' });
  await event.getByRole('button', { name: 'Prove this event' }).click();
  await event.getByText('Proved', { exact: true }).waitFor();
  for (const step of ['Key', 'Signature', 'Place', 'Path', 'Number', 'What is shown']) await event.locator('.steps').getByText(step, { exact: true }).waitFor();
  await page.route('**/proof?*', async (route) => {
    const answer = await route.fetch();
    const given = (await answer.json()) as { proof: string; key: string };
    const bytes = Buffer.from(given.proof, 'base64url');
    const last = bytes.length - 1;
    bytes[last] = (bytes[last] ?? 0) ^ 1;
    await route.fulfill({ response: answer, json: { ...given, proof: bytes.toString('base64url') } });
  });
  await page.reload();
  await event.getByRole('button', { name: 'Prove this event' }).click();
  await event.getByText('NOT proved', { exact: true }).waitFor();
  await page.unroute('**/proof?*');
});

test('what was collected is listed', async () => {
  await visit(page, '/c/acme/evidence?tab=collections');
  await page.getByRole('region', { name: 'Collected archives' }).waitFor();
});

test('it works on a phone', async () => {
  const phone = await open(browser, PHONE);
  const narrow = await phone.newPage();
  for (const tab of ['', 'verify', 'collections']) {
    await visit(narrow, `/c/acme/evidence?tab=${tab}`);
    const wide = await narrow.evaluate(() => document.documentElement.scrollWidth);
    expect(wide, tab).toBeLessThanOrEqual(PHONE.viewport?.width ?? 0);
  }
  await phone.close();
});
