// Loaded with --import into each thread of a process: measures the delay of the event loop of the threads that are not the first one,
// and answers on a channel when the first thread asks. Only for benchmarks.
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { BroadcastChannel, isMainThread, threadId, workerData } from 'node:worker_threads';

export const CHANNEL = 'hearsay-loop-delay';

/** What a histogram says, ms. The timer of the monitor itself comes each ms, so an idle loop shows about 1. */
export function figures(histogram) {
  const ms = (ns) => ns / 1e6;
  return { p50: ms(histogram.percentile(50)), p99: ms(histogram.percentile(99)), max: ms(histogram.max), samples: histogram.count };
}

if (!isMainThread) {
  const histogram = monitorEventLoopDelay({ resolution: 1 });
  histogram.enable();
  const channel = new BroadcastChannel(CHANNEL);
  channel.unref();
  channel.onmessage = ({ data }) => {
    if (data === 'read') channel.postMessage({ threadId, isEngine: workerData?.settings !== undefined, ...figures(histogram) });
    if (data === 'read' || data === 'reset') histogram.reset();
  };
}
