// Browser tests: one file at a time, over a fleet that tests/browser of the whole has started.

import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: { include: ['tests/*.test.ts'], fileParallelism: false, testTimeout: 90_000, hookTimeout: 60_000 },
});
