// How the console is built: plain files under one origin, nothing inlined, so that the strictest
// content policy holds.

import react from '@vitejs/plugin-react';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  plugins: [react()],
  build: {
    // Beside it lie what the build needs and a note that keeps the folder there.
    outDir: 'dist/console',
    emptyOutDir: true,
    assetsDir: 'assets',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: 'es2022',
    // Browsers that know light-dark(), so that it stays as it is written.
    cssTarget: ['chrome125', 'firefox128', 'safari17.5'],
  },
  // What a command is made of is described once, beside the signing page.
  server: { fs: { allow: ['..'] } },
  test: { include: ['src/**/*.test.ts'] },
});
