// Asking live endpoints with a passkey, from the first example to rows in a file.

import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { type Browser, type BrowserContext, type Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';

import { endpoint, rostered, serveSigner, Signer } from './people';
import { faults, launch, open, PHONE, visit, world } from './world';

let browser: Browser;
let context: BrowserContext;
let page: Page;
let wrong: string[];
let stop: (() => void) | undefined;
let ann: Signer;
let web: string;

beforeAll(async () => {
  browser = await launch();
  context = await open(browser, { acceptDownloads: true });
  await context.grantPermissions(['clipboard-read', 'clipboard-write'], { origin: world.url });
  page = await context.newPage();
  wrong = faults(page);
  web = (await endpoint(context, 'web-01')).id;
});

afterEach(() => expect(wrong.splice(0)).toEqual([]));

afterAll(async () => {
  stop?.();
  await browser.close();
});

const editor = () => page.locator('.sql-editor .cm-content');
const button = () => page.getByRole('button', { name: /^Sign and ask/ });
const rows = () => page.getByRole('grid', { name: 'Rows' });

/** Writes a question for web-01, and has it signed; what the signing page showed. */
async function ask(sql: string, within = page): Promise<string> {
  await visit(within, `/c/acme/query?endpoints=${web}`);
  await within.locator('.sql-editor .cm-content').fill(sql);
  return ann.signs(() => within.getByRole('button', { name: /^Sign and ask/ }).click());
}

test('an empty page teaches, and its editor knows the tables', async () => {
  await visit(page, '/c/acme');
  await page.keyboard.press('g');
  await page.keyboard.press('q');
  await page.getByRole('heading', { name: 'Query', exact: true }).waitFor();
  await page.getByRole('button', { name: /^What waits for others/ }).click();
  expect(await editor().innerText()).toContain('FROM listeners');
  await page.keyboard.press('Control+a');
  await page.keyboard.type('SELECT cmdl');
  // What was offered for its first letters goes once there is nothing to offer.
  await page.locator('.sql-editor .cm-tooltip-autocomplete').waitFor({ state: 'hidden' });
  await page.keyboard.press('Control+a');
  await page.keyboard.type('select * from proc');
  await page.locator('.sql-editor .cm-tooltip-autocomplete').getByText('processes').waitFor();
  // Letters in the editor lead nowhere else.
  await page.keyboard.press('Escape');
  await page.keyboard.type(' g e');
  expect(new URL(page.url()).pathname).toBe('/c/acme/query');
});

test('who has no passkey in the roster is shown the line for the terminal', async () => {
  await page.route('**/operators*', async (route) => {
    const answer = await route.fetch();
    const found = (await answer.json()) as { items: { keys: unknown[] }[] };
    await route.fulfill({ response: answer, json: { ...found, items: found.items.map((one) => ({ ...one, keys: [] })) } });
  });
  await visit(page, `/c/acme/query?endpoints=${web}`);
  await editor().fill("SELECT 'it''s'");
  await page.getByText(`cordon query ${web.slice(0, 12)} 'SELECT '\\''it'\\'''\\''s'\\'''`).waitFor();
  expect(await button().isDisabled()).toBe(true);
  await page.unroute('**/operators*');
});

test('a query is signed with a passkey and answered by the endpoint', async () => {
  stop = await serveSigner();
  ann = await Signer.make(context, 'ann, asking');
  // The drafts of another test's roster are never written over.
  for (const name of ['passkeys.toml', 'passkeys.cbor']) await rm(join(world.folder, name), { force: true });
  await rostered(context, { ann });
  const sql = "SELECT pid, name, '=1+1' AS formula FROM processes ORDER BY pid LIMIT 20";
  const said = await ask(sql);
  expect(said).toContain(sql);
  expect(said).toContain('web-01');
  await page.getByText('signed by the endpoint and verified here').waitFor();
  await rows().getByText('=1+1').first().waitFor();
  expect(await rows().getByRole('row').count()).toBeGreaterThan(5);
  const first = () => rows().getByRole('row').nth(1).getByRole('gridcell').first().innerText();
  const lowest = Number(await first());
  await rows().getByRole('button', { name: 'pid' }).click();
  await rows().getByRole('button', { name: 'pid' }).click();
  expect(Number(await first())).toBeGreaterThan(lowest);
});

test('rows go into a file that no spreadsheet runs', async () => {
  await page.getByRole('button', { name: 'Take the rows along' }).click();
  const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('menuitem', { name: /^CSV/ }).click()]);
  expect(download.suggestedFilename()).toBe('processes.csv');
  const text = await readFile(await download.path(), 'utf8');
  expect(text.split('\r\n')[0]).toBe('host_name,pid,name,formula');
  expect(text).toContain(`"'=1+1"`);
  await page.getByRole('button', { name: 'Take the rows along' }).click();
  const [lines] = await Promise.all([page.waitForEvent('download'), page.getByRole('menuitem', { name: /^JSON lines/ }).click()]);
  const [line = ''] = (await readFile(await lines.path(), 'utf8')).split('\n');
  expect(JSON.parse(line)).toMatchObject({ host_name: 'web-01', endpoint: web, row: { formula: '=1+1' } });
});

test('a limit that was reached is told', async () => {
  await page.getByRole('combobox', { name: 'Rows' }).selectOption('100');
  await editor().fill('WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) SELECT i FROM n');
  await ann.signs(() => page.keyboard.press('Control+Enter'));
  await page.getByText('there is more: the limit on rows was reached').waitFor();
  await page.getByRole('heading', { name: '100 rows' }).waitFor();
});

test('several endpoints answer into one table, each under its own signature', async () => {
  const other = (await endpoint(context, world.hostile)).id;
  await visit(page, `/c/acme/query?endpoints=${web},${other}`);
  await editor().fill("SELECT 'from each' AS word");
  const said = await ann.signs(() => button().click());
  expect(said).toContain('web-01');
  expect(said).toContain(world.hostile);
  await page.getByRole('heading', { name: '2 rows' }).waitFor();
  for (const name of ['web-01', world.hostile]) {
    await rows().getByRole('row').filter({ hasText: name }).filter({ hasText: 'from each' }).waitFor();
  }
});

test('a mistake is shown where it is', async () => {
  await ask('SELECT nonsense FROM processes');
  await page.getByText('no such column: nonsense').waitFor();
  await page.getByRole('button', { name: 'Show where' }).click();
  const at = await page.locator('.sql-editor').evaluate((host) => {
    const found = (host.shadowRoot as unknown as { getSelection?: () => Selection }).getSelection?.();
    return found?.anchorOffset ?? 0;
  });
  expect(at).toBeGreaterThan(0);
});

test('a long query is waited for no longer, and the page says what that means', async () => {
  await ask('WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n');
  await page.getByText('The protocol has no way to call an endpoint back').waitFor();
  await page.getByRole('button', { name: 'Stop waiting' }).click();
  await page.getByText('Not waited for any longer.').waitFor();
});

test('rows that were changed on the way are not shown', async () => {
  await page.route('**/rows', async (route) => {
    const answer = await route.fetch();
    const body = (await answer.text()).replace(/"part":"[^"]{40}/, (part) => `${part.slice(0, -1)}${part.endsWith('A') ? 'B' : 'A'}`);
    await route.fulfill({ response: answer, body });
  });
  await ask("SELECT 'a text of some length' AS words");
  await page.getByText('NOT VERIFIED, nothing of it is shown').waitFor();
  expect(await rows().count()).toBe(0);
  await page.unroute('**/rows');
});

test('an endpoint that is not connected is named before anything is signed', async () => {
  const gone = (await endpoint(context, 'db-01')).id;
  await visit(page, `/c/acme/query?endpoints=${web},${gone}`);
  await page.getByText('1 endpoint is not connected and will not be asked').waitFor();
});

test('queries are kept and shared, and a link asks nothing by itself', async () => {
  await editor().fill('SELECT * FROM os');
  await page.getByRole('button', { name: 'Copy link' }).click();
  await page.getByRole('button', { name: 'Saved' }).click();
  await page.getByLabel('Save this query as').fill('What it is');
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  await page.keyboard.press('Escape');
  const link = await page.evaluate(() => navigator.clipboard.readText());
  await page.goto(link);
  await page.getByText('This query came with a link').waitFor();
  expect(await editor().innerText()).toBe('SELECT * FROM os');
  await page.getByRole('button', { name: 'Saved (1)' }).click();
  await page.getByRole('button', { name: /What it is/ }).first().click();
  await page.getByRole('button', { name: 'History' }).click();
  await page.getByRole('button', { name: /SELECT nonsense FROM processes/ }).click();
  expect(await editor().innerText()).toBe('SELECT nonsense FROM processes');
});

test('it works on a phone', async () => {
  const phone = await open(browser, PHONE);
  const narrow = await phone.newPage();
  await visit(narrow, `/c/acme/query?endpoints=${web}`);
  await narrow.locator('.sql-editor .cm-content').waitFor();
  const wide = await narrow.evaluate(() => document.documentElement.scrollWidth);
  expect(wide).toBeLessThanOrEqual(PHONE.viewport?.width ?? 0);
  await phone.close();
});
