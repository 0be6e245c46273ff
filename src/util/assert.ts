/** Programmer errors only: a failed assertion is a bug in hearsay or in its driver, never bad input. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`hearsay: assertion failed: ${message}`);
}
