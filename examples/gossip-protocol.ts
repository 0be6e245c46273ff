// Three members find each other and spread a message.
//
//   node examples/gossip-protocol.ts        (Node 22.18 and later run TypeScript as it is; earlier ones: npx tsx)
import { Cluster } from 'hearsay';

// In real life each of these runs on its own machine. Port 0 takes a free one.
const alice = await Cluster.start({ name: 'alice', bind: '127.0.0.1:0' });
const bob = await Cluster.start({ name: 'bob', bind: '127.0.0.1:0', seeds: [alice.self.address] });
const carol = await Cluster.start({ name: 'carol', bind: '127.0.0.1:0', seeds: [bob.self.address] });

// Carol was told about bob only; gossip tells her about alice, and alice about her.
for await (const _ of alice.events({ signal: AbortSignal.timeout(10_000) })) {
  if (alice.members().length === 3) break;
}
console.log(
  'alice sees',
  alice.members().map((member) => `${member.name} at ${member.address}`),
);

// A broadcast reaches every other member, through whoever has heard it.
const heard = [bob, carol].map(
  (cluster) =>
    new Promise<void>((resolve) => {
      cluster.once('message', ({ from, data }) => {
        console.log(`${cluster.name} heard from ${from}: ${new TextDecoder().decode(data)}`);
        resolve();
      });
    }),
);
await alice.broadcast('the kettle is on');
await Promise.all(heard);

// Who leaves says so, and is not taken for a failure.
for (const cluster of [carol, bob, alice]) await cluster.leave();
