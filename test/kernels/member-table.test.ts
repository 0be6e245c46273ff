import { memberTableContract } from './member-table.contract.ts';
import { ENGINES } from './member-table.fixtures.ts';
import { memberTableWalkContract } from './member-table.walk.contract.ts';

for (const engine of ENGINES) {
  memberTableContract(engine);
  memberTableWalkContract(engine);
}
