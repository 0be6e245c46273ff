// A program whose event loop can be blocked from outside: joins through argv[2] with the profile argv[3], then obeys lines on stdin.
//   block MS   spins for MS without a turn of the event loop
//   exit       ends
import { createInterface } from 'node:readline';
import { Cluster } from 'hearsay';

const cluster = await Cluster.start({ name: 'busy', bind: '127.0.0.1:0', profile: process.argv[3] ?? 'local', seeds: [process.argv[2]], requireJoin: true });
console.log('joined');
for await (const line of createInterface({ input: process.stdin })) {
  const [command, argument] = line.split(' ');
  if (command === 'exit') break;
  const end = performance.now() + Number(argument);
  while (performance.now() < end);
  console.log('unblocked');
}
await cluster.stop();
