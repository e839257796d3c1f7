// The signing page in a window of its own: it is shown a command's bytes, and answers with a
// signature or a refusal. Nothing is believed that comes from another window or another page.

import { base64url, fromBase64url } from '../../../signer/bytes.js';
import { decode } from '../../../signer/cbor.js';

const PROTOCOL = 'cordon-signer/1';
const WINDOW = 'popup,width=560,height=800';

/** How long a person has to sign. */
const PATIENCE_MS = 5 * 60_000;

/** After this the page is called silent, and opened again each time it has passed. */
const AGAIN_MS = 4_000;

const LOOK_MS = 300;

/** `silent` while the page does not say that it is there, `asked` while the person reads. */
export type Step = 'opening' | 'silent' | 'asked' | 'bringing';

export interface How {
  signal?: AbortSignal;
  step?: (step: Step) => void;
}

export interface Answer {
  key: string;
  /** The assertion, as the signature of the command. */
  value: Uint8Array;
}

/** Why there is no signature. */
export class Unsigned extends Error {
  constructor(
    readonly why: 'blocked' | 'closed' | 'refused' | 'late' | 'stopped' | 'answer' | 'passkey',
    words: string,
  ) {
    super(words);
  }
}

/** What is used of a window, so that tests can stand in for a browser. */
export interface Opener {
  open(address: string, name: string, features: string): Page | null;
  addEventListener(name: 'message', listener: (event: MessageEvent) => void): void;
  removeEventListener(name: 'message', listener: (event: MessageEvent) => void): void;
}

export interface Page {
  readonly closed: boolean;
  location: { replace(address: string): void };
  postMessage(message: unknown, origin: string): void;
  close(): void;
}

export class SigningWindow {
  private ready = false;
  private heard: (message: Record<string, unknown>) => void = () => {};
  private end = () => {};

  private constructor(
    private readonly opener: Opener,
    private readonly page: Page,
    private readonly origin: string,
  ) {
    opener.addEventListener('message', this.listen);
  }

  /** Opens the page; browsers let this happen only within a press. */
  static open(origin: string, opener: Opener = window): SigningWindow {
    const page = opener.open(`${origin}/`, '_blank', WINDOW);
    if (!page) {
      throw new Unsigned('blocked', 'The browser did not open the signing page. Allow this site to open windows, and try again.');
    }
    return new SigningWindow(opener, page, origin);
  }

  private listen = (event: MessageEvent) => {
    const message = event.data as Record<string, unknown> | null;
    if (event.source !== (this.page as unknown) || event.origin !== this.origin || message?.['protocol'] !== PROTOCOL) return;
    if (message['says'] === 'ready') this.ready = true;
    this.heard(message);
  };

  /** Shows it the bytes and waits for the person. */
  ask(payload: Uint8Array, keys: string[], { signal, step }: How = {}): Promise<Answer> {
    return new Promise<Answer>((resolve, reject) => {
      const end = new AbortController();
      const no = (why: Unsigned['why'], words: string) => reject(new Unsigned(why, words));
      const show = () => {
        step?.('asked');
        this.page.postMessage({ protocol: PROTOCOL, says: 'ask', command: base64url(payload), keys }, this.origin);
      };
      this.heard = (message) => {
        // A page that was loaded again is asked again.
        if (message['says'] === 'ready') return show();
        if (message['says'] !== 'answer') return;
        const answer = read(message, keys);
        if (answer instanceof Unsigned) reject(answer);
        else resolve(answer);
      };
      step?.('opening');
      if (this.ready) show();
      const again = setInterval(() => {
        if (this.ready) return;
        step?.('silent');
        this.page.location.replace(`${this.origin}/`);
      }, AGAIN_MS);
      const look = setInterval(() => {
        if (this.page.closed) no('closed', 'The signing page was closed; nothing was signed.');
      }, LOOK_MS);
      const late = setTimeout(() => no('late', 'Nobody signed within five minutes.'), PATIENCE_MS);
      const stop = () => no('stopped', 'It was called off; nothing was signed.');
      signal?.addEventListener('abort', stop, { signal: end.signal });
      if (signal?.aborted) stop();
      this.end = () => {
        end.abort();
        clearInterval(again);
        clearInterval(look);
        clearTimeout(late);
      };
    }).finally(() => this.end());
  }

  /** Closes the page, whatever became of it. */
  close() {
    this.opener.removeEventListener('message', this.listen);
    this.page.close();
  }
}

function read(message: Record<string, unknown>, keys: string[]): Answer | Unsigned {
  const { key, value, refused } = message;
  if (typeof refused === 'string') return new Unsigned('refused', 'It was not signed at the signing page; nothing was sent.');
  const bytes = typeof value === 'string' ? assertion(value) : null;
  if (typeof key === 'string' && keys.includes(key) && bytes) return { key, value: bytes };
  return new Unsigned('answer', 'The signing page answered with something that is no signature of a key that was asked.');
}

/** The bytes of an array of three runs of bytes; null of anything else. */
function assertion(value: string): Uint8Array | null {
  try {
    const bytes = fromBase64url(value);
    const parts = decode(bytes);
    const isOne = Array.isArray(parts) && parts.length === 3 && parts.every((part) => part instanceof Uint8Array);
    return isOne ? bytes : null;
  } catch {
    return null;
  }
}
