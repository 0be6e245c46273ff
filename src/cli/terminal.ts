import { stripVTControlCharacters } from 'node:util';
import pc from 'picocolors';

type Paint = (text: string) => string;

/**
 * What the commands print through. On a terminal the last line may be live: rewritten in place. In a file or a pipe live lines are
 * left out and everything else is plain text. NO_COLOR and FORCE_COLOR are respected.
 */
export class Terminal {
  readonly isLive: boolean;
  readonly color = pc.createColors(
    pc.isColorSupported && (process.stdout.isTTY || process.env['FORCE_COLOR'] !== undefined),
  );
  readonly #quiet: boolean;
  #live = '';

  constructor(quiet = false) {
    this.#quiet = quiet;
    this.isLive = process.stdout.isTTY === true && !quiet && process.env['TERM'] !== 'dumb';
  }

  /** Columns to use: the terminal's, at most 80. */
  get width(): number {
    return Math.min(80, process.stdout.columns ?? 80);
  }

  /** A whole line, above the live one. */
  line(text = ''): void {
    if (this.#quiet) return;
    this.clearLive();
    process.stdout.write(`${text}\n`);
  }

  /** Said even with --quiet: results. */
  result(text: string): void {
    this.clearLive();
    process.stdout.write(`${text}\n`);
  }

  /** Replaces the live line; nothing where there is none. */
  live(text: string): void {
    if (!this.isLive || text === this.#live) return;
    process.stdout.write(`${this.#live === '' ? '' : '\r\u001b[2K'}${clip(text, this.width - 1)}`);
    this.#live = text;
  }

  clearLive(): void {
    if (this.#live === '') return;
    process.stdout.write('\r\u001b[2K');
    this.#live = '';
  }

  /** A heading of a part of the show. */
  heading(title: string, note = ''): void {
    const { bold, dim, cyan } = this.color;
    this.line();
    this.line(`${cyan('▌')} ${bold(title)}${note === '' ? '' : `  ${dim(note)}`}`);
  }

  /** A line that begins with seconds since the start of the part. */
  at(ms: number, text: string): void {
    this.line(`  ${this.color.dim(seconds(ms).padStart(9))}  ${text}`);
  }

  bar(ratio: number, cells: number, paint: Paint = this.color.green): string {
    const full = Math.max(0, Math.min(1, ratio)) * cells;
    const whole = Math.floor(full);
    const part = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'][Math.floor((full - whole) * 8)] as string;
    return paint(`${'█'.repeat(whole)}${part}`) + ' '.repeat(cells - whole - part.length);
  }
}

/** "0.482 s", "12.3 s". */
export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(ms < 9995 ? 2 : 1)} s`;
}

/** Left-aligned to this many columns, colors not counted. */
export function pad(text: string, columns: number): string {
  return text + ' '.repeat(Math.max(0, columns - stripVTControlCharacters(text).length));
}

/** Right-aligned, colors not counted. */
export function padLeft(text: string, columns: number): string {
  return ' '.repeat(Math.max(0, columns - stripVTControlCharacters(text).length)) + text;
}

/** Cut to so many columns; a cut text loses its colors, which would otherwise stay open. */
function clip(text: string, columns: number): string {
  const plain = stripVTControlCharacters(text);
  return plain.length <= columns ? text : `${plain.slice(0, columns - 1)}…`;
}
