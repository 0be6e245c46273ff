import { createSocket, type Socket } from 'node:dgram';
import { connect } from 'node:net';
import { decode, encode, Reader, type Value } from './msgpack.ts';

/** Type bytes of memberlist's messages (protocol §4.1) that these tests forge or read. */
export const TYPE = {
  ping: 0,
  indirectPing: 1,
  ack: 2,
  suspect: 3,
  alive: 4,
  dead: 5,
  pushPull: 6,
  nack: 11,
  crc: 12,
  compound: 7,
} as const;

export function message(type: number, body: { readonly [key: string]: Value }): Uint8Array {
  return Buffer.concat([Uint8Array.of(type), encode(body)]);
}

/** Somebody who is no member and sends what it likes. */
export class RawSocket {
  readonly #socket: Socket;
  readonly #received: Uint8Array[] = [];
  #wake: (() => void) | undefined;
  port = 0;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('message', (bytes) => {
      this.#received.push(new Uint8Array(bytes));
      this.#wake?.();
    });
  }

  static async open(): Promise<RawSocket> {
    const socket = createSocket('udp4');
    const raw = new RawSocket(socket);
    await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
    raw.port = socket.address().port;
    return raw;
  }

  send(to: string, bytes: Uint8Array): void {
    const [host, port] = to.split(':');
    this.#socket.send(bytes, Number(port), host);
  }

  /** The next plain message of this type among what arrived, its body decoded; looks into compounds. */
  async next(type: number, withinMs: number): Promise<{ [key: string]: Value }> {
    const deadline = Date.now() + withinMs;
    for (;;) {
      for (const packet of this.#received.splice(0)) {
        const part = parts(packet).find((p) => p[0] === type);
        if (part) return decode(part.subarray(1)) as { [key: string]: Value };
      }
      const left = deadline - Date.now();
      if (left <= 0) throw new Error(`no message of type ${type} within ${withinMs} ms`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  close(): void {
    this.#socket.close();
  }
}

/** The messages inside a plain packet. */
function parts(packet: Uint8Array): Uint8Array[] {
  const bytes = Buffer.from(packet);
  if (bytes[0] === TYPE.crc) return parts(bytes.subarray(5));
  if (bytes[0] !== TYPE.compound) return [bytes];
  const count = bytes.readUInt8(1);
  const found: Uint8Array[] = [];
  let at = 2 + 2 * count;
  for (let i = 0; i < count; i++) {
    const size = bytes.readUInt16BE(2 + 2 * i);
    found.push(bytes.subarray(at, at + size));
    at += size;
  }
  return found;
}

/** Sends bytes over TCP and returns everything that comes back before the other side closes. */
export function exchange(to: string, bytes: Uint8Array, withinMs: number): Promise<Uint8Array> {
  const [host, port] = to.split(':');
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), host);
    const received: Buffer[] = [];
    socket.setTimeout(withinMs, () => socket.destroy(new Error(`no end of stream within ${withinMs} ms`)));
    socket.on('data', (chunk) => received.push(chunk));
    socket.once('error', reject);
    socket.once('close', () => resolve(Buffer.concat(received)));
    socket.write(bytes);
  });
}

export interface TableEntry {
  readonly state: string;
  readonly incarnation: number;
}

/**
 * The member table of a node that neither encrypts nor compresses, by a push/pull that brings nothing. Shows what no API shows: who is
 * suspect, who left, and the incarnations.
 */
export async function readTable(address: string): Promise<Map<string, TableEntry>> {
  const header = message(TYPE.pushPull, { Nodes: 0, UserStateLen: 0, Join: false });
  const answer = await exchange(address, header, 5000);
  if (answer[0] !== TYPE.pushPull) throw new Error(`${address} answered a push/pull with type ${answer[0]}`);
  const reader = new Reader(answer.subarray(1));
  const { Nodes } = reader.value() as { Nodes: number };
  const table = new Map<string, TableEntry>();
  for (let i = 0; i < Nodes; i++) {
    const entry = reader.value() as { Name: Uint8Array; State: number; Incarnation: number };
    const state = ['alive', 'suspect', 'dead', 'left'][entry.State] ?? String(entry.State);
    table.set(Buffer.from(entry.Name).toString(), { state, incarnation: entry.Incarnation });
  }
  return table;
}
