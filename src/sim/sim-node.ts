import type { EngineKernels } from '../kernels/contract.ts';
import type { GossipEngine } from '../protocol/engine.ts';
import { FailedMembers } from '../protocol/failed-members.ts';
import type { GossipEvent, MemberInfo } from '../protocol/types.ts';
import type { Address } from '../util/address.ts';
import { textOf } from '../util/bytes.ts';
import type { Prng } from '../util/prng.ts';
import type { SimMaps } from './sim-maps.ts';

/** 14 November 2023, 22:13:20 UTC. */
const WALL_EPOCH_MS = 1_700_000_000_000;

/** A simulated process: an engine, a clock of its own, and what it has been told. */
export class SimNode {
  readonly name: string;
  readonly address: Address;
  /** False after a crash. */
  isUp = false;
  /** Raised with each start: tells a step of an earlier life. */
  life = 0;
  /** While this lies ahead, what arrives waits. */
  pausedUntilMs = 0;
  /** How long its CPU takes for anything, ms. */
  stepMs = 0;
  /** Agreement's note: as many alive members as nodes are up. */
  hasRightCount = false;
  /** Engine time of the wake-up that is under way. */
  wakeMs: number | undefined;
  /** Whom it would look for again. */
  failed = new FailedMembers();
  isRejoining = false;
  /** Its replicated maps in this life. */
  maps: SimMaps | undefined;
  /** The random choices of its driver. */
  readonly luck: Prng;
  /** What the engine reported in this life. */
  events: GossipEvent[] = [];
  readonly #rate: number;
  readonly #history: number;
  readonly #make: (life: number) => { engine: GossipEngine; kernels: EngineKernels };
  #bornMs = 0;
  #engine: GossipEngine | undefined;
  #kernels: EngineKernels | undefined;

  constructor(
    name: string,
    address: Address,
    rate: number,
    history: number,
    luck: Prng,
    make: (life: number) => { engine: GossipEngine; kernels: EngineKernels },
  ) {
    this.name = name;
    this.address = address;
    this.#rate = rate;
    this.#history = history;
    this.luck = luck;
    this.#make = make;
  }

  get engine(): GossipEngine {
    if (!this.#engine) throw new Error(`hearsay: node ${this.name} was never started`);
    return this.#engine;
  }

  get kernels(): EngineKernels {
    if (!this.#kernels) throw new Error(`hearsay: node ${this.name} was never started`);
    return this.#kernels;
  }

  /** Begins a life with a fresh engine. */
  boot(nowMs: number): void {
    this.life++;
    const { engine, kernels } = this.#make(this.life);
    this.#engine = engine;
    this.#kernels = kernels;
    this.#bornMs = nowMs;
    this.isUp = true;
    this.pausedUntilMs = 0;
    this.wakeMs = undefined;
    this.events = [];
    this.failed = new FailedMembers();
    this.isRejoining = false;
    this.maps = undefined;
  }

  /** Ends the life. */
  end(): void {
    this.isUp = false;
    this.wakeMs = undefined;
  }

  /** What this process' clock says, integer ms since its start. */
  localMs(nowMs: number): number {
    return Math.floor((nowMs - this.#bornMs) * this.#rate);
  }

  /** What its wall clock says: ms since 1970, where the simulation begins in some November. A restart does not set it back. */
  wallMs(nowMs: number): number {
    return WALL_EPOCH_MS + Math.floor(nowMs * this.#rate);
  }

  /** Virtual ms in which its clock goes on by one. */
  get msPerTick(): number {
    return 1 / this.#rate;
  }

  /** When this process' clock will say `localMs`, in virtual time. */
  simMs(localMs: number): number {
    // A nanosecond late rather than one rounding error early, when the clock would still say the ms before.
    return this.#bornMs + localMs / this.#rate + 1e-6;
  }

  note(event: GossipEvent): void {
    if (this.#history === 0 || event.type === 'state') return;
    if (this.events.length >= this.#history) this.events.splice(0, (this.#history + 1) >> 1);
    this.events.push(event);
  }

  /** A member as this node sees it. */
  member(name: string): MemberInfo | undefined {
    return this.engine.member(name);
  }

  /** What it was told about members, in order: "join b", "suspect c". */
  story(): string[] {
    return this.events.flatMap((event) =>
      'member' in event && event.type !== 'probe' ? [`${event.type} ${event.member.name}`] : [],
    );
  }

  /** Texts of the messages it got, in order. */
  messages(): string[] {
    return this.events.flatMap((event) => (event.type === 'message' ? [textOf(event.payload)] : []));
  }
}
