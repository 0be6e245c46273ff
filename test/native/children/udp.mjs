// A process that ends while datagrams lie in a native socket's queue. Run by lifecycle.test.ts with --expose-gc.
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { parentPort, Worker } from 'node:worker_threads';
import { nativeClass } from '../../../dist/kernels/native.js';
import { BATCH_PACKETS, DESCRIPTOR, DESCRIPTORS_BYTES, SLOT_BYTES } from '../../../dist/transport/udp-layout.js';

const LOCALHOST = new Uint8Array([127, 0, 0, 1]);
const READABLE = 1;
const UdpSocket = nativeClass('UdpSocket');
const ring = new Uint8Array(DESCRIPTORS_BYTES + BATCH_PACKETS * SLOT_BYTES);
const settle = () => new Promise((resolve) => setImmediate(resolve));

/** A batch of datagrams on its way to a port of this machine. */
function send(socket, port) {
  const memory = new Uint8Array(DESCRIPTORS_BYTES + 100);
  const view = new DataView(memory.buffer);
  for (let i = 0; i < BATCH_PACKETS; i++) {
    const at = i * DESCRIPTOR.stride;
    view.setUint32(at + DESCRIPTOR.offset, DESCRIPTORS_BYTES, true);
    view.setUint32(at + DESCRIPTOR.length, 100, true);
    view.setUint16(at + DESCRIPTOR.peerPort, port, true);
    view.setUint8(at + DESCRIPTOR.peerIpLength, 4);
    memory.set(LOCALHOST, at + DESCRIPTOR.peerIp);
  }
  socket.send(memory, BATCH_PACKETS);
}

/** A socket with datagrams waiting in it. Loopback delivers before send() returns. */
function pending(onEvents = () => {}) {
  const socket = new UdpSocket(LOCALHOST, 0, 1 << 20, onEvents);
  send(socket, socket.port());
  return socket;
}

async function closedPort() {
  const socket = createSocket('udp4');
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const { port } = socket.address();
  socket.close();
  await once(socket, 'close');
  return port;
}

const thread = async (name) => {
  const worker = new Worker(new URL(import.meta.url), { argv: [name] });
  await once(worker, 'message');
  return worker;
};

const stages = {
  'open, nothing read': () => {
    globalThis.socket = pending();
    process.exit(0);
  },
  'inside the callback': () => {
    globalThis.socket = pending((bits) => {
      if ((bits & READABLE) === 0) return;
      if (globalThis.socket.receive(ring) === 0) throw new Error('nothing was pending');
      send(globalThis.socket, globalThis.socket.port());
      process.exit(0);
    });
  },
  'closed inside the callback': () => {
    const socket = pending((bits) => {
      if ((bits & READABLE) === 0) return;
      socket.close();
      if (socket.receive(ring) >= 0) throw new Error('a closed socket received');
    });
  },
  'collected unread': async () => {
    for (let i = 0; i < 20; i++) pending().unref();
    for (let i = 0; i < 5; i++) {
      globalThis.gc();
      await settle();
    }
  },
  'with refusals waiting': async () => {
    globalThis.socket = new UdpSocket(LOCALHOST, 0, 1 << 20, () => {});
    send(globalThis.socket, await closedPort());
    process.exit(0);
  },
  'refused, collected': async () => {
    const port = await closedPort();
    for (let i = 0; i < 20; i++) {
      const socket = pending();
      send(socket, port);
      socket.unref();
    }
    globalThis.gc();
    await settle();
  },
  'worker terminated while it receives': async () => {
    for (let i = 0; i < 3; i++) await (await thread('receive for ever')).terminate();
  },
  'worker terminated, nothing read': async () => {
    for (let i = 0; i < 3; i++) await (await thread('wait for ever')).terminate();
  },
  'process exits while workers receive': async () => {
    await Promise.all([thread('receive for ever'), thread('wait for ever')]);
    process.exit(0);
  },

  // Threads of the stages above.
  'receive for ever': () => {
    const socket = pending();
    parentPort.postMessage('receiving');
    for (;;) {
      if (socket.receive(ring) === 0) send(socket, socket.port());
    }
  },
  'wait for ever': () => {
    globalThis.socket = pending(() => {});
    parentPort.postMessage('waiting');
  },
};

const stage = process.argv[2];
if (!stages[stage]) throw new Error(`no stage ${stage}`);
await stages[stage]();
