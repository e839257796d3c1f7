// For tests: golden bytes of the protocol, which Rust's own tests hold.

import { readFileSync } from 'node:fs';

import type { Bytes } from './bytes';

const FOLDER = new URL('../../../../../proto/samples/', import.meta.url);

export const sample = (name: string): Bytes => new Uint8Array(readFileSync(new URL(name, FOLDER)));
