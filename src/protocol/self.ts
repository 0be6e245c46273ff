import { EXT } from '../kernels/contract.ts';
import type { Address } from '../util/address.ts';
import { bytesOf } from '../util/bytes.ts';
import { type EngineConfig, PROTOCOL_VERSION_MAX, PROTOCOL_VERSION_MIN } from './config.ts';

/** What we say about ourselves, besides the incarnation, which the member table keeps. */
export class Self {
  readonly name: Uint8Array;
  readonly nameText: string;
  readonly address: Address;
  readonly vsn: Uint8Array;
  meta: Uint8Array;
  /** Our extension word; 0 = we speak plain memberlist (protocol §20). */
  ext: number;
  #flags: number;

  constructor(config: EngineConfig) {
    this.name = bytesOf(config.name);
    this.nameText = config.name;
    this.address = { ip: config.address.ip.slice(), port: config.address.port };
    this.vsn = Uint8Array.of(
      PROTOCOL_VERSION_MIN,
      PROTOCOL_VERSION_MAX,
      config.protocolVersion,
      config.delegateProtocolMin,
      config.delegateProtocolMax,
      config.delegateProtocolVersion,
    );
    this.meta = config.meta.slice();
    this.#flags =
      EXT.present | EXT.averaging | (config.deltaSync ? EXT.deltaSync : 0) | (config.ringIntervalMs > 0 ? EXT.fast : 0);
    this.ext = config.extensions ? this.#flags | (1 << EXT.sequenceShift) : 0;
  }

  get isStalled(): boolean {
    return (this.ext & EXT.stalled) !== 0;
  }

  /** Runs the fast profile (protocol §24). */
  get isFast(): boolean {
    return (this.ext & EXT.fast) !== 0;
  }

  /** Has opened a replicated map. */
  get replicates(): boolean {
    return (this.ext & EXT.state) !== 0;
  }

  setStalled(stalled: boolean): void {
    this.#set(EXT.stalled, stalled);
  }

  setReplicates(replicates: boolean): void {
    this.#set(EXT.state, replicates);
  }

  /** Sets or clears a bit and raises the sequence, so that this word wins over the one before. The sequence skips 0 when it wraps. */
  #set(bit: number, isOn: boolean): void {
    const sequence = ((this.ext >>> EXT.sequenceShift) + 1) & 0xffffff;
    this.#flags = isOn ? this.#flags | bit : this.#flags & ~bit;
    this.ext = (this.#flags | (Math.max(1, sequence) << EXT.sequenceShift)) >>> 0;
  }
}
