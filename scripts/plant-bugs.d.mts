export interface Bug {
  readonly name: string;
  readonly what: string;
  readonly file: string;
  readonly from: string;
  readonly to: string;
}
export const BUGS: readonly Bug[];
export function firstSeed(
  bug: Bug | undefined,
  seeds: number,
): Promise<{ readonly seed: number; readonly problem: string } | undefined>;
