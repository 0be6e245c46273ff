import { memberTableContract } from './member-table.contract.ts';
import { ENGINES } from './member-table.fixtures.ts';

for (const engine of ENGINES) memberTableContract(engine);
