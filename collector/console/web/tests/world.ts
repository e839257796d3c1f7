// What the browser tests share: the fleet they look at, a browser, a person who is signed in.

import { createHmac } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

import { type Browser, type BrowserContext, type BrowserContextOptions, chromium, type Page } from 'playwright-core';

function told(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: \`cargo test -p cordon-tests --test browser\` starts these tests`);
  return value;
}

/** The console, and what was made for it to show. */
export const world = {
  url: told('CORDON_URL'),
  chromium: told('CORDON_CHROMIUM'),
  folder: told('CORDON_FOLDER'),
  invitation: told('CORDON_INVITATION'),
  /** The host name of the endpoint that means harm. */
  hostile: told('CORDON_HOSTILE'),
};

export const PASSWORD = 'four words that are not together';

/** Who is signed in, kept between the files of one run. */
export const STATE = join(world.folder, 'signed-in.json');

const FLAGS = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
];

export function launch(): Promise<Browser> {
  return chromium.launch({ executablePath: world.chromium, args: FLAGS });
}

export const PHONE: BrowserContextOptions = {
  viewport: { width: 390, height: 844 },
  deviceScaleFactor: 2,
  isMobile: true,
  hasTouch: true,
};

/** Whatever is waited for comes sooner, even on two busy cores. */
const PATIENCE_MS = 20_000;

/** A window of its own; as ann, if she has signed in. */
export async function open(browser: Browser, options: BrowserContextOptions = {}): Promise<BrowserContext> {
  const context = await browser.newContext({
    // The collector's certificate is its own authority's.
    ignoreHTTPSErrors: true,
    viewport: { width: 1440, height: 900 },
    ...(existsSync(STATE) ? { storageState: STATE } : {}),
    ...options,
  });
  context.setDefaultTimeout(PATIENCE_MS);
  return context;
}

/** What must not happen on any page: an error, a refused style or script, a word to another host. */
export function faults(page: Page): string[] {
  const found: string[] = [];
  page.on('pageerror', (error) => found.push(`error: ${error.message}`));
  page.on('dialog', (dialog) => {
    found.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on('console', (message) => {
    const text = message.text();
    // Who is not signed in yet is told so by a 401, which the browser notes.
    if (message.type() === 'error' && !text.includes('401')) found.push(text);
  });
  page.on('request', (request) => {
    if (!request.url().startsWith(world.url)) found.push(`asked ${request.url()}`);
  });
  return found;
}

/** Addresses of every page, with the endpoint and the command that the fleet has. */
export async function addresses(context: BrowserContext): Promise<Record<string, string>> {
  const ask = async (path: string) => (await context.request.get(`${world.url}/api/v1${path}`)).json() as Promise<{ items: Record<string, string>[] }>;
  const endpoints = (await ask('/endpoints')).items;
  const command = (await ask('/commands')).items[0]?.['id'] ?? '';
  const id = (name: string) => endpoints.find((one) => one['host_name'] === name)?.['id'] ?? '';
  const [web, hostile] = [id('web-01'), id(world.hostile)];
  const tab = (of: string, name: string) => `/c/acme/endpoints/${of}?tab=${name}`;
  return {
    overview: '/',
    client: '/c/acme',
    clients: '/clients',
    account: '/account',
    endpoints: '/c/acme/endpoints',
    endpoint: `/c/acme/endpoints/${web}`,
    timeline: tab(web, 'timeline'),
    logs: tab(web, 'logs'),
    resources: tab(web, 'resources'),
    processes: tab(web, 'processes'),
    network: tab(web, 'network'),
    inventory: tab(web, 'inventory'),
    'endpoint-commands': tab(web, 'commands'),
    hostile: `/c/acme/endpoints/${hostile}`,
    'hostile-timeline': tab(hostile, 'timeline'),
    'hostile-logs': tab(hostile, 'logs'),
    'hostile-resources': tab(hostile, 'resources'),
    containments: '/c/acme/containments',
    commands: '/c/acme/commands',
    command: `/c/acme/commands/${command}`,
    query: `/c/acme/query?sql=${encodeURIComponent('SELECT port, process, path\nFROM listeners\nWHERE port < 1024')}&endpoints=${web},${hostile}`,
    evidence: `/c/acme/evidence?endpoints=${web}`,
    'evidence-verify': '/c/acme/evidence?tab=verify',
    collections: '/c/acme/evidence?tab=collections',
    audit: '/c/acme/audit',
    operators: '/c/acme/settings',
    rosters: '/c/acme/settings?tab=rosters',
    policies: '/c/acme/settings?tab=policies',
    tokens: '/c/acme/settings?tab=tokens',
    'api-tokens': '/c/acme/settings?tab=api-tokens',
    nowhere: '/c/nobody/endpoints',
  };
}

/** Goes to a page and waits until nothing on it is on its way any more. */
export async function visit(page: Page, path: string) {
  await page.goto(world.url + path);
  await page.locator('h1, .empty').first().waitFor();
  await page.waitForFunction(() => document.querySelector('.waiting') === null);
}

const DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

/** What the authenticator app shows, so many steps of half a minute from now (RFC 6238). */
export function totp(secret: string, steps = 0): string {
  const bits = [...secret.replaceAll(/[\s=]/g, '')].map((digit) => DIGITS.indexOf(digit).toString(2).padStart(5, '0')).join('');
  const key = Buffer.from((bits.match(/.{8}/g) ?? []).map((byte) => parseInt(byte, 2)));
  const count = Buffer.alloc(8);
  count.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000) + steps));
  const hash = createHmac('sha1', key).update(count).digest();
  const at = (hash.at(-1) ?? 0) & 15;
  return String((hash.readUInt32BE(at) & 0x7fff_ffff) % 1_000_000).padStart(6, '0');
}
