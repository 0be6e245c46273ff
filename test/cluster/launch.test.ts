import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { afterAll, expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), 'hearsay-launch-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const BODY = `
  const cluster = await Cluster.start({ name: 'a', bind: '127.0.0.1:0' });
  console.log(cluster.members().length, cluster.backend.name);
  await cluster.leave();
`;
const MODULE = `import { Cluster } from 'hearsay'; ${BODY}`;
const COMMONJS = `const { Cluster } = require('hearsay'); (async () => { ${BODY} })();`;

/** Runs node and answers what it wrote; `stdin` is the program when there is one. */
function run(args: readonly string[], env: NodeJS.ProcessEnv = {}, stdin = ''): Promise<string> {
  const child = spawn(process.execPath, args, { cwd: ROOT, env: { ...process.env, HEARSAY_BACKEND: 'js', ...env } });
  let output = '';
  child.stdout.on('data', (chunk) => (output += chunk));
  child.stderr.on('data', (chunk) => (output += chunk));
  child.stdin.end(stdin);
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', () => resolve(output.trim()));
  });
}

it.each<[how: string, args: readonly string[], env: NodeJS.ProcessEnv, stdin: string]>([
  ['node --input-type=module -e', ['--input-type=module', '-e', MODULE], {}, ''],
  ['node -e', ['-e', COMMONJS], {}, ''],
  ['node --input-type=module and stdin', ['--input-type=module', '-'], {}, MODULE],
  ['NODE_OPTIONS=--input-type=module', ['-e', MODULE], { NODE_OPTIONS: '--input-type=module' }, ''],
  [
    'NODE_OPTIONS with more',
    ['-e', MODULE],
    { NODE_OPTIONS: '--no-warnings --input-type module --no-deprecation' },
    '',
  ],
])('a cluster starts in a program run by %s, and its thread sees the environment', async (_, args, env, stdin) => {
  expect(await run(args, env, stdin)).toBe('1 js');
});

it('what the application loads by --import does not run in the thread of the engine', async () => {
  const hook = join(scratch, 'hook.mjs');
  writeFileSync(hook, "process.stderr.write('loaded\\n');");
  const output = await run(['--import', pathToFileURL(hook).href, '--input-type=module', '-e', MODULE]);
  expect(output.split('\n')).toEqual(['loaded', '1 js']);
});
