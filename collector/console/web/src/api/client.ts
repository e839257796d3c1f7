// The one way to the API: typed by its own document, with the page's word on every change, and
// problems as errors that say what the collector said.

import createClient, { type Middleware } from 'openapi-fetch';

import type { paths } from '../../dist/schema';

/** An answer that is not what was asked for. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    detail: string,
    readonly kind: string,
  ) {
    super(detail);
  }
}

let csrf: string | null = null;

/** What every change must say; the session gives it. */
export function setCsrf(word: string | null | undefined) {
  csrf = word ?? null;
}

const words: Middleware = {
  onRequest({ request }) {
    if (request.method !== 'GET' && csrf) request.headers.set('x-csrf-token', csrf);
    return request;
  },
  async onResponse({ response }) {
    if (response.ok || response.status === 304) return response;
    throw await problem(response);
  },
  onError() {
    return new Problem(0, 'The collector cannot be reached. This page tries again by itself.', 'unreachable');
  },
};

async function problem(response: Response): Promise<Problem> {
  const body = (await response.json().catch(() => null)) as { detail?: string; type?: string } | null;
  // The session stands, and the person is asked to prove who it is once more.
  const again = response.headers.get('www-authenticate')?.includes('insufficient_user_authentication');
  const kind = again ? 'prove-again' : (body?.type?.split('/').at(-1) ?? '');
  return new Problem(response.status, body?.detail ?? `the collector answered ${response.status}`, kind);
}

export const api = createClient<paths>({ baseUrl: '/', credentials: 'same-origin' });
api.use(words);

/** The body of an answer; failures were thrown before. */
export async function take<T>(asked: Promise<{ data?: T }>): Promise<T> {
  const { data } = await asked;
  return data as T;
}
