import { Cluster, type ClusterEventMap, type ClusterEventName, type ClusterOptions, type Member } from 'hearsay';
import { afterEach } from 'vitest';

const open = new Set<Cluster>();

afterEach(async () => {
  await Promise.all([...open].map((cluster) => cluster.stop()));
  open.clear();
});

/** Starts a node on a free loopback port; it is stopped after the test. */
export async function startNode(name: string, options: ClusterOptions = {}): Promise<Cluster> {
  const cluster = await Cluster.start({ name, bind: '127.0.0.1:0', profile: 'local', ...options });
  open.add(cluster);
  return cluster;
}

/** Starts `names.length` nodes that join through the first, and waits until all see all. */
export async function startNodes(names: readonly string[], options: ClusterOptions = {}): Promise<Cluster[]> {
  const [first, ...rest] = names;
  const seed = await startNode(first as string, options);
  const others: Cluster[] = [];
  for (const name of rest) others.push(await startNode(name, { ...options, seeds: [seed.self.address] }));
  const all = [seed, ...others];
  await Promise.all(all.map((cluster) => untilMembers(cluster, (members) => members.length === names.length)));
  return all;
}

/** Resolves when the members satisfy the condition; looks again after each membership event. */
export async function untilMembers(
  cluster: Cluster,
  condition: (members: readonly Member[]) => boolean,
  timeoutMs = 15_000,
): Promise<void> {
  const signal = AbortSignal.timeout(timeoutMs);
  // The iterator is opened before the first look, so that no event can slip between.
  const events = cluster.events({ signal });
  if (condition(cluster.members())) {
    await events.return();
    return;
  }
  for await (const _ of events) if (condition(cluster.members())) return;
  throw new Error(
    `${cluster.name} did not get there: ${cluster.members({ all: true }).map((m) => `${m.name} ${m.status}`)}`,
  );
}

/** The next event of this name whose argument satisfies the condition. Call before causing it. */
export function nextEvent<K extends ClusterEventName>(
  cluster: Cluster,
  name: K,
  condition: (argument: ClusterEventMap[K][0]) => boolean = () => true,
  timeoutMs = 15_000,
): Promise<ClusterEventMap[K][0]> {
  return new Promise((resolve, reject) => {
    // One listener for as long as it takes: several events may be delivered in one turn.
    const listener = (argument: ClusterEventMap[K][0]): void => {
      if (condition(argument)) finish(() => resolve(argument));
    };
    const timer = setTimeout(
      () => finish(() => reject(new Error(`${cluster.name}: no such '${name}' event came`))),
      timeoutMs,
    );
    const finish = (settle: () => void): void => {
      clearTimeout(timer);
      cluster.off(name, listener as never);
      settle();
    };
    cluster.on(name, listener as never);
  });
}
