// Charts by uPlot.  Each is a figure with its numbers as text, the way to
// read it without looking; the canvas is for the eye alone.

import uPlot from './uPlot.esm.js';
import { h, fill, freshId, table, text } from './dom.js';
import * as format from './format.js';

const HEIGHT = 190;
const ROWS = 12;
const SECONDS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200,
  14400, 21600, 43200, 86400, 172800, 604800];

function css(name) {
  return getComputedStyle(document.documentElement)
    .getPropertyValue(name).trim();
}

const all = new Set();

matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
  all.forEach((chart) => chart.draw(true));
});

/**
 * @typedef {{label: string, color: string, dash?: number[], width?: number,
 *            show: (value: number|null) => string, step?: boolean,
 *            bars?: -1|1, quiet?: boolean}} Line
 *   color: a custom property of app.css; quiet: not in the text
 */
export class Chart {
  /**
   * @param {{title: string, lines: Line[], note?: string, sync?: string,
   *          y: Object, yValues: (v: number) => string,
   *          x?: {label: string, show: (i: number) => string,
   *               values: (u: uPlot, splits: number[]) => string[]}}} options
   */
  constructor(options) {
    const label = freshId('chart');

    this.options = options;
    this.data = null;
    this.plot = null;
    this.values = options.lines.map(() => h('strong', {}, '–'));
    this.at = h('span', { class: 'at' });
    this.box = h('div', { class: 'plot', aria: { hidden: 'true' } });
    this.numbers = h('div');
    this.details = h('details', { ontoggle: () => this.tabulate() },
      h('summary', {}, 'As a table'), this.numbers);

    this.el = h('figure', { class: 'panel chart', role: 'group',
      aria: { labelledby: label } },
    h('figcaption', {},
      h('h2', { id: label }, options.title), this.at,
      h('ul', { class: 'key' }, options.lines.map((line, i) =>
        !line.quiet && h('li', { 'data-color': line.color,
          'data-dash': line.dash ? 'yes' : 'no' },
        `${line.label} `, this.values[i])))),
    this.box, options.note && h('p', { class: 'note' }, options.note),
    this.details);

    this.watch = new ResizeObserver(() => this.draw(false));
    this.watch.observe(this.box);
    all.add(this);
  }

  /** @param {Array<Array<number|null>>} data  x, then each line's values */
  set(data) {
    this.data = data;
    this.draw(false);
    this.read(null);
    this.tabulate();
  }

  end() {
    all.delete(this);
    this.watch.disconnect();
    this.plot?.destroy();
  }

  /** The numbers beside the names: at the cursor, or the latest ones. */
  read(index) {
    const i = index ?? this.data[0].length - 1;
    const x = this.options.x;

    this.options.lines.forEach((line, n) => {
      text(this.values[n], x && index === null ? ''
        : line.show(this.data[n + 1][i]));
    });
    text(this.at, index === null || i < 0 ? '' : x
      ? x.show(i) : format.clock(this.data[0][i] * 1000));
  }

  tabulate() {
    if (!this.details.open || !this.data) {
      return;
    }

    const { lines, title, x } = this.options;
    const shown = lines.map((line, i) => [line, this.data[i + 1]])
      .filter(([line]) => !line.quiet);
    const last = this.data[0].length - 1;
    const every = x ? 1 : Math.max(1, Math.ceil(last / ROWS));
    const rows = [];

    for (let i = last; i >= 0; i -= every) {
      rows.unshift([x ? x.show(i) : format.clock(this.data[0][i] * 1000),
        ...shown.map(([line, values]) => line.show(values[i]))]);
    }

    fill(this.numbers, rows, () => table(title,
      [x ? x.label : 'Time', ...shown.map(([line]) => `#${line.label}`)],
      rows.map((row) => h('tr', {}, h('th', { scope: 'row' }, row[0]),
        row.slice(1).map((cell) => h('td', { class: 'num' }, cell))))));
  }

  draw(fresh) {
    const width = this.box.clientWidth;

    if (!this.data || width === 0) {
      return;
    }
    if (this.plot && !fresh) {
      if (this.plot.width !== width) {
        this.plot.setSize({ width, height: HEIGHT });
      }
      this.plot.setData(this.data);
      return;
    }
    this.plot?.destroy();
    this.plot = new uPlot(this.settings(width), this.data, this.box);
  }

  settings(width) {
    const { lines, y, yValues, sync, x } = this.options;
    const powers = (u, splits) => splits.map((v) => (yValues(v) ? v
      : null));
    const axis = {
      stroke: css('--soft'),
      font: '11px system-ui, sans-serif',
      grid: { stroke: css('--line'), width: 1 },
      ticks: { stroke: css('--line'), width: 1, size: 4 },
    };

    return {
      width,
      height: HEIGHT,
      padding: [8, 24, 0, 0],
      legend: { show: false },
      cursor: {
        ...(sync ? { sync: { key: sync } } : {}),
        drag: { x: false, y: false },
        points: { size: 6 },
      },
      hooks: {
        setCursor: [(u) => this.read(u.cursor.idx ?? null)],
      },
      scales: { x: { time: !x, ...(x ? { range: (u, min, max) =>
        [min - 0.6, max + 0.6] } : {}) }, y },
      axes: [
        { ...axis, size: 28, space: 64, ...(x ? { values: x.values,
          grid: { show: false }, incrs: [1, 2, 4, 8, 16, 32] }
          : { values: times, incrs: SECONDS }) },
        { ...axis, size: 64, values: (u, splits) =>
          splits.map((v) => (v === null ? null : yValues(v))),
        ...(y.distr === 3 ? { filter: powers,
          grid: { ...axis.grid, filter: powers },
          ticks: { ...axis.ticks, filter: powers } } : {}) },
      ],
      series: [{}, ...lines.map((line) => ({
        label: line.label,
        stroke: css(line.color),
        width: line.bars ? 0 : line.width ?? 2,
        dash: line.dash,
        fill: line.bars ? css(line.color) : undefined,
        spanGaps: false,
        points: { show: false },
        paths: line.bars ? uPlot.paths.bars({ size: [0.42],
          align: line.bars, gap: 0 })
          : line.step ? uPlot.paths.stepped({ align: 1 }) : undefined,
      }))],
    };
  }
}

/** Times of the axis: seconds only where the ticks are that close. */
function times(u, splits, axis, space, step) {
  return splits.map((s) => (step < 60 ? format.clock(s * 1000)
    : format.clock(s * 1000).slice(0, 5)));
}
