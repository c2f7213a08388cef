// The charts of one rollout.

import { Chart } from './charts.js';
import { h } from './dom.js';
import * as format from './format.js';
import { colorOf } from './states.js';

const STABLE = '--stable';
const LOWEST = 0.01;                // odds below it are drawn there
const DASHES = [3, 4];

/** Odds on the log scale of the chart. */
const drawn = (log) => Math.max(LOWEST, Math.exp(Math.min(log, 60)));
const shown = (value) => (value === null || value === undefined ? '–'
  : format.odds(Math.log(value)));

function power(value) {
  const exponent = Math.round(Math.log10(value));

  return Math.abs(value / 10 ** exponent - 1) > 1e-6 ? null
    : exponent < 5 ? `1 : ${10 ** exponent}` : `10^${exponent}`;
}

/** The lines of the odds: of one group harm and safety have their own
 * colours, several have the groups'. */
function oddsLines(groups) {
  return groups.length === 1 ? [
    { label: 'harm', color: '--harm', show: shown },
    { label: 'safe', color: '--safe', show: shown, dash: DASHES },
  ] : [
    ...groups.map((name, i) => ({ label: `${name} harm`, color: colorOf(i),
      show: shown })),
    ...groups.map((name, i) => ({ label: `${name} safe`, color: colorOf(i),
      show: shown, dash: DASHES, width: 1.5 })),
  ];
}

export class RolloutCharts {
  /** @param {{stable: string, groups: string[], harmAt: number,
   *           safeAt: number, sync: string}} names  log odds; groups: the
   *   canary, or those of an experiment */
  constructor({ stable, groups, harmAt, safeAt, sync }) {
    const several = groups.length > 1;
    /** A line for stable and for each group. */
    const lines = (more, suffix) => [[stable, STABLE, ' (stable)'],
      ...groups.map((name, i) => [name, colorOf(i), several ? ''
        : ' (canary)'])].map(([name, color, role], i) => ({
      label: `${name}${suffix ?? role}`, color, ...more(i) }));

    this.limits = [Math.exp(harmAt), Math.exp(safeAt)];

    this.evidence = new Chart({
      title: 'Evidence', sync,
      note: `Odds, log scale. ${several ? 'A group is taken out'
        : 'Reverted'} at ${format.odds(harmAt)} (dashed), shown to be safe at ${
        format.odds(safeAt)} (dotted).`,
      lines: [
        ...oddsLines(groups),
        { label: 'reverts at', color: '--harm', dash: [9, 5], width: 1.5,
          show: shown, quiet: true },
        { label: 'safe at', color: '--safe', dash: [2, 5], width: 1.5,
          show: shown, quiet: true },
      ],
      y: { distr: 3, log: 10, range: (u, min, max) => [LOWEST,
        Math.max(1000, 10 ** Math.ceil(Math.log10(max * 1.2 || 1)))] },
      yValues: (v) => power(v) ?? '',
    });
    this.weight = new Chart({
      title: 'Weight', sync,
      lines: lines(() => ({ step: true, show: format.weight })),
      y: { range: [0, 100] },
      yValues: (v) => `${v} %`,
    });
    this.errors = new Chart({
      title: 'Error rate', sync,
      lines: lines(() => ({ show: format.rate })),
      y: { range: (u, min, max) => [0, Math.max(0.01, (max ?? 0) * 1.15)] },
      yValues: (v) => `${Number((v * 100).toFixed(2))} %`,
    });
    this.latency = new Chart({
      title: 'Latency, p50 and p99', sync,
      lines: [
        ...lines(() => ({ show: format.ms }), ' p99'),
        ...lines(() => ({ dash: DASHES, width: 1.5, show: format.ms }),
          ' p50'),
      ],
      y: { range: (u, min, max) => [0, Math.max(1, (max ?? 0) * 1.15)] },
      yValues: (v) => (v >= 1000 ? `${v / 1000} s` : `${v} ms`),
    });
    this.requests = new Chart({
      title: 'Requests', sync,
      lines: lines(() => ({ show: format.perSecond })),
      y: { range: (u, min, max) => [0, Math.max(1, (max ?? 0) * 1.15)] },
      yValues: (v) => `${v}/s`,
    });
    this.edges = { from: [], to: [] };
    this.distribution = new Chart({
      title: 'Latency distribution',
      note: 'Share of requests by latency, over the last seconds.',
      lines: lines((i) => ({ show: format.rate, ...several
        ? { step: true } : { bars: i === 0 ? -1 : 1 } })),
      x: {
        label: 'Latency',
        show: (i) => `${format.ms(this.edges.from[i])} to ${
          format.ms(this.edges.to[i])}`,
        values: (u, splits) => splits.map((i) => (Number.isInteger(i)
          && this.edges.from[i] !== undefined
          ? format.ms(this.edges.from[i]) : '')),
      },
      y: { range: (u, min, max) => [0, Math.max(0.05, (max ?? 0) * 1.1)] },
      yValues: (v) => `${Number((v * 100).toFixed(1))} %`,
    });
    this.groups = groups;
    this.all = [this.evidence, this.weight, this.errors, this.latency,
      this.distribution, this.requests];
    this.el = h('div', { class: 'charts' }, this.all.map((c) => c.el));
  }

  /** @param {import('./series.js').Series} series */
  update(series) {
    const at = series.column((p) => p.at);
    const judged = (pick) => this.groups.map((name, i) =>
      series.column((p) => pick(p.groups[i])));
    const all = (member) => [series.column((p) => p.stable[member]),
      ...judged((g) => g[member])];

    this.evidence.set([at, ...judged((g) => drawn(g.evidence)),
      ...judged((g) => drawn(g.safe)),
      at.map(() => this.limits[0]), at.map(() => this.limits[1])]);
    this.weight.set([at, series.column((p) => p.groups
      .reduce((rest, g) => rest - g.weight, 100)),
    ...judged((g) => g.weight)]);
    this.errors.set([at, ...all('error_rate')]);
    this.latency.set([at, ...all('p99_ms'), ...all('p50_ms')]);
    this.requests.set([at, ...all('requests_per_second')]);
  }

  /** The histograms of GET series. */
  distribute(latency) {
    this.edges = { from: latency.from_ms, to: latency.to_ms };
    this.distribution.set([latency.from_ms.map((v, i) => i),
      latency.stable, ...latency.groups ? Object.values(latency.groups)
        : [latency.canary]]);
  }

  end() {
    this.all.forEach((chart) => chart.end());
  }
}
