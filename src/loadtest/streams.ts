import type { StreamRequest } from '../protocol/types.ts';
import { TcpEndpoint } from '../transport/tcp.ts';
import type { StreamConnection } from '../transport/transport.ts';
import type { Address } from '../util/address.ts';
import { indexOf } from './addresses.ts';
import type { LoadNode } from './load-node.ts';

/** Streams that others may have open to the nodes of one shard at a time. */
const STREAMS_MAX = 4096;

/** What streams need of their shard. */
export interface StreamHost {
  readonly now: () => number;
  readonly drain: (node: LoadNode) => void;
  readonly turn: () => void;
  readonly isStopped: () => boolean;
  readonly nodeAt: (index: number) => LoadNode | undefined;
  readonly isLost: (from: number, to: number) => boolean;
  /** Killed: its system refuses connections, which our one listener for all nodes would accept. */
  readonly isKilled: (index: number) => boolean;
}

/** TCP of all nodes of a shard, through one listener: what src/cluster/host.ts does for one node. */
export class ShardStreams {
  readonly #host: StreamHost;
  readonly #endpoint: TcpEndpoint;

  constructor(host: StreamHost) {
    this.#host = host;
    this.#endpoint = new TcpEndpoint(
      { stream: (connection) => this.#accept(connection), error: () => undefined },
      { streamsAcceptedMax: STREAMS_MAX },
    );
  }

  listen(bind: Address): Promise<Address> {
    return this.#endpoint.listen(bind);
  }

  close(): Promise<void> {
    return this.#endpoint.close();
  }

  /** A stream of ours: one message, an answer perhaps. */
  async exchange(node: LoadNode, request: StreamRequest): Promise<void> {
    const { engine } = node;
    const fail = (problem: string): void => {
      if (this.#host.isStopped()) return;
      engine.handleStreamFailure(this.#host.now(), request.id, problem);
      this.#host.drain(node);
      this.#host.turn();
    };
    if (this.#host.isKilled(indexOf(request.to.ip))) {
      setImmediate(fail, 'connection refused');
      return;
    }
    let connection: StreamConnection;
    try {
      connection = await this.#endpoint.connect(
        request.to,
        Math.max(1, request.deadlineMs - this.#host.now()),
        node.ip,
      );
    } catch (error) {
      fail((error as Error).message);
      return;
    }
    let reader = engine.streamReader(false);
    let isOver = false;
    const finish = (message: Uint8Array | undefined, problem: string): void => {
      if (isOver) return;
      if (message === undefined) {
        isOver = true;
        connection.destroy();
        fail(problem);
        return;
      }
      const { bytes, more } = engine.handleStreamReply(this.#host.now(), request.id, message);
      if (bytes.length > 0) connection.write(bytes);
      this.#host.drain(node);
      this.#host.turn();
      if (more) {
        reader = engine.streamReader(false);
        return;
      }
      isOver = true;
      connection.end();
    };
    connection.onData((chunk) => {
      if (isOver) return;
      const result = reader.push(chunk);
      if (result === 'more') return;
      if (result.kind === 'message') finish(result.message.slice(), '');
      else finish(undefined, result.text);
    });
    connection.onEnd((error) => {
      if (error) finish(undefined, error.message);
      else if (request.expectsReply) finish(undefined, 'closed before it answered');
      else finish(new Uint8Array(0), '');
    });
    connection.write(request.bytes);
    if (!request.expectsReply) connection.end();
  }

  #accept(connection: StreamConnection): void {
    const index = connection.localIp ? indexOf(connection.localIp) : -1;
    const node = this.#host.nodeAt(index);
    if (
      !node?.isUp ||
      node.pausedUntilMs > this.#host.now() ||
      this.#host.isLost(indexOf(connection.remote.ip), index)
    ) {
      connection.destroy();
      return;
    }
    const { engine } = node;
    let reader = engine.streamReader(true);
    let isOver = false;
    connection.onData((chunk) => {
      if (isOver || this.#host.isStopped()) return;
      const result = reader.push(chunk);
      if (result === 'more') return;
      if (result.kind !== 'message') {
        isOver = true;
        connection.destroy();
        return;
      }
      const { bytes, more } = engine.handleStream(this.#host.now(), connection.remote, result.message.slice());
      if (bytes.length > 0) connection.write(bytes);
      if (more) reader = engine.streamReader(true);
      else {
        isOver = true;
        connection.end();
      }
      this.#host.drain(node);
      this.#host.turn();
    });
    connection.onEnd(() => {
      if (!isOver) connection.destroy();
    });
  }
}
