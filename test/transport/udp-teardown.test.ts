// The batched socket lives on its environment's event loop: these tests end environments in every state it can be in. The
// children use the addon directly, without TypeScript.
import { spawnSync } from 'node:child_process';
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { loadNative } from '../../src/kernels/native.ts';
import { nativeUdp } from '../../src/transport/native.ts';
import { BATCH_PACKETS, DESCRIPTOR, DESCRIPTORS_BYTES, SLOT_BYTES } from '../../src/transport/udp-layout.ts';

const prelude = `
const { UdpSocket } = require(${JSON.stringify(loadNative().path ?? '')});
const ring = new Uint8Array(${DESCRIPTORS_BYTES + BATCH_PACKETS * SLOT_BYTES});
const out = new Uint8Array(${DESCRIPTORS_BYTES} + 100);
const view = new DataView(out.buffer);
function open(onEvents) { return new UdpSocket(new Uint8Array([127, 0, 0, 1]), 0, 65536, onEvents); }
function aim(port) {
  for (let i = 0; i < ${BATCH_PACKETS}; i++) {
    const at = i * ${DESCRIPTOR.stride};
    view.setUint32(at, ${DESCRIPTORS_BYTES}, true);
    view.setUint32(at + ${DESCRIPTOR.length}, 100, true);
    view.setUint16(at + ${DESCRIPTOR.peerPort}, port, true);
    view.setUint8(at + ${DESCRIPTOR.peerIpLength}, 4);
    out.set([127, 0, 0, 1], at + ${DESCRIPTOR.peerIp});
  }
}
// Sends to itself for ever: whatever arrives is received and answered by a new batch.
function flood() {
  const socket = open((bits) => { if (bits & 1) { while (socket.receive(ring) > 0); aim(socket.port()); socket.send(out, 8); } });
  aim(socket.port());
  socket.send(out, 8);
  return socket;
}
`;

function run(
  body: string,
  flags: readonly string[] = [],
): { status: number | null; signal: string | null; out: string } {
  const done = spawnSync(process.execPath, [...flags, '-e', prelude + body], { encoding: 'utf8', timeout: 15_000 });
  return { status: done.status, signal: done.signal, out: done.stdout + done.stderr };
}

const clean = { status: 0, signal: null };

describe.runIf(nativeUdp() !== undefined)('the native socket at the end of its environment', () => {
  it('lets the process end when it is open, flooded, closing, unreferenced, or closed', () => {
    expect(run('open(() => {}); process.exit(0)')).toMatchObject(clean);
    expect(run('flood(); setImmediate(() => process.exit(0))')).toMatchObject(clean);
    expect(run('flood().close()')).toMatchObject(clean);
    expect(run('const s = flood(); s.close(); process.exit(0)')).toMatchObject(clean);
    expect(run('open(() => {}).unref()')).toMatchObject(clean);
    expect(run('const s = open((bits) => { if (bits === 16) console.log("closed"); }); s.close()')).toEqual({
      ...clean,
      out: 'closed\n',
    });
  });

  it('is closed by the garbage collector when nobody holds it', () => {
    const { status, out } = run(
      `let port;
       (() => { const s = open(() => {}); port = s.port(); s.unref(); })();
       const again = () => {
         gc();
         try { new UdpSocket(new Uint8Array([127, 0, 0, 1]), port, 65536, () => {}).close(); console.log('free'); }
         catch (error) { if (error.code !== 'EADDRINUSE') throw error; setImmediate(again); }
       };
       setImmediate(again);`,
      ['--expose-gc'],
    );
    expect({ status, out }).toEqual({ status: 0, out: 'free\n' });
  });

  it('turns an exception of the callback into an uncaught one', () => {
    const { status, out } = run(
      `process.on('uncaughtException', (error) => { console.log('caught ' + error.message); process.exit(3); });
       const s = open(() => { throw new Error('in callback'); });
       aim(s.port()); s.send(out, 1);`,
    );
    expect({ status, out }).toEqual({ status: 3, out: 'caught in callback\n' });
  });

  it('throws the reason for a bad argument and for a port that is taken', () => {
    const { status, out } = run(
      `const s = open(() => {});
       const ip = new Uint8Array([127, 0, 0, 1]);
       for (const args of [[ip, 70000, 0, () => {}], [ip, -1, 0, () => {}], [new Uint8Array(3), 0, 0, () => {}], [ip, 0, 0], [],
                           [ip, s.port(), 65536, () => {}]]) {
         try { new UdpSocket(...args); console.log('made'); } catch (error) { console.log(error.code); }
       }
       try { UdpSocket.prototype.port.call({}); } catch (error) { console.log(error.name); }
       console.log(s.receive(new Uint8Array(10)), s.send(new Uint8Array(10), 64), s.errors(new Uint8Array(1)));
       aim(s.port()); view.setUint32(0, 0xfffffff0, true); view.setUint32(${DESCRIPTOR.stride + 4}, 0xffffffff, true);
       console.log(s.send(out, 4294967295));
       s.close(); s.close();
       console.log(s.receive(ring), s.send(out, 1), s.watch(1), s.kernelDrops());`,
    );
    expect(out.trim().split('\n')).toEqual([
      ...Array.from({ length: 5 }, () => 'ERR_ARGUMENT_INVALID'),
      'EADDRINUSE',
      'TypeError',
      '-22 0 -22',
      // Two descriptors point outside the memory: they fail, the 62 others leave.
      String(2 * 65536 + 64),
      '-9 0 -9 0',
    ]);
    expect(status).toBe(0);
  });

  it('survives that its worker is terminated in mid-flood, again and again', async () => {
    for (let round = 0; round < 10; round++) {
      const worker = new Worker(
        `${prelude} flood(); flood(); flood(); require('node:worker_threads').parentPort.postMessage('up');`,
        { eval: true },
      );
      await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
      expect(await worker.terminate()).toBe(1);
    }
  });
});
