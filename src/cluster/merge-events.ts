import type { GossipEvent, MemberInfo } from '../protocol/types.ts';

type MemberEventType = 'join' | 'update' | 'alive' | 'suspect' | 'dead' | 'leave' | 'stall' | 'resume';
type MemberEvent = { readonly type: MemberEventType; readonly member: MemberInfo };

/** What happened to one member, in as few events as say it. */
interface Story {
  /** It was not among the living when the story began. */
  readonly beganWithJoin: boolean;
  /** The last time it failed or left. */
  end: MemberEvent | undefined;
  hasJoin: boolean;
  hasUpdate: boolean;
  status: MemberEventType | undefined;
  work: MemberEvent | undefined;
  last: MemberInfo;
  lastIndex: number;
}

/**
 * The same news in fewer events, for a program that has not listened for long. Of each member at most four events remain, where its last one was:
 * its end (if it had been there before), 'join' or 'update' with what is known now, 'suspect' or 'alive', and 'stall' or 'resume'. A member that
 * came and went meanwhile is left out, so what remains is bounded by the members of the table then and now. Other events stay.
 */
export function mergeMemberEvents(events: readonly GossipEvent[]): GossipEvent[] {
  const stories = new Map<string, Story>();
  events.forEach((event, index) => {
    if (isMemberEvent(event)) note(stories, event, index);
  });
  const merged: GossipEvent[] = [];
  events.forEach((event, index) => {
    if (!isMemberEvent(event)) {
      merged.push(event);
      return;
    }
    const story = stories.get(event.member.name);
    if (story?.lastIndex === index) merged.push(...told(story));
  });
  return merged;
}

function note(stories: Map<string, Story>, event: MemberEvent, index: number): void {
  const { type, member } = event;
  let story = stories.get(member.name);
  if (!story) {
    story = {
      beganWithJoin: type === 'join',
      end: undefined,
      hasJoin: false,
      hasUpdate: false,
      status: undefined,
      work: undefined,
      last: member,
      lastIndex: index,
    };
    stories.set(member.name, story);
  }
  story.last = member;
  story.lastIndex = index;
  if (type === 'update') story.hasUpdate = true;
  else if (type === 'stall' || type === 'resume') story.work = event;
  else {
    story.status = type;
    if (type === 'join') story.hasJoin = true;
    if (type === 'dead' || type === 'leave') {
      story.end = event;
      story.work = undefined;
    }
  }
}

function told(story: Story): MemberEvent[] {
  const { beganWithJoin, end, hasJoin, hasUpdate, status, work, last: member } = story;
  const isGone = status === 'dead' || status === 'leave';
  const told: MemberEvent[] = [];
  if (end && !beganWithJoin) told.push(end);
  if (isGone) return told;
  if (hasJoin) told.push({ type: 'join', member });
  else if (hasUpdate) told.push({ type: 'update', member });
  if (status === 'suspect' || (status === 'alive' && !hasJoin)) told.push({ type: status, member });
  if (work) told.push(work);
  return told;
}

/** Joins, changes and ends of members: what a program must not lose. */
export function isMemberEvent(event: GossipEvent): event is MemberEvent {
  return 'member' in event && event.type !== 'conflict' && event.type !== 'probe';
}
