import { describe, expect, test } from 'vitest';
import { benchBackends, type CaseResult, measure, SMOKE } from '../../bench/harness.ts';
import { headlines, insertBetweenMarkers, report } from '../../bench/report.ts';
import { HEADLINES, SUITES } from '../../bench/suites.ts';

const cases = SUITES.flatMap((suite) => suite.cases.map((each) => ({ id: `${suite.name}/${each.name}`, suite, each })));

const where = {
  cpu: 'a CPU',
  cores: 2,
  load: 0.5,
  platform: 'p',
  node: 'v1',
  commit: 'c',
  date: 'd',
  command: 'make bench',
};
const timing = (medianNs: number) => ({ medianNs, p99Ns: 2 * medianNs, samples: 9 });
const result = (name: string, native: number, twin: number, low: number, high: number): CaseResult => ({
  suite: 'kernel',
  name,
  operations: 1,
  timings: { native: timing(native), js: timing(twin) },
  ratio: { median: twin / native, low, high },
  hash: '00',
});

describe('benchmarks', () => {
  test.each(cases.filter(({ each }) => each.smoke))(
    '$id runs, and the engines leave the same output',
    ({ suite, each }) => {
      const measured = measure(suite.name, each, SMOKE);
      expect(Object.keys(measured.timings).sort()).toEqual(
        benchBackends()
          .map((backend) => backend.name)
          .sort(),
      );
      expect(measured.hash).toMatch(/^[0-9a-f]{16}$/);
    },
  );

  test.runIf(benchBackends().length === 2)('a case whose engines differ fails', () => {
    const differs = {
      name: 'differs',
      operations: 1,
      setup: (backend: { name: string }) => ({
        run: () => {},
        output: () => [Uint8Array.of(backend.name === 'js' ? 1 : 2)],
      }),
    };
    expect(() => measure('kernel', differs, SMOKE)).toThrow(/differs: the engines' outputs differ/);
  });

  test('every kernel has cases, every case another name, and the headlines exist', () => {
    const ids = cases.map(({ id }) => id);
    expect(SUITES.map((suite) => suite.name)).toEqual(['packet-codec', 'member-table', 'broadcast-queue']);
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids).toEqual(expect.arrayContaining([...HEADLINES]));
  });
});

describe('the report', () => {
  test('names the machine, and says so where nobody is clearly faster', () => {
    const table = report([result('clear', 100, 250, 2.1, 2.9), result('noise', 100, 101, 0.9, 1.2)], where);
    expect(table).toContain('a CPU, 2 cores (load 0.5 at the start), p, Node v1, commit c, d.');
    expect(table).toContain('| clear | 100 / 200 | 250 / 500 | 2.5 (2.1 to 2.9) |');
    expect(table).toContain('| noise | 100 / 200 | 101 / 202 | no difference (0.90 to 1.20) |');
  });

  test('headlines take the named cases and the geometric mean of all', () => {
    const table = headlines([result('a', 100, 200, 2, 2), result('b', 100, 800, 8, 8)], ['kernel/b'], where);
    expect(table).toContain('| b |');
    expect(table).not.toContain('| a |');
    expect(table).toContain('Over all 2 cases the twin takes 4.0 times as long');
  });

  test('goes between its markers and leaves the rest of the document alone', () => {
    const document = 'before\n<!-- bench:start -->\nold\n<!-- bench:end -->\nafter\n';
    const written = insertBetweenMarkers(document, 'bench', 'new\n');
    expect(written).toBe('before\n<!-- bench:start -->\n\nnew\n\n<!-- bench:end -->\nafter\n');
    expect(insertBetweenMarkers(written, 'bench', 'new\n')).toBe(written);
    expect(() => insertBetweenMarkers('no markers', 'bench', 'new')).toThrow(/bench:start/);
  });
});
