import type { AnyExperiment, Report } from './experiment.ts';

/** The section of one experiment, as Markdown. */
export function table({ source, method }: Pick<AnyExperiment, 'source' | 'method'>, { rows, lines }: Report): string[] {
  const passed = rows.filter(({ isPass }) => isPass).length;
  return [
    `Source: ${source}. ${method}`,
    '',
    `${passed} of ${rows.length} rows pass.`,
    '',
    '| what | published | measured | tolerance | verdict |',
    '|---|---:|---:|---:|---|',
    ...rows.map(
      ({ what, published, measured, tolerance, isPass, note }) =>
        `| ${what} | ${published} | ${measured} | ${tolerance} | ${isPass ? 'pass' : '**miss**'}${note === undefined ? '' : `: ${note}`} |`,
    ),
    ...(lines ? ['', ...lines] : []),
  ];
}
