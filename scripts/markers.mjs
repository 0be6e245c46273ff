// Figures in documents are written by the command that measured them, between two markers: <!-- name:start --> and <!-- name:end -->.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Puts `text` between the markers of a document. Throws when they are not there. */
export function insertBetweenMarkers(document, name, text) {
  const start = `<!-- ${name}:start -->`;
  const end = `<!-- ${name}:end -->`;
  const from = document.indexOf(start);
  const to = document.indexOf(end);
  if (from < 0 || to < from) throw new Error(`expected the markers ${start} and ${end} in this order`);
  return `${document.slice(0, from + start.length)}\n\n${text.trimEnd()}\n\n${document.slice(to)}`;
}

/** The same in a file of the repository; `lines` are joined. */
export function writeBetween(file, name, lines) {
  const path = `${root}${file}`;
  writeFileSync(path, insertBetweenMarkers(readFileSync(path, 'utf8'), name, lines.join('\n')));
}

/** The commit that was measured, with "-dirty" when the tree had changes. */
export function commit() {
  return execFileSync('git', ['describe', '--always', '--dirty'], { cwd: root, encoding: 'utf8' }).trim();
}

/** Where figures come from, as one line: machine, Node, commit, day, command. */
export function methodLine(command) {
  const [cpu] = cpus();
  const day = new Date().toISOString().slice(0, 10);
  return `${cpu?.model.trim() ?? 'unknown CPU'}, ${cpus().length} cores (load ${loadavg()[0]?.toFixed(1)} at the end), ${process.platform}-${process.arch}, Node ${process.version}, commit ${commit()}, ${day}. Command: \`${command}\`.`;
}
