import type { MemberInfo } from '../protocol/types.ts';
import { type Member, toMember } from './member.ts';

/** Public forms of the rows that a reader gives, made once for each row that changed. */
export class MemberSnapshot {
  readonly #selfName: string;
  readonly #made = new WeakMap<MemberInfo, Member>();
  #infos: readonly MemberInfo[] = [];
  #members: readonly Member[] = [];

  constructor(selfName: string) {
    this.#selfName = selfName;
  }

  /** The same array as long as `infos` is the same one. */
  of(infos: readonly MemberInfo[]): readonly Member[] {
    if (infos !== this.#infos) {
      this.#infos = infos;
      this.#members = infos.map((info) => this.#member(info));
    }
    return this.#members;
  }

  #member(info: MemberInfo): Member {
    const known = this.#made.get(info);
    if (known) return known;
    const member = toMember(info, this.#selfName);
    this.#made.set(info, member);
    return member;
  }
}
