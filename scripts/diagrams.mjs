// `make diagrams`: all pictures of docs/diagrams, from data. Nothing in them is drawn by hand.
//
//   node scripts/diagrams.mjs [--only name,name] [--list]     needs dist/ (make build)
//
// Plots take their data from docs/data/*.json, which the commands write that measured it (`make papers`, bench/cluster/delta-bytes.mjs --write). The architecture is the
// graph of imports of src/, the states come from asking the member table's rules, the overview from docs/diagrams/gossip.mmd. Vega-Lite draws plots and Graphviz graphs,
// both without a browser. The background is white, so that a picture can be read on light and dark pages.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { instance } from '@viz-js/viz';
import { buildSync } from 'esbuild';
import * as vega from 'vega';
import { compile } from 'vega-lite';
import { plots } from './diagrams/plots.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const folder = join(root, 'docs/diagrams');

const LABELS = {
  root: 'the public surface',
  cli: 'commands',
  cluster: 'Cluster, its thread, shared members',
  protocol: 'SWIM, Lifeguard: no clock, no sockets',
  state: 'replicated state and its reconciliation',
  loadtest: 'real nodes by the thousand',
  sim: 'virtual time, network, checkers',
  wire: "memberlist's formats",
  kernels: 'arenas; twins in TypeScript',
  transport: 'UDP, TCP',
  pool: 'work for other processors',
  util: 'bytes, errors, random numbers',
};

const STYLE =
  'rankdir=TB; bgcolor=white; pad=0.3; nodesep=0.35; ranksep=0.5; labelloc=b; fontname="Helvetica"; fontsize=11; fontcolor="#444444"; node [shape=box, style="rounded,filled", fillcolor="#e8f1fb", color="#0b5cad", fontname="Helvetica", fontsize=12, fontcolor="#111111", margin="0.28,0.1"]; edge [color="#666666", fontname="Helvetica", fontsize=10, fontcolor="#333333", arrowsize=0.7]';

const graphs = { architecture, 'member-states': memberStates, gossip: gossipOverview };
const names = [...Object.keys(graphs), ...Object.keys(plots)];

const { values } = parseArgs({ options: { only: { type: 'string' }, list: { type: 'boolean', default: false } } });
const wanted = values.only?.split(',') ?? names;
for (const name of wanted) {
  if (names.includes(name)) continue;
  console.error(`diagrams: --only: expected some of ${names.join(', ')}, got ${name}`);
  process.exit(2);
}
if (values.list) console.log(names.join('\n'));
else for (const name of wanted) await draw(name);

async function draw(name) {
  const svg = name in graphs ? await graph(await graphs[name]()) : await plot(plots[name](dataOf));
  const path = join(folder, `${name}.svg`);
  writeFileSync(path, `${svg.trimEnd()}\n`);
  console.log(`${relative(root, path)}  ${svg.length.toLocaleString('en-US')} bytes`);
}

function dataOf(file) {
  const path = join(root, 'docs/data', file);
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new Error(
      `diagrams: ${relative(root, path)} cannot be read (${error.message}); \`make papers ARGS=--write\` writes it`,
    );
  }
}

async function plot(spec) {
  const view = new vega.View(vega.parse(compile(spec).spec), { renderer: 'none' });
  return view.toSVG();
}

async function graph(dot) {
  const viz = await instance();
  // The first line is an XML declaration, which pages that embed the picture do not want.
  return viz
    .renderString(dot, { format: 'svg' })
    .replace(/^[\s\S]*?(?=<svg)/, '')
    .replaceAll('font-family="Helvetica,sans-Serif"', 'font-family="Helvetica, Arial, Liberation Sans, sans-serif"');
}

/** Rooms of src/ and who imports whom, as the files say it. */
async function architecture() {
  const { roomOf, importsOf, resolvePath } = await houseRules();
  const edges = new Map();
  const sizes = new Map();
  for (const path of sources('src')) {
    const text = readFileSync(join(root, path), 'utf8');
    const room = simple(roomOf(path));
    sizes.set(room, (sizes.get(room) ?? 0) + text.split('\n').length);
    for (const specifier of importsOf(text)) {
      if (!specifier.startsWith('.')) continue;
      const target = simple(roomOf(resolvePath(path, specifier)));
      if (target !== room && target !== 'util')
        edges.set(`${room} ${target}`, (edges.get(`${room} ${target}`) ?? 0) + 1);
    }
  }
  const lines = [...sizes].map(
    ([room, count]) =>
      `"${room}" [label=<${LABELS[room] ? `<b>${room}</b><br/>${LABELS[room]}` : `<b>${room}</b>`}<br/><font point-size="10" color="#666666">${count.toLocaleString('en-US')} lines</font>>]`,
  );
  lines.push(
    '"native" [label=<<b>native/</b><br/>the kernels in C++, batched UDP>, fillcolor="#fdeee0", color="#b3431b"]',
    '"kernels" -> "native" [style=dashed, label=" Node-API, once per batch", fontsize=10]',
  );
  for (const key of edges.keys()) {
    const [from, to] = key.split(' ');
    lines.push(`"${from}" -> "${to}"`);
  }
  return `digraph { ${STYLE} label="The rooms of src/ and who imports whom (util, which all import, left out). Source: the import statements"; ${lines.join(';')} }`;
}

function simple(room) {
  return room.startsWith('kernels') ? 'kernels' : room;
}

async function houseRules() {
  const { outputFiles } = buildSync({
    entryPoints: [join(root, 'test/house/rules.ts')],
    bundle: true,
    write: false,
    format: 'esm',
    platform: 'node',
  });
  return import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString('base64')}`);
}

function sources(dir) {
  return readdirSync(join(root, dir), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) =>
      relative(root, join(entry.parentPath ?? entry.path, entry.name))
        .split('\\')
        .join('/'),
    );
}

/** What news does to a member that is known: every combination is put to the rules that the table uses. */
async function memberStates() {
  const [{ supersedes, VERDICT }, { STATUS }] = await Promise.all(
    ['kernels/js/precedence', 'kernels/contract'].map((path) => import(`../dist/${path}.js`)),
  );
  const edges = new Map();
  const known = 5;
  for (const [from, status] of Object.entries(STATUS)) {
    for (const [news, newStatus] of Object.entries(STATUS)) {
      const accepted = ['lower', 'the same', 'a higher'].filter(
        (_, i) => supersedes(status, known, newStatus, known - 1 + i, 0) === VERDICT.accept,
      );
      if (accepted.length === 0) continue;
      if (from === news) continue;
      const when = accepted
        .map((name) => ({ lower: '<', 'the same': '=', 'a higher': '>' })[name])
        .reverse()
        .join(' or ');
      edges.set(`${from} ${news}`, `${news}, ${when}`);
    }
  }
  const color = { alive: '#2e7d32', suspect: '#b26a00', dead: '#b71c1c', left: '#546e7a' };
  const fill = { alive: '#e6f4e7', suspect: '#fff4dd', dead: '#fbe4e4', left: '#eceff1' };
  const nodes = Object.keys(STATUS).map(
    (name) => `"${name}" [fillcolor="${fill[name]}", color="${color[name]}", label=<<b>${name}</b>>]`,
  );
  const lines = [...edges].map(
    ([key, label]) => `"${key.split(' ')[0]}" -> "${key.split(' ')[1]}" [label="  ${label.replaceAll('>', '&gt;')}  "]`,
  );
  lines.push(
    '"start" [shape=point, width=0.12, color="#444444"]',
    '"start" -> "alive" [label="  first heard of  "]',
    '"suspect" -> "dead" [style=dashed, label="  timer runs out  "]',
  );
  return `digraph { ${STYLE} rankdir=LR; nodesep=0.7; ranksep=1.3; label="What news about a member changes. > and =: its incarnation against the known one; anything else is ignored. The member itself answers suspect and dead with a higher one.\\lSource: supersedes() in src/kernels/js/precedence.ts, asked for every combination (SWIM §4.2, protocol §9)\\l"; ${nodes.join(';')}; ${lines.join(';')} }`;
}

/** The graph that the project began with, as written down in docs/diagrams/gossip.mmd (the part of mermaid that it uses). */
function gossipOverview() {
  const out = [];
  let clusters = 0;
  for (const raw of readFileSync(join(folder, 'gossip.mmd'), 'utf8').split('\n')) {
    const text = raw.trim();
    const group = /^subgraph "(.*)"$/.exec(text);
    const node = /^(\w+)\[(.*)\]$/.exec(text);
    const edge = /^(\w+) (-->|-\.->) (\w+)$/.exec(text);
    if (group)
      out.push(
        `subgraph cluster${clusters++} { label="${group[1]}"; labelloc=t; style=rounded; color="#999999"; fontsize=12`,
      );
    else if (text === 'end') out.push('}');
    else if (node) out.push(`"${node[1]}" [label=<${node[2].replaceAll('&', '&amp;')}>]`);
    else if (edge) out.push(`"${edge[1]}" -> "${edge[3]}"${edge[2] === '-.->' ? ' [style=dashed]' : ''}`);
    else if (text !== '' && !text.startsWith('graph ') && !text.startsWith('style '))
      throw new Error(`diagrams: gossip.mmd: this line is not understood: ${text}`);
  }
  return `digraph { ${STYLE} label="What gossip does. Source: docs/diagrams/gossip.mmd"; ${out.join('\n')} }`;
}
