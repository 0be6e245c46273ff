import type { EngineKernels } from '../kernels/contract.ts';
import { TABLE } from '../kernels/layout.ts';
import type { Sample } from './types.ts';

/** How many members these nodes hold for alive or suspect. */
export function viewSizes(nodes: readonly { readonly kernels: EngineKernels }[]): Sample['view'] {
  const view = { min: Number.POSITIVE_INFINITY, sum: 0, max: 0, nodes: nodes.length };
  for (const { kernels } of nodes) {
    const { u32 } = kernels.table;
    const size = (u32[TABLE.aliveCount >>> 2] as number) + (u32[TABLE.suspectCount >>> 2] as number);
    view.min = Math.min(view.min, size);
    view.max = Math.max(view.max, size);
    view.sum += size;
  }
  return view;
}
