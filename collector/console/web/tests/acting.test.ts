// Acting with a passkey at the signing page, until the effect is proved: by one person and by two,
// refused, and where the page is not there.

import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';

import { type Browser, type BrowserContext, type Locator, type Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { answers, CGROUP, commands, endpoint, rostered, second, serveSigner, shown, Signer } from './people';
import { faults, launch, open, PHONE, visit, world } from './world';

const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js');

let browser: Browser;
let context: BrowserContext;
let page: Page;
let wrong: string[];
let stop: () => void;
let ann: Signer;
let bob: Signer;
let web: string;

beforeAll(async () => {
  browser = await launch();
  context = await open(browser);
  page = await context.newPage();
  wrong = faults(page);
  web = (await endpoint(context, 'web-01')).id;
});

afterAll(async () => {
  stop?.();
  await browser.close();
});

const here = (tab = '') => visit(page, `/c/acme/endpoints/${web}${tab}`);
const dialog = () => page.getByRole('dialog');

/** Gives the reason and presses what opens the signing page. */
const press = (verb: string, reason: string, within: Locator = dialog()) => async () => {
  await within.getByLabel('Reason').fill(reason);
  await within.getByRole('button', { name: `Sign and ${verb}` }).click();
};

const proved = (within: Locator = dialog()) => within.getByText('Proved: the endpoint did it').waitFor({ timeout: 60_000 });

const provedOfTwo = () => dialog().getByText('Proved on all 2 endpoints').waitFor({ timeout: 60_000 });

test('who has no passkey in the roster is told how to get one', async () => {
  await here();
  await page.getByRole('button', { name: 'Release' }).first().click();
  await dialog().getByText('The roster names no signing passkey of yours').waitFor();
  await dialog().getByText(`cordon release ${web.slice(0, 12)} --reason '…' --wait`).waitFor();
  await page.keyboard.press('Escape');
  await dialog().waitFor({ state: 'detached' });
});

test('passkeys are made at the signing page, and the roster names them', async () => {
  stop = await serveSigner();
  ann = await Signer.make(context, 'ann, laptop');
  bob = await Signer.make(await second(browser), 'bob, phone');
  await rostered(context, { ann, bob });
});

test('what was isolated is let back with a passkey; a page that is not there is waited for', async () => {
  stop();
  await visit(page, '/c/acme/containments');
  await page.getByRole('button', { name: 'Release: Isolate on web-01' }).click();
  const window = await ann.asked(press('release', 'it was a false alarm'));
  await dialog().getByText('The signing page does not answer').waitFor();
  await dialog().getByText('cordon signer --port').waitFor();
  stop = await serveSigner();
  expect(await shown(window)).toMatch(/Let back onto the network[^]*web-01[^]*it was a false alarm/);
  await answers(window, 'Sign with passkey');
  await proved();
  await dialog().getByRole('button', { name: /^released|^ended|^proved/ }).first().click();
  await page.getByRole('dialog', { name: 'Event' }).getByText('receipt').first().waitFor();
});

test('an endpoint is isolated until proved, and released from the same place', async () => {
  await here();
  await page.getByRole('button', { name: 'Isolate', exact: true }).click();
  await dialog().getByText(/port.* close|no port closes/).first().waitFor();
  await dialog().getByText('Your signature is enough').waitFor();
  await dialog().getByText(/way out/).first().waitFor();
  await dialog().getByLabel('Stands for').selectOption('1 hour');
  const words = await ann.signs(press('isolate', 'it beacons again'));
  expect(words).toMatch(/Cut off from the network[^]*For\s+1h[^]*web-01/);
  await proved();
  await dialog().getByRole('button', { name: 'Release' }).click();
  await ann.signs(press('release', 'it was a drill'));
  await proved();
  await page.keyboard.press('Escape');
  await page.getByRole('button', { name: 'Isolate', exact: true }).waitFor();
});

test('two that were chosen in the list are isolated by one command, and let back by one', async () => {
  await visit(page, '/c/acme/endpoints');
  for (const name of ['web-01', world.hostile]) {
    await page.getByRole('grid', { name: 'Endpoints' }).getByRole('row').filter({ hasText: name }).getByRole('checkbox').click();
  }
  await page.getByRole('region', { name: 'Chosen endpoints' }).getByRole('button', { name: 'Isolate', exact: true }).click();
  await dialog().getByText('Your signature is enough').waitFor();
  const before = await commands(context);
  const words = await ann.signs(press('isolate', 'both beacon'));
  expect(words).toContain('web-01');
  expect(words).toContain(world.hostile);
  await provedOfTwo();
  await dialog().getByRole('button', { name: 'Release' }).click();
  await ann.signs(press('release', 'both were a drill'));
  await provedOfTwo();
  expect(await commands(context)).toBe(before + 2);
  await page.keyboard.press('Escape');
});

test('what is refused or called off leaves nothing', async () => {
  const before = await commands(context);
  await here();
  await page.getByRole('button', { name: 'Isolate', exact: true }).click();
  const refused = await ann.asked(press('isolate', 'by mistake'));
  await answers(refused, 'Do not sign');
  await dialog().getByText('It was not signed at the signing page').waitFor();
  const closed = await ann.asked(press('isolate', 'by mistake'));
  await shown(closed);
  await closed.close();
  await dialog().getByText('The signing page was closed').waitFor();
  const off = await ann.asked(press('isolate', 'by mistake'));
  await Promise.all([off.waitForEvent('close'), dialog().getByRole('button', { name: 'Call off' }).click()]);
  await dialog().getByRole('button', { name: 'Sign and isolate' }).waitFor();
  await page.keyboard.press('Escape');
  expect(await commands(context)).toBe(before);
  expect(wrong).toEqual([]);
});

test('a process is ended from the picture of its family', async () => {
  // Not a child of ours, for whoever asks the agent to work could be its maker.
  const mark = `2${String(Date.now()).slice(-6)}`;
  const line = `echo 0 > ${CGROUP}/cgroup.procs && exec sleep ${mark}`;
  spawn('setsid', ['--fork', 'sh', '-c', line], { stdio: 'ignore' });
  await here('?tab=processes');
  const search = page.getByRole('searchbox');
  await search.fill(`sleep ${mark}`);
  const row = page.getByRole('list', { name: 'Processes started lately' }).getByRole('button');
  await expect
    .poll(async () => {
      await page.getByRole('button', { name: 'Look again' }).click();
      return row.count();
    }, { timeout: 60_000 })
    .toBeGreaterThan(0);
  await row.first().click();
  await page.getByRole('button', { name: 'End it …', exact: true }).click();
  await dialog().getByText('cannot be brought back').waitFor();
  const words = await ann.signs(press('end', 'nobody knows it'));
  expect(words).toMatch(/End a process[^]*SHA-256[^]*nobody knows it/);
  await proved();
  await page.keyboard.press('Escape');
});

test('what an event tells of is acted on from there', async () => {
  await here('?tab=timeline&class=process&text=sleep');
  await page.getByRole('grid', { name: 'Events' }).getByText(/^sleep 2/).first().click();
  const event = page.getByRole('dialog', { name: 'Event' });
  await event.getByRole('button', { name: 'End it …', exact: true }).click();
  await page.getByRole('dialog', { name: 'End a process' }).getByText('cannot be brought back').waitFor();
  await page.keyboard.press('Escape');
  await event.getByRole('button', { name: /^Deny the program/ }).waitFor();
  await page.keyboard.press('Escape');
  await event.waitFor({ state: 'detached' });
});

test('what takes two persons waits for the second, who signs it on the command’s own page', async () => {
  await here();
  await page.getByRole('button', { name: 'More actions' }).click();
  await page.getByRole('menuitem', { name: 'Block addresses, names or ports' }).click();
  await dialog().getByText('2 persons must sign: you, and one more; bob may').waitFor();
  await dialog().getByLabel('Addresses, networks, names').fill('198.51.100.9\n*.evil.example');
  expect(await ann.signs(press('block', 'exfiltration'))).toMatch(/Block traffic[^]*198\.51\.100\.9\/32[^]*\*\.evil\.example/);
  await dialog().getByText('It waits for another person').waitFor();
  const address = (await dialog().getByRole('link', { name: 'The command’s page' }).getAttribute('href')) ?? '';
  const other = await bob.context.newPage();
  await visit(other, address);
  const words = await bob.signs(() => other.getByRole('button', { name: 'Sign it too' }).click());
  expect(words).toMatch(/Block traffic[^]*exfiltration/);
  await other.locator('.step.done.proved').waitFor({ timeout: 60_000 });
  // Whoever began it sees it happen without a press.
  await proved();
  await dialog().getByRole('button', { name: 'Unblock' }).click();
  await ann.signs(press('unblock', 'it is over'));
  await proved();
  await page.keyboard.press('Escape');
});

test('the dialogs have no serious fault for those who cannot see, and fit a phone', async () => {
  const names = ['Take a file away', 'Let a program not be started', 'Block addresses, names or ports', 'Shut the ports', 'Lock an account', 'Stop a service', 'Block removable', 'Bring evidence away', 'Undo everything'];
  for (const scheme of ['dark', 'light'] as const) {
    const narrow = await open(browser, { ...PHONE, colorScheme: scheme, bypassCSP: true });
    const phone = await narrow.newPage();
    await visit(phone, `/c/acme/endpoints/${web}`);
    await phone.addScriptTag({ path: AXE });
    for (const name of ['', ...names]) {
      if (name === '') await phone.getByRole('button', { name: 'Isolate', exact: true }).tap();
      else {
        await phone.getByRole('button', { name: 'More actions' }).tap();
        await phone.getByRole('menuitem', { name }).tap();
      }
      await phone.getByLabel('Reason').waitFor();
      await phone.locator('summary', { hasText: 'More' }).tap();
      const found = await phone.evaluate(async () => {
        const { axe } = window as unknown as { axe: { run: () => Promise<{ violations: { id: string; impact: string | null; nodes: { html: string; failureSummary?: string }[] }[] }> } };
        const { violations } = await axe.run();
        return violations.filter(({ impact }) => impact === 'serious' || impact === 'critical').map(({ id, nodes }) => `${id}: ${nodes.map((one) => `${one.html} ${one.failureSummary ?? ''}`).join(' | ')}`);
      });
      expect(found, `${scheme}: ${name}`).toEqual([]);
      expect(await phone.evaluate(() => document.documentElement.scrollWidth), name).toBeLessThanOrEqual(PHONE.viewport?.width ?? 0);
      await phone.keyboard.press('Escape');
      await phone.getByRole('dialog').waitFor({ state: 'detached' });
    }
    await narrow.close();
  }
});

test('nothing on the way was refused by the page’s own policy', () => {
  expect(wrong).toEqual([]);
  expect(world.url).toContain('https://');
});
