import { MESSAGE, type PacketCodec, STATUS } from '../kernels/contract.ts';
import { RECORD, RECORD_FLAG } from '../kernels/layout.ts';
import type { Address } from '../util/address.ts';
import { bytesEqual, textOf } from '../util/bytes.ts';
import { isAllowed, type Network, parseCidr } from './cidr.ts';
import type { Context } from './context.ts';
import { viewOf } from './dissemination.ts';

const VSN_BYTES = 6;

/**
 * What the program and its configuration refuse before the table sees it: networks that are not allowed and the alive filter
 * (protocol §9.2 steps 3 to 5, §5.4 step 7). With neither, and for protocol version 2 and above, it does nothing.
 */
export class Gate {
  readonly #context: Context;
  readonly #networks: readonly Network[];
  /** Version 1 knows one port for all members: received ports are ignored. */
  readonly #masksPorts: boolean;
  /** True when nothing can be refused: then filter() need not be called. */
  readonly isOpen: boolean;

  constructor(context: Context) {
    this.#context = context;
    const { config } = context;
    this.#networks = (config.allowedCidrs ?? []).map(parseCidr).filter((network) => network !== undefined);
    this.#masksPorts = config.protocolVersion === 1;
    this.isOpen = this.#networks.length === 0 && config.aliveFilter === undefined && !this.#masksPorts;
  }

  /** Marks records [first, first + count) that are refused. `source` is who sent them in a packet, undefined for a push/pull. */
  filter(codec: PacketCodec, first: number, count: number, source: Address | undefined): void {
    if (this.isOpen) return;
    for (let i = first; i < first + count; i++) this.#filterOne(codec, codec.recordsOffset + i * RECORD.stride, source);
  }

  #filterOne(codec: PacketCodec, at: number, source: Address | undefined): void {
    const { config, self, stats } = this.#context;
    const { u8 } = codec;
    const kind = u8[at + RECORD.kind];
    if (kind !== MESSAGE.alive && kind !== MESSAGE.pushPull) return;
    if (this.#masksPorts) {
      u8[at + RECORD.port] = 0;
      u8[at + RECORD.port + 1] = 0;
    }
    if (kind === MESSAGE.pushPull && u8[at + RECORD.status] !== STATUS.alive) return;
    const isSelf = bytesEqual(viewOf(codec, at + RECORD.nameOffset), self.name);
    if (isSelf) return;
    const ip = viewOf(codec, at + RECORD.ipOffset);
    if (this.#networks.length > 0) {
      const isSourceAllowed = source === undefined || isAllowed(this.#networks, source.ip, 0, source.ip.length);
      if (!isSourceAllowed || !isAllowed(this.#networks, ip, 0, ip.length)) {
        u8[at + RECORD.flags] = (u8[at + RECORD.flags] as number) | RECORD_FLAG.refused;
        stats.refusedByCidr++;
        return;
      }
    }
    if (config.aliveFilter === undefined) return;
    const port = (u8[at + RECORD.port] as number) | ((u8[at + RECORD.port + 1] as number) << 8);
    const isAccepted =
      (u8[at + RECORD.vsnLength] as number) >= VSN_BYTES &&
      config.aliveFilter({
        name: textOf(viewOf(codec, at + RECORD.nameOffset)),
        address: { ip: ip.slice(), port: port === 0 ? config.address.port : port },
        meta: viewOf(codec, at + RECORD.dataOffset).slice(),
        vsn: Array.from(u8.subarray(at + RECORD.vsn, at + RECORD.vsn + VSN_BYTES)),
      });
    if (isAccepted) return;
    u8[at + RECORD.flags] = (u8[at + RECORD.flags] as number) | RECORD_FLAG.refused;
    stats.refusedByAliveFilter++;
  }
}
