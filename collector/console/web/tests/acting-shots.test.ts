// Pictures of acting: dialogs, the signing page, a command on its way, to be looked at.

import { join } from 'node:path';

import { type Page } from 'playwright-core';
import { test } from 'vitest';

import { answers, endpoint, rostered, serveSigner, shown, Signer } from './people';
import { launch, open, PHONE, visit } from './world';

const SETTLE_MS = 700;

test('pictures of acting', { timeout: 600_000 }, async () => {
  const folder = process.env['CORDON_SHOTS'] ?? '';
  const browser = await launch();
  let stop = await serveSigner();
  for (const [device, options] of [['desktop', {}], ['phone', PHONE]] as const) {
    for (const colorScheme of ['dark', 'light'] as const) {
      const context = await open(browser, { ...options, colorScheme });
      const page = await context.newPage();
      const take = async (name: string, of: Page = page) => {
        await of.waitForTimeout(SETTLE_MS);
        await of.screenshot({ path: join(folder, `act-${name}-${device}-${colorScheme}.png`) });
      };
      const web = (await endpoint(context, 'web-01')).id;
      const dialog = page.getByRole('dialog');
      const press = (verb: string) => async () => {
        await dialog.getByLabel('Reason').fill('Beaconing to an address that was seen in two other incidents');
        await dialog.getByRole('button', { name: `Sign and ${verb}` }).click();
      };
      await visit(page, `/c/acme/endpoints/${web}`);
      if (device === 'desktop' && colorScheme === 'dark') {
        await page.getByRole('button', { name: 'Release' }).first().click();
        await dialog.getByText('names no signing passkey').waitFor();
        await take('no-passkey');
        await page.keyboard.press('Escape');
      }
      const ann = await Signer.make(context, 'ann, laptop');
      await rostered(context, { ann });
      await page.reload();
      await page.getByRole('button', { name: /Release|Isolate/ }).first().waitFor();
      if ((await page.getByRole('button', { name: 'Isolate', exact: true }).count()) === 0) {
        await page.getByRole('button', { name: 'Release' }).first().click();
        await ann.signs(press('release'));
        await dialog.getByText('Proved').first().waitFor({ timeout: 60_000 });
        await page.keyboard.press('Escape');
      }
      await page.getByRole('button', { name: 'More actions' }).click();
      await take('menu');
      await page.getByRole('menuitem', { name: 'Block addresses' }).click();
      await dialog.getByText('persons must sign').waitFor();
      await take('block');
      await page.keyboard.press('Escape');
      await page.getByRole('button', { name: 'More actions' }).click();
      await page.getByRole('menuitem', { name: 'Bring evidence' }).click();
      await dialog.getByText('signature is enough').waitFor();
      await take('collect');
      await page.keyboard.press('Escape');
      await page.getByRole('button', { name: 'Isolate', exact: true }).click();
      await dialog.getByText('signature is enough').waitFor();
      await take('isolate');
      await dialog.locator('.cuts summary').click();
      await take('isolate-cuts');
      stop();
      const window = await ann.asked(press('isolate'));
      await dialog.getByText('The signing page does not answer').waitFor();
      await take('silent');
      stop = await serveSigner();
      await shown(window);
      await take('signer', window);
      await take('asked');
      await answers(window, 'Sign with passkey');
      await take('handed-over');
      await dialog.getByText('Proved').first().waitFor({ timeout: 60_000 });
      await take('proved');
      await page.keyboard.press('Escape');
      await visit(page, '/c/acme/containments');
      await take('containments');
      await visit(page, `/c/acme/endpoints/${web}?tab=processes`);
      await page.getByRole('button', { name: 'Deny the program …' }).waitFor();
      await take('process');
      await context.close();
    }
  }
  stop();
  await browser.close();
});
