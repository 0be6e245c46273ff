/**
 * Where a member stands on the ring: FNV-1a over its name, mixed once more so that names that differ in their last letter do not become neighbours. The same
 * at every member, on every machine; whoever chooses names can choose its neighbours, which gains it nothing: the others are probed all the same.
 */
export function ringPosition(name: Uint8Array): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ (name[i] as number), 0x01000193);
  return mixed(hash);
}

/** The finalizer of MurmurHash3: each bit of the result depends on each of the value. */
export function mixed(value: number): number {
  let hash = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** How far it is from one position to another, walking up: 1 to 2^32 - 1; 2^32 when they are the same. */
export function ringDistance(from: number, to: number): number {
  const distance = (to - from) >>> 0;
  return distance === 0 ? 4294967296 : distance;
}
