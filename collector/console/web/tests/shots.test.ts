// Pictures of every page, to be looked at: desktop and phone, dark and light.

import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';

import { test } from 'vitest';

import { addresses, launch, open, PHONE, visit } from './world';

/** Charts, feeds and countdowns come to rest. */
const SETTLE_MS = 900;

test('pictures of every page', { timeout: 600_000 }, async () => {
  const folder = process.env['CORDON_SHOTS'] ?? '';
  await mkdir(folder, { recursive: true });
  const browser = await launch();
  for (const [device, options] of [['desktop', {}], ['phone', PHONE]] as const) {
    for (const colorScheme of ['dark', 'light'] as const) {
      const context = await open(browser, { ...options, colorScheme });
      const pages = { ...(await addresses(context)), 'sign-in': '/sign-in', 'set-up': '/set-up' };
      for (const [name, path] of Object.entries(pages)) {
        const page = await context.newPage();
        await visit(page, path);
        await page.waitForTimeout(SETTLE_MS);
        await page.screenshot({ path: join(folder, `${name}-${device}-${colorScheme}.png`) });
        await page.close();
      }
      await context.close();
    }
  }
  await browser.close();
});
