// Reads a cluster's members in a thread of its own, as fast as it can, and reports how many it sees when asked, after a thousand
// reads at least.
import { parentPort, workerData } from 'node:worker_threads';
import { MemberReader } from 'hearsay';

const reader = new MemberReader(workerData);
const READS_MIN = 1000;
let torn = 0;
let reads = 0;
let isAsked = false;
const spin = () => {
  for (let i = 0; i < 200; i++) {
    reads++;
    for (const member of reader.members({ all: true })) {
      // Every node of the test says its own name in its metadata: a mixed-up row would show.
      if (new TextDecoder().decode(member.meta) !== member.name) torn++;
    }
  }
  if (isAsked && reads >= READS_MIN) {
    isAsked = false;
    parentPort.postMessage({ count: reader.members().length, torn, reads, isStale: reader.isStale });
  }
  setImmediate(spin);
};
parentPort.on('message', (message) => {
  if (message === 'count') isAsked = true;
  else reader.replace(message);
});
spin();
