// Threads that load the addon again and again and are terminated in the middle of their calls, while all write and read in
// one process. Prints how many loads there were. Run by lifecycle.test.ts.
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { chooseBackend } from '../../../dist/kernels/backend.js';

const THREADS = 4;
const ROUNDS = 6;

function work(backend) {
  const { names, queue, table } = backend.createEngineKernels({ rngSeed: 1, shared: true });
  const name = new Uint8Array(16);
  return () => {
    for (let i = 0; i < 1000; i++) {
      name[i & 15] = i;
      const id = names.intern(name);
      if (id > 0) names.release(id);
      table.nextProbe(i, 1000);
      queue.fill(1, 3, 128);
    }
  };
}

if (isMainThread) {
  let loads = 0;
  const once = () =>
    new Promise((resolve, reject) => {
      const worker = new Worker(new URL(import.meta.url), { workerData: { endless: true } });
      worker.on('error', reject);
      worker.once('message', () => {
        loads++;
        // The thread is inside its endless loop of calls now.
        worker.terminate().then(resolve, reject);
      });
    });
  const step = work(chooseBackend('native'));
  for (let round = 0; round < ROUNDS; round++) {
    await Promise.all(Array.from({ length: THREADS }, once));
    step();
  }
  console.log(loads);
} else if (workerData.endless) {
  const step = work(chooseBackend('native'));
  step();
  parentPort.postMessage('working');
  for (;;) step();
}
