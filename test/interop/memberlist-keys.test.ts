import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { bench, GO_PEER, QUICK, unique } from './harness.ts';
import { DIRECTIONS, type NodeSettings, names, pair, refused, SOON_MS } from './pairs.ts';
import { type Peer, receives, sees } from './peer.ts';

const nodes = bench();

async function bothHear(two: readonly [Peer, Peer]): Promise<void> {
  for (const [from, to] of [
    [two[0], two[1]],
    [two[1], two[0]],
  ] as const) {
    for (const reliable of [false, true]) {
      const bytes = randomBytes(100);
      await from.send(to.name, bytes, { reliable });
      await receives(to, bytes, SOON_MS);
    }
  }
}

for (const direction of DIRECTIONS) {
  describe.runIf(GO_PEER !== '')(`memberlist: ${direction.title}`, () => {
    test('keys rotate while both talk, and only the new key is left', async () => {
      const [oldKey, newKey] = [randomBytes(16), randomBytes(32)];
      const two = await pair(nodes, direction, { keys: [oldKey] });
      await bothHear(two);
      for (const node of two) await node.addKey(newKey);
      await bothHear(two);
      // One after the other: in between, the two encrypt with different keys.
      for (const node of two) {
        await node.useKey(newKey);
        await bothHear(two);
      }
      for (const node of two) await node.removeKey(oldKey);
      await bothHear(two);

      // A newcomer with the new key gets in, one with the old key does not.
      for (const node of two) {
        const kind = node.kind === 'ours' ? 'memberlist' : 'ours';
        const late = await nodes.start(kind, { ...QUICK, name: unique('new'), keys: [newKey], seeds: [node.address] });
        await sees(node, 'join', late.name, SOON_MS);
        const stale = nodes.start(kind, { ...QUICK, name: unique('old'), keys: [oldKey], seeds: [node.address] });
        await refused(stale);
        expect((await names(node)).filter((name) => name.startsWith('old'))).toEqual([]);
      }
      expect(two.flatMap((node) => node.events.filter((e) => e.type === 'dead'))).toEqual([]);
    });

    const REFUSED: readonly { what: string; inside: NodeSettings; outside: NodeSettings }[] = [
      { what: 'another key', inside: { keys: [randomBytes(32)] }, outside: { keys: [randomBytes(32)] } },
      { what: 'no key', inside: { keys: [randomBytes(32)] }, outside: {} },
      { what: 'a key where there is none', inside: {}, outside: { keys: [randomBytes(32)] } },
      { what: 'another label', inside: { label: 'blue' }, outside: { label: 'green' } },
      { what: 'no label', inside: { label: 'blue' }, outside: {} },
      { what: 'a label where there is none', inside: {}, outside: { label: 'blue' } },
    ];
    for (const { what, inside, outside } of REFUSED) {
      test(`a node with ${what} is kept out`, async () => {
        const first = await nodes.start(direction.first, { ...QUICK, ...inside, name: unique('a') });
        const second = nodes.start(direction.second, {
          ...QUICK,
          ...outside,
          name: unique('b'),
          seeds: [first.address],
        });
        await refused(second);
        expect(await names(first)).toEqual([first.name]);
      });
    }

    test('a node of another delegate version is kept out', async () => {
      const first = await nodes.start(direction.first, {
        ...QUICK,
        name: unique('a'),
        delegateVersions: { min: 2, max: 5, current: 4 },
      });
      const second = nodes.start(direction.second, {
        ...QUICK,
        name: unique('b'),
        seeds: [first.address],
        delegateVersions: { min: 6, max: 7, current: 6 },
      });
      await refused(second);
      expect(await names(first)).toEqual([first.name]);
    });
  });
}
