import { describe, expect, test } from 'vitest';
import { GoNode } from './go-peer.ts';
import { BASELINE, bench, GO_PEER, until } from './harness.ts';
import { names } from './pairs.ts';
import { type Peer, sees } from './peer.ts';

const nodes = bench();

/** Real members, and as many of ours. */
const EACH = 15;
/** How long the cluster is watched once it is complete. */
const WATCH_MS = Number(process.env['INTEROP_MIXED_MS'] ?? 120_000);
/** By then every member has heard a piece of news, by gossip or by push/pull. */
const HEARD_MS = 90_000;

describe.runIf(GO_PEER !== '')('mixed cluster', () => {
  test(
    `${EACH} real members and ${EACH} of ours stay together for ${Math.round(WATCH_MS / 1000)} s without one false suspicion`,
    async () => {
      const members: Peer[] = [];
      for (let i = 0; i < 2 * EACH; i++) {
        const kind = i % 2 === 0 ? 'memberlist' : 'ours';
        // Each joins through the one before it, so the two kinds join through each other all the way.
        const before = members.at(-1);
        const name = `${kind === 'ours' ? 'h' : 'm'}${Math.floor(i / 2)}`;
        const meta = metaOf(name, -1);
        const seeds = before ? [before.address] : [];
        members.push(await nodes.start(kind, { profile: 'lan', name, meta, seeds }));
      }
      const everybody = members.map((m) => m.name).sort();
      const complete = async (): Promise<boolean> => {
        const views = await Promise.all(members.map(names));
        return views.every((view) => view.length === everybody.length);
      };
      await until('all see all', HEARD_MS, complete);

      // The suspicions of the phase in which nodes were started do not count: only what follows.
      const marks = members.map((m) => m.events.mark());
      const countersBefore = await countersOf(members);
      const end = Date.now() + WATCH_MS;
      const heard: Promise<string>[] = [];
      let round = 0;
      while (Date.now() < end) {
        // Something to gossip about, from both kinds in turn, heard by all the others. Gossip alone reaches a given member with
        // all but certainty, not with certainty; push/pull every 30 s sees to the rest.
        const from = members[round % members.length] as Peer;
        const others = members.filter((m) => m !== from);
        heard.push(...others.map((m) => trouble(sees(m, 'update', from.name, HEARD_MS, m.events.mark()))));
        heard.push(trouble(from.setMeta(metaOf(from.name, round))));
        round++;
        await new Promise((resolve) => setTimeout(resolve, Math.min(5000, Math.max(0, end - Date.now()))));
      }
      expect((await Promise.all(heard)).filter((text) => text !== '')).toEqual([]);

      const accusations = members.flatMap((m, i) =>
        m.events
          .filter((e) => ['suspect', 'dead', 'leave', 'refuted'].includes(e.type), marks[i])
          .map(
            (e) => `${m.name}: ${JSON.stringify(e, (key, value: unknown) => (key === 'member' ? undefined : value))}`,
          ),
      );
      expect(accusations).toEqual([]);
      for (const m of members) {
        expect(await names(m)).toEqual(everybody);
        for (const seen of await m.members()) {
          expect(seen.state).toBe('alive');
          expect(Buffer.from(seen.meta).toString()).toMatch(`I am ${seen.name},`);
        }
      }
      const counters = await countersOf(members);
      for (const [name, counted] of counters) {
        for (const key of ['msg.suspect', 'msg.dead']) {
          expect(`${name} ${key} ${(counted[key] ?? 0) - (countersBefore.get(name)?.[key] ?? 0)}`).toBe(
            `${name} ${key} 0`,
          );
        }
        const errors = Object.entries(counted).filter(([key]) => key.startsWith('log.ERR'));
        expect(errors).toEqual([]);
      }
      if (!BASELINE) expect(members.filter((m) => m.kind === 'ours').length).toBe(EACH);
      expect(round).toBeGreaterThan(0);
    },
    WATCH_MS + 2 * HEARD_MS + 30_000,
  );
});

/** What went wrong, '' if nothing did; so that nothing is thrown before somebody waits for it. */
function trouble(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => '',
    (error: Error) => error.message,
  );
}

function metaOf(name: string, round: number): Uint8Array {
  return Buffer.from(`I am ${name}, round ${round}`);
}

async function countersOf(members: readonly Peer[]): Promise<Map<string, Record<string, number>>> {
  const all = new Map<string, Record<string, number>>();
  for (const m of members) if (m instanceof GoNode) all.set(m.name, await m.counters());
  return all;
}
