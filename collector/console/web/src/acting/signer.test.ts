import { afterEach, beforeEach, expect, test, vi } from 'vitest';

import { encode } from '../../../signer/cbor.js';
import { base64url } from '../../../signer/bytes.js';
import { type Opener, SigningWindow, type Step } from './signer';

const ORIGIN = 'http://localhost:9443';
const KEY = 'ab'.repeat(32);
const ASSERTION = base64url(encode([Uint8Array.of(1), Uint8Array.of(2), Uint8Array.of(3)]));

/** A browser with one page in it; `says` speaks as that page unless another is named. */
function browser(opens = true) {
  let listener: ((event: MessageEvent) => void) | undefined;
  const asked: { message: Record<string, unknown>; origin: string }[] = [];
  const gone: string[] = [];
  const page = {
    closed: false,
    location: { replace: (to: string) => void gone.push(to) },
    postMessage: (message: unknown, origin: string) => void asked.push({ message: message as Record<string, unknown>, origin }),
    close() {
      this.closed = true;
    },
  };
  const opener: Opener = {
    open: (address) => {
      gone.push(address);
      return opens ? page : null;
    },
    addEventListener: (_, heard) => {
      listener = heard;
    },
    removeEventListener: () => {
      listener = undefined;
    },
  };
  const says = (data: object, source: unknown = page, origin = ORIGIN) =>
    listener?.({ source, origin, data: { protocol: 'cordon-signer/1', ...data } } as MessageEvent);
  return { opener, page, asked, gone, says };
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test('the page is asked once it is there, and gives a signature', async () => {
  const { opener, asked, gone, says } = browser();
  const page = SigningWindow.open(ORIGIN, opener);
  const steps: Step[] = [];
  const answer = page.ask(Uint8Array.of(1, 2), [KEY], { step: (step) => steps.push(step) });
  expect(asked).toEqual([]);
  says({ says: 'ready' });
  expect(asked).toEqual([{ message: { protocol: 'cordon-signer/1', says: 'ask', command: 'AQI', keys: [KEY] }, origin: ORIGIN }]);
  says({ says: 'answer', key: KEY, value: ASSERTION });
  expect((await answer).key).toBe(KEY);
  expect(steps).toEqual(['opening', 'asked']);
  expect(gone).toEqual([`${ORIGIN}/`]);
});

test('a page that was there before the bytes were is asked all the same, and again when it is loaded again', async () => {
  const { opener, asked, says } = browser();
  const page = SigningWindow.open(ORIGIN, opener);
  says({ says: 'ready' });
  const answer = page.ask(Uint8Array.of(1), [KEY]);
  expect(asked.length).toBe(1);
  says({ says: 'ready' });
  expect(asked.length).toBe(2);
  says({ says: 'answer', key: KEY, value: ASSERTION });
  await answer;
});

test('other windows and other pages in that window are not listened to', async () => {
  const { opener, asked, says } = browser();
  const answer = SigningWindow.open(ORIGIN, opener).ask(Uint8Array.of(1), [KEY]);
  says({ says: 'ready' }, {});
  says({ says: 'ready' }, undefined, 'https://evil.example');
  says({ says: 'ready', protocol: 'another/1' });
  expect(asked).toEqual([]);
  says({ says: 'answer', key: KEY, value: ASSERTION }, {});
  says({ says: 'answer', refused: 'x' }, undefined, 'http://localhost:9444');
  says({ says: 'answer', refused: 'the person did not sign' });
  await expect(answer).rejects.toMatchObject({ why: 'refused' });
});

test.each([
  ['a key that was not asked', { key: 'cd'.repeat(32), value: ASSERTION }],
  ['no value', { key: KEY }],
  ['what is no assertion', { key: KEY, value: base64url(encode([1, 2, 3])) }],
  ['what is no base64url', { key: KEY, value: '??' }],
])('%s is no signature', async (_, said) => {
  const { opener, says } = browser();
  const answer = SigningWindow.open(ORIGIN, opener).ask(Uint8Array.of(1), [KEY]);
  says({ says: 'answer', ...said });
  await expect(answer).rejects.toMatchObject({ why: 'answer' });
});

test('a page that is not there is told of, and opened again until it is', async () => {
  const { opener, gone, says, asked } = browser();
  const steps: Step[] = [];
  const answer = SigningWindow.open(ORIGIN, opener).ask(Uint8Array.of(1), [KEY], { step: (step) => steps.push(step) });
  vi.advanceTimersByTime(9_000);
  expect(steps).toEqual(['opening', 'silent', 'silent']);
  expect(gone.length).toBe(3);
  says({ says: 'ready' });
  vi.advanceTimersByTime(9_000);
  expect(gone.length).toBe(3);
  expect(asked.length).toBe(1);
  says({ says: 'answer', key: KEY, value: ASSERTION });
  await answer;
});

test('it ends when the page is closed, when it is called off, when nobody signs, and where no window opens', async () => {
  expect(() => SigningWindow.open(ORIGIN, browser(false).opener)).toThrow('did not open');
  const closed = browser();
  const first = SigningWindow.open(ORIGIN, closed.opener).ask(Uint8Array.of(1), [KEY]);
  closed.page.closed = true;
  vi.advanceTimersByTime(1000);
  await expect(first).rejects.toMatchObject({ why: 'closed' });
  const off = new AbortController();
  const second = SigningWindow.open(ORIGIN, browser().opener).ask(Uint8Array.of(1), [KEY], { signal: off.signal });
  off.abort();
  await expect(second).rejects.toMatchObject({ why: 'stopped' });
  const third = SigningWindow.open(ORIGIN, browser().opener).ask(Uint8Array.of(1), [KEY]);
  vi.advanceTimersByTime(5 * 60_000);
  await expect(third).rejects.toMatchObject({ why: 'late' });
});
