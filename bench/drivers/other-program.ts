/** A contender that is another program: it serves one case, "round <ms>" and "view" on its stdin, and answers each with one line of JSON. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';

export class OtherProgram {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #answers: AsyncIterator<string>;

  constructor(binary: string, args: readonly string[] = []) {
    this.#child = spawn(binary, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#answers = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  /** Nanoseconds per operation of each run in about `ms` milliseconds. */
  async round(ms: number): Promise<number[]> {
    return (await this.#ask(`round ${ms}`)) as number[];
  }

  async view(): Promise<string> {
    return (await this.#ask('view')) as string;
  }

  end(): void {
    this.#child.stdin.end();
  }

  async #ask(line: string): Promise<unknown> {
    this.#child.stdin.write(`${line}\n`);
    const answer = await this.#answers.next();
    if (answer.done) throw new Error('the program ended early');
    return JSON.parse(answer.value);
  }
}
