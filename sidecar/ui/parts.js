// What several views show: bars, comparisons.

import { fill, h, text } from './dom.js';
import * as format from './format.js';
import { colorOf, judged, weightOf } from './states.js';

/** How the traffic is split: each judged group's weight on a bar. */
export function splitBar() {
  const el = h('div', { class: 'split', role: 'img' });

  return {
    el,
    update(rollout) {
      const names = judged(rollout);
      const weights = names.map((name) => weightOf(rollout, name));
      const rest = weights.reduce((a, b) => a - b, 100);

      fill(el, names, () => names.map((name, i) =>
        h('span', { class: 'part', 'data-color': colorOf(i) })));
      weights.forEach((weight, i) => {
        el.children[i].style.width = `${weight}%`;
      });
      el.setAttribute('aria-label', [...names.map((name, i) =>
        `${name} ${format.weight(weights[i])}`),
      `${rollout.stable} ${format.weight(rest)}`].join(', '));
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

/** Stable and what is compared with it side by side, over the last
 * seconds. */
export function compare() {
  const box = h('div');
  let cells = [];

  return {
    el: box,
    update(rollout) {
      const names = [rollout.stable, ...judged(rollout)];
      const several = names.length > 2;

      fill(box, names, () => {
        cells = MEASURES.map(() => names.map(() => h('td')));

        return h('div', { class: 'scroll', tabindex: several && 0,
          role: several && 'region',
          aria: several ? { label: 'All groups' } : {} },
        h('table', { class: 'compare' }, h('caption', { class: 'hidden' },
          `${several ? 'All' : 'Both'} groups over the last seconds`),
        h('thead', {}, h('tr', {}, h('td'), names.map((name, i) =>
          h('th', { scope: 'col' }, `${name}${i === 0 ? ' (stable)'
            : several ? '' : ' (canary)'}`)))),
        h('tbody', {}, MEASURES.map(([label], i) => h('tr', {},
          h('th', { scope: 'row' }, label), cells[i])))));
      });
      MEASURES.forEach(([, member, show], i) => names.forEach((name, n) =>
        text(cells[i][n], show(rollout.traffic[name]?.[member]))));
    },
  };
}

/** Log odds at which the rollout's judge reverts; the groups of an experiment
 * share alpha. */
export function harmAt(rollout) {
  const groups = Object.keys(rollout.groups ?? {}).length || 1;

  return -Math.log((rollout.spec.analysis?.alpha ?? 0.01) / groups);
}
