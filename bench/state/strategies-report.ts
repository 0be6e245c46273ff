import type { Environment } from '../report.ts';
import type { Million } from './million.ts';
import type { Shape } from './states.ts';

export interface Row {
  readonly size: number;
  /** How what differs came about; 'writers' = ten last writes, `count` writers. */
  readonly shape: Shape | 'writers';
  readonly label: string;
  readonly count: number;
  readonly strategy: string;
  readonly bytes: number;
  readonly messages: number;
  readonly turns: number;
  readonly entries: number;
  readonly cpuMs: number;
  readonly turnP99Ms: number;
  readonly turnMaxMs: number;
  readonly isEqual: boolean;
  /** Of the program that measured it. */
  readonly commit: string;
}

export interface Results {
  rows: Row[];
  million: Million | undefined;
  where: Environment;
}

/** The order of columns. */
export const COLUMNS = ['checksum-first', 'range', 'merkle', 'scuttlebutt', 'peel-back'] as const;

/** Tables by the name of their markers. */
export function tables(results: Results): Readonly<Record<string, string>> {
  const method = methodOf(results);
  const { rows } = results;
  const fresh = [...new Set(rows.filter(({ shape }) => shape === 'fresh').map(({ size }) => size))].sort(
    (a, b) => a - b,
  );
  return {
    'reconciliation-fresh': [...fresh.flatMap((size) => [...table(rows, size, 'fresh'), '']), ...method].join('\n'),
    'reconciliation-spread': [
      ...[...new Set(rows.filter(({ shape }) => shape === 'spread').map(({ size }) => size))]
        .sort((a, b) => a - b)
        .flatMap((size) => [...table(rows, size, 'spread'), '']),
      ...method,
    ].join('\n'),
    'reconciliation-empty': [...emptyTable(rows), '', ...method].join('\n'),
    'reconciliation-writers': [
      ...table(rows, rows.find(({ shape }) => shape === 'writers')?.size ?? 0, 'writers'),
      '',
      ...method,
    ].join('\n'),
    'reconciliation-million': [...millionTable(results), '', ...method].join('\n'),
  };
}

function methodOf({ where, rows }: Results): string[] {
  const commits = [...new Set(rows.map(({ commit }) => commit))].join(', ');
  return [
    `${where.cpu}, ${where.cores} cores (load ${where.load} at the start of the last piece), ${where.platform}, Node ${where.node}, commit ${commits}, ${where.date}. ` +
      'Command: `node bench/state/strategies.mjs`, in pieces; then `--write`.',
  ];
}

/** Rows: differences. Cells: bytes, messages, CPU; the least bytes of a row in bold. */
function table(rows: readonly Row[], size: number, shape: Row['shape']): string[] {
  const here = rows.filter((row) => row.size === size && row.shape === shape);
  const labels = [...new Set(here.map(({ label }) => label))];
  labels.sort((a, b) => countOf(here, a) - countOf(here, b));
  const head =
    shape === 'writers'
      ? 'writers'
      : `${size.toLocaleString('en-US')} records, ${shape === 'fresh' ? 'last writes' : 'lost writes'}`;
  return [
    `| ${head} | ${COLUMNS.join(' | ')} |`,
    `|---|${COLUMNS.map(() => '---:|').join('')}`,
    ...labels.map((label) => {
      const cells = COLUMNS.map((strategy) => here.find((row) => row.label === label && row.strategy === strategy));
      const least = Math.min(...cells.map((cell) => (cell?.isEqual ? cell.bytes : Infinity)));
      return `| ${label} | ${cells.map((cell) => cellText(cell, cell?.bytes === least && cell.isEqual)).join(' | ')} |`;
    }),
  ];
}

function cellText(cell: Row | undefined, isLeast: boolean): string {
  if (!cell) return '';
  const bytes = isLeast ? `**${size(cell.bytes)}**` : size(cell.bytes);
  return `${bytes}, ${(cell.turns / 2).toLocaleString('en-US')} rt, ${time(cell.cpuMs)}${cell.isEqual ? '' : ', *not equal*'}`;
}

function emptyTable(rows: readonly Row[]): string[] {
  const here = rows.filter(({ shape }) => shape === 'empty');
  const sizes = [...new Set(here.map((row) => row.size))].sort((a, b) => a - b);
  return [
    `| records on one side, none on the other | ${COLUMNS.join(' | ')} |`,
    `|---|${COLUMNS.map(() => '---:|').join('')}`,
    ...sizes.map((size) => {
      const cells = COLUMNS.map((strategy) => here.find((row) => row.size === size && row.strategy === strategy));
      const least = Math.min(...cells.map((cell) => (cell?.isEqual ? cell.bytes : Infinity)));
      return `| ${size.toLocaleString('en-US')} | ${cells.map((cell) => cellText(cell, cell?.bytes === least)).join(' | ')} |`;
    }),
  ];
}

function millionTable({ million: result, rows }: Results): string[] {
  if (!result) return ['Not measured.'];
  const rest = rows.find((row) => row.size === 1_000_000 && row.label === '0' && row.strategy === 'checksum-first');
  const { writeNs, hashNs, indexNs, indexBytes, indexMaxMs, ten, first } = result;
  const [fastest] = Object.values(first).sort((a, b) => a.cpuMs - b.cpuMs);
  const us = (ns: number) => `${(ns / 1000).toFixed(2)} us`;
  return [
    '| one million records | measured |',
    '|---|---|',
    `| a write into a store of 1,000,000 (of 1,000): record, hashes and all indexes | ${us(writeNs.large)} (${us(writeNs.small)}) |`,
    `| of that the hash index: one record taken out, one put in | ${us(indexNs.large)} (${us(indexNs.small)}) |`,
    `| of that the hashes of the record | ${us(hashNs)} |`,
    `| longest of a million insertions into the hash index, pauses of the machine included | ${indexMaxMs.toFixed(1)} ms |`,
    `| hash index, memory per record | ${indexBytes.toFixed(1)} bytes |`,
    ...(rest
      ? [
          `| at rest, one exchange opened by each node per second | ${rest.bytes} bytes per second sent by each node, as many received |`,
        ]
      : []),
    ...Object.entries(ten).map(
      ([name, { bytes, turns, cpuMs }]) =>
        `| 10 differences, ${name} | at most ${bytes.toLocaleString('en-US')} bytes, ${turns / 2} round trips, ${time(cpuMs)} |`,
    ),
    ...Object.entries(first).flatMap(([name, each]) => [
      `| first sync of an empty node, ${name} | ${size(each.bytes)} in ${each.messages.toLocaleString('en-US')} messages and ${(each.turns / 2).toLocaleString('en-US')} round trips, ${time(each.cpuMs)} of both sides together |`,
      `| its messages, taken or made | ${each.turnP50Ms.toFixed(1)} ms (median), ${each.turnP99Ms.toFixed(1)} ms (p99), ${each.turnMaxMs.toFixed(1)} ms (longest) |`,
      `| the same with turns of the event loop between them, both sides on one loop | ${time(each.tookMs)}; delay of the loop ${each.loopP99Ms.toFixed(1)} ms (p99), ${each.loopMaxMs.toFixed(1)} ms (longest) |`,
    ]),
    ...(fastest
      ? [`| the faster of the two, if hashes of records cost nothing | ${gain(fastest.cpuMs, hashNs)}x as fast |`]
      : []),
  ];
}

/** Each of a million records is hashed once, where it is taken. */
function gain(cpuMs: number, hashNs: number): string {
  return (cpuMs / (cpuMs - hashNs)).toFixed(2);
}

function countOf(rows: readonly Row[], label: string): number {
  return rows.find((row) => row.label === label)?.count ?? 0;
}

function size(bytes: number): string {
  if (bytes < 10_000) return `${bytes.toLocaleString('en-US')} B`;
  return bytes < 1e6 ? `${(bytes / 1000).toFixed(0)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

function time(ms: number): string {
  if (ms < 10) return `${ms.toFixed(ms < 1 ? 2 : 1)} ms`;
  return ms < 1000 ? `${ms.toFixed(0)} ms` : `${(ms / 1000).toFixed(1)} s`;
}
