// The load test on real sockets, beside the simulator and beside memberlist: the tables of docs/loadtest.md and README.md.
//
//   node bench/fast/sockets.mjs [--part sizes,rest,scenarios,scale,steady,others,joins,least,picture] [--nodes 1000,5000,10000] [--where sockets,simulated] [--scenario kill-50%,flip-flop,loss-80%-some,paused] [--write]     needs dist/ (make build)
//
// Each line is a process of its own: `hearsay loadtest`, or bench/drivers/memberlist-pool. --write puts the tables of the parts that ran between their markers, and the picture into docs/diagrams/. All parts take some two hours, most of it `steady` (ten minutes a line) and `scale`.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { reportPicture } from '../../dist/loadtest/html.js';
import { commit, methodLine, writeBetween } from '../../scripts/markers.mjs';
import { mergeFloorUs } from './merge-floor.mjs';
import { TARGET } from './target.mjs';

/** The hard ones, which `scale` plays at every size. */
const SCALE_SCENARIOS = 'kill-50%,flip-flop,loss-80%-some,paused';

const { values } = parseArgs({
  options: {
    part: { type: 'string', default: 'sizes,rest,scenarios,scale,steady,others,joins,least,picture' },
    nodes: { type: 'string', default: '1000,5000,10000' },
    where: { type: 'string', default: 'sockets,simulated' },
    scenario: { type: 'string', default: SCALE_SCENARIOS },
    write: { type: 'boolean', default: false },
  },
});
const root = fileURLToPath(new URL('../..', import.meta.url));
const sizes = values.nodes.split(',').map(Number);
const places = values.where.split(',');
/** Sockets and simulator agree when their medians and longest are within this, and their verdicts on live nodes are equal. */
const TOLERANCE = { ratio: 0.25, ms: 250 };
const SCENARIO_NODES = 1000;
/** How many members the one that joins learns of where the least is measured. */
const LEAST_NODES = 2000;
const PICTURE_NODES = 2000;
const STEADY_SECONDS = 600;
/** Small enough that two processors are not what is measured, of either. */
const OTHERS_NODES = [100, 200];

/** Runs a load test on sockets or simulated; its report. */
function loadTest(options, where = 'sockets') {
  const args = where === 'simulated' ? [...options, '--simulate'] : options;
  return new Promise((resolve, reject) => {
    const began = performance.now();
    const child = spawn(process.execPath, ['dist/cli/main.js', 'loadtest', ...args, '--json', '-'], { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    child.stdout.setEncoding('utf8').on('data', (chunk) => {
      text += chunk;
    });
    child.on('close', () => {
      console.log(`loadtest ${args.join(' ')} (${((performance.now() - began) / 1000).toFixed(0)} s)`);
      try {
        resolve(JSON.parse(text));
      } catch {
        reject(new Error(`loadtest ${args.join(' ')} gave no report`));
      }
    });
  });
}

const number = (value, digits = 0) => value.toLocaleString('en-US', { maximumFractionDigits: digits, minimumFractionDigits: digits });
const ms = (value) => (value === undefined ? '' : number(value));
const seconds = (value) => (value === undefined ? 'not in 10 min' : `${number(value / 1000, 1)} s`);
const mib = (bytes) => `${number(bytes / 2 ** 30, 2)} GiB`;
const latencies = ({ every }) => (every ? [ms(every.p50), ms(every.p99), ms(every.p999), ms(every.max)] : ['', '', '', '']);
const row = (...cells) => `| ${cells.join(' | ')} |`;
const table = (head, rows) => [row(...head), row(...head.map((_, i) => (i === 0 ? '---' : '---:'))), ...rows.map((cells) => row(...cells))];

async function bySize() {
  const rows = [];
  for (const nodes of sizes) {
    for (const kind of ['sockets', 'simulated']) {
      const report = await loadTest(['--nodes', `${nodes}`, '--scenario', 'kill-1%'], kind);
      rows.push([
        `${number(nodes)}, ${kind}`,
        ...latencies(report),
        `${number(report.verdicts)} of ${number(report.verdictsExpected)}`,
        report.accused,
        ...(kind === 'sockets' ? [mib(report.rssBytes), `${number(report.lateness.mean)} ms`] : ['', '']),
      ]);
    }
  }
  return table(['1 % killed at once; ms until the others knew', 'p50', 'p99', 'p99.9', 'longest', 'verdicts', 'live nodes declared dead', 'memory', 'timers late'], rows);
}

async function atRest() {
  const rows = [];
  for (const nodes of sizes) {
    const report = await loadTest(['--nodes', `${nodes}`, '--scenario', 'steady', '--duration', '20']);
    const perSecond = report.perNode.packets.mean * nodes;
    const each = (share) => number((1e6 * share) / perSecond, 1);
    rows.push([
      number(nodes),
      number(report.perNode.packets.mean, 1),
      number(report.perNode.bytes.mean),
      number(perSecond),
      each(report.cpu - report.cpuKernel),
      each(report.cpuKernel),
      `${number(100 * report.cpu)} %`,
      number((TARGET.processors / report.cpu) * nodes),
      mib(report.rssBytes),
    ]);
  }
  return table(
    ['nodes', 'packets per node and second', 'bytes per node and second', 'packets per second', 'user us per packet', 'kernel us per packet', 'of one processor', 'nodes that fill two', 'memory'],
    rows,
  );
}

const SCENARIO_ARGS = { 'flip-flop': ['--duration', '60'], 'loss-80%-some': ['--duration', '30'] };

async function byScenario() {
  const names = ['kill-1', 'kill-1%', 'kill-10%', 'kill-50%', 'join-storm', 'rolling-restart', 'partition', 'loss-1%', 'loss-5%', 'flip-flop', 'loss-80%-some', 'paused'];
  const rows = [];
  for (const name of names) {
    const args = ['--nodes', `${SCENARIO_NODES}`, '--scenario', name, ...(SCENARIO_ARGS[name] ?? [])];
    const real = await loadTest(args);
    const simulated = await loadTest(args, 'simulated');
    // What is measured to the first verdict of a scenario that kills: else how long it took, and whom it wronged.
    const pairs =
      name === 'join-storm'
        ? [[real.joinMs, simulated.joinMs]]
        : name.startsWith('kill')
          ? [
              [real.every.p50, simulated.every.p50],
              [real.every.p99, simulated.every.p99],
            ]
          : [];
    const isNear = ([a, b]) => a !== undefined && b !== undefined && Math.abs(a - b) <= Math.max(TOLERANCE.ms, TOLERANCE.ratio * b);
    const agrees = pairs.every(isNear) && (name === 'partition' || real.accused === simulated.accused);
    const of = (report, i) => (pairs[i] ? ms(pairs[i][report === real ? 0 : 1]) : '');
    rows.push([name, of(real, 0), of(simulated, 0), of(real, 1), of(simulated, 1), real.accused, simulated.accused, number(real.perNode.packets.mean, 1), number(simulated.perNode.packets.mean, 1), agrees ? 'yes' : '**no**']);
  }
  return [
    ...table(
      [`${number(SCENARIO_NODES)} nodes`, 'p50 ms', 'simulated', 'p99 ms', 'simulated', 'live nodes declared dead', 'simulated', 'packets per node and second', 'simulated', 'agree'],
      rows,
    ),
    '',
    `They agree when each time is within ${TOLERANCE.ms} ms or ${100 * TOLERANCE.ratio} % of the simulated one, and as many live nodes were declared dead (a partition has each half declare the other dead, and both are whole again after it). \`join-storm\`: ms until all saw all.`,
  ];
}

/** The hard ones at every size: times where something is killed, and else whom it wronged and whether all agreed in the end. */
async function byScale() {
  const rows = [];
  for (const nodes of sizes) {
    for (const name of values.scenario.split(',')) {
      for (const where of places) {
        const report = await loadTest(['--nodes', `${nodes}`, '--scenario', name, ...(SCENARIO_ARGS[name] ?? [])], where);
        const isKill = name.startsWith('kill');
        rows.push([
          `${number(nodes)}, ${name}`,
          where,
          ...(isKill && report.every ? [ms(report.every.p50), ms(report.every.p99), ms(report.every.max), `${number(report.verdicts)} of ${number(report.verdictsExpected)}`] : ['', '', '', '']),
          report.accused,
          report.areAllAgreed ? 'yes' : '**no**',
          number(report.perNode.packets.mean, 1),
          where === 'sockets' ? `${number(100 * report.cpu)} %` : '',
          where === 'sockets' ? `${number(report.lateness.mean)} ms` : '',
        ]);
      }
    }
  }
  return table(['nodes, what happens', 'where', 'p50 ms', 'p99', 'longest', 'verdicts', 'live nodes declared dead', 'agree in the end', 'packets per node and second', 'of one processor', 'timers late'], rows);
}

async function steady() {
  const runs = sizes.flatMap((nodes) => [
    [nodes, '0 %', ['--scenario', 'steady']],
    [nodes, '1 %', ['--scenario', 'loss-1%']],
  ]);
  const rows = [];
  for (const [nodes, loss, args] of runs) {
    const report = await loadTest(['--nodes', `${nodes}`, '--duration', `${STEADY_SECONDS}`, ...args]);
    rows.push([
      `${number(nodes)}, ${loss}`,
      report.accused,
      report.suspicions,
      number(report.perNode.packets.mean, 1),
      number(report.perNode.bytes.mean),
      `${number(100 * report.cpu)} %`,
      `${number(report.lateness.mean, 1)} ms`,
    ]);
  }
  return table([`nodes and loss, ${STEADY_SECONDS / 60} minutes`, 'live nodes declared dead', 'suspicions', 'packets per node and second', 'bytes per node and second', 'of one processor', 'timers late'], rows);
}

/** memberlist itself, or why not. */
function memberlist(nodes, kill) {
  const directory = `${root}bench/drivers/memberlist-pool`;
  const binary = `${root}out/bench/memberlist-pool`;
  mkdirSync(`${root}out/bench`, { recursive: true });
  execFileSync('go', ['build', '-o', binary, '.'], { cwd: directory, stdio: ['ignore', 'ignore', 'inherit'] });
  const { stdout, stderr, status } = spawnSync(binary, ['-nodes', `${nodes}`, '-kill', `${kill}`, '-limit', '120s'], { encoding: 'utf8', timeout: 480_000 });
  console.log(`memberlist ${nodes}: ${stdout.trim()}${stderr.trim().slice(0, 200)}`);
  return status === 0 ? JSON.parse(stdout) : undefined;
}

async function besideOthers() {
  const { Version: version } = JSON.parse(execFileSync('go', ['list', '-m', '-json', 'github.com/hashicorp/memberlist'], { cwd: `${root}bench/drivers/memberlist-pool`, encoding: 'utf8' }));
  const rows = [];
  for (const nodes of OTHERS_NODES) {
    const kill = Math.max(1, Math.round(nodes / 100));
    const other = memberlist(nodes, kill);
    if (other) {
      rows.push([`${number(nodes)}, memberlist ${version}, LAN`, other.seenByAll ? seconds(other.joinMs) : 'not in 4 min', ...latencies(other), other.accused, number(other.packetsPerNode, 1), number(other.bytesPerNode), `${number(100 * other.cpu)} %`, mib(other.rssBytes)]);
    } else rows.push([`${number(nodes)}, memberlist ${version}, LAN`, 'did not end', '', '', '', '', '', '', '', '', '']);
    for (const profile of ['lan', 'fast']) {
      const report = await loadTest(['--nodes', `${nodes}`, '--start', 'join', '--profile', profile, '--kill', `${kill}`, '--no-rehearsal']);
      rows.push([
        `${number(nodes)}, hearsay, ${profile}`,
        seconds(report.joinMs),
        ...latencies(report),
        report.accused,
        number(report.perNode.packets.mean, 1),
        number(report.perNode.bytes.mean),
        `${number(100 * report.cpu)} %`,
        mib(report.rssBytes),
      ]);
    }
  }
  return table(['nodes, 1 % killed', 'all saw all', 'p50 ms', 'p99', 'p99.9', 'longest', 'live nodes declared dead', 'packets per node and second', 'bytes', 'of one processor', 'memory'], rows);
}

/** Until all saw all; where that took too long, how many each saw by then. */
const joined = ({ joinMs, seen }) => (joinMs === undefined ? `not in 10 min: ${number(seen.min)} to ${number(seen.max)} seen` : seconds(joinMs));

async function joins() {
  const rows = [];
  for (const nodes of sizes) {
    for (const where of places) {
      const report = await loadTest(['--nodes', `${nodes}`, '--scenario', 'join-storm', '--duration', '1'], where);
      const us = (1000 * (report.joinMs ?? report.measuredMs) * report.cpu) / nodes / report.seen.mean;
      rows.push([number(nodes), where, joined(report), ...(where === 'sockets' ? [number(us, 1), `${number(100 * report.cpu)} %`] : ['', ''])]);
    }
  }
  return table(['nodes through one seed', 'where', 'all saw all', 'us of processor per member that one learned of', 'of one processor'], rows);
}

/** What joining costs at the least, however it is told. */
function least() {
  const us = mergeFloorUs(LEAST_NODES);
  const all = (us / 1000 / TARGET.processors) * TARGET.nodes ** 2;
  return [
    `The least: a member that has just joined merges the states of ${number(LEAST_NODES)} others in ${number(us, 1)} us for each, sockets and whoever sends it not counted (\`bench/fast/merge-floor.mjs\`). For ${number(TARGET.nodes)} members that alone keeps two processors busy for ${seconds(all)}.`,
  ];
}

/** The plots of one report. */
async function picture() {
  const report = await loadTest(['--nodes', `${PICTURE_NODES}`, '--scenario', 'kill-1%']);
  if (values.write) writeFileSync(`${root}docs/diagrams/loadtest.svg`, reportPicture(report, `${report.where} Commit ${commit()}.`));
  return [];
}

const PARTS = {
  joins: [joins, ['docs/loadtest.md']],
  least: [least, ['docs/loadtest.md']],
  picture: [picture, []],
  sizes: [bySize, ['docs/loadtest.md', 'README.md']],
  rest: [atRest, ['docs/loadtest.md']],
  scenarios: [byScenario, ['docs/loadtest.md']],
  scale: [byScale, ['docs/loadtest.md']],
  steady: [steady, ['docs/loadtest.md']],
  others: [besideOthers, ['docs/loadtest.md', 'README.md']],
};

/** Parts that run at the sizes of --nodes. */
const SIZED = ['sizes', 'rest', 'scale', 'steady', 'joins'];
/** Parts that run where --where says. */
const LOCATED = ['scale', 'joins'];

const parts = values.part.split(',');
for (const part of parts) {
  if (part in PARTS) continue;
  console.error(`sockets: --part: expected some of ${Object.keys(PARTS).join(', ')}, got ${part}`);
  process.exit(2);
}
for (const where of places) {
  if (where === 'sockets' || where === 'simulated') continue;
  console.error(`sockets: --where: expected sockets, simulated or both with a comma, got ${where}`);
  process.exit(2);
}
const results = [];
for (const part of parts) {
  const [measure, files] = PARTS[part];
  const command = `node bench/fast/sockets.mjs --part ${part}${SIZED.includes(part) ? ` --nodes ${values.nodes}` : ''}${LOCATED.includes(part) ? ` --where ${values.where}` : ''}${part === 'scale' && values.scenario !== SCALE_SCENARIOS ? ` --scenario ${values.scenario}` : ''} --write`;
  const lines = [...(await measure()), '', methodLine(command)];
  console.log(lines.join('\n'));
  results.push({ part, files, lines });
}
// At the end, so that the commit that was measured is not called dirty for what was measured before.
if (values.write) for (const { part, files, lines } of results) for (const file of files) writeBetween(file, `loadtest-${part}`, lines);
