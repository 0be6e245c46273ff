import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { freePort } from './children.ts';

/** A port that passes streams on and swallows packets: the firewall that memberlist's fallback ping is made for. */
export class TcpOnlyProxy {
  readonly port: number;
  target = 0;
  streams = 0;
  swallowed = 0;
  readonly #server: Server;
  readonly #udp: UdpSocket;
  readonly #sockets = new Set<Socket>();

  private constructor(port: number) {
    this.port = port;
    this.#server = createServer((incoming) => {
      this.streams++;
      const outgoing = connect(this.target, '127.0.0.1');
      for (const [a, b] of [[incoming, outgoing] as const, [outgoing, incoming] as const]) {
        this.#sockets.add(a);
        a.on('error', () => b.destroy());
        a.on('close', () => this.#sockets.delete(a));
        a.pipe(b);
      }
    });
    this.#udp = createSocket('udp4', () => {
      this.swallowed++;
    });
  }

  static async open(): Promise<TcpOnlyProxy> {
    const proxy = new TcpOnlyProxy(await freePort());
    await new Promise<void>((resolve) => proxy.#server.listen(proxy.port, '127.0.0.1', resolve));
    await new Promise<void>((resolve) => proxy.#udp.bind(proxy.port, '127.0.0.1', resolve));
    return proxy;
  }

  close(): void {
    this.#server.close();
    this.#udp.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}
