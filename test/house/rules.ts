// The rules that hold the architecture, as functions over file names and texts, so that test/tidy.test.ts can also try them
// on samples that break them. Each returns the complaints, one line each; none means all is well.

/** Which room a file of src/ belongs to: its folder, with the parts of kernels/ told apart. */
export function roomOf(path: string): string {
  const parts = path
    .replace(/^src\//, '')
    .replace(/\.ts$/, '')
    .split('/');
  if (parts.length === 1) return 'root';
  if (parts[0] !== 'kernels') return parts[0] as string;
  const name = parts[1] as string;
  if (parts.length > 2) return `kernels/${name}/`;
  return name === 'contract' || name === 'layout' ? 'kernels/port' : `kernels/${name}`;
}

interface Allowed {
  readonly rooms: readonly string[];
  /** Modules from outside: node:* or packages. */
  readonly modules: readonly string[];
}

const PORT = ['util', 'kernels/port'];
const ALL_KERNELS = [
  ...PORT,
  'kernels/arenas/',
  'kernels/js/',
  'kernels/native/',
  'kernels/native',
  'kernels/abi',
  'kernels/backend',
  'kernels/grow',
];

/** Arrows run from importer to imported; nothing points back up. */
export const ROOMS: Readonly<Record<string, Allowed>> = {
  util: { rooms: [], modules: [] },
  'kernels/port': { rooms: ['util'], modules: [] },
  'kernels/arenas/': { rooms: PORT, modules: [] },
  'kernels/grow': { rooms: [...PORT, 'kernels/arenas/'], modules: [] },
  'kernels/js/': { rooms: [...PORT, 'kernels/arenas/', 'wire'], modules: [] },
  'kernels/abi': { rooms: PORT, modules: [] },
  'kernels/native': {
    rooms: [...PORT, 'kernels/abi'],
    modules: ['node:fs', 'node:module', 'node:url', 'node:worker_threads'],
  },
  // The twins serve calls that are too small to enter C++ for.
  'kernels/native/': { rooms: [...PORT, 'kernels/arenas/', 'kernels/js/', 'kernels/native'], modules: [] },
  'kernels/backend': { rooms: ALL_KERNELS, modules: [] },
  wire: { rooms: PORT, modules: [] },
  protocol: { rooms: [...PORT, 'kernels/arenas/', 'kernels/grow', 'wire'], modules: [] },
  state: { rooms: [...PORT, 'kernels/arenas/', 'wire'], modules: [] },
  transport: { rooms: [...PORT, 'kernels/native'], modules: ['node:dgram', 'node:net'] },
  pool: { rooms: [...PORT, 'kernels/backend', 'wire', 'sim'], modules: ['node:os', 'node:url', 'piscina'] },
  cluster: { rooms: [...ALL_KERNELS, 'wire', 'protocol', 'state', 'transport', 'pool'], modules: ['node:*'] },
  sim: { rooms: [...ALL_KERNELS, 'wire', 'protocol', 'state'], modules: [] },
  loadtest: {
    rooms: [...ALL_KERNELS, 'wire', 'protocol', 'transport', 'sim'],
    modules: ['node:os', 'node:perf_hooks', 'node:timers/promises', 'node:worker_threads'],
  },
  cli: {
    rooms: ['util', 'protocol', 'loadtest', 'state', 'transport', 'cluster', 'pool', 'sim', 'root'],
    modules: ['node:*', 'commander', 'picocolors'],
  },
  root: {
    rooms: ['util', 'kernels/port', 'kernels/backend', 'wire', 'protocol', 'state', 'transport', 'cluster'],
    modules: [],
  },
};

/** The one file of its room that may import this. */
export const EXCEPTIONS: Readonly<Record<string, readonly string[]>> = {
  'src/wire/crypto.ts': ['node:crypto'],
  // Single keys are hashed in TypeScript; there is no batch to cross the boundary with.
  'src/state/reconcile/hashes.ts': ['../../kernels/js/hash64.ts'],
  'src/state/snapshot.ts': ['../kernels/js/hash64.ts'],
};

/** Specifiers of all imports and re-exports of a module, static and dynamic, types included. */
export function importsOf(text: string): string[] {
  const code = withoutComments(text);
  const found: string[] = [];
  for (const pattern of [
    /\b(?:import|export)\s[^'";]*?\sfrom\s*['"]([^'"]+)['"]/g,
    /^\s*import\s*['"]([^'"]+)['"]/gm,
    /\bimport\s*\(\s*['"]([^'"]+)['"]/g,
  ]) {
    for (const match of code.matchAll(pattern)) found.push(match[1] as string);
  }
  return found;
}

/** Complaints about the imports of one file of src/. */
export function importComplaints(path: string, text: string): string[] {
  const room = roomOf(path);
  const allowed = ROOMS[room];
  if (!allowed) return [`${path}: room "${room}" is not in the table of test/house/rules.ts`];
  const complaints: string[] = [];
  for (const specifier of importsOf(text)) {
    if (EXCEPTIONS[path]?.includes(specifier)) continue;
    if (specifier.startsWith('.')) {
      const target = roomOf(resolvePath(path, specifier));
      if (target !== room && !allowed.rooms.includes(target)) {
        complaints.push(`${path}: ${room} must not import ${target} (${specifier})`);
      }
      if (!specifier.endsWith('.ts')) complaints.push(`${path}: relative import without .ts (${specifier})`);
    } else if (
      !allowed.modules.some((name) => name === specifier || (name === 'node:*' && specifier.startsWith('node:')))
    ) {
      complaints.push(`${path}: ${room} must not import ${specifier}`);
    }
  }
  return complaints;
}

interface BannedWord {
  readonly where: RegExp;
  readonly except?: readonly string[];
  readonly word: RegExp;
  readonly why: string;
  /** Comments count too. */
  readonly inComments?: boolean;
}

const PURE =
  /^src\/(util|protocol|state|sim|wire|kernels\/js|kernels\/arenas)\/|^src\/kernels\/(contract|layout|grow)\.ts/;
const KERNELS = /^native\/kernels\//;

export const BANNED: readonly BannedWord[] = [
  { where: PURE, word: /\bDate\b/, why: 'time is an argument' },
  { where: PURE, word: /\bperformance\./, why: 'time is an argument' },
  { where: PURE, word: /\bMath\.random\b/, why: 'randomness is seeded' },
  {
    where: PURE,
    word: /\b(setTimeout|setInterval|setImmediate|queueMicrotask)\b/,
    why: 'outputs are polled, nothing is scheduled',
  },
  { where: PURE, word: /\bprocess\./, why: 'it knows no process' },
  { where: PURE, word: /\bBuffer\b/, why: 'Uint8Array works everywhere' },
  { where: /^src\//, word: /\bconsole\./, except: ['src/cli/'], why: 'a library is silent' },
  { where: /^src\//, word: /:\s*any\b|<any>|\bas any\b/, why: 'name the type' },
  {
    where: /^(src|test|bench|examples|scripts|native)\//,
    word: /@ts-(ignore|nocheck|expect-error)/,
    inComments: true,
    why: 'the compiler is right',
  },
  {
    where: /^(src|test|bench|examples|scripts|native)\//,
    word: /\b(TODO|FIXME|XXX|HACK)\b/,
    inComments: true,
    why: 'do it, or write an issue',
  },
  { where: /^test\//, word: /\b(test|it|describe)\.(only|skip|todo)\b/, why: 'every test runs' },
  { where: KERNELS, word: /napi\.h|node_api\.h|uv\.h/, why: 'kernels are plain C++' },
  {
    where: KERNELS,
    word: /<(chrono|random|thread|mutex|iostream|cmath|math\.h|vector|string|map|unordered_map|functional|memory)>/,
    why: 'no clock, no libm, no allocation',
  },
  {
    where: KERNELS,
    word: /\bnew\b|\bdelete\b(?!;)|\b(malloc|calloc|realloc)\s*\(/,
    why: 'nothing allocates once attached',
  },
  { where: KERNELS, word: /\bthrow\b|\btry\s*\{/, why: 'exceptions are off' },
  { where: /^native\/io\//, word: /napi\.h|node_api\.h/, why: 'only native/binding knows JavaScript' },
  {
    where: /^native\/(?!test\/)/,
    word: /^\s*static\s+(?!constexpr|inline|const\b)\w[\w:<>*& ]*\s\w+\s*(=|;|\{)/m,
    why: 'worker threads load the addon many times: no statics',
  },
];

/** Words that a file must not contain. */
export function wordComplaints(path: string, text: string): string[] {
  const code = withoutComments(text);
  const complaints: string[] = [];
  for (const { where, except, word, why, inComments } of BANNED) {
    if (!where.test(path) || except?.some((prefix) => path.startsWith(prefix))) continue;
    const hit = word.exec(inComments ? text : code);
    if (hit) complaints.push(`${path}: "${hit[0].trim()}" (${why})`);
  }
  return complaints;
}

export const LINES_WARN = 400;
export const LINES_MAX = 600;
/** Tests are lists of cases and may be longer. */
export const TEST_LINES_MAX = 800;

/** A file that is too long wants to be two. */
export function lengthComplaints(path: string, text: string): string[] {
  const lines = text.split('\n').length - 1;
  const max = path.startsWith('test/') ? TEST_LINES_MAX : LINES_MAX;
  return lines > max ? [`${path}: ${lines} lines, at most ${max}`] : [];
}

/** Files that a kernel must have, by its name in KERNEL_ID, for a list of all paths. */
export function kernelComplaints(kernel: string, paths: ReadonlySet<string>): string[] {
  const kebab = kernel.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  const snake = kebab.replaceAll('-', '_');
  const needed = [
    `src/kernels/arenas/${kebab}.ts`,
    `src/kernels/js/${kebab}.ts`,
    `src/kernels/native/${kebab}.ts`,
    `native/kernels/${snake}.hpp`,
    `native/binding/${snake}.hpp`,
    // The contract is a suite of its own, or one that <kernel>.test.ts runs against both engines.
    paths.has(`test/kernels/${kebab}.contract.ts`)
      ? `test/kernels/${kebab}.test.ts`
      : `test/kernels/${kebab}.contract.test.ts`,
    `test/kernels/${kebab}.twin.test.ts`,
  ];
  return needed.filter((path) => !paths.has(path)).map((path) => `kernel ${kernel} lacks ${path}`);
}

/** Codes without a section `## CODE` in the document, and sections without a code. */
export function errorDocComplaints(codes: readonly string[], document: string): string[] {
  const sections = new Map<string, string>();
  for (const part of document.split(/^## /m).slice(1)) {
    const [title, ...body] = part.split('\n');
    sections.set((title as string).trim(), body.join('\n'));
  }
  const complaints: string[] = [];
  for (const code of codes) {
    const body = sections.get(code);
    if (body === undefined) complaints.push(`docs/errors.md lacks ${code}`);
    else {
      for (const heading of ['Meaning', 'Cause', 'What to do']) {
        if (!body.includes(`**${heading}.**`)) complaints.push(`docs/errors.md: ${code} lacks "${heading}"`);
      }
      if (!document.includes(`(#${code.toLowerCase()})`))
        complaints.push(`docs/errors.md: ${code} is not in the table`);
    }
  }
  for (const title of sections.keys()) {
    if (title.startsWith('ERR_') && !codes.includes(title))
      complaints.push(`docs/errors.md explains ${title}, which does not exist`);
  }
  return complaints;
}

/** Targets of a Makefile that `make help` would not list. */
export function makefileComplaints(makefile: string): string[] {
  const phony = /^\.PHONY:(.*)$/m.exec(makefile)?.[1]?.trim().split(/\s+/) ?? [];
  const complaints: string[] = [];
  for (const match of makefile.matchAll(/^([a-z][a-z-]*):(?!=)(.*)$/gm)) {
    const [, target, rest] = match as unknown as [string, string, string];
    if (!/##\s+\S/.test(rest)) complaints.push(`Makefile: target ${target} has no "##" help text`);
    if (!phony.includes(target)) complaints.push(`Makefile: target ${target} is not .PHONY`);
  }
  for (const target of phony) {
    if (!new RegExp(`^${target}:`, 'm').test(makefile)) complaints.push(`Makefile: ${target} is .PHONY but not there`);
  }
  return complaints;
}

/** The text without comments, line numbers kept. Knows strings well enough for code in the agreed format. */
export function withoutComments(text: string): string {
  return text.replace(
    /("(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`)|\/\*[\s\S]*?\*\/|(^|[^:\\])\/\/[^\n]*/g,
    (whole, quoted: string | undefined, before: string | undefined) =>
      quoted ?? `${before ?? ''}${whole.replace(/[^\n]/g, '')}`,
  );
}

/** `../util/x.ts` seen from `src/wire/y.ts` is `src/util/x.ts`. */
export function resolvePath(from: string, specifier: string): string {
  const parts = from.split('/').slice(0, -1);
  for (const part of specifier.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '.') parts.push(part);
  }
  return parts.join('/');
}

interface LockEntry {
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly resolved?: string;
}

/**
 * Optional packages (one per platform) that a lock file leaves out. npm drops those that it did not install when it writes the
 * file, and then `npm ci` refuses the file, or another platform lacks its binary. And addresses of the registry that wrote it.
 */
export function lockComplaints(lock: { readonly packages: Readonly<Record<string, LockEntry>> }): string[] {
  const complaints: string[] = [];
  for (const [path, entry] of Object.entries(lock.packages)) {
    for (const name of Object.keys(entry.optionalDependencies ?? {})) {
      const here = lock.packages[`${path}/node_modules/${name}`] ?? lock.packages[`node_modules/${name}`];
      if (!here) complaints.push(`package-lock.json lacks ${name}, which ${path} may need on another platform`);
    }
    if (entry.resolved !== undefined) complaints.push(`package-lock.json names the registry of ${path}`);
  }
  return complaints;
}
