import { internerEntry } from '../kernels/arenas/interner.ts';
import { type EngineKernels, EXT, type Interner, PROFILE, STATUS, type Status } from '../kernels/contract.ts';
import { HEADER, INTERNER_ENTRY, ROW, ROW_FLAG, TABLE } from '../kernels/layout.ts';
import { type Address, sameEndpoint, sameHost } from '../util/address.ts';
import { textOf } from '../util/bytes.ts';
import { type NamePositions, positionsOf } from './name-positions.ts';
import type { MemberInfo } from './types.ts';
import type { VersionCheck } from './versions.ts';

const VSN_BYTES = 6;
/** Senders remembered for user messages. */
const ADDRESSES_MAX = 4096;

const NO_META = new Uint8Array(0);

/**
 * Reads the member table: the one place of the engine that knows where a row keeps what. Nothing here changes a row, and
 * nothing is copied or turned into text before somebody asks for it.
 */
export class Roster {
  readonly #kernels: EngineKernels;
  /** Where a sender was found the last time; looked at again before it is believed. */
  readonly #slotByAddress = new Map<string, number>();
  readonly #positions: NamePositions;
  #f64: Float64Array;

  constructor(kernels: EngineKernels) {
    this.#kernels = kernels;
    this.#positions = positionsOf(kernels.names);
    this.#f64 = new Float64Array(kernels.table.arena);
  }

  /** Entries of any status: n of the formulas. */
  get count(): number {
    return this.#word(HEADER.live);
  }
  get aliveCount(): number {
    return this.#word(TABLE.aliveCount);
  }
  /** Slot of the local member, -1 before start. */
  get selfSlot(): number {
    return this.#word(TABLE.selfSlot) - 1;
  }
  /** True when a member other than us is alive. */
  get hasCompany(): boolean {
    const self = this.selfSlot;
    return this.aliveCount > (self >= 0 && this.status(self) === STATUS.alive ? 1 : 0);
  }
  /** True when there is somebody worth probing: alive or suspect, not us. */
  get hasTargets(): boolean {
    return this.hasCompany || this.#word(TABLE.suspectCount) > 0;
  }

  isUsed(slot: number): boolean {
    return this.#row(slot, ROW.nameId) !== 0;
  }
  nameId(slot: number): number {
    return this.#row(slot, ROW.nameId);
  }
  incarnation(slot: number): number {
    return this.#row(slot, ROW.incarnation);
  }
  status(slot: number): Status {
    return this.#kernels.table.u8[this.#at(slot) + ROW.status] as Status;
  }
  /** Extension word, 0 when the member never sent one. */
  ext(slot: number): number {
    return this.#row(slot, ROW.ext);
  }
  isSelf(slot: number): boolean {
    return ((this.#kernels.table.u8[this.#at(slot) + ROW.flags] as number) & ROW_FLAG.self) !== 0;
  }
  hasSuspicion(slot: number): boolean {
    return ((this.#kernels.table.u8[this.#at(slot) + ROW.flags] as number) & ROW_FLAG.suspicion) !== 0;
  }
  statusSinceMs(slot: number): number {
    const { table } = this.#kernels;
    if (this.#f64.buffer !== table.arena) this.#f64 = new Float64Array(table.arena);
    return this.#f64[(this.#at(slot) + ROW.statusSinceMs) >>> 3] as number;
  }

  /** Bytes of the name; a view, valid until the table changes. */
  nameBytes(slot: number): Uint8Array {
    return this.#kernels.names.bytes(this.nameId(slot));
  }
  name(slot: number): string {
    return textOf(this.nameBytes(slot));
  }
  /** Where the member stands on the ring: `ringPosition()` of its name. */
  ringPosition(slot: number): number {
    return this.#positions.of(this.nameId(slot));
  }
  /** Slot of a name, -1 when unknown. */
  find(name: Uint8Array): number {
    return this.#kernels.table.find(name);
  }

  /** Highest protocol version that the member understands. */
  protocolMax(slot: number): number {
    const { profiles } = this.#kernels;
    const at = stringOffset(profiles, this.#row(slot, ROW.profileId));
    return at === 0 ? 0 : (profiles.u8[at + PROFILE.vsn + 1] as number);
  }

  /** A member without an address was learned from a push/pull that gave none; it cannot be reached. */
  hasAddress(slot: number): boolean {
    const { profiles } = this.#kernels;
    const at = stringOffset(profiles, this.#row(slot, ROW.profileId));
    return at !== 0 && profiles.u8[at + PROFILE.ipLength] !== 0;
  }

  /** Another member that announced the fast profile and can be reached; of whatever status. */
  isFastPeer(slot: number): boolean {
    return this.isUsed(slot) && (this.ext(slot) & EXT.fast) !== 0 && !this.isSelf(slot) && this.hasAddress(slot);
  }

  /** Where the member is reached. Shared by all engines of the thread: treat as frozen. */
  address(slot: number): Address {
    return cachedProfile(this.#kernels.profiles, this.#row(slot, ROW.profileId)).address;
  }

  /** Metadata; a view, valid until the table changes. */
  metaBytes(slot: number): Uint8Array {
    const profile = this.#kernels.profiles.bytes(this.#row(slot, ROW.profileId));
    return profile.subarray(PROFILE.ip + (profile[PROFILE.ipLength] ?? 0));
  }

  /** A copy of all we know of a member. */
  info(slot: number): MemberInfo {
    const ext = this.ext(slot);
    const { address, vsn } = cachedProfile(this.#kernels.profiles, this.#row(slot, ROW.profileId));
    return {
      name: this.name(slot),
      address,
      meta: this.#metaCopy(slot),
      incarnation: this.incarnation(slot),
      status: this.status(slot),
      stalled: (ext & EXT.stalled) !== 0,
      extended: (ext & EXT.present) !== 0,
      replicates: (ext & EXT.state) !== 0,
      vsn,
      statusSinceMs: this.statusSinceMs(slot),
    };
  }

  /** Most have none; then all share one. */
  #metaCopy(slot: number): Uint8Array {
    const meta = this.metaBytes(slot);
    return meta.length === 0 ? NO_META : meta.slice();
  }

  /** Name of the member at an address, '' when there is none. Sockets name IPv4 peers in 4 bytes, members may in 16 (protocol §9.1). */
  nameAt(address: Address): string {
    const key = addressKey(address);
    const known = this.#slotByAddress.get(key);
    if (known !== undefined && this.isUsed(known) && sameEndpoint(this.address(known), address))
      return this.name(known);
    for (let i = 0; i < this.count; i++) {
      const slot = this.slotAt(i);
      if (!sameEndpoint(this.address(slot), address)) continue;
      if (this.#slotByAddress.size >= ADDRESSES_MAX) this.#slotByAddress.clear();
      this.#slotByAddress.set(key, slot);
      return this.name(slot);
    }
    return '';
  }

  /** Name of the only member with this IP, '' when there is none or several: streams come from ports of their own. */
  nameAtIp(ip: Uint8Array): string {
    let found = -1;
    for (let i = 0; i < this.count; i++) {
      const slot = this.slotAt(i);
      if (!sameHost(this.address(slot).ip, ip)) continue;
      if (found >= 0) return '';
      found = slot;
    }
    return found < 0 ? '' : this.name(found);
  }

  /** All slots are below this, used or not (isUsed). Walking them in this order reads memory in order, which walking the probe order does not. */
  get slotsEnd(): number {
    return this.#kernels.table.capacity;
  }

  /** Slots in use, in probe order. */
  slots(): number[] {
    const { table } = this.#kernels;
    const first = table.orderOffset >>> 2;
    return Array.from(table.u32.subarray(first, first + this.count));
  }

  /** Adds the versions of all members to a check (protocol §16). */
  addVersions(check: VersionCheck): void {
    const { profiles } = this.#kernels;
    for (let slot = 0; slot < this.slotsEnd; slot++) {
      if (!this.isUsed(slot)) continue;
      const at = stringOffset(profiles, this.#row(slot, ROW.profileId));
      check.add(this.status(slot), profiles.u8, at + PROFILE.vsn, at === 0 ? 0 : VSN_BYTES);
    }
  }

  /** Slot at a position of the probe order, below count. */
  slotAt(position: number): number {
    const { table } = this.#kernels;
    return table.u32[(table.orderOffset >>> 2) + position] as number;
  }
  #at(slot: number): number {
    return this.#kernels.table.rowsOffset + slot * ROW.stride;
  }
  #row(slot: number, field: number): number {
    return this.#kernels.table.u32[(this.#at(slot) + field) >>> 2] as number;
  }
  #word(offset: number): number {
    return this.#kernels.table.u32[offset >>> 2] as number;
  }
}

/** Absolute offset of an interned string in the interner's arena, 0 when the id is none. Spares the view that bytes() makes. */
function stringOffset(interner: Interner, id: number): number {
  const { u32 } = interner;
  if (id < 1 || id > interner.capacity) return 0;
  const entry = internerEntry(u32, id);
  if (u32[entry + (INTERNER_ENTRY.refs >>> 2)] === 0) return 0;
  // The heap begins behind the last entry.
  const heap = internerEntry(u32, interner.capacity + 1) << 2;
  return heap + (u32[entry + (INTERNER_ENTRY.offset >>> 2)] as number);
}

function addressKey({ ip, port }: Address): string {
  return String.fromCharCode(port, ...ip);
}

/** What engines say of a member over and over. Shared: treat as frozen. */
interface Profile {
  readonly address: Address;
  readonly vsn: readonly number[];
}

/** Profiles by id, one list per interner, so that thousands of engines in a thread share one object per member. */
const profileCaches = new WeakMap<Interner, (Profile | undefined)[]>();

function cachedProfile(profiles: Interner, id: number): Profile {
  let cache = profileCaches.get(profiles);
  if (cache === undefined) {
    cache = [];
    profileCaches.set(profiles, cache);
  }
  const at = stringOffset(profiles, id);
  const { u8 } = profiles;
  const known = cache[id];
  // Ids are used again once a profile is gone, so a hit counts only when the bytes still say the same.
  if (known !== undefined && isAddressAt(known.address, u8, at) && isVsnAt(known.vsn, u8, at)) return known;
  const port = at === 0 ? 0 : ((u8[at + PROFILE.port] as number) << 8) | (u8[at + PROFILE.port + 1] as number);
  const ipLength = at === 0 ? 0 : (u8[at + PROFILE.ipLength] as number);
  const profile: Profile = {
    address: { ip: Uint8Array.from(u8.subarray(at + PROFILE.ip, at + PROFILE.ip + ipLength)), port },
    vsn: at === 0 ? [] : Array.from(u8.subarray(at + PROFILE.vsn, at + PROFILE.vsn + VSN_BYTES)),
  };
  cache[id] = profile;
  return profile;
}

function isVsnAt(vsn: readonly number[], u8: Uint8Array, at: number): boolean {
  for (let i = 0; i < VSN_BYTES; i++) if (u8[at + PROFILE.vsn + i] !== vsn[i]) return false;
  return true;
}

function isAddressAt(address: Address, u8: Uint8Array, at: number): boolean {
  const { ip, port } = address;
  if (at === 0 || u8[at + PROFILE.ipLength] !== ip.length) return false;
  if (u8[at + PROFILE.port] !== port >>> 8 || u8[at + PROFILE.port + 1] !== (port & 255)) return false;
  for (let i = 0; i < ip.length; i++) if (u8[at + PROFILE.ip + i] !== ip[i]) return false;
  return true;
}
