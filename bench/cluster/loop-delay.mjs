// Measures how long an event loop stands still. Loaded with --import into a process it loads itself into the threads that start later, watches those, and
// answers on a channel when the first thread asks. Only for benchmarks.
import { openSync, readSync } from 'node:fs';
import { createRequire, syncBuiltinESMExports } from 'node:module';
import { createHistogram, monitorEventLoopDelay } from 'node:perf_hooks';
import { BroadcastChannel, isMainThread, threadId, workerData } from 'node:worker_threads';

export const CHANNEL = 'hearsay-loop-delay';

/** CPU time of this thread, ns; undefined where the system does not tell. */
function threadClock() {
  let file;
  try {
    file = openSync('/proc/thread-self/schedstat');
  } catch {
    return undefined;
  }
  const text = Buffer.alloc(64);
  return () => {
    // Asking for the process's time makes the kernel bring this thread's up to date.
    process.cpuUsage();
    return Number(text.latin1Slice(0, readSync(file, text, 0, 64, 0)).split(' ')[0]);
  };
}

/**
 * Two views of one loop. `delay` is monitorEventLoopDelay at 1 ms, so an idle loop shows about 1.1; on a busy machine it holds the time that
 * the thread waited for a processor. `work` is the CPU time between two ticks of a timer of 1 ms: the turns themselves, about 0.05 when idle.
 */
export class LoopMonitor {
  #delay = monitorEventLoopDelay({ resolution: 1 });
  #work = createHistogram();
  #clock = threadClock();

  start() {
    this.#delay.enable();
    if (!this.#clock) return;
    let last = this.#clock();
    setInterval(() => {
      const now = this.#clock();
      this.#work.record(Math.max(1, Math.round(now - last)));
      last = now;
    }, 1).unref();
  }

  /** What happened since the start or the last call, ms. */
  read() {
    const result = { delay: figures(this.#delay), work: this.#clock && figures(this.#work) };
    this.reset();
    return result;
  }

  reset() {
    this.#delay.reset();
    this.#work.reset();
  }
}

function figures(histogram) {
  const ms = (ns) => ns / 1e6;
  return { p50: ms(histogram.percentile(50)), p99: ms(histogram.percentile(99)), max: ms(histogram.max), samples: histogram.count };
}

if (isMainThread) {
  // The engine's thread starts without the flags of its process (src/cluster/worker-link.ts), so it would start without this file.
  const threads = createRequire(import.meta.url)('node:worker_threads');
  threads.Worker = class extends threads.Worker {
    constructor(file, options) {
      super(file, { ...options, execArgv: ['--import', import.meta.url] });
    }
  };
  syncBuiltinESMExports();
} else {
  const monitor = new LoopMonitor();
  monitor.start();
  const channel = new BroadcastChannel(CHANNEL);
  channel.unref();
  channel.onmessage = ({ data }) => {
    if (data === 'read') channel.postMessage({ threadId, isEngine: workerData?.settings !== undefined, ...monitor.read() });
    if (data === 'reset') monitor.reset();
  };
}
