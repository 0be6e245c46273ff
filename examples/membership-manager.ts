// Keeps a list of the workers that can take jobs, as members come, go, fail and change what they say about themselves.
//
//   node examples/membership-manager.ts     (Node 22.18 and later run TypeScript as it is; earlier ones: npx tsx)
import { Cluster, type Member } from 'hearsay';

/** Which members can take jobs: those that are up, not suspected, not stalled, and say so in their metadata. */
function canWork(member: Member): boolean {
  return member.status === 'alive' && !member.stalled && new TextDecoder().decode(member.meta) === 'ready';
}

const manager = await Cluster.start({ name: 'manager', bind: '127.0.0.1:0', profile: 'local' });
const workers = new Set<string>();
function update(event: string, member: Member): void {
  if (member.isSelf) return;
  if (canWork(member)) workers.add(member.name);
  else workers.delete(member.name);
  console.log(`${event.padEnd(8)} ${member.name.padEnd(8)} workers: ${[...workers].join(' ') || '(none)'}`);
}
for (const event of ['join', 'update', 'suspect', 'alive', 'dead', 'leave', 'stall', 'resume'] as const) {
  manager.on(event, (member) => update(event, member));
}

/** Resolves at the next such event about this member. Ask before causing it. */
function next(event: 'join' | 'update' | 'dead' | 'leave', name: string): Promise<void> {
  return new Promise((resolve) => {
    manager.on(event, (member) => {
      if (member.name === name) resolve();
    });
  });
}

const seeds = [manager.self.address];
const start = (name: string): Promise<Cluster> =>
  Cluster.start({ name, bind: '127.0.0.1:0', profile: 'local', seeds, meta: 'ready' });

const joined = ['anna', 'ben', 'chloe'].map((name) => next('join', name));
const [anna, ben, chloe] = await Promise.all([start('anna'), start('ben'), start('chloe')]);
await Promise.all(joined);

const busy = next('update', 'anna');
await anna.setMeta('busy'); // anna takes no more jobs
await busy;

const gone = next('leave', 'ben');
await ben.leave(); // ben shuts down in good order
await gone;

const failed = next('dead', 'chloe');
await chloe.stop(); // chloe is gone without a word: suspected first, declared dead some seconds later
await failed;

await anna.leave();
await manager.leave();
