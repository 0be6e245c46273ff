// The benchmark of reconciliation runs small, so that it cannot rot, and its report has a place in the documentation.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { converse, States } from '../../bench/state/states.ts';
import { drawStrategies } from '../../bench/state/strategies-plot.ts';
import { COLUMNS, type Results, type Row, tables } from '../../bench/state/strategies-report.ts';
import { STRATEGIES } from '../../src/state/reconcile/strategies.ts';

const where = { cpu: 'a CPU', cores: 2, load: 0.5, platform: 'p', node: 'v1', commit: 'c', date: 'd', command: 'make' };
const SIZES = [100, 400];

function rows(): Row[] {
  const all: Row[] = [];
  for (const size of SIZES) {
    for (const shape of ['fresh', 'spread', 'empty'] as const) {
      const states = new States(size, 1, 5);
      for (const strategy of STRATEGIES) {
        states.fill(shape, shape === 'spread' ? 10 : 0);
        if (shape === 'fresh') states.diverge(10);
        const cost = converse(strategy, states, 1);
        const { bytes, messages, turns, entries, cpuMs, isEqual } = cost;
        const times = { cpuMs, turnP99Ms: 0, turnMaxMs: 0 };
        all.push({
          size,
          shape,
          label: '10',
          count: 10,
          strategy: strategy.name,
          bytes,
          messages,
          turns,
          entries,
          ...times,
          isEqual,
          commit: 'c',
        });
      }
    }
  }
  return all;
}

describe('the benchmark of reconciliation', () => {
  const results: Results = { rows: rows(), million: undefined, where };

  it('makes stores that differ as it says, and every strategy makes them equal', () => {
    for (const row of results.rows) expect(row.isEqual, `${row.strategy}, ${row.shape}`).toBe(true);
    const sent = (strategy: string, shape: string) =>
      results.rows.find((row) => row.size === 400 && row.strategy === strategy && row.shape === shape)?.entries;
    expect(sent('scuttlebutt', 'fresh')).toBe(10);
    expect(sent('range', 'spread')).toBe(10);
    expect(sent('range', 'empty')).toBe(400);
  });

  it('has a column for each strategy, and a place in the page for each table', () => {
    expect([...COLUMNS].sort()).toEqual(STRATEGIES.map(({ name }) => name).sort());
    const page = readFileSync(new URL('../../docs/reconciliation.md', import.meta.url), 'utf8');
    for (const [name, table] of Object.entries(tables(results))) {
      expect(page).toContain(`<!-- ${name}:start -->`);
      expect(page).toContain(`<!-- ${name}:end -->`);
      expect(table).toContain('commit c');
    }
    expect(tables(results)['reconciliation-fresh']).toContain('| 400 records, last writes | checksum-first |');
  });

  it('draws a line for each strategy and size', () => {
    const svg = drawStrategies(results);
    expect(svg.match(/<polyline/g)?.length).toBe(COLUMNS.length * SIZES.length);
    expect(svg).not.toMatch(/NaN|undefined/);
  });
});
