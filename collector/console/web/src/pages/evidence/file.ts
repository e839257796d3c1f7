// A bundle in the hands of the page: exported just now, or chosen from this machine.

import { api } from '../../api/client';
import type { Bytes } from '../../proof/bytes';

export interface File {
  name: string;
  bytes: Bytes;
  /** When it came into the page: another file is another question. */
  made: number;
  /** Exported here, so that it is still to be saved. */
  isOurs: boolean;
}

export interface Wanted {
  endpoints: string[];
  since: string;
  until: string;
}

/** Largest bundle that a page takes; `cordon verify` reads larger ones. */
export const BYTES_MAX = 512 << 20;

/** Has the collector gather a bundle. `told` hears how many bytes have come. */
export async function exportBundle(client: string, wanted: Wanted, told: (bytes: number) => void): Promise<File> {
  const { endpoints, since, until } = wanted;
  const body = { since, until, ...(endpoints.length > 0 ? { endpoints } : {}) };
  const { response } = await api.POST('/api/v1/clients/{client}/export', { params: { path: { client } }, body, parseAs: 'stream' });
  const bytes = await read(response, told);
  const day = until.slice(0, 19).replaceAll(/[-:]/g, '');
  return { name: `${client}-${day}.evidence`, bytes, made: Date.now(), isOurs: true };
}

async function read(response: Response, told: (bytes: number) => void): Promise<Bytes> {
  const reader = response.body?.getReader();
  const parts: Uint8Array[] = [];
  let length = 0;
  for (;;) {
    const { done, value } = (await reader?.read()) ?? { done: true, value: undefined };
    if (done || !value) break;
    parts.push(value);
    length += value.length;
    told(length);
  }
  const said = Number(response.headers.get('content-length') ?? length);
  // A cut file would be refused by the verifier all the same, with less clear words.
  if (response.headers.get('content-encoding') === null && said !== length) throw new Error('The collector ended the bundle before it was whole.');
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Reads a file of this machine; it goes nowhere. */
export async function chosenFile(file: globalThis.File): Promise<File> {
  if (file.size > BYTES_MAX) throw new Error('That is more than a page can hold; `cordon verify` reads it.');
  return { name: file.name, bytes: new Uint8Array(await file.arrayBuffer()), made: Date.now(), isOurs: false };
}
