import { expect, it } from 'vitest';
import { HostileConversations } from './hostile.ts';

// make fuzz runs the same with other seeds and far more of them.
it('damaged messages are refused whole or taken as what they then say; nothing throws, and the stores still become the same', () => {
  const hostile = new HostileConversations(1);
  const reasons = new Map<string, number>();
  for (let i = 0; i < 4000; i++) {
    const reason = hostile.run().refused ?? 'taken';
    reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
  }
  // If all were refused at the door, nothing behind it would have been tried.
  for (const reason of ['taken', 'malformed', 'truncated', 'unknown', 'outOfTurn', 'keyMismatch']) {
    expect(reasons.get(reason) ?? 0, reason).toBeGreaterThan(2);
  }
});
