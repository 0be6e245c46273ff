/** Bytes that the unfinished messages of all streams which others opened to one host may take. */
export const STREAM_BYTES_MAX = 256 * 1024 * 1024;

/** What one stream holds of the budget. */
export interface StreamAccount {
  /** The stream holds so many bytes now; `isFixed` while it cannot be made to let go of them. May refuse a stream, this one too. */
  hold(bytes: number, isFixed: boolean): void;
  /** The stream is over. */
  close(): void;
}

interface Entry {
  readonly host: string;
  readonly refuse: () => void;
  bytes: number;
  isFixed: boolean;
}

/**
 * Bounds what everybody together may make us keep before we know who they are: a stream may carry a state of many megabytes, so a limit per
 * stream and one on their number still allow gigabytes. When the budget is exceeded, the host that holds most loses its largest stream.
 */
export class StreamBudget {
  readonly #bytesMax: number;
  readonly #entries = new Set<Entry>();
  #bytes = 0;

  constructor(bytesMax = STREAM_BYTES_MAX) {
    this.#bytesMax = bytesMax;
  }

  /** Bytes held by all streams. */
  get bytes(): number {
    return this.#bytes;
  }

  /** A stream from `host` begins; `refuse` is called, once, when it has to go, and makes it let go of its bytes. */
  open(host: string, refuse: () => void): StreamAccount {
    const entry: Entry = { host, refuse, bytes: 0, isFixed: false };
    this.#entries.add(entry);
    return {
      hold: (bytes, isFixed) => {
        if (!this.#entries.has(entry)) return;
        this.#bytes += bytes - entry.bytes;
        entry.bytes = bytes;
        entry.isFixed = isFixed;
        while (this.#bytes > this.#bytesMax && this.#refuseOne()) {}
      },
      close: () => this.#remove(entry),
    };
  }

  #refuseOne(): boolean {
    const hosts = new Map<string, number>();
    for (const { host, bytes } of this.#entries) hosts.set(host, (hosts.get(host) ?? 0) + bytes);
    const weight = (entry: Entry): number => hosts.get(entry.host) as number;
    let victim: Entry | undefined;
    for (const entry of this.#entries) {
      if (entry.isFixed || entry.bytes === 0) continue;
      const lead = victim ? weight(entry) - weight(victim) || entry.bytes - victim.bytes : 0;
      // Of equals the newest goes: the older one is nearer to its end.
      if (lead >= 0) victim = entry;
    }
    if (victim === undefined) return false;
    this.#remove(victim);
    victim.refuse();
    return true;
  }

  #remove(entry: Entry): void {
    if (this.#entries.delete(entry)) this.#bytes -= entry.bytes;
  }
}
