// From an invitation to being signed in: with a password and a code, then with a passkey.

import { type Browser, type BrowserContext, type Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { faults, launch, open, PASSWORD, STATE, totp, world } from './world';

let browser: Browser;
let context: BrowserContext;
let page: Page;
let wrong: string[];
let secret = '';

beforeAll(async () => {
  browser = await launch();
  context = await open(browser);
  page = await context.newPage();
  wrong = faults(page);
});

afterAll(() => browser.close());

test('an invitation in the address sets an account up', async () => {
  await page.goto(`${world.url}/set-up#${world.invitation}`);
  expect(await page.getByLabel('Invitation code').inputValue()).toBe(world.invitation);
  await page.getByLabel('Name').fill('ann');
  await page.getByLabel('Password').fill('short');
  await page.getByRole('button', { name: 'Continue' }).click();
  await page.getByText('shorter than 12 characters').waitFor();
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Continue' }).click();
  secret = (await page.locator('.secret code').textContent()) ?? '';
  expect(await page.getByRole('img', { name: /QR code/ }).count()).toBe(1);
  await page.getByRole('textbox', { name: 'Code' }).fill(totp(secret));
  await page.getByRole('button', { name: 'Confirm' }).click();
  await page.getByRole('heading', { name: 'Welcome, ann' }).waitFor();
  expect(await page.getByRole('list', { name: 'Recovery codes' }).getByRole('listitem').count()).toBeGreaterThan(5);
});

test('who is not signed in is asked to, and comes back to where he wanted to go', async () => {
  await page.goto(`${world.url}/c/acme/containments`);
  await page.getByRole('heading', { name: 'Sign in' }).waitFor();
  await page.getByLabel('Name').fill('ann');
  await page.getByLabel('Password').fill('a wrong one, and long enough');
  await page.getByRole('button', { name: 'Continue' }).click();
  await page.getByText('this is not right').waitFor();
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Continue' }).click();
  // Each code counts once; the next one is taken, too, for clocks differ.
  await page.getByRole('textbox', { name: 'Code' }).fill(totp(secret, 1));
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('heading', { name: 'Containments' }).waitFor();
  await context.storageState({ path: STATE });
});

test('a passkey is made, and signs in', async () => {
  const devtools = await context.newCDPSession(page);
  await devtools.send('WebAuthn.enable');
  await devtools.send('WebAuthn.addVirtualAuthenticator', {
    options: {
      protocol: 'ctap2', transport: 'internal', hasResidentKey: true, hasUserVerification: true, isUserVerified: true,
      automaticPresenceSimulation: true,
    },
  });
  await page.goto(`${world.url}/account`);
  await page.getByLabel('Name of a new passkey').fill('Laptop');
  await page.getByRole('button', { name: 'Make' }).click();
  await page.getByRole('button', { name: 'Take Laptop away' }).waitFor();
  await page.getByRole('button', { name: /Signed in as ann/ }).click();
  await page.getByRole('menuitem', { name: 'Sign out' }).click();
  await page.getByRole('button', { name: 'Sign in with a passkey' }).click();
  await page.getByRole('heading', { name: 'All clients' }).waitFor();
  await page.goto(`${world.url}/account`);
  await page.getByText('a passkey').first().waitFor();
  await context.storageState({ path: STATE });
  // What a wrong password answers is noted by the browser as a failed request, and nothing else.
  expect(wrong.filter((one) => !/status of 4\d\d/.test(one))).toEqual([]);
});
