import { type LoadTestReport, problemOf, type Quantiles } from './report.ts';

const WIDTH = 760;
const HEIGHT = 260;
const LEFT = 64;
const BOTTOM = 36;

/** A report as one HTML file that needs nothing else: tables, and plots as SVG. */
export function htmlReport(report: LoadTestReport, where: string): string {
  const { nodes, scenario, profile, shards, packets, every, first } = report;
  const isSimulated = packets === 'simulated';
  const how = isSimulated ? 'simulated' : `${shards} threads, ${packets} UDP`;
  const problem = problemOf(report);
  const title = `${count(nodes)} nodes, ${scenario}, profile ${profile}`;
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>hearsay loadtest: ${escapeHtml(title)}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root { color-scheme: light dark; --ink: #1d2430; --faint: #6b7686; --line: #d6dbe3; --paper: #fff; --a: #2166ac; --b: #d6604d; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ee; --faint: #97a2b2; --line: #39424f; --paper: #14181e; --a: #6cb0e8; --b: #f0907f; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 820px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.05rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; } td, th { text-align: right; padding: .25rem .6rem; border-bottom: 1px solid var(--line); font-variant-numeric: tabular-nums; }
td:first-child, th:first-child { text-align: left; } .note { color: var(--faint); } .bad { color: var(--b); font-weight: 600; }
svg { width: 100%; height: auto; } svg text { fill: var(--faint); font-size: 12px; } .axis { stroke: var(--line); } .a { stroke: var(--a); fill: none; stroke-width: 2; } .b { stroke: var(--b); fill: none; stroke-width: 1.5; }
</style></head><body>
<h1>${escapeHtml(title)}</h1>
<p class="note">${how}, seed ${report.seed}, ${seconds(report.measuredMs)} measured. ${escapeHtml(where)}</p>
${problem === undefined ? '' : `<p class="bad">${escapeHtml(problem)}.</p>`}
${report.overload.length > 0 ? `<p class="bad">The machine could not keep up, so these figures are of the machine and not of the protocol: ${escapeHtml(report.overload.join('; '))}.</p>` : ''}
${latencies(report, first, every)}
<h2>What every node saw</h2>
${tracePlot(report)}
${ending(report)}
<h2>Cost</h2>
<table><tr><th></th><th>mean</th><th>p99</th><th>most</th></tr>
<tr><td>packets sent per node and second</td>${spread(report.perNode.packets)}</tr>
<tr><td>bytes sent per node and second</td>${spread(report.perNode.bytes)}</tr></table>
${isSimulated ? '' : machine(report)}
</body></html>
`;
}

/** How it ended, and whom it wronged. */
function ending({ joinMs, start, seen, live, accused, suspicions, refutations }: LoadTestReport): string {
  const joined =
    start === 'join'
      ? `<tr><td>all saw all after</td><td>${joinMs === undefined ? 'not in time' : seconds(joinMs)}</td></tr>\n`
      : '';
  const inTheEnd = seen.min === seen.max ? count(seen.min) : `${count(seen.min)} to ${count(seen.max)}`;
  return `<table>${joined}<tr><td>live nodes in the end; each sees alive</td><td>${count(live)}; ${inTheEnd}</td></tr>
<tr><td>live nodes declared dead</td><td>${count(accused)}</td></tr>
<tr><td>suspicions of live nodes, refutations heard</td><td>${count(suspicions)} / ${count(refutations)}</td></tr></table>`;
}

/** What it took. */
function machine({ cpu, cpuKernel, rssBytes, loopDelay, lateness, kernelDrops }: LoadTestReport): string {
  return `<table><tr><td>CPU, of one processor (the kernel's part)</td><td>${(100 * cpu).toFixed(0)} % (${(100 * cpuKernel).toFixed(0)} %)</td></tr>
<tr><td>memory</td><td>${(rssBytes / 2 ** 30).toFixed(2)} GiB</td></tr>
<tr><td>delay of the event loops: p50, p99, longest</td><td>${[loopDelay.p50, loopDelay.p99, loopDelay.max].map((ms) => ms.toFixed(1)).join(' / ')} ms</td></tr>
<tr><td>timers late: mean, most</td><td>${lateness.mean.toFixed(1)} / ${lateness.max.toFixed(0)} ms</td></tr>
<tr><td>packets that the system dropped</td><td>${count(kernelDrops)}</td></tr></table>`;
}

function latencies(report: LoadTestReport, first: Quantiles | undefined, every: Quantiles | undefined): string {
  if (!every || !first) return '';
  const row = (what: string, { p50, p90, p99, p999, max }: Quantiles): string =>
    `<tr><td>${what}</td>${[p50, p90, p99, p999, max].map((ms) => `<td>${count(ms)}</td>`).join('')}</tr>`;
  return `<h2>From the kill to the verdict, ms</h2>
<table><tr><th>${count(report.killed)} killed</th><th>p50</th><th>p90</th><th>p99</th><th>p99.9</th><th>longest</th></tr>
${row('first verdict about each', first)}
${row(`every live node about each (${count(report.verdicts)} of ${count(report.verdictsExpected)})`, every)}</table>
${verdictPlot(report)}`;
}

/** The plots of the report as one picture. */
export function reportPicture(report: LoadTestReport, where: string): string {
  const head = `${count(report.nodes)} nodes on one machine, ${report.scenario}`;
  const place = (svg: string, top: number): string =>
    svg.replace('<svg ', `<svg x="0" y="${top}" width="${WIDTH}" height="${HEIGHT}" `);
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${2 * HEIGHT + 70}" font-family="system-ui, sans-serif">
<style>text { fill: #6b7686; font-size: 12px; } .head { fill: #1d2430; font-size: 17px; font-weight: 600; } .axis { stroke: #d6dbe3; } path { fill: none; stroke: #2166ac; stroke-width: 2; } path.b { stroke: #d6604d; stroke-width: 1.5; }</style>
<rect width="100%" height="100%" fill="#fff"/>
<text class="head" x="16" y="26">${escapeHtml(head)}</text><text x="16" y="46">${escapeHtml(where)}</text>
${place(verdictPlot(report), 62)}
${place(tracePlot(report), 62 + HEIGHT)}
</svg>
`;
}

function verdictPlot(report: LoadTestReport): string {
  return plot(
    report.curve.map(([ms, verdicts]) => [ms, (100 * verdicts) / Math.max(1, report.verdictsExpected)] as const),
    [],
    'ms since the kill',
    '% of all verdicts',
    100,
  );
}

function tracePlot({ trace, nodes }: LoadTestReport): string {
  const fromMs = trace[0]?.[0] ?? 0;
  const least = trace.map(([ms, min]) => [(ms - fromMs) / 1000, Number.isFinite(min) ? min : 0] as const);
  const most = trace.map(([ms, , , max]) => [(ms - fromMs) / 1000, max] as const);
  const lowest = Math.min(nodes, ...least.map(([, min]) => min));
  // Not from 0 where few fail: one in a hundred could not be seen.
  const bottom = lowest > nodes / 2 ? Math.max(0, lowest - Math.ceil((nodes - lowest + 1) / 2)) : 0;
  return `${plot(most, least, 'seconds', 'members seen: most and least', nodes, bottom)}`;
}

/** Two lines in one frame. */
function plot(
  a: readonly (readonly [number, number])[],
  b: readonly (readonly [number, number])[],
  xTitle: string,
  yTitle: string,
  yMax: number,
  yMin = 0,
): string {
  const xMax = Math.max(1e-9, ...a.map(([x]) => x), ...b.map(([x]) => x));
  const x = (value: number): number => LEFT + (value / xMax) * (WIDTH - LEFT - 10);
  const y = (value: number): number =>
    HEIGHT - BOTTOM - ((value - yMin) / Math.max(1e-9, yMax - yMin)) * (HEIGHT - BOTTOM - 24);
  const path = (points: readonly (readonly [number, number])[], name: string): string =>
    points.length === 0
      ? ''
      : `<path class="${name}" d="M${points.map(([px, py]) => `${x(px).toFixed(1)} ${y(py).toFixed(1)}`).join('L')}"/>`;
  const yAt = (share: number): number => y(yMin + share * (yMax - yMin));
  const ticks = [0, 0.25, 0.5, 0.75, 1];
  return `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escapeHtml(`${yTitle} over ${xTitle}`)}">
${ticks.map((share) => `<line class="axis" x1="${LEFT}" x2="${WIDTH - 10}" y1="${yAt(share)}" y2="${yAt(share)}"/><text x="${LEFT - 8}" y="${yAt(share) + 4}" text-anchor="end">${count(yMin + share * (yMax - yMin))}</text>`).join('')}
${ticks.map((share) => `<text x="${x(share * xMax)}" y="${HEIGHT - BOTTOM + 18}" text-anchor="${share === 1 ? 'end' : 'middle'}">${xMax < 20 ? (share * xMax).toFixed(1) : count(share * xMax)}</text>`).join('')}
<text x="${LEFT}" y="14">${escapeHtml(yTitle)}</text><text x="${WIDTH - 10}" y="${HEIGHT - 4}" text-anchor="end">${escapeHtml(xTitle)}</text>
${path(b, 'b')}${path(a, 'a')}</svg>`;
}

function spread({ mean, p99, max }: LoadTestReport['perNode']['packets']): string {
  return [mean, p99, max].map((value) => `<td>${value < 100 ? value.toFixed(1) : count(value)}</td>`).join('');
}

function count(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
}
