import { afterAll, afterEach } from 'vitest';
import { GoHost } from './go-peer.ts';
import type { OurNode } from './our-node.ts';
import type { Peer, PeerFactory, PeerKind, PeerSettings } from './peer.ts';

/** Set by scripts/interop.mjs: the Go program's path; empty when it could not be built here. */
export const GO_PEER = process.env['INTEROP_GO_PEER'] ?? '';
/** Set by scripts/interop.mjs: the serf binary; empty when there is none. */
export const SERF_BINARY = process.env['INTEROP_SERF'] ?? '';
/** Real peers on both sides, to see that a test can pass without us and how long it takes then. */
export const BASELINE = process.env['INTEROP_BASELINE'] === '1';

/** Timing of most tests: memberlist's local profile with faster probes, so that failures are seen in about two seconds. */
export const QUICK = {
  profile: 'local',
  probeIntervalMs: 400,
  probeTimeoutMs: 200,
  gossipIntervalMs: 50,
  suspicionMult: 3,
} as const;

/** What a test started; stopped after it, the newest first, whatever happened. */
export class Cleanup {
  readonly #tasks: (() => unknown)[] = [];

  add(task: () => unknown): void {
    this.#tasks.push(task);
  }

  async run(): Promise<void> {
    for (const task of this.#tasks.splice(0).reverse()) await Promise.resolve(task()).catch(() => undefined);
  }
}

export interface Bench {
  readonly cleanup: Cleanup;
  start(kind: PeerKind, settings: PeerSettings): Promise<Peer>;
  go: PeerFactory;
  ours(settings: PeerSettings): Promise<OurNode>;
}

let serial = 0;

/** A name nobody else in this run has: late packets of one test must mean nothing to the next. */
export function unique(stem: string): string {
  serial++;
  return `${stem}-${serial}`;
}

/** Starts and stops nodes for the tests of one file. One Go process hosts all its real memberlist nodes. */
export function bench(): Bench {
  const cleanup = new Cleanup();
  let host: Promise<GoHost> | undefined;
  afterEach(() => cleanup.run());
  afterAll(async () => {
    await (await host)?.kill();
  });

  const go = async (settings: PeerSettings) => {
    host ??= GoHost.start(GO_PEER);
    const node = await (await host).node(settings);
    cleanup.add(() => node.kill());
    return node;
  };
  const ours = async (settings: PeerSettings): Promise<OurNode> => {
    const { OurNode } = await import('./our-node.ts');
    const node = await OurNode.start(settings);
    cleanup.add(() => node.kill());
    return node;
  };
  return {
    cleanup,
    go,
    ours,
    start: (kind, settings) => (kind === 'memberlist' || BASELINE ? go(settings) : ours(settings)),
  };
}

/** Asks `ask` again until it answers `true`; for state that nobody announces. Fails with `what` after `withinMs`. */
export async function until(what: string, withinMs: number, ask: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + withinMs;
  while (!(await ask())) {
    if (Date.now() > deadline) throw new Error(`not within ${withinMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
