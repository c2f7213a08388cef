// The charts of one rollout.

import { Chart } from './charts.js';
import { h } from './dom.js';
import * as format from './format.js';

const STABLE = '--stable';
const CANARY = '--canary';
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

export class RolloutCharts {
  /** @param {{stable: string, canary: string, harmAt: number,
   *           safeAt: number, sync: string}} names  log odds */
  constructor({ stable, canary, harmAt, safeAt, sync }) {
    const s = `${stable} (stable)`;
    const c = `${canary} (canary)`;

    this.limits = [Math.exp(harmAt), Math.exp(safeAt)];

    this.evidence = new Chart({
      title: 'Evidence', sync,
      note: `Odds, log scale. Reverted at ${format.odds(harmAt)
      } (dashed), shown to be safe at ${format.odds(safeAt)} (dotted).`,
      lines: [
        { label: 'harm', color: '--harm', show: shown },
        { label: 'safe', color: '--safe', show: shown, dash: DASHES },
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
      lines: [
        { label: s, color: STABLE, step: true, show: format.weight },
        { label: c, color: CANARY, step: true, show: format.weight },
      ],
      y: { range: [0, 100] },
      yValues: (v) => `${v} %`,
    });
    this.errors = new Chart({
      title: 'Error rate', sync,
      lines: [
        { label: s, color: STABLE, show: format.rate },
        { label: c, color: CANARY, show: format.rate },
      ],
      y: { range: (u, min, max) => [0, Math.max(0.01, (max ?? 0) * 1.15)] },
      yValues: (v) => `${Number((v * 100).toFixed(2))} %`,
    });
    this.latency = new Chart({
      title: 'Latency, p50 and p99', sync,
      lines: [
        { label: `${stable} p99`, color: STABLE, show: format.ms },
        { label: `${canary} p99`, color: CANARY, show: format.ms },
        { label: `${stable} p50`, color: STABLE, dash: DASHES, width: 1.5,
          show: format.ms },
        { label: `${canary} p50`, color: CANARY, dash: DASHES, width: 1.5,
          show: format.ms },
      ],
      y: { range: (u, min, max) => [0, Math.max(1, (max ?? 0) * 1.15)] },
      yValues: (v) => (v >= 1000 ? `${v / 1000} s` : `${v} ms`),
    });
    this.requests = new Chart({
      title: 'Requests', sync,
      lines: [
        { label: s, color: STABLE, show: format.perSecond },
        { label: c, color: CANARY, show: format.perSecond },
      ],
      y: { range: (u, min, max) => [0, Math.max(1, (max ?? 0) * 1.15)] },
      yValues: (v) => `${v}/s`,
    });
    this.edges = { from: [], to: [] };
    this.distribution = new Chart({
      title: 'Latency distribution',
      note: 'Share of requests by latency, over the last seconds.',
      lines: [
        { label: s, color: STABLE, bars: -1, show: format.rate },
        { label: c, color: CANARY, bars: 1, show: format.rate },
      ],
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
    this.all = [this.evidence, this.weight, this.errors, this.latency,
      this.distribution, this.requests];
    this.el = h('div', { class: 'charts' }, this.all.map((c2) => c2.el));
  }

  /** @param {import('./series.js').Series} series */
  update(series) {
    const at = series.column((p) => p.at);
    const group = (name, member) => series.column((p) => p[name][member]);

    this.evidence.set([at, series.column((p) => drawn(p.evidence)),
      series.column((p) => drawn(p.safe)),
      at.map(() => this.limits[0]), at.map(() => this.limits[1])]);
    this.weight.set([at, series.column((p) => 100 - p.weight),
      series.column((p) => p.weight)]);
    this.errors.set([at, group('stable', 'error_rate'),
      group('canary', 'error_rate')]);
    this.latency.set([at, group('stable', 'p99_ms'),
      group('canary', 'p99_ms'), group('stable', 'p50_ms'),
      group('canary', 'p50_ms')]);
    this.requests.set([at, group('stable', 'requests_per_second'),
      group('canary', 'requests_per_second')]);
  }

  /** The histograms of GET series. */
  distribute(latency) {
    this.edges = { from: latency.from_ms, to: latency.to_ms };
    this.distribution.set([latency.from_ms.map((v, i) => i),
      latency.stable, latency.canary]);
  }

  end() {
    this.all.forEach((chart) => chart.end());
  }
}
