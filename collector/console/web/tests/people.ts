// People who sign: their passkeys at the signing page, the roster that names them, and what they do
// when the page asks.

import { createHash } from 'node:crypto';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { type Browser, type BrowserContext, type Page } from 'playwright-core';
import { expect, vi } from 'vitest';

import { open, PASSWORD, totp, world } from './world';

const told = (name: string) => process.env[name] ?? '';
const PORT = told('CORDON_SIGNER_PORT');

export const SIGNER = `http://localhost:${PORT}`;

/** A process in here is one that the endpoint's agent may act on. */
export const CGROUP = told('CORDON_CGROUP');

const environment = { ...process.env, CORDON_CONFIG_DIR: told('CORDON_CONFIG_DIR'), CORDON_PROFILE: 'ann' };

/** Runs the terminal program as ann. */
export async function cordon(...words: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(told('CORDON_PROGRAM'), words, { env: environment });
  return stdout;
}

/** Serves the signing page until it is ended. */
export async function serveSigner(): Promise<() => void> {
  const child: ChildProcess = spawn(told('CORDON_PROGRAM'), ['signer', '--port', PORT], { env: environment, stdio: 'ignore' });
  const end = () => void child.kill();
  // It outlives neither a test that fails nor the run.
  process.once('exit', end);
  await vi.waitUntil(() => fetch(SIGNER).then((answer) => answer.ok, () => false), { timeout: 20_000 });
  return end;
}

/** A passkey out of an authenticator in software, so that it can be put into another window's. */
interface Credential {
  credentialId: string;
  isResidentCredential: boolean;
  rpId?: string;
  privateKey: string;
  userHandle?: string;
  signCount: number;
}

const AUTHENTICATOR = {
  protocol: 'ctap2', transport: 'internal', hasResidentKey: true, hasUserVerification: true, isUserVerified: true,
  automaticPresenceSimulation: true,
} as const;

async function authenticator(page: Page, credential?: Credential) {
  const devtools = await page.context().newCDPSession(page);
  await devtools.send('WebAuthn.enable');
  const { authenticatorId } = await devtools.send('WebAuthn.addVirtualAuthenticator', { options: AUTHENTICATOR });
  if (credential) await devtools.send('WebAuthn.addCredential', { authenticatorId, credential });
  return { devtools, authenticatorId };
}

export class Signer {
  private constructor(
    readonly context: BrowserContext,
    /** What the roster is told. */
    readonly passkey: string,
    private readonly credential: Credential,
  ) {}

  /** Its id: SHA-256 of its public half. */
  get key(): string {
    const [, digits = ''] = /:([0-9a-f]+)@/.exec(this.passkey) ?? [];
    return createHash('sha256').update(Buffer.from(digits, 'hex')).digest('hex');
  }

  /** Makes a passkey at the signing page. */
  static async make(context: BrowserContext, name: string): Promise<Signer> {
    const page = await context.newPage();
    const { devtools, authenticatorId } = await authenticator(page);
    await page.goto(SIGNER);
    await page.getByLabel('A name for it').fill(name);
    await page.getByRole('button', { name: 'Make a passkey' }).click();
    const said = (await page.locator('.note.good').textContent()) ?? '';
    const { credentials } = await devtools.send('WebAuthn.getCredentials', { authenticatorId });
    const [credential] = credentials;
    const passkey = /NAME=(\S+)/.exec(said)?.[1];
    if (!credential || !passkey) throw new Error(`no passkey was made: ${said}`);
    await page.close();
    return new Signer(context, passkey, credential);
  }

  /** Presses what opens the signing page; the window, with the person's passkey at hand. */
  async asked(press: () => Promise<void>): Promise<Page> {
    const [window] = await Promise.all([this.context.waitForEvent('page'), press()]);
    await authenticator(window, this.credential);
    return window;
  }

  /** The same, and signs what it shows; what that was. */
  async signs(press: () => Promise<void>): Promise<string> {
    const window = await this.asked(press);
    const words = await shown(window);
    await answers(window, 'Sign with passkey');
    return words;
  }
}

/** Presses a button of the signing page after which the console closes it, maybe within the press. */
export async function answers(window: Page, button: string) {
  const press = window.getByRole('button', { name: button }).click();
  const closed = press.catch((error: Error) => {
    if (!error.message.includes('has been closed')) throw error;
  });
  await Promise.all([window.waitForEvent('close'), closed]);
}

/** What the signing page says that is about to be signed. */
export async function shown(window: Page): Promise<string> {
  await window.locator('dl').waitFor();
  return `${await window.locator('h1').innerText()}\n${await window.locator('main').innerText()}`;
}

/** Sets the second operator's account up and signs in. */
export async function second(browser: Browser): Promise<BrowserContext> {
  const context = await open(browser, { storageState: { cookies: [], origins: [] } });
  const page = await context.newPage();
  await page.goto(`${world.url}/set-up#${told('CORDON_INVITATION_OF_SECOND')}`);
  await page.getByLabel('Name').fill('bob');
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Continue' }).click();
  const secret = (await page.locator('.secret code').textContent()) ?? '';
  await page.getByRole('textbox', { name: 'Code' }).fill(totp(secret));
  await page.getByRole('button', { name: 'Confirm' }).click();
  await page.getByRole('heading', { name: 'Welcome, bob' }).waitFor();
  await page.goto(`${world.url}/sign-in`);
  await page.getByLabel('Name').fill('bob');
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Continue' }).click();
  await page.getByRole('textbox', { name: 'Code' }).fill(totp(secret, 1));
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('heading', { name: 'All clients' }).waitFor();
  await page.close();
  return context;
}

/** Has the authority sign a roster with their passkeys, by which blocking takes two persons; waits until it is held. */
export async function rostered(context: BrowserContext, signers: Record<string, Signer>) {
  const { roster_version: before } = await endpoint(context, 'web-01');
  const [draft, signed] = ['toml', 'cbor'].map((kind) => join(world.folder, `passkeys-${before + 1}.${kind}`)) as [string, string];
  const added = Object.entries(signers).flatMap(([name, { passkey }]) => ['--add-passkey', `${name}=${passkey}`]);
  await cordon('roster', 'make', '--client', 'acme', ...added, '-o', draft);
  const text = await readFile(draft, 'utf8');
  const forTwo = text.replaceAll(/(action = "block"\s+role = "responder"\s+approvals = )\d/g, '$12');
  expect(forTwo).toMatch(/action = "block"\s+role = "responder"\s+approvals = 2/);
  await writeFile(draft, forTwo);
  await cordon('roster', 'sign', draft, '--key', join(world.folder, 'authority/authority.key'), '-o', signed);
  await cordon('roster', 'push', signed);
  await vi.waitUntil(async () => (await endpoint(context, 'web-01')).roster_version > before, { timeout: 60_000, interval: 500 });
}

interface Known {
  id: string;
  host_name: string;
  roster_version: number;
}

/** An endpoint as the API has it. */
export async function endpoint(context: BrowserContext, name: string): Promise<Known> {
  const answer = await context.request.get(`${world.url}/api/v1/endpoints?limit=100`);
  const { items } = (await answer.json()) as { items: Known[] };
  const found = items.find((one) => one.host_name === name);
  if (!found) throw new Error(`no endpoint is called ${name}`);
  return found;
}

/** How many commands there are. */
export async function commands(context: BrowserContext): Promise<number> {
  const answer = await context.request.get(`${world.url}/api/v1/commands?client=acme&limit=500`);
  return ((await answer.json()) as { items: unknown[] }).items.length;
}
