import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { KERNEL_ID } from '../src/kernels/layout.ts';
import { ERROR_CODES } from '../src/util/errors.ts';
import {
  errorDocComplaints,
  importComplaints,
  importsOf,
  kernelComplaints,
  LINES_WARN,
  lengthComplaints,
  lockComplaints,
  makefileComplaints,
  withoutComments,
  wordComplaints,
} from './house/rules.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const read = (path: string): string => readFileSync(join(root, path), 'utf8');

/** All sources that people write, as paths from the root with forward slashes. */
function sources(): string[] {
  const found: string[] = [];
  for (const dir of ['src', 'native', 'test', 'scripts', 'bench', 'examples']) {
    if (!existsSync(join(root, dir))) continue;
    for (const entry of readdirSync(join(root, dir), { withFileTypes: true, recursive: true })) {
      if (!entry.isFile() || !/\.(ts|mts|mjs|cpp|hpp)$/.test(entry.name)) continue;
      found.push(
        relative(root, join(entry.parentPath ?? entry.path, entry.name))
          .split(sep)
          .join('/'),
      );
    }
  }
  return found.sort();
}

const paths = sources();
/** The rules and their samples name what they forbid. */
const namesForbidden = (path: string): boolean => path.startsWith('test/house/') || path === 'test/tidy.test.ts';

describe('the tree keeps its order', () => {
  test('every import goes in a direction that the architecture allows', () => {
    const src = paths.filter((path) => path.startsWith('src/'));
    expect(src.length).toBeGreaterThan(20);
    expect(src.flatMap((path) => importComplaints(path, read(path)))).toEqual([]);
  });

  test('no file contains a word that its room forbids', () => {
    expect(paths.filter((path) => !namesForbidden(path)).flatMap((path) => wordComplaints(path, read(path)))).toEqual(
      [],
    );
  });

  test('no file is too long', () => {
    const long = paths.filter((path) => read(path).split('\n').length > LINES_WARN);
    if (long.length > 0) process.stderr.write(`tidy: above ${LINES_WARN} lines: ${long.join(', ')}\n`);
    expect(paths.flatMap((path) => lengthComplaints(path, read(path)))).toEqual([]);
  });

  test('every kernel has an arena, a twin, C++, a binding, a contract test and a twin test', () => {
    const all = new Set(paths);
    expect(Object.keys(KERNEL_ID).flatMap((kernel) => kernelComplaints(kernel, all))).toEqual([]);
  });

  test('docs/errors.md explains exactly the codes that exist', () => {
    expect(errorDocComplaints(ERROR_CODES, read('docs/errors.md'))).toEqual([]);
  });

  test('every make target has a line in make help', () => {
    expect(makefileComplaints(read('Makefile'))).toEqual([]);
  });

  test('the lock file serves every platform and names no registry', () => {
    expect(lockComplaints(JSON.parse(read('package-lock.json')))).toEqual([]);
  });
});

describe('the rules notice', () => {
  test('an import that points back up', () => {
    expect(importComplaints('src/wire/x.ts', "import { Engine } from '../protocol/engine.ts';")).toHaveLength(1);
    expect(importComplaints('src/util/x.ts', "export type { Arena } from '../kernels/contract.ts';")).toHaveLength(1);
    expect(importComplaints('src/protocol/x.ts', "const k = await import('../kernels/backend.ts');")).toHaveLength(1);
    expect(importComplaints('src/kernels/js/x.ts', "import {\n  a,\n  b,\n} from '../native.ts';")).toHaveLength(1);
    expect(importComplaints('src/wire/x.ts', "import { a } from '../util/bytes.ts';")).toEqual([]);
  });

  test('a module that a room must not know, and the one file that may', () => {
    const text = "import { createCipheriv } from 'node:crypto';";
    expect(importComplaints('src/wire/frames.ts', text)).toHaveLength(1);
    expect(importComplaints('src/protocol/engine.ts', text)).toHaveLength(1);
    expect(importComplaints('src/wire/crypto.ts', text)).toEqual([]);
    expect(importComplaints('src/transport/udp.ts', "import 'node:fs';")).toHaveLength(1);
  });

  test('a room that nobody put into the table', () => {
    expect(importComplaints('src/attic/x.ts', '')[0]).toContain('attic');
  });

  test('imports in comments and strings do not count', () => {
    expect(importsOf("// import { a } from './a.ts';\n/* import './b.ts'; */\nconst url = 'http://x';")).toEqual([]);
    expect(importsOf("import type { A } from './a.ts'; // why")).toEqual(['./a.ts']);
  });

  test('clocks, chance and schedules in the pure rooms', () => {
    for (const code of [
      'Date.now()',
      'new Date()',
      'performance.now()',
      'Math.random()',
      'setTimeout(f, 1)',
      'process.env',
    ]) {
      expect(wordComplaints('src/protocol/x.ts', `const a = ${code};`), code).toHaveLength(1);
      expect(wordComplaints('src/kernels/js/x.ts', `const a = ${code};`), code).toHaveLength(1);
      expect(wordComplaints('src/cluster/x.ts', `const a = ${code};`), code).toEqual([]);
    }
    expect(
      wordComplaints('src/protocol/x.ts', '/** No Date.now() here. */\nconst a = 1; // nor Math.random()'),
    ).toEqual([]);
  });

  test('shortcuts around the compiler, leftovers and muted tests', () => {
    expect(wordComplaints('src/wire/x.ts', 'function f(a: any) {}')).toHaveLength(1);
    expect(wordComplaints('src/wire/x.ts', '// @ts-ignore\nf();')).toHaveLength(1);
    expect(wordComplaints('src/wire/x.ts', '// FIXME later')).toHaveLength(1);
    expect(wordComplaints('src/wire/x.ts', "console.log('x')")).toHaveLength(1);
    expect(wordComplaints('src/cli/x.ts', "console.log('x')")).toEqual([]);
    expect(wordComplaints('test/x.test.ts', "test.only('x', () => {})")).toHaveLength(1);
  });

  test('allocation, clocks, exceptions, JavaScript and statics in C++', () => {
    for (const line of [
      '#include <napi.h>',
      '#include <chrono>',
      'auto* p = new Row();',
      'malloc(4);',
      'throw 1;',
      'static int calls = 0;',
    ]) {
      expect(wordComplaints('native/kernels/x.hpp', line), line).toHaveLength(1);
    }
    expect(
      wordComplaints(
        'native/kernels/x.hpp',
        'Table(const Table&) = delete;\n// a new row\nstatic constexpr int a = 1;',
      ),
    ).toEqual([]);
    expect(wordComplaints('native/io/x.hpp', '#include <napi.h>')).toHaveLength(1);
    expect(wordComplaints('native/binding/x.hpp', '#include <napi.h>')).toEqual([]);
  });

  test('a file of 601 lines', () => {
    expect(lengthComplaints('src/x.ts', 'a\n'.repeat(601))).toHaveLength(1);
    expect(lengthComplaints('src/x.ts', 'a\n'.repeat(600))).toEqual([]);
  });

  test('a kernel without its parts', () => {
    const complaints = kernelComplaints('timerWheel', new Set(['src/kernels/js/timer-wheel.ts']));
    expect(complaints).toHaveLength(6);
    expect(complaints.join()).toContain('native/kernels/timer_wheel.hpp');
  });

  test('an error code without documentation, and documentation without a code', () => {
    const section = '(#err_a)\n## ERR_A\n**Meaning.** x **Cause.** x **What to do.** x\n';
    expect(errorDocComplaints(['ERR_A'], section)).toEqual([]);
    expect(errorDocComplaints(['ERR_A', 'ERR_B'], section)).toEqual(['docs/errors.md lacks ERR_B']);
    expect(errorDocComplaints([], section)).toHaveLength(1);
    expect(errorDocComplaints(['ERR_A'], '(#err_a)\n## ERR_A\n**Meaning.** x')).toHaveLength(2);
  });

  test('a make target without help', () => {
    expect(makefileComplaints('.PHONY: a b\na: x ## Does a\nb: ## Does b\n')).toEqual([]);
    expect(makefileComplaints('.PHONY: a c\na:\nb: ## Does b\n')).toEqual([
      'Makefile: target a has no "##" help text',
      'Makefile: target b is not .PHONY',
      'Makefile: c is .PHONY but not there',
    ]);
  });

  test('a platform that the lock file forgot', () => {
    const tool = { optionalDependencies: { 'tool-linux': '1.0.0', 'tool-darwin': '1.0.0' } };
    expect(lockComplaints({ packages: { 'node_modules/tool': tool, 'node_modules/tool-linux': {} } })).toHaveLength(1);
    expect(lockComplaints({ packages: { 'node_modules/a': { resolved: 'x' } } })).toHaveLength(1);
  });

  test('comments are taken out and strings stay', () => {
    expect(withoutComments("a('//x'); // b\n/* c\n d */ e")).toBe("a('//x'); \n\n e");
  });
});
