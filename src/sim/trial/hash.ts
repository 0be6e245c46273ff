/** FNV-1a, 32 bits, over the UTF-16 units of a text: enough to tell two traces apart. */
export const HASH_START = 0x811c9dc5;

export function hash32(start: number, text: string): number {
  let hash = start;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash;
}
