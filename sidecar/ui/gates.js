// What was run for a rollout, and the groups of an experiment.

import { commandBody, forbidden, get, post } from './api.js';
import { commandButton } from './commands.js';
import { confirm } from './dialog.js';
import { fill, h, panel, table, text } from './dom.js';
import * as format from './format.js';
import { harmAt, oddsMeter } from './parts.js';
import { colorOf, verdict, weightOf } from './states.js';

const SHOWN = 12;

const RESULTS = {
  passed: ['passed', 'good'],
  failed: ['failed', 'bad'],
  hold: ['holds', 'warned'],
  pending: ['under way', 'soft'],
};

const result = (word) => {
  const [name, kind] = RESULTS[word] ?? [word, 'soft'];

  return h('span', { class: kind }, name);
};

/** One test, hook or check of a run. */
function line(item) {
  const facts = [item.server, item.status > 0 && `HTTP ${item.status}`,
    format.ms(item.ms), item.tries > 1 && `${item.tries} tries`,
    item.error || item.detail].filter(Boolean);

  return h('li', {}, `${item.name}: `, result(item.result),
    ` · ${facts.join(' · ')}`);
}

/** Smoke tests, hooks and checks: what was asked, and what came of it. */
export function gatesPanel(id) {
  const path = `v1/rollouts/${encodeURIComponent(id)}`;
  const list = h('ul', { class: 'gates' });
  const asked = h('p', { class: 'note' });
  const told = h('p', { class: 'told', role: 'status' });
  const smoke = commandButton('Run the smoke tests', {}, async (button) => {
    if (!await confirm({ title: 'Run the smoke tests?', verb: 'Run',
      detail: 'They are sent to the servers of the canary group. Nothing '
        + 'else is changed.' })) {
      return;
    }
    button.disabled = true;
    text(told, 'Smoke tests …');
    told.classList.remove('bad');
    try {
      const run = await post(`${path}/smoke-tests`, {});

      text(told, `Smoke tests ${run.result}: ${run.detail}`);
      told.classList.toggle('bad', run.result !== 'passed');
      await show();
    } catch (error) {
      text(told, `They were refused: ${error.message}`);
      told.classList.add('bad');
    }
    button.disabled = false;
  });
  const el = panel('Gates', asked, list, told,
    h('div', { class: 'buttons' }, smoke.el));

  const unfolded = new Set();       // those that somebody reads stay open
  const runs = (run) => {
    const key = `${run.gate} ${run.begun}`;

    return h('details', { open: unfolded.has(key), ontoggle: (event) =>
      unfolded[event.target.open ? 'add' : 'delete'](key) },
    h('summary', {}, h('strong', {}, run.gate), ' ', result(run.result),
      ` · ${format.when(run.begun)} · ${run.detail}`),
    h('ul', {}, run.results.map(line)));
  };

  async function show() {
    const { gates } = await get(`${path}/gates`);
    const latest = gates.slice(-SHOWN).reverse();

    fill(list, latest, () => latest.map((run) => h('li', {}, runs(run))));
  }

  el.hidden = true;
  return {
    el,
    show,
    update({ spec, gate, hook }) {
      el.hidden = !spec.smoke && !spec.hooks && !spec.checks;
      smoke.el.hidden = !spec.smoke;
      smoke.refuse(forbidden());
      text(asked, gate ? `${gate.name} is ${gate.result === 'hold'
        ? 'asked again soon: it said to wait' : 'being asked'}.`
        : hook ? `The hook after the end: ${hook}.` : '');
      asked.hidden = asked.textContent === '';
      return !el.hidden;
    },
  };
}

/** The groups of an experiment, each with its own evidence. */
export function groupsPanel() {
  const box = h('div');
  const el = panel('Groups of the experiment', box);
  const meters = new Map();

  el.hidden = true;
  return {
    el,
    update(r) {
      const groups = Object.entries(r.groups ?? {});

      el.hidden = groups.length === 0;
      fill(box, groups.map(([name, g]) => [name, g, r.traffic[name],
        weightOf(r, name)]), () =>
        table('Groups', ['Group', '#Share', 'Odds against it', '#Requests',
          '#Errors', '#p99', 'Result'], groups.map(([name, group], i) => {
          const meter = meters.get(name) ?? oddsMeter();
          const judged = group.judgement;

          meters.set(name, meter);
          meter.update(judged?.log_evidence ?? 0, harmAt(r));
          return h('tr', {}, h('th', { scope: 'row' },
            h('span', { class: 'swatch', 'data-color': colorOf(i) }), name),
            h('td', { class: 'num' }, format.weight(weightOf(r, name))),
            h('td', {}, judged?.odds ?? '–', meter.el),
            h('td', { class: 'num' }, format.count(judged?.requests[0])),
            h('td', { class: 'num' },
              format.rate(r.traffic[name]?.error_rate)),
            h('td', { class: 'num' }, format.ms(r.traffic[name]?.p99_ms)),
            h('td', {}, `${group.result.replace('_', ' ')}${
              group.result === 'running' ? `: ${verdict(judged)}` : ''}`));
        })));
    },
  };
}

/** Rolls the upstream back after a question; the new rollout's view. */
export async function rollback(upstream, tell) {
  const answer = await confirm({ title: `Roll ${upstream} back?`,
    verb: 'Roll back', danger: true, reason: true,
    detail: 'All traffic goes to the group of the version before, as a '
      + 'blue-green rollout of its own.' });

  if (!answer) {
    return;
  }
  try {
    const made = await post(`v1/upstreams/${encodeURIComponent(upstream)
    }/rollback`, commandBody(answer.reason));

    location.hash = `#/rollouts/${made.id}`;
  } catch (error) {
    tell(`The rollback was refused: ${error.message}`);
  }
}
