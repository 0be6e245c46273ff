import { configDefaults, defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts', 'examples/**/vitest.test.mjs'],
    // Real peers: `make interop`.
    exclude: [...configDefaults.exclude, 'test/interop/**'],
    // Processes: the addon, worker threads and sockets of one file cannot reach another file.
    pool: 'forks',
    execArgv: ['--expose-gc'],
    testTimeout: 20_000,
    hookTimeout: 30_000,
    teardownTimeout: 5_000,
    // A test that passes only at the second try is a bug.
    retry: 0,
    passWithNoTests: false,
  },
});
