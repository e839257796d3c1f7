// Puts a Brotli-compressed twin beside every built file that gets smaller by it, and says how large
// the first page is. The collector serves the twin to every browser that takes it.

import { readdir, readFile, writeFile } from 'node:fs/promises';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';

const folder = new URL('../dist/console/', import.meta.url);
const names = (await readdir(folder, { recursive: true, withFileTypes: true }))
  .filter((entry) => entry.isFile() && !entry.name.endsWith('.br'))
  .map((entry) => `${entry.parentPath}/${entry.name}`);

const page = await readFile(new URL('index.html', folder), 'utf8');
let firstBytes = gzipSync(page).length;
for (const name of names) {
  const bytes = await readFile(name);
  const quality = { [constants.BROTLI_PARAM_QUALITY]: 11 };
  const small = brotliCompressSync(bytes, { params: quality });
  if (small.length < bytes.length * 0.95) await writeFile(`${name}.br`, small);
  const isFirst = page.includes(name.split('/').at(-1) ?? name) && !name.endsWith('index.html');
  if (isFirst) firstBytes += gzipSync(bytes).length;
}
process.stdout.write(`first page: ${Math.ceil(firstBytes / 1000)} kB gzipped\n`);

const FIRST_BYTES_MAX = 500_000;
if (firstBytes > FIRST_BYTES_MAX) {
  throw new Error(`the first page has ${firstBytes} bytes gzipped, more than ${FIRST_BYTES_MAX}`);
}
