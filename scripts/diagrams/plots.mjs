// The plots of `make diagrams`: each takes a function that reads docs/data/<file> and gives a Vega-Lite specification.

const COLORS = { ours: '#0b5cad', theory: '#b3431b', third: '#8a6d00', fourth: '#2e7d32' };

/** What all plots share: white ground, dark text, a caption that says where the numbers are from. */
function chart(title, caption, body, { width = 620, height = 330 } = {}) {
  return {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    background: 'white',
    padding: 16,
    title: {
      text: title,
      subtitle: caption.flatMap((line) => wrapped(line, Math.floor(width / 8.8))),
      anchor: 'start',
      fontSize: 15,
      subtitleFontSize: 11,
      subtitleColor: '#555555',
      offset: 14,
    },
    config: {
      font: 'sans-serif',
      axis: {
        labelFontSize: 12,
        titleFontSize: 12,
        titleFontWeight: 'normal',
        gridColor: '#e4e4e4',
        labelColor: '#222222',
        titleColor: '#222222',
        domainColor: '#888888',
        tickColor: '#888888',
      },
      legend: {
        labelFontSize: 12,
        titleFontSize: 12,
        orient: 'bottom',
        direction: 'horizontal',
        labelLimit: 420,
        columns: 2,
      },
      view: { stroke: null },
    },
    width,
    height,
    ...body,
  };
}

/** Without a canvas Vega takes a letter for 0.8 of its size wide, and a line that is longer than the plot would make the picture as wide as itself. */
function wrapped(text, letters) {
  const lines = [''];
  for (const word of text.split(' ')) {
    const line = `${lines.at(-1)} ${word}`.trimStart();
    if (line.length <= letters || lines.at(-1) === '') lines[lines.length - 1] = line;
    else lines.push(word);
  }
  return lines;
}

const scale = (names) => ({ domain: names, range: Object.values(COLORS).slice(0, names.length) });

export const plots = {
  infection: (read) => {
    const { data, where: source } = read('papers.json').convergence;
    const names = ['measured', "Serf's formula"];
    const values = data.curve.flatMap(({ ms, share, theory }) => [
      { s: ms / 1000, percent: 100 * share, who: names[0] },
      { s: ms / 1000, percent: 100 * theory, who: names[1] },
    ]);
    return chart(
      'A message spreads among 1,000 members',
      [
        'Share of the members that know it. LAN profile: 3 members every 200 ms, and on probes. Formula: 1 / (1 + (n + 1) exp(-fanout / 2 t)).',
        source,
      ],
      {
        data: { values: values.filter(({ s }) => s <= 3.5) },
        mark: { type: 'line', strokeWidth: 2.5 },
        encoding: {
          x: { field: 's', type: 'quantitative', title: 'time since it was sent (s)' },
          y: { field: 'percent', type: 'quantitative', title: 'members that know it (%)' },
          color: { field: 'who', type: 'nominal', title: null, scale: scale(names) },
          strokeDash: {
            field: 'who',
            type: 'nominal',
            title: null,
            scale: {
              domain: names,
              range: [
                [1, 0],
                [6, 4],
              ],
            },
          },
        },
      },
    );
  },

  convergence: (read) => {
    const { data, where: source } = read('papers.json').convergence;
    const names = ['99.99 % know (measured)', "99.99 % know (Serf's formula)"];
    const values = data.sizes.flatMap(({ n, mostMs, theoryMs }) => [
      { n, s: mostMs / 1000, who: names[0] },
      { n, s: theoryMs / 1000, who: names[1] },
    ]);
    return chart(
      'Time grows with the logarithm of the size',
      ['Until a message is known, by number of members. Mean of several messages, virtual time, LAN profile.', source],
      {
        data: { values },
        mark: { type: 'line', point: true, strokeWidth: 2.5 },
        encoding: {
          x: {
            field: 'n',
            type: 'quantitative',
            scale: { type: 'log' },
            title: 'members',
            axis: { values: [10, 100, 1000, 10_000], format: ',' },
          },
          y: { field: 's', type: 'quantitative', title: 'time (s)', scale: { zero: true } },
          color: { field: 'who', type: 'nominal', title: null, scale: scale(names) },
        },
      },
    );
  },

  detection: (read) => {
    const { data, where: source } = read('papers.json').swim;
    const sorted = data.latencies;
    const values = sorted.map((ms, i) => ({ s: ms / 1000, percent: (100 * (i + 1)) / sorted.length }));
    return chart(
      'Ten of 1,000 members crash: when does each survivor know?',
      [
        'Share of all verdicts (990 survivors, 10 crashes) by time since the crash. LAN profile: SWIM with Lifeguard, as memberlist has it.',
        source,
      ],
      {
        data: { values },
        mark: { type: 'line', strokeWidth: 2.5, color: COLORS.ours },
        encoding: {
          x: { field: 's', type: 'quantitative', title: 'time since the crash (s)', scale: { zero: true } },
          y: { field: 'percent', type: 'quantitative', title: 'verdicts (%)' },
        },
      },
    );
  },

  lifeguard: (read) => {
    const { data, where: source } = read('papers.json').lifeguard;
    const order = ['SWIM', 'LHA-Probe', 'LHA-Suspicion', 'Lifeguard'];
    const kinds = ['at any member', 'at healthy members'];
    const values = order
      .filter((name) => data.counts[name])
      .flatMap((name) => [
        { name, kind: kinds[0], count: data.counts[name].fp },
        { name, kind: kinds[1], count: data.counts[name].fpHealthy },
      ]);
    return chart(
      'False positives with and without Lifeguard',
      [
        'Healthy members declared dead, 128 members of which 4 to 32 stop now and then, twelve runs of two minutes. A log scale; 0 is drawn as 0.5.',
        source,
      ],
      {
        data: { values: values.map((each) => ({ ...each, drawn: Math.max(0.5, each.count) })) },
        layer: [
          { mark: { type: 'bar' }, encoding: { y2: { datum: 0.5 } } },
          {
            mark: { type: 'text', dy: -8, fontSize: 11 },
            encoding: { text: { field: 'count', format: ',' }, color: { value: '#222222' } },
          },
        ],
        encoding: {
          x: { field: 'name', type: 'nominal', sort: order, title: null, axis: { labelAngle: 0 } },
          xOffset: { field: 'kind', sort: kinds },
          y: {
            field: 'drawn',
            type: 'quantitative',
            scale: { type: 'log', domainMin: 0.5 },
            title: 'false positives',
            axis: { values: [1, 10, 100, 1000, 10_000, 100_000, 1_000_000], format: ',' },
          },
          color: { field: 'kind', type: 'nominal', title: null, scale: scale(kinds) },
        },
      },
    );
  },

  'bytes-per-node': (read) => {
    const { data, where: source } = read('papers.json').convergence;
    return chart(
      'What a member sends while nothing happens',
      [
        'Bytes of UDP payload per second: one ping and one ack per period of a second. Push/pull left out. LAN profile.',
        source,
      ],
      {
        data: { values: data.sizes.map(({ n, bytesPerSecond }) => ({ n, bytesPerSecond })) },
        mark: { type: 'line', point: true, strokeWidth: 2.5, color: COLORS.ours },
        encoding: {
          x: {
            field: 'n',
            type: 'quantitative',
            scale: { type: 'log' },
            title: 'members',
            axis: { values: [10, 100, 1000, 10_000], format: ',' },
          },
          y: { field: 'bytesPerSecond', type: 'quantitative', title: 'bytes per second', scale: { zero: true } },
        },
      },
    );
  },

  survival: (read) => {
    const { data, where: source } = read('papers.json').survival;
    const names = ['this engine (measured)', 'each tells four once (measured)', 'each tells four once (formula)'];
    const values = data.flatMap(({ percent, reached, blindReached, predictedReached }) => [
      { percent, share: 100 * reached, who: names[0] },
      { percent, share: 100 * blindReached, who: names[1] },
      { percent, share: 100 * predictedReached, who: names[2] },
    ]);
    return chart(
      'A part of all members is killed at once: who hears the next message?',
      [
        'Survivors that a message reaches which is sent before anybody knows of the dead. Engine: 1,000 members, LAN profile.',
        source,
      ],
      {
        data: { values },
        mark: { type: 'line', point: true, strokeWidth: 2.5 },
        encoding: {
          x: { field: 'percent', type: 'quantitative', title: 'killed (%)' },
          y: { field: 'share', type: 'quantitative', title: 'survivors reached (%)', scale: { domain: [0, 100] } },
          color: { field: 'who', type: 'nominal', title: null, scale: scale(names) },
        },
      },
    );
  },

  'delta-bytes': (read) => {
    const { rows, source } = read('delta-bytes.json');
    const names = ['delta push-pull', 'full exchange', 'full exchange, LZW'];
    const sum = (list) => list.reduce((total, each) => total + each, 0);
    const values = rows
      .filter(({ differing }) => differing !== undefined)
      .flatMap(({ differing, delta, full, compressed }) => [
        { differing, bytes: sum(delta), who: names[0] },
        { differing, bytes: sum(full), who: names[1] },
        { differing, bytes: sum(compressed), who: names[2] },
      ]);
    return chart(
      'Bytes of one exchange between two members of 10,000',
      [
        'Both directions together, by number of members in which the two tables differ. Log scales; 0 stands at the left.',
        source,
      ],
      {
        data: { values: values.map((each) => ({ ...each, at: Math.max(0.3, each.differing) })) },
        mark: { type: 'line', point: true, strokeWidth: 2.5 },
        encoding: {
          x: {
            field: 'at',
            type: 'quantitative',
            scale: { type: 'log', domainMin: 0.3 },
            title: 'differing members',
            axis: {
              values: [0.3, 1, 10, 100, 1000, 10_000],
              labelExpr: "datum.value < 1 ? '0' : format(datum.value, ',')",
            },
          },
          y: {
            field: 'bytes',
            type: 'quantitative',
            scale: { type: 'log' },
            title: 'bytes',
            axis: { values: [1000, 10_000, 100_000, 1_000_000], format: ',' },
          },
          color: { field: 'who', type: 'nominal', title: null, scale: scale(names) },
        },
      },
    );
  },
};
