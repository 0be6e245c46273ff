import type { Address } from '../util/address.ts';

/** Node i of all has 127.(64 + upper bits).x.y and the port of its shard; all of 127.0.0.0/8 is this machine. */
const FIRST = 64;

export function ipOf(index: number): Uint8Array {
  const number = index + 1;
  return Uint8Array.of(127, FIRST + (number >>> 16), (number >>> 8) & 255, number & 255);
}

/** -1 when it is no node's. */
export function indexOf(ip: Uint8Array): number {
  if (ip.length !== 4 || ip[0] !== 127 || (ip[1] as number) < FIRST) return -1;
  return ((((ip[1] as number) - FIRST) << 16) | ((ip[2] as number) << 8) | (ip[3] as number)) - 1;
}

export function nameOf(index: number): string {
  return `n${index}`;
}

/** Nodes go to shards in turn, so that faults of neighbours hit all. */
export function shardOf(index: number, shards: number): number {
  return index % shards;
}

export function addressOf(index: number, ports: readonly number[]): Address {
  return { ip: ipOf(index), port: ports[shardOf(index, ports.length)] as number };
}

/** Index of a node by its name. */
export function indexOfName(name: string): number {
  return Number(name.slice(1));
}
