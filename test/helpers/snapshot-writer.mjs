// Writes snapshots of a map until it is killed: node snapshot-writer.mjs FILE. The map's only key says which one it is; 'ready' is printed when the first one is on disk.
import { Cluster } from 'hearsay';

const file = process.argv[2];
const cluster = await Cluster.start({ name: 'writer', bind: '127.0.0.1:0', profile: 'local', thread: 'inline' });
const map = cluster.map('m');
for (let i = 0; i < 200; i++) map.set(`fill ${i}`, 'x'.repeat(500));
for (let i = 1; ; i++) {
  map.set('count', String(i));
  await map.snapshot(file);
  process.stdout.write(`${i}\n`);
}
