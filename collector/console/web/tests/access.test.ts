// Every page for those who see little or nothing: axe finds nothing serious, dark or light.

import { createRequire } from 'node:module';

import { type Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { addresses, launch, open, visit, world } from './world';

const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js');

/** Pages that together show every mark there is. */
const COLOURFUL = new Set(['overview', 'endpoints', 'endpoint', 'timeline', 'logs', 'resources', 'processes', 'command', 'account', 'sign-in']);

let browser: Browser;

beforeAll(async () => {
  browser = await launch();
});

afterAll(() => browser.close());

interface Found {
  id: string;
  impact: string | null;
  nodes: { html: string; failureSummary?: string }[];
}

for (const scheme of ['dark', 'light'] as const) {
  test(`nothing serious is found in ${scheme}`, async () => {
    // axe is put in from outside, which the page's own policy would rightly refuse.
    const context = await open(browser, { colorScheme: scheme, bypassCSP: true });
    const pages = { ...(await addresses(context)), 'sign-in': '/sign-in', 'set-up': '/set-up' };
    const all: string[] = [];
    const page = await context.newPage();
    for (const [name, path] of Object.entries(pages)) {
      // Only colours differ, and the other pages have no others.
      if (scheme === 'light' && !COLOURFUL.has(name)) continue;
      await visit(page, path);
      await page.addScriptTag({ path: AXE });
      const found = await page.evaluate(async () => {
        const { axe } = window as unknown as { axe: { run: () => Promise<{ violations: Found[] }> } };
        return (await axe.run()).violations;
      });
      for (const { id, impact, nodes } of found) {
        if (impact === 'serious' || impact === 'critical') {
          all.push(`${name}: ${id}: ${nodes.slice(0, 3).map((node) => `${node.html} ${node.failureSummary ?? ''}`).join(' | ')}`);
        }
      }
    }
    expect(all, world.url).toEqual([]);
    await context.close();
  });
}
