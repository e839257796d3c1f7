// What an operator types into a dialog, read into what a command says, or refused in a sentence. The
// same things are taken as at the terminal. Pure.

import { fromText } from '../../../signer/ip.js';
import { type Action, Unmade } from './draft';

type Block = Extract<Action, { kind: 'block' }>;
type Network = NonNullable<Block['except']>[number];
type Ports = NonNullable<Block['rules'][number]['ports']>;

/** Lines, or words between spaces and commas, without empty ones. */
export const many = (text: string) => text.split(/[\s,]+/).filter((one) => one !== '');

/** Lines without empty ones: what has spaces within stays whole. */
export const lines = (text: string) =>
  text
    .split('\n')
    .map((one) => one.trim())
    .filter((one) => one !== '');

/** `ADDRESS` or `ADDRESS/BITS`. */
export function network(text: string): Network {
  const [address = '', bits, more] = text.split('/');
  const bitsMax = address.includes(':') ? 128 : 32;
  const count = bits === undefined ? bitsMax : Number(bits);
  let isAddress = more === undefined && (bits === undefined || /^\d+$/.test(bits));
  try {
    fromText(address);
  } catch {
    isAddress = false;
  }
  if (!isAddress) throw new Unmade(`“${text}” is no address and no ADDRESS/BITS.`);
  if (count === 0 || count > bitsMax) throw new Unmade(`“${text}”: the bits are 1 to ${bitsMax}.`);
  return { address, bits: count };
}

/** `tcp/445` or `udp/137-139`. */
export function ports(text: string): Ports {
  const [, name, from, to] = /^(tcp|udp)\/(\d{1,5})(?:-(\d{1,5}))?$/i.exec(text) ?? [];
  const [first, last] = [Number(from), Number(to ?? from)];
  if (!name || first === 0 || first > last || last > 65_535) throw new Unmade(`“${text}” is not like tcp/445 or udp/137-139.`);
  return { transport: name.toLowerCase() === 'tcp' ? 'TCP' : 'UDP', first, last };
}

/** A host name, or `*.NAME` for all below it; two labels at least, for nobody means a whole top-level domain. */
export function hostName(text: string): string {
  const name = text.toLowerCase();
  const labels = name.replace(/^\*\./, '').split('.');
  const fits = labels.length > 1 && labels.every((label) => /^[a-z0-9_-]{1,63}$/.test(label)) && name.length <= 255;
  if (!fits || /^[\d.]+$/.test(name)) throw new Unmade(`“${text}” is no host name of two labels or more, nor *. before one.`);
  return name;
}

/** An absolute path that means one place. */
export function path(text: string): string {
  if (text.includes('\ufffd')) throw new Unmade('This path is not UTF-8, so it cannot be named here. Use the terminal.');
  const names = text.split('/').slice(1);
  const isClear = text.startsWith('/') && names.every((name) => name !== '' && name !== '.' && name !== '..');
  if (!isClear || text.includes('\0') || text.length >= 4096) {
    throw new Unmade(`It must be an absolute path without empty names, “.” and “..”.`);
  }
  return text;
}

/** An absolute pattern of files. */
export function glob(text: string): string {
  if (!text.startsWith('/') || text.length >= 4096) throw new Unmade(`“${text}” is no absolute pattern of files.`);
  return text;
}

export function sha256(text: string): string {
  const digits = text.trim().toLowerCase();
  if (!/^[0-9a-f]{64}$/.test(digits)) throw new Unmade('A SHA-256 has 64 hexadecimal digits.');
  return digits;
}

/** A unit of systemd; without an ending it is a service. */
export function unit(text: string): string {
  const named = text.includes('.') ? text : `${text}.service`;
  if (!/^[a-zA-Z0-9:_\\@][a-zA-Z0-9:_.\\@-]*$/.test(named) || named.length > 255) throw new Unmade(`“${text}” is no name of a systemd unit.`);
  return named;
}

export function account(text: string): string {
  const name = text.trim();
  const isName = name !== '' && !/[:/]/.test(name) && new TextEncoder().encode(name).length <= 32 && !/\p{Cc}/u.test(name);
  if (!isName) throw new Unmade('An account’s name has 1 to 32 bytes, without “:” and “/”.');
  return name;
}
