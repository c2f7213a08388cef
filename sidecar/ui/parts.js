// What several views show: bars, comparisons.

import { h, text } from './dom.js';
import * as format from './format.js';

/** How the traffic is split: canary's weight on a bar. */
export function splitBar() {
  const part = h('span', { class: 'part' });
  const el = h('div', { class: 'split', role: 'img' }, part);

  return {
    el,
    update(stable, canary, weight) {
      part.style.width = `${weight}%`;
      el.setAttribute('aria-label', `${canary} ${format.weight(weight)}, ${
        stable} ${format.weight(100 - weight)}`);
    },
  };
}

/** Progress within a step. */
export function progress(label) {
  const el = h('progress', { max: 1, value: 0, aria: { label } });

  return {
    el,
    update(held, hold) {
      el.value = hold > 0 ? Math.min(1, held / hold) : 0;
    },
  };
}

/** The odds on a log scale from 1 : 1, no evidence, to where it is reverted. */
export function oddsMeter() {
  const part = h('span', { class: 'part' });
  const el = h('div', { class: 'odds-meter', role: 'meter',
    aria: { label: 'Odds against the canary, on a log scale',
      valuemin: 0, valuemax: 100 } }, part);

  return {
    el,
    update(log, harmAt) {
      const share = Math.max(0, Math.min(1, log / harmAt));

      part.style.width = `${share * 100}%`;
      el.dataset.level = log >= harmAt ? 'harm' : log >= harmAt / 2 ? 'high'
        : 'low';
      el.setAttribute('aria-valuenow', (share * 100).toFixed(0));
      el.setAttribute('aria-valuetext', format.odds(log));
    },
  };
}

const MEASURES = [
  ['Requests', 'requests_per_second', format.perSecond],
  ['Errors', 'error_rate', format.rate],
  ['p50', 'p50_ms', format.ms],
  ['p99', 'p99_ms', format.ms],
];

/** Both groups side by side, over the last seconds. */
export function compare() {
  const cells = MEASURES.map(() => [h('td'), h('td')]);
  const heads = [h('th', { scope: 'col' }), h('th', { scope: 'col' })];
  const el = h('table', { class: 'compare' },
    h('caption', { class: 'hidden' }, 'Both groups over the last seconds'),
    h('thead', {}, h('tr', {}, h('td'), heads)),
    h('tbody', {}, MEASURES.map(([name], i) => h('tr', {},
      h('th', { scope: 'row' }, name), cells[i]))));

  return {
    el,
    update(rollout) {
      const names = [rollout.stable, rollout.canary];

      names.forEach((name, n) => {
        text(heads[n], `${name} (${n === 0 ? 'stable' : 'canary'})`);
        MEASURES.forEach(([, member, show], i) => {
          text(cells[i][n], show(rollout.traffic[name]?.[member]));
        });
      });
    },
  };
}

/** Log odds at which the rollout's judge reverts; the groups of an experiment
 * share alpha. */
export function harmAt(rollout) {
  const groups = Object.keys(rollout.groups ?? {}).length || 1;

  return -Math.log((rollout.spec.analysis?.alpha ?? 0.01) / groups);
}
