// Thousands of endpoints at one client and some at another: the list is walked, filtered, chosen from
// and changed; nothing of one client is ever shown at the other, nor to a person who does not know it.

import { type Browser, type BrowserContext, type Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';

import { comeIn } from './arrival';
import { faults, launch, open, visit, world } from './world';

const count = Number(process.env['CORDON_COUNT']);
const others = Number(process.env['CORDON_COUNT_OTHER']);

let browser: Browser;
let ann: BrowserContext;
let page: Page;
let wrong: string[];

beforeAll(async () => {
  browser = await launch();
  ann = await open(browser);
  await comeIn(ann, 'ann', world.invitation);
});

beforeEach(async () => {
  page = await ann.newPage();
  wrong = faults(page);
});

afterEach(async () => {
  expect(wrong).toEqual([]);
  await page.close();
});

afterAll(() => browser.close());

const grid = () => page.getByRole('grid', { name: 'Endpoints' });
const row = (index: number) => page.locator(`[data-index="${index}"]`);

test('the overview of all clients tells every silence of each', async () => {
  await visit(page, '/');
  const states = page.getByRole('region', { name: 'Endpoints by state' });
  await states.getByText('Agent dead').waitFor();
  expect(await states.locator('.fleet-state', { hasText: 'Agent dead' }).locator('.fleet-count').textContent()).toBe(String((count + others) / 50));
  const card = page.getByRole('region', { name: 'Clients' }).getByRole('link', { name: /zeta/ });
  await card.getByText(`${others / 100} network lost`).waitFor();
  await card.getByText('need a person').waitFor();
  await page.getByRole('region', { name: 'Needs a person now' }).getByText(/The gravest 50 of/).waitFor();
});

test('a kind of silence leads to the endpoints that are silent so', async () => {
  await visit(page, '/c/acme');
  await page.getByRole('link', { name: /Network lost/ }).first().click();
  await page.waitForURL(/silence=network_lost/);
  await page.getByText(`${count / 100} endpoints`, { exact: true }).waitFor();
  expect(await page.getByRole('combobox', { name: 'State' }).inputValue()).toBe('silence:network_lost');
});

test('any place of the list is a moment away, and each row is at its own', async () => {
  await visit(page, '/c/acme/endpoints?sort=enrolled');
  await row(0).waitFor();
  expect(await grid().getAttribute('aria-rowcount')).toBe(String(count));
  const asked: string[] = [];
  page.on('request', (request) => asked.push(request.url()));
  const place = count - 400;
  await grid().evaluate((table, top) => table.scrollTo({ top }), place * 40);
  await page.waitForFunction((index) => document.querySelector(`[data-index="${index}"]:not([aria-busy])`) !== null, place + 3);
  const answer = await ann.request.get(`${world.url}/api/v1/endpoints?client=acme&sort=enrolled&offset=${place + 3}&limit=1`);
  const { items } = (await answer.json()) as { items: { host_name: string }[] };
  expect(await row(place + 3).locator('.name').textContent()).toBe(items[0]?.host_name);
  const pages = asked.filter((url) => url.includes('/api/v1/endpoints?'));
  expect(pages.length, pages.join('\n')).toBeLessThanOrEqual(3);
  await row(place + 3).focus();
  await page.keyboard.press('End');
  await row(count - 1).and(page.locator(':focus')).waitFor();
  await page.keyboard.press('Home');
  await row(0).and(page.locator(':focus')).waitFor();
});

test('rows are chosen with the keyboard, with shift, and all that fit up to what a command names', async () => {
  await visit(page, '/c/acme/endpoints');
  await row(0).focus();
  await page.keyboard.press('x');
  const bar = page.getByRole('region', { name: 'Chosen endpoints' });
  await bar.getByText('1 endpoint chosen').waitFor();
  for (let step = 0; step < 5; step += 1) await page.keyboard.press('j');
  await page.keyboard.press('Shift+X');
  await bar.getByText('6 endpoints chosen').waitFor();
  await row(2).getByRole('checkbox').click();
  await bar.getByText('5 endpoints chosen').waitFor();
  await page.keyboard.press('Escape');
  await row(3).focus();
  await page.keyboard.press('Escape');
  await bar.waitFor({ state: 'detached' });
  await page.getByRole('checkbox', { name: 'Choose all that fit' }).click();
  await bar.getByText('256 endpoints chosen').waitFor();
  await bar.getByText('one command names at most 256').waitFor();
  await page.getByRole('checkbox', { name: 'Choose none' }).click();
  await bar.waitFor({ state: 'detached' });
});

test('labels are put on many at once, and each tells what became of it', async () => {
  await visit(page, '/c/acme/endpoints?text=kiosk-0000');
  await page.getByText('2 endpoints', { exact: true }).waitFor();
  await page.getByRole('checkbox', { name: 'Choose all that fit' }).click();
  await page.getByRole('button', { name: 'Labels, site' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Put labels on').fill('lobby, env=test');
  // Somebody else was there first at one of them.
  const answer = await ann.request.get(`${world.url}/api/v1/endpoints?client=acme&name=kiosk-00004`);
  const id = ((await answer.json()) as { items: { id: string }[] }).items[0]?.id ?? '';
  const session = (await (await ann.request.get(`${world.url}/api/v1/session`)).json()) as { csrf: string };
  const changed = await ann.request.patch(`${world.url}/api/v1/endpoints/${id}`, { data: { role: 'till' }, headers: { 'x-csrf-token': session.csrf } });
  expect(changed.status()).toBe(200);
  await dialog.getByRole('button', { name: 'Change 2 endpoints' }).click();
  await dialog.getByText('1 done, 1 refused').waitFor();
  await dialog.getByText('somebody changed it meanwhile').waitFor();
  wrong.splice(0, wrong.length, ...wrong.filter((one) => !one.includes('409')));
  await dialog.getByRole('button', { name: 'Close' }).click();
  await page.getByRole('searchbox').fill('lobby');
  await page.getByText('1 endpoint', { exact: true }).waitFor();
});

test('what people say of an endpoint is changed in place', async () => {
  await visit(page, '/c/acme/endpoints?text=mail-00002');
  await row(0).click();
  const panel = page.getByRole('region', { name: 'What people say of it' });
  await panel.getByRole('button', { name: 'Change what people say of it' }).click();
  await panel.getByLabel('Role').fill('the post office');
  await panel.getByLabel('Labels').fill('mx, env=prod');
  await panel.getByRole('combobox', { name: 'Criticality' }).selectOption('critical');
  await panel.getByRole('button', { name: 'Save' }).click();
  await panel.getByText('the post office').waitFor();
  await panel.getByRole('link', { name: 'env=prod' }).click();
  await page.waitForURL(/label=env/);
  await page.getByText('1 endpoint', { exact: true }).waitFor();
});

test('a switch of clients never shows a row of the other, not even of an answer on its way', async () => {
  await visit(page, '/c/zeta/endpoints');
  await row(0).getByText('zeta-').waitFor();
  // Whatever is on the page while it is another client's is noted, frame by frame.
  await page.evaluate(() => {
    const seen: string[] = [];
    Object.assign(window, { seen });
    const look = () => {
      if (location.pathname.startsWith('/c/acme')) {
        document.querySelectorAll('main .name').forEach((name) => {
          if (name.textContent?.startsWith('zeta-')) seen.push(name.textContent);
        });
      }
      requestAnimationFrame(look);
    };
    look();
  });
  // Answers for the first client come late, when the page is the other's already.
  await page.route(/client=zeta/, async (route) => {
    const answer = await route.fetch().catch(() => null);
    await page.waitForURL(/\/c\/acme/);
    if (answer) await route.fulfill({ response: answer }).catch(() => undefined);
  });
  await page.getByRole('searchbox').fill('zeta-web');
  await page.waitForURL(/text=zeta-web/);
  await page.getByRole('button', { name: /^Client: zeta/ }).click();
  await page.getByRole('menuitem', { name: 'acme' }).click();
  await page.waitForURL(/\/c\/acme\/endpoints/);
  await row(0).locator('.name').waitFor();
  await page.getByText(`${count.toLocaleString('en')} endpoints`, { exact: true }).waitFor();
  expect(await page.evaluate(() => (window as unknown as { seen: string[] }).seen)).toEqual([]);
  expect(await page.locator('main').textContent()).not.toContain('zeta-');
  await page.unrouteAll({ behavior: 'ignoreErrors' });
});

test('two windows with two clients stay apart', async () => {
  const other = await ann.newPage();
  await Promise.all([visit(page, '/c/acme/endpoints'), visit(other, '/c/zeta/endpoints')]);
  await page.getByText(`${count.toLocaleString('en')} endpoints`, { exact: true }).waitFor();
  await other.getByText(`${others} endpoints`, { exact: true }).waitFor();
  expect(await page.locator('main').textContent()).not.toContain('zeta-');
  const names = await other.locator('.table-body .name').allTextContents();
  expect(names.length).toBeGreaterThan(5);
  expect(names.filter((name) => !name.startsWith('zeta-'))).toEqual([]);
  await other.close();
});

test('who knows one client alone sees nothing of the other anywhere', async () => {
  const bob = await open(browser);
  await comeIn(bob, 'bob', process.env['CORDON_INVITATION_OTHER'] ?? '');
  const his = await bob.newPage();
  const harm = faults(his);
  await visit(his, '/');
  await his.getByText(`${count.toLocaleString('en')} endpoints`).first().waitFor();
  expect(await his.locator('body').textContent()).not.toContain('zeta');
  await visit(his, '/c/zeta/endpoints');
  await his.getByText('There is nothing here for you').waitFor();
  await visit(his, '/c/acme/endpoints?text=zeta');
  await his.getByText('No endpoint fits this').waitFor();
  expect(harm).toEqual([]);
  const answer = await ann.request.get(`${world.url}/api/v1/endpoints?client=zeta&limit=1`);
  const id = ((await answer.json()) as { items: { id: string }[] }).items[0]?.id ?? '';
  for (const path of [`/endpoints/${id}`, '/endpoints?client=zeta', '/endpoints/counts?client=zeta']) {
    expect((await bob.request.get(`${world.url}/api/v1${path}`)).status(), path).toBe(404);
  }
  await bob.close();
});
