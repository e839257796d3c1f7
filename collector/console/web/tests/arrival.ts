// People who come into the console: an invitation is answered with a password and an app's codes, and
// whoever has done so signs in.

import type { BrowserContext } from 'playwright-core';

import { PASSWORD, totp, world } from './world';

/** Sets an account up, signs in with it, and leaves the browser's window signed in. */
export async function comeIn(context: BrowserContext, name: string, invitation: string): Promise<void> {
  const page = await context.newPage();
  await page.goto(`${world.url}/set-up#${invitation}`);
  await page.getByLabel('Name').fill(name);
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Continue' }).click();
  const secret = (await page.locator('.secret code').textContent()) ?? '';
  await page.getByRole('textbox', { name: 'Code' }).fill(totp(secret));
  await page.getByRole('button', { name: 'Confirm' }).click();
  await page.getByRole('heading', { name: `Welcome, ${name}` }).waitFor();
  await page.goto(`${world.url}/sign-in`);
  await page.getByLabel('Name').fill(name);
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Continue' }).click();
  // Each code counts once; the next one is taken, too, for clocks differ.
  await page.getByRole('textbox', { name: 'Code' }).fill(totp(secret, 1));
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('link', { name: 'Overview' }).first().waitFor();
  await page.close();
}
