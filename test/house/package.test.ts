import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadNative } from '../../src/kernels/native.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), 'hearsay-package-'));
const app = join(scratch, 'app');
/** What npm packed, and what an empty project has after installing it. */
let packed: { filename: string; files: { path: string; size: number }[] };
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  name: string;
  version: string;
  scripts: Record<string, string>;
  dependencies: Record<string, string>;
};

/** npm without the network and with an empty cache. */
function npm(cwd: string, ...args: string[]): string {
  return execFileSync('npm', [...args, '--offline', '--no-audit', '--no-fund', `--cache=${join(scratch, 'cache')}`], {
    cwd,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

const node = (...args: string[]): string => execFileSync(process.execPath, args, { cwd: app, encoding: 'utf8' }).trim();

beforeAll(() => {
  const output = npm(root, 'pack', '--json', `--pack-destination=${scratch}`);
  // Lifecycle scripts print before the JSON.
  packed = JSON.parse(output.slice(output.indexOf('[\n')))[0];
  mkdirSync(app);
  writeFileSync(join(app, 'package.json'), '{ "name": "app", "version": "1.0.0" }');
  const dependencies = Object.keys(manifest.dependencies).map((name) => join(root, 'node_modules', name));
  npm(app, 'install', join(scratch, packed.filename), ...dependencies);
}, 120_000);

afterAll(() => rmSync(scratch, { recursive: true, force: true }));

describe('the npm package', () => {
  test('contains what it needs and nothing else', () => {
    const paths = packed.files.map(({ path }) => path);
    for (const needed of [
      'LICENSE',
      'README.md',
      'CHANGELOG.md',
      'package.json',
      'dist/index.js',
      'dist/index.d.ts',
      'dist/cjs/index.cjs',
      'dist/cjs/index.d.cts',
      'dist/cli/main.js',
      'native/addon.cpp',
      'binding.gyp',
      'CMakeLists.txt',
    ]) {
      expect(paths).toContain(needed);
    }
    const odd = paths.filter((path) =>
      /(^|\/)(test|bench|scripts|node_modules|out|build|\.ci)\/|\.tgz$|\.built$|tsconfig/.test(path),
    );
    expect(odd).toEqual([]);
    const bytes = packed.files.reduce((sum, { size }) => sum + size, 0);
    expect(bytes).toBeLessThan(8 << 20);
  });

  test('carries the addon of this platform where there is one', () => {
    const path = `prebuilds/${process.platform}-${process.arch}/hearsay.node`;
    expect(packed.files.some((file) => file.path === path)).toBe(loadNative().addon !== undefined);
  });

  test('runs no script when it is installed', () => {
    for (const name of ['preinstall', 'install', 'postinstall', 'prepare'])
      expect(manifest.scripts).not.toHaveProperty(name);
    expect(readFileSync(join(root, 'package.json'), 'utf8')).toContain('"gypfile": false');
  });

  test('import and require give the same names', () => {
    writeFileSync(
      join(app, 'both.mjs'),
      `import * as esm from 'hearsay';
      import { createRequire } from 'node:module';
      const cjs = createRequire(import.meta.url)('hearsay');
      const names = (module) => Object.keys(module).sort().join();
      console.log(names(esm) === names(cjs), typeof esm.Cluster.start, typeof cjs.Cluster.start);`,
    );
    expect(node('both.mjs')).toBe('true function function');
  });

  test.each(['import', 'require'])('a node started through %s runs its own thread and finds the addon', (way) => {
    const script = join(app, way === 'import' ? 'start.mjs' : 'start.cjs');
    const head = way === 'import' ? `import { Cluster } from 'hearsay';` : `const { Cluster } = require('hearsay');`;
    writeFileSync(
      script,
      `${head}
      (async () => {
        const cluster = await Cluster.start({ name: 'packed', bind: '127.0.0.1:0', backend: 'auto' });
        console.log(cluster.members().length, cluster.backend.name);
        await cluster.leave();
      })();`,
    );
    expect(node(script)).toBe(`1 ${loadNative().addon ? 'native' : 'js'}`);
  });

  test('the command runs from node_modules/.bin', () => {
    const bin = join(app, 'node_modules', '.bin', process.platform === 'win32' ? 'hearsay.cmd' : 'hearsay');
    expect(execFileSync(bin, ['--version'], { encoding: 'utf8' }).trim()).toBe(manifest.version);
  });

  test.each([
    ['nodenext', 'nodenext', 'mts'],
    ['nodenext', 'nodenext', 'cts'],
    ['node16', 'node16', 'mts'],
    ['node16', 'node16', 'cts'],
    ['esnext', 'bundler', 'ts'],
  ])(
    'types resolve for module %s, resolution %s, in a .%s file',
    (module, moduleResolution, extension) => {
      const project = join(app, `types-${module}-${moduleResolution}-${extension}`);
      mkdirSync(project);
      writeFileSync(
        join(project, `main.${extension}`),
        `import { Cluster, HearsayError, type ClusterOptions, type Member } from 'hearsay';
      const options: ClusterOptions = { name: 'a' };
      export async function names(): Promise<string[]> {
        const cluster = await Cluster.start(options);
        const members: readonly Member[] = cluster.members();
        return members.map((member) => member.name);
      }
      export const isOurs = (error: unknown): boolean => error instanceof HearsayError && error.code === 'ERR_TIMEOUT';
      // @ts-expect-error: a wrong option is noticed, so the types are really there.
      export const wrong: ClusterOptions = { name: 1 };
      `,
      );
      writeFileSync(
        join(project, 'tsconfig.json'),
        JSON.stringify({
          compilerOptions: {
            module,
            moduleResolution,
            target: 'es2022',
            lib: ['es2023', 'esnext.disposable'],
            strict: true,
            noEmit: true,
            skipLibCheck: false,
            types: ['node'],
            typeRoots: [join(root, 'node_modules', '@types')],
          },
          files: [`main.${extension}`],
        }),
      );
      const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
      let output = '';
      try {
        execFileSync(process.execPath, [tsc, '-p', project], { encoding: 'utf8' });
      } catch (error) {
        output = (error as { stdout: string }).stdout;
      }
      expect(output).toBe('');
    },
    60_000,
  );
});
