import { expect } from 'vitest';
import { type Bench, QUICK, unique } from './harness.ts';
import { type Peer, type PeerKind, type PeerSettings, sees } from './peer.ts';

/** Long enough for anything that should happen at once, on a busy machine. */
export const SOON_MS = 6000;

export type NodeSettings = Omit<PeerSettings, 'name' | 'seeds'>;

export interface Direction {
  readonly first: PeerKind;
  readonly second: PeerKind;
  readonly title: string;
}

/** Who is there first, and who joins through it. Every scenario runs both ways. */
export const DIRECTIONS: readonly Direction[] = [
  { first: 'memberlist', second: 'ours', title: 'we join memberlist' },
  { first: 'ours', second: 'memberlist', title: 'memberlist joins us' },
];

/** Two nodes, the second joined through the first, each knowing the other. */
export async function pair(
  bench: Bench,
  direction: Direction,
  settings: NodeSettings = {},
  each: readonly [NodeSettings, NodeSettings] = [{}, {}],
): Promise<[Peer, Peer]> {
  const first = await bench.start(direction.first, { ...QUICK, ...settings, ...each[0], name: unique('a') });
  const second = await bench.start(direction.second, {
    ...QUICK,
    ...settings,
    ...each[1],
    name: unique('b'),
    seeds: [first.address],
  });
  await Promise.all([sees(first, 'join', second.name, SOON_MS), sees(second, 'join', first.name, SOON_MS)]);
  return [first, second];
}

/** Names of the members that the peer counts as present, sorted. */
export async function names(peer: Peer): Promise<string[]> {
  return (await peer.members()).map((m) => m.name).sort();
}

/** The join fails as a failed join, not for any other reason. */
export async function refused(start: Promise<Peer>): Promise<void> {
  const error: Error & { code?: string } = await start.then(
    () => Promise.reject(new Error('the node was let in')),
    (reason: Error) => reason,
  );
  if (error.code === undefined) expect(error.message).toMatch(/^memberlist: 1 error occurred:\s+\* failed to join/);
  else expect(error.code).toBe('ERR_JOIN_FAILED');
}
