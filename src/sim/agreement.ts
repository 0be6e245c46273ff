import { STATUS } from '../kernels/contract.ts';
import { HEADER, ROW, TABLE } from '../kernels/layout.ts';
import type { SimNode } from './sim-node.ts';

/**
 * Knows whether all nodes agree on who is there, without asking them all after every step: a node whose number of alive members is wrong
 * cannot agree, and that number is compared only after the node did something.
 */
export class Agreement {
  /** Nodes that are up. */
  #up = 0;
  /** Those of them that hold as many members for alive. */
  #right = 0;
  /** Somebody started or ended: all are counted again before the next answer. */
  #isStale = true;

  /** A node started or ended. */
  forget(): void {
    this.#isStale = true;
  }

  /** A node did something. */
  note(node: SimNode): void {
    if (this.#isStale) return;
    const isRight = node.isUp && aliveCount(node) === this.#up;
    if (isRight === node.hasRightCount) return;
    node.hasRightCount = isRight;
    this.#right += isRight ? 1 : -1;
  }

  /** True when every node that is up holds exactly the nodes that are up for alive. */
  holds(nodes: Iterable<SimNode>): boolean {
    if (this.#isStale) this.#count(nodes);
    if (this.#right !== this.#up) return false;
    const up = [...nodes].filter((node) => node.isUp);
    // Name ids count per interner; nodes on one backend share theirs.
    const idsUp = new Map<object, Set<number>>();
    for (const { kernels } of up) {
      const ids = idsUp.get(kernels.names);
      if (ids) ids.add(ownNameId(kernels.table));
      else idsUp.set(kernels.names, new Set([ownNameId(kernels.table)]));
    }
    if (idsUp.size === 1) {
      const [ids] = idsUp.values();
      return up.every(({ kernels }) => aliveNameIds(kernels.table).every((id) => ids?.has(id)));
    }
    const namesUp = new Set(up.map(({ name }) => name));
    return up.every(({ engine }) =>
      engine.members().every(({ name, status }) => status !== STATUS.alive || namesUp.has(name)),
    );
  }

  #count(nodes: Iterable<SimNode>): void {
    const up = [...nodes].filter((node) => node.isUp);
    this.#up = up.length;
    this.#right = 0;
    for (const node of up) {
      node.hasRightCount = aliveCount(node) === this.#up;
      if (node.hasRightCount) this.#right++;
    }
    this.#isStale = false;
  }
}

type Table = SimNode['kernels']['table'];

function aliveCount({ kernels }: SimNode): number {
  return kernels.table.u32[TABLE.aliveCount >>> 2] as number;
}

function ownNameId({ u32, rowsOffset }: Table): number {
  const slot = (u32[TABLE.selfSlot >>> 2] as number) - 1;
  return u32[(rowsOffset + slot * ROW.stride + ROW.nameId) >>> 2] as number;
}

function aliveNameIds({ u8, u32, rowsOffset, orderOffset }: Table): number[] {
  const ids: number[] = [];
  const count = u32[HEADER.live >>> 2] as number;
  for (let i = 0; i < count; i++) {
    const at = rowsOffset + (u32[(orderOffset >>> 2) + i] as number) * ROW.stride;
    if (u8[at + ROW.status] === STATUS.alive) ids.push(u32[(at + ROW.nameId) >>> 2] as number);
  }
  return ids;
}
