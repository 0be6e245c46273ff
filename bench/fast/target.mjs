/** The size that is asked for, and what it is to run on. */
export const TARGET = { nodes: 10_000, processors: 2 };
