// From what an operator wants to a command that the collector has: composed here, signed at the
// signing page, brought to the collector, which can neither make one nor change it.

import { api, take } from '../api/client';
import type { Command } from '../api/types';
import { base64url, fromBase64url, fromHex } from '../../../signer/bytes.js';
import { contentOf, signed } from '../../../signer/cose.js';
import type { Desk, SigningPage } from './desk';
import { type Draft, type Fresh, compose } from './draft';
import { type How, SigningWindow, Unsigned } from './signer';

/** Endpoints asked for at once. */
const AT_ONCE = 8;

/**
 * Has a command signed and brings it. To be called within a press: the window must open in it. By
 * default at the first of the person's signing pages.
 */
export async function signAndBring(draft: Draft, desk: Desk, how: How & { page?: SigningPage } = {}): Promise<Command> {
  const at = pageOf(desk, how.page);
  const page = SigningWindow.open(at.origin);
  try {
    const payload = compose(draft, await freshly(draft), desk.roster);
    const { key, value } = await page.ask(payload, at.keys, how);
    how.step?.('bringing');
    const command = base64url(signed(payload, fromHex(key), value));
    return await take(api.POST('/api/v1/commands', { body: { command } }));
  } finally {
    page.close();
  }
}

/** Adds the person's signature to a command that waits for it. To be called within a press. */
export async function signToo(waiting: Command, desk: Desk, how: How & { page?: SigningPage } = {}): Promise<Command> {
  const at = pageOf(desk, how.page);
  const page = SigningWindow.open(at.origin);
  try {
    const payload = contentOf(fromBase64url(waiting.command));
    const { key, value } = await page.ask(payload, at.keys, how);
    how.step?.('bringing');
    const command = base64url(signed(payload, fromHex(key), value));
    const params = { path: { id: waiting.id } };
    return await take(api.POST('/api/v1/commands/{id}/signatures', { params, body: { command } }));
  } finally {
    page.close();
  }
}

function pageOf(desk: Desk, chosen: SigningPage | undefined): SigningPage {
  const at = chosen ?? desk.pages[0];
  if (!at) throw new Unsigned('passkey', 'The client’s roster names no passkey of yours.');
  return at;
}

/** The endpoints with the nonces that they published last. */
async function freshly({ endpoints }: Draft): Promise<Fresh[]> {
  const found: Fresh[] = [];
  for (let from = 0; from < endpoints.length; from += AT_ONCE) {
    const some = endpoints.slice(from, from + AT_ONCE);
    const asked = some.map(({ id }) => take(api.GET('/api/v1/endpoints/{id}', { params: { path: { id } } })));
    found.push(...(await Promise.all(asked)));
  }
  return found;
}
