import { Command } from 'commander';
export function membershipCommand(): Command {
  return new Command('membership');
}
