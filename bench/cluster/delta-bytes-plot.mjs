// The picture of bench/cluster/delta-bytes.mjs: bytes of one exchange over the number of differing members, both axes logarithmic. Written by hand:
// three lines and two axes need no library. White background, so that it can be read on light and dark pages.

const WIDTH = 760;
const HEIGHT = 470;
const LEFT = 90;
const RIGHT = 185;
const TOP = 46;
const BOTTOM = 96;
const PLOT_WIDTH = WIDTH - LEFT - RIGHT;
const PLOT_HEIGHT = HEIGHT - TOP - BOTTOM;
const BYTES_MIN = 3; // log10
const BYTES_MAX = 7;
const SERIES = [
  { key: 'full', label: 'full exchange', color: '#b3431b' },
  { key: 'compressed', label: 'full exchange, LZW', color: '#8a6d00' },
  { key: 'delta', label: 'delta push-pull', color: '#0b5cad' },
];

/** 0 has no logarithm: it stands one step left of 1. */
const x = (differing) => LEFT + (PLOT_WIDTH * (differing === 0 ? 0 : 1 + Math.log10(differing))) / 5;
const y = (bytes) => TOP + PLOT_HEIGHT * (1 - (Math.log10(bytes) - BYTES_MIN) / (BYTES_MAX - BYTES_MIN));
const sum = (list) => list.reduce((total, each) => total + each, 0);

/** An SVG document; `source` goes into the caption. Rows without `differing` are left out. */
export function drawDeltaBytes(rows, source) {
  const points = rows.filter(({ differing }) => differing !== undefined);
  const out = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="13" role="img">`,
    '<title>Bytes of one exchange between two members of 10,000</title>',
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#ffffff"/>`,
    `<text x="${LEFT}" y="26" font-size="15" font-weight="bold" fill="#222222">One periodic exchange in a cluster of 10,000 members</text>`,
  ];
  ['1 kB', '10 kB', '100 kB', '1 MB', '10 MB'].forEach((label, i) => {
    const at = y(10 ** (BYTES_MIN + i));
    out.push(`<line x1="${LEFT}" x2="${LEFT + PLOT_WIDTH}" y1="${at}" y2="${at}" stroke="#dddddd"/>`);
    out.push(`<text x="${LEFT - 8}" y="${at + 4}" text-anchor="end" fill="#444444">${label}</text>`);
  });
  for (const { differing, label } of points) {
    const at = x(differing);
    out.push(`<line x1="${at}" x2="${at}" y1="${TOP}" y2="${TOP + PLOT_HEIGHT}" stroke="#eeeeee"/>`);
    out.push(`<text x="${at}" y="${TOP + PLOT_HEIGHT + 20}" text-anchor="middle" fill="#444444">${label}</text>`);
  }
  for (const { key, label, color } of SERIES) {
    const places = points.map((row) => `${x(row.differing).toFixed(1)},${y(sum(row[key])).toFixed(1)}`);
    out.push(`<polyline points="${places.join(' ')}" fill="none" stroke="${color}" stroke-width="2.5"/>`);
    for (const place of places) {
      const [cx, cy] = place.split(',');
      out.push(`<circle cx="${cx}" cy="${cy}" r="3.5" fill="${color}"/>`);
    }
    const endY = Number(places.at(-1).split(',')[1]);
    out.push(`<text x="${LEFT + PLOT_WIDTH + 12}" y="${endY + 4}" fill="${color}">${label}</text>`);
  }
  const middle = LEFT + PLOT_WIDTH / 2;
  out.push(
    `<text x="${middle}" y="${TOP + PLOT_HEIGHT + 42}" text-anchor="middle" fill="#222222">members that differ (log scale; 0 stands apart)</text>`,
    `<text transform="translate(24 ${TOP + PLOT_HEIGHT / 2}) rotate(-90)" text-anchor="middle" fill="#222222">bytes, both directions (log scale)</text>`,
    `<text x="${LEFT}" y="${HEIGHT - 16}" font-size="11" fill="#555555">Source: ${source}. Without TCP and IP headers.</text>`,
    '</svg>',
    '',
  );
  return out.join('\n');
}
