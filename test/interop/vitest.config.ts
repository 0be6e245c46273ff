import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

// The interoperability suites need programs that `make interop` prepares, so they are not part of the ordinary run.
export default defineConfig({
  root: fileURLToPath(new URL('../..', import.meta.url)),
  test: {
    include: ['test/interop/**/*.test.ts'],
    // Failure detection is a matter of time: one suite at a time, so that none disturbs another.
    fileParallelism: false,
    pool: 'forks',
    testTimeout: 45_000,
    hookTimeout: 20_000,
    server: { deps: { external: [/\/dist\//] } },
  },
});
