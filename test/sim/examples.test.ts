// The examples of docs/simulation.md as their readers run them. (That for vitest is among this suite's own files.)
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

it('the example for node:test passes', () => {
  const cwd = fileURLToPath(new URL('../..', import.meta.url));
  const { stdout, status } = spawnSync(
    process.execPath,
    ['--test', '--test-reporter', 'tap', 'examples/simulated-service/node.test.mjs'],
    { cwd, encoding: 'utf8', env: { ...process.env, NODE_TEST_CONTEXT: undefined, NODE_OPTIONS: '' } },
  );
  expect(stdout).toMatch(/^# pass 1$/m);
  expect(status).toBe(0);
});
