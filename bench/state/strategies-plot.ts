// The picture of bench/state/strategies.ts: bytes of one conversation over differences, one panel per size of state, both axes logarithmic. Written by hand in the manner of
// bench/cluster/delta-bytes-plot.mjs. White background, so that it can be read on light and dark pages.
import { COLUMNS, type Results } from './strategies-report.ts';

const PANEL_WIDTH = 330;
const PANEL_HEIGHT = 250;
const LEFT = 76;
const TOP = 74;
const GAP_X = 84;
const GAP_Y = 84;
const FOOT = 96;
const BYTES_MIN = 1; // log10
const BYTES_MAX = 8.2;
const COLORS: Readonly<Record<(typeof COLUMNS)[number], string>> = {
  'checksum-first': '#0b5cad',
  range: '#2f8f46',
  merkle: '#b3431b',
  scuttlebutt: '#8a6d00',
  'peel-back': '#7a3e9d',
};
const DASHES: Readonly<Record<(typeof COLUMNS)[number], string>> = {
  'checksum-first': '',
  range: '',
  merkle: '7 3',
  scuttlebutt: '2 3',
  'peel-back': '9 3 2 3',
};

/** 1000 as 1k, a million as 1M: long numbers would touch each other. */
function compact(count: number): string {
  if (count < 1000) return String(count);
  return count < 1e6 ? `${count / 1000}k` : `${count / 1e6}M`;
}

/** An SVG document. */
export function drawStrategies({ rows, where }: Results): string {
  const fresh = rows.filter(({ shape }) => shape === 'fresh');
  const sizes = [...new Set(fresh.map(({ size }) => size))].sort((a, b) => a - b);
  const lines = Math.ceil(sizes.length / 2);
  const width = LEFT + 2 * PANEL_WIDTH + GAP_X + 24;
  const height = TOP + lines * (PANEL_HEIGHT + GAP_Y) + FOOT - 30;
  const out = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12" role="img">`,
    '<title>Bytes of one reconciliation by strategy, size of state and differences</title>',
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    `<text x="${LEFT}" y="26" font-size="15" font-weight="bold" fill="#222222">Bytes of one reconciliation, both directions</text>`,
    `<text x="${LEFT}" y="44" fill="#555555">over the records that differ: the last writes of each side, 47 bytes of key and value each</text>`,
  ];
  sizes.forEach((size, i) => {
    const left = LEFT + (i % 2) * (PANEL_WIDTH + GAP_X);
    const top = TOP + Math.floor(i / 2) * (PANEL_HEIGHT + GAP_Y);
    const here = fresh.filter((row) => row.size === size);
    const decades = Math.log10(size) + 1;
    // 0 has no logarithm: it stands one step left of 1.
    const x = (count: number) => left + (PANEL_WIDTH * (count === 0 ? 0 : 1 + Math.log10(count))) / decades;
    const y = (bytes: number) => top + PANEL_HEIGHT * (1 - (Math.log10(bytes) - BYTES_MIN) / (BYTES_MAX - BYTES_MIN));
    out.push(
      `<text x="${left}" y="${top - 8}" font-weight="bold" fill="#222222">${size.toLocaleString('en-US')} records</text>`,
    );
    ['10 B', '100 B', '1 kB', '10 kB', '100 kB', '1 MB', '10 MB', '100 MB'].forEach((label, k) => {
      const at = y(10 ** (BYTES_MIN + k));
      out.push(`<line x1="${left}" x2="${left + PANEL_WIDTH}" y1="${at}" y2="${at}" stroke="#e4e4e4"/>`);
      out.push(`<text x="${left - 6}" y="${at + 4}" text-anchor="end" fill="#555555">${label}</text>`);
    });
    for (let k = -1; k <= Math.log10(size); k++) {
      const at = x(k < 0 ? 0 : 10 ** k);
      out.push(`<line x1="${at}" x2="${at}" y1="${top}" y2="${top + PANEL_HEIGHT}" stroke="#eeeeee"/>`);
      const label = k < 0 ? '0' : compact(10 ** k);
      out.push(`<text x="${at}" y="${top + PANEL_HEIGHT + 17}" text-anchor="middle" fill="#555555">${label}</text>`);
    }
    for (const strategy of [...COLUMNS].reverse()) {
      const points = here.filter((row) => row.strategy === strategy).sort((a, b) => a.count - b.count);
      const places = points.map(({ count, bytes }) => `${x(count).toFixed(1)},${y(bytes).toFixed(1)}`);
      out.push(
        `<polyline points="${places.join(' ')}" fill="none" stroke="${COLORS[strategy]}" stroke-width="2" stroke-dasharray="${DASHES[strategy]}"/>`,
      );
      for (const place of places) {
        const [cx, cy] = place.split(',');
        out.push(`<circle cx="${cx}" cy="${cy}" r="2.6" fill="${COLORS[strategy]}"/>`);
      }
    }
  });
  COLUMNS.forEach((strategy, i) => {
    const at = LEFT + i * 136;
    const y = height - FOOT + 44;
    out.push(
      `<line x1="${at}" x2="${at + 26}" y1="${y}" y2="${y}" stroke="${COLORS[strategy]}" stroke-width="2.5" stroke-dasharray="${DASHES[strategy]}"/>`,
      `<text x="${at + 32}" y="${y + 4}" fill="${COLORS[strategy]}">${strategy}</text>`,
    );
  });
  out.push(
    `<text x="${LEFT}" y="${height - FOOT + 16}" fill="#222222">records that differ (log scale; 0 stands apart)</text>`,
    `<text x="${LEFT}" y="${height - 18}" font-size="11" fill="#555555">Source: bench/state/strategies.mjs, commit ${where.commit}, ${where.date}. Messages of at most 64 KiB; without TCP and IP headers.</text>`,
    '</svg>',
    '',
  );
  return out.join('\n');
}
