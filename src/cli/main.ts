#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import { antiEntropyCommand } from './anti-entropy.ts';
import { gossipCommand } from './gossip.ts';
import { loadTestCommand } from './loadtest.ts';
import { membershipCommand } from './membership.ts';
import { simCommand, swarmCommand } from './sim.ts';

/** Wrong arguments end with this code and one line; 1 is for what was tried and failed. */
const EXIT_USAGE = 2;

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

const program = new Command('hearsay')
  .description("Gossip membership for Node.js that speaks memberlist's wire.")
  .version(version)
  .showSuggestionAfterError()
  .configureOutput({
    outputError: (text, write) => write(`hearsay: ${text.replace(/^error: /, '').replace(/\n\(/, ' (')}`),
  })
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : EXIT_USAGE));

// Settings of the program reach commands only through copyInheritedSettings.
for (const command of [
  gossipCommand(),
  membershipCommand(),
  antiEntropyCommand(),
  loadTestCommand(),
  simCommand(),
  swarmCommand(),
]) {
  program.addCommand(command.copyInheritedSettings(program));
}

await program.parseAsync();
