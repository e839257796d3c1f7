// Consoles that lie: one that is somebody else's page, one whose own scripts were changed. The signing
// page shows what would be signed, and what was signed for something else counts for nothing.

import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

import { type Browser, type BrowserContext, type Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { base64url, fromBase64url } from '../../signer/bytes.js';
import { type Command, readCommand, writeCommand } from '../../signer/command.js';
import { contentOf } from '../../signer/cose.js';
import { answers, commands, endpoint, rostered, serveSigner, shown, SIGNER, Signer } from './people';
import { launch, open, visit, world } from './world';

let browser: Browser;
let context: BrowserContext;
let stop: () => void;
let ann: Signer;
let desk: string;
let stranger: Server;
let evil: string;

/** A page that opens the signing page and asks it for whatever it was told to. */
const STRANGER = `<!doctype html><title>Cordon</title><h1>Release db-01?</h1><button>Release db-01</button><script>
  window.got = [];
  addEventListener('message', (event) => {
    window.got.push(event.data);
    if (event.data.says === 'ready') event.source.postMessage({ protocol: 'cordon-signer/1', says: 'ask', ...window.ask }, '${SIGNER}');
  });
  document.querySelector('button').onclick = () => window.open('${SIGNER}/', '_blank', 'popup');
</script>`;

beforeAll(async () => {
  browser = await launch();
  context = await open(browser);
  stop = await serveSigner();
  ann = await Signer.make(context, 'ann, laptop');
  await rostered(context, { ann });
  desk = (await endpoint(context, world.hostile)).id;
  stranger = createServer((_, response) => response.setHeader('content-type', 'text/html').end(STRANGER)).listen(0, '127.0.0.1');
  await new Promise((resolve) => stranger.on('listening', resolve));
  evil = `http://127.0.0.1:${(stranger.address() as AddressInfo).port}`;
});

afterAll(async () => {
  stop?.();
  stranger?.close();
  await browser.close();
});

/** A command that nobody wants: everything undone, everywhere. */
const UNWANTED: Command = {
  id: '0190f7e4-5c00-7000-8000-0000000000ee',
  client: 'acme',
  targets: [{ endpoint: 'ee'.repeat(32), host_name: 'vault-01', nonce: { boot_count: 1, endpoint_secs: 1, mac: new Uint8Array(16) } }],
  action: { kind: 'release_all' },
  age_max_secs: 900,
  queued: false,
  roster_min: { version: 1, hash: 'ab'.repeat(32) },
  reason: 'routine',
  incident: null,
  snapshot: null,
};

async function askedBy(page: Page, ask: object): Promise<Page> {
  await page.goto(evil);
  await page.evaluate((told) => Object.assign(window, { ask: told }), ask);
  return ann.asked(() => page.getByRole('button', { name: 'Release db-01' }).click());
}

test('a stranger’s page that says one thing and asks for another is shown for what it asks', async () => {
  const page = await context.newPage();
  const window = await askedBy(page, { command: base64url(writeCommand(UNWANTED)), keys: [ann.key] });
  const words = await shown(window);
  expect(words).toMatch(/Undo everything that stands[^]*vault-01/);
  expect(words).toContain(evil);
  expect(words).not.toContain('db-01');
  await window.getByRole('button', { name: 'Do not sign' }).click();
  await window.getByText('Nothing was handed over').waitFor();
  const got = await page.evaluate<{ value?: string; refused?: string }[]>('window.got');
  expect(got.at(-1)?.refused).toContain('did not sign');
  expect(got.every(({ value }) => value === undefined)).toBe(true);
  await page.close();
});

test('bytes that the page cannot show whole, it does not offer to sign', async () => {
  const good = writeCommand(UNWANTED);
  const longer = Uint8Array.of(...good, 0);
  for (const command of [base64url(longer), base64url(good.slice(0, -1)), 'AAAA', '']) {
    const page = await context.newPage();
    const window = await askedBy(page, { command, keys: [ann.key] });
    await window.getByRole('heading', { name: 'This cannot be shown' }).waitFor();
    expect(await window.getByRole('button', { name: /Sign/ }).count()).toBe(0);
    await page.close();
    await window.close();
  }
});

test('no key, or what is no key’s id, gives nothing to sign with', async () => {
  for (const keys of [[], ['x'], 'all', [12]]) {
    const page = await context.newPage();
    const window = await askedBy(page, { command: base64url(writeCommand(UNWANTED)), keys });
    await window.getByText('names no passkey of yours').waitFor();
    expect(await window.getByRole('button', { name: /^Sign/ }).count()).toBe(0);
    await page.close();
    await window.close();
  }
});

test('a console whose scripts were changed to ask for more is shown for what it asks', async () => {
  const before = await commands(context);
  const page = await context.newPage();
  const swapped = base64url(writeCommand({ ...UNWANTED, targets: [{ ...UNWANTED.targets[0]!, endpoint: desk, host_name: world.hostile }] }));
  // What the page turns into text for the signing page becomes another command.
  await page.addInitScript((command) => {
    const real = globalThis.btoa;
    globalThis.btoa = (text) => (text.includes('acme') && text.includes('drill') ? command : real(text));
  }, swapped);
  await visit(page, `/c/acme/endpoints/${desk}`);
  await page.getByRole('button', { name: 'Isolate', exact: true }).click();
  await page.getByLabel('Reason').fill('drill');
  const window = await ann.asked(() => page.getByRole('button', { name: 'Sign and isolate' }).click());
  const words = await shown(window);
  expect(words).toMatch(/Undo everything that stands/);
  expect(words).toContain(world.hostile);
  expect(words).not.toContain('Cut off');
  await answers(window, 'Do not sign');
  await page.getByText('It was not signed at the signing page').waitFor();
  expect(await commands(context)).toBe(before);
  await page.close();
});

test('a signature under one command counts for no other', async () => {
  const before = await commands(context);
  const page = await context.newPage();
  let shownBytes = '';
  // The console's own messages, changed between the signing page and the collector.
  await page.route('**/api/v1/commands', async (route) => {
    if (route.request().method() !== 'POST') return route.continue();
    const { command } = JSON.parse(route.request().postData() ?? '{}') as { command: string };
    const message = fromBase64url(command);
    shownBytes = base64url(contentOf(message));
    const at = Buffer.from(message).indexOf('drill');
    const changed = message.slice();
    changed.set(new TextEncoder().encode('DRILL'), at);
    await route.continue({ postData: JSON.stringify({ command: base64url(changed) }) });
  });
  await visit(page, `/c/acme/endpoints/${desk}`);
  await page.getByRole('button', { name: 'Isolate', exact: true }).click();
  await page.getByLabel('Reason').fill('drill');
  await ann.signs(() => page.getByRole('button', { name: 'Sign and isolate' }).click());
  await page.getByText('does not verify').waitFor();
  expect(readCommand(fromBase64url(shownBytes)).reason).toBe('drill');
  expect(await commands(context)).toBe(before);
  await page.close();
});
