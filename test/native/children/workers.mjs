// Threads that load the addon again and again and are terminated in the middle of their calls, while all write and read in
// one process. Prints how many loads there were. Run by lifecycle.test.ts.
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { chooseBackend } from '../../../dist/kernels/backend.js';
import { makeTurn } from './turn.mjs';

const THREADS = 4;
const ROUNDS = 6;

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
  const { turn } = makeTurn(chooseBackend('native'));
  for (let round = 0; round < ROUNDS; round++) {
    await Promise.all(Array.from({ length: THREADS }, once));
    for (let i = 0; i < 100; i++) turn();
  }
  console.log(loads);
} else if (workerData.endless) {
  const { turn } = makeTurn(chooseBackend('native'));
  turn();
  parentPort.postMessage('working');
  for (;;) turn();
}
