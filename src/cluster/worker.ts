import { parentPort, workerData } from 'node:worker_threads';
import { HearsayError } from '../util/errors.ts';
import { ClusterHost } from './host.ts';
import type { FromWorker, ToWorker, WireError } from './link.ts';
import type { WorkerInput } from './worker-link.ts';

/** The thread that an engine lives in: a ClusterHost whose commands and reports travel as messages. */

const port = parentPort;
if (!port) throw new Error('hearsay: cluster/worker.js is the inside of a worker thread; import "hearsay" instead');
const { settings, requireJoin, beat } = workerData as WorkerInput;
const post = (message: FromWorker): void => port.postMessage(message);

/** Who wants to know that a message with events was delivered; messages stay in order. */
const untaken: (() => void)[] = [];

const host = new ClusterHost(settings, {}, true, {
  events: (events, taken) => {
    untaken.push(taken);
    post({ kind: 'events', events });
  },
  log: (level, fields, message) => post({ kind: 'log', level, fields, message }),
  error: (error) => post({ kind: 'error', error: flatten(error) }),
  arenas: (arenas) => post({ kind: 'arenas', arenas }),
});

port.on('message', (message: ToWorker) => {
  if (message.kind === 'taken') {
    untaken.shift()?.();
    return;
  }
  const answer = host.call(message.name, ...(message.args as never));
  answer.then(
    (value) => post({ kind: 'answer', id: message.id, value }),
    (error: unknown) => post({ kind: 'refused', id: message.id, error: flatten(error) }),
  );
});

host.start(requireJoin).then(
  (hello) => {
    host.watchBeat(new Int32Array(beat));
    post({ kind: 'ready', hello, arenas: host.arenas() });
  },
  (error: unknown) => post({ kind: 'failed', error: flatten(error) }),
);

function flatten(error: unknown): WireError {
  if (error instanceof HearsayError) return { code: error.code, message: error.message };
  return { code: undefined, message: error instanceof Error ? (error.stack ?? error.message) : String(error) };
}
