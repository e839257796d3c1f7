// Makes the types of the API's client from openapi.json, which a test of the collector holds fresh.

import { readFile, writeFile } from 'node:fs/promises';
import openapiTS, { astToString } from 'openapi-typescript';

const document = JSON.parse(await readFile(new URL('../openapi.json', import.meta.url), 'utf8'));

// Names of operations are only unique within their module; paths are unique, so types hang on those.
for (const item of Object.values(document.paths)) {
  for (const operation of Object.values(item)) {
    delete operation.operationId;
  }
}

const types = astToString(await openapiTS(document, { defaultNonNullable: false }));
const file = new URL('../dist/schema.d.ts', import.meta.url);
// A file that is written is built again from.
if ((await readFile(file, 'utf8').catch(() => '')) !== types) await writeFile(file, types);
