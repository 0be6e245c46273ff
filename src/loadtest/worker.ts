import { parentPort, workerData } from 'node:worker_threads';
import { Shard } from './shard.ts';
import type { FromShard, ShardInput, ToShard } from './types.ts';

/** The thread of a shard. */
const port = parentPort;
if (!port) throw new Error('hearsay: loadtest/worker.js is the inside of a worker thread');
const input = workerData as ShardInput;
const post = (message: FromShard): void => port.postMessage(message);
const shard = new Shard(input);

const handle = async (message: ToShard): Promise<void> => {
  switch (message.kind) {
    case 'ports':
      shard.start(message.ports);
      post({ kind: 'ready' });
      break;
    case 'acquaint':
      shard.acquaint();
      post({ kind: 'ready' });
      break;
    case 'join':
      shard.join(message.seeds, message.atOnce);
      break;
    case 'kill':
      shard.kill(message.nodes, message.atMs);
      break;
    case 'restart':
      shard.restart(message.nodes, message.seed);
      break;
    case 'pause':
      shard.pause(message.nodes, message.ms);
      break;
    case 'fault':
      shard.setFault(message.fault);
      break;
    case 'reset':
      shard.reset();
      break;
    case 'sample':
      post({ kind: 'sample', id: message.id, sample: shard.sample(message.isFull) });
      break;
    default:
      await shard.stop();
      port.close();
  }
};

const fail = (error: unknown): void =>
  post({ kind: 'failed', message: error instanceof Error ? (error.stack ?? error.message) : String(error) });
port.on('message', (message: ToShard) => void handle(message).catch(fail));
shard.bind().then((bound) => post({ kind: 'bound', ...bound }), fail);
