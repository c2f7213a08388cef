// One rollout, live.

import { get, maybe, now } from './api.js';
import { commands } from './commands.js';
import { fill, h, panel, say, text } from './dom.js';
import { follow } from './events.js';
import * as format from './format.js';
import { gatesPanel, groupsPanel } from './gates.js';
import { compare, harmAt, oddsMeter, progress, splitBar } from './parts.js';
import { RolloutCharts } from './rollout-charts.js';
import { eventsPanel, nodesPanel, stepsPanel } from './rollout-parts.js';
import { Series, groupsOf, present, recorded } from './series.js';
import { active, badge, judged, judgementOf, nearest, stateText, verdict,
  weightsText } from './states.js';

const SERIES_MS = 3000;

function tile(label, ...content) {
  return h('div', { class: 'tile' }, label.nodeType ? label
    : h('dt', {}, label), h('dd', {}, content));
}

/** State and odds, before anything else. */
function summary() {
  const state = h('span', { class: 'state' });
  const since = h('span', { class: 'soft' });
  const against = h('dt');
  const whose = h('dt');
  const odds = h('strong', { class: 'number' });
  const found = h('span', { class: 'soft' });
  const meter = oddsMeter();
  const weight = h('strong', { class: 'number' });
  const split = splitBar();
  const measured = h('span', { class: 'soft' });
  const step = h('strong', { class: 'number' });
  const held = h('span', { class: 'soft' });
  const bar = progress('Time held of this step');
  const nodes = h('strong', { class: 'number' });
  const nodesNote = h('span', { class: 'soft' });

  return {
    el: h('dl', { class: 'tiles' },
      tile('State', state, since),
      tile(against, odds, found, meter.el),
      tile(whose, weight, split.el, measured),
      tile('Step', step, held, bar.el),
      tile('Nodes', nodes, nodesNote)),
    update(r) {
      const names = judged(r);
      const first = nearest(r);
      const judgement = judgementOf(r, first);
      const log = judgement?.log_evidence ?? 0;
      const measures = names.map((name) => r.measured_weights?.[name])
        .filter((share) => share !== undefined);

      fill(state, [r.state, r.waiting_for], () => badge(r));
      text(since, active(r)
        ? `for ${format.duration(now() - Date.parse(r.entered ?? r.created))}`
        : format.when(r.finished));
      text(against, `Odds against ${r.groups ? first : 'the canary'}${
        names.length > 1 ? ', the highest' : ''}`);
      text(odds, judgement ? judgement.odds : '–');
      text(found, `${verdict(judgement)}; ${r.groups ? 'taken out'
        : 'reverts'} at ${format.odds(harmAt(r))}`);
      meter.update(log, harmAt(r));
      text(whose, names.length > 1 ? 'Weight of all groups'
        : 'Canary weight');
      text(weight, weightsText(r));
      text(measured, active(r) && measures.length > 0 ? `measured ${
        format.weight(measures.reduce((a, b) => a + b))}` : '');
      split.update(r);
      text(step, r.state === 'baking' ? 'bake'
        : `${Math.min(r.step + 1, r.steps)} of ${r.steps}`);
      text(held, r.step_hold_ms > 0 && active(r)
        ? `${format.duration(r.step_held_ms)} of ${
          format.duration(r.step_hold_ms)}` : '');
      bar.update(r.step_held_ms, r.step_hold_ms);
      bar.el.hidden = !active(r);
      text(nodes, `${r.nodes.confirmed} of ${r.nodes.live}`);
      text(nodesNote, active(r) ? `serve revision ${r.revision}`
        : `serve what is there now, revision ${r.revision}`);
    },
  };
}

/** What it has to keep to beside the comparison, and until when. */
function promises({ spec, created, finished }) {
  const { error_rate: errors, ...times } = spec.slo ?? {};
  const limits = [errors && `errors at most ${format.rate(errors)}`,
    ...['p50', 'p95', 'p99'].map((name) => times[`${name}_ms`]
      && `${name} at most ${format.ms(times[`${name}_ms`])}`)]
    .filter(Boolean);
  const units = { ms: 1, s: 1e3, m: 6e4, h: 36e5, d: 864e5 };
  const [, n, unit] = /^(\d+)(\D+)$/.exec(spec.deadline ?? '') ?? [];
  const left = Date.parse(created) + n * units[unit] - now();

  return [limits.length > 0 && `Objectives: ${limits.join(', ')}`,
    n > 0 && (finished ? `deadline ${spec.deadline}`
      : `reverts in ${format.duration(left)} (deadline ${spec.deadline})`)]
    .filter(Boolean).join(' · ');
}

/** @param {string} id */
export function rollout(page, id) {
  const path = `v1/rollouts/${encodeURIComponent(id)}`;
  const title = h('h1', { tabindex: -1 }, id);
  const facts = h('p', { class: 'soft facts' });
  const reason = h('p', { class: 'reason' });
  const promised = h('p', { class: 'soft' });
  const gates = gatesPanel(id);
  const groups = groupsPanel();
  const told = h('p', { class: 'told', role: 'status' });
  const spec = h('pre', { class: 'spec' });
  const compared = compare();
  const tiles = summary();
  const steps = stepsPanel();
  const nodes = nodesPanel();
  const events = eventsPanel();
  const series = new Series();
  const chartsBox = h('div');
  const loading = h('p', { class: 'empty' }, 'Loading …');
  const both = panel('Both groups', compared.el);
  let charts = null;
  let gated = false;                // by smoke tests, hooks or checks
  let last = null;
  let stream = 'lost';
  let explains = true;              // until this canaryd says it cannot

  const buttons = commands(() => last, (message, bad) => {
    text(told, message);
    told.classList.toggle('bad', bad);
  }, (fresh) => update(fresh));

  const content = h('div', { hidden: true, class: 'rollout' },
    h('header', { class: 'hero' },
      h('div', { class: 'hero-name' }, title, facts), buttons.el),
    tiles.el, reason, promised, told,
    h('div', { class: 'pair' }, steps.el,
      both),
    groups.el, chartsBox, gates.el,
    h('div', { class: 'pair' }, events.el, nodes.el),
    h('details', { class: 'panel' }, h('summary', {}, 'Spec'), spec));

  /** Without an event stream: what changes are seen. */
  const notice = (fresh) => {
    if (stream === 'none' && (!last || last.state !== fresh.state
      || last.step !== fresh.step || last.reason !== fresh.reason)) {
      events.add({ at: fresh.updated, type: stateText(fresh),
        actor: fresh.actor, detail: fresh.reason });
    }
  };

  function update(fresh) {
    const word = stateText(fresh);

    notice(fresh);
    if (last && (stateText(last) !== word || last.step !== fresh.step)) {
      say(`${word}: ${fresh.reason}`,
        ['reverting', 'aborted'].includes(fresh.state));
    }
    last = fresh;
    page.title(`${word} · ${fresh.upstream} ${fresh.version}`);
    text(title, `${fresh.upstream} ${fresh.version || fresh.id}`);
    text(facts, `${fresh.id} · ${fresh.stable} → ${
      judged(fresh).join(', ')} · ${
      fresh.spec.strategy}${fresh.target ? ` · at ${fresh.target}` : ''} · ${
      [fresh.environment, fresh.commit, fresh.build && `build ${fresh.build}`,
        fresh.ticket].filter(Boolean).map((x) => `${x} · `).join('')}started ${format.when(fresh.created)}${
      fresh.finished ? `, ended ${format.when(fresh.finished)}` : ''}`);
    text(reason, `${fresh.reason} (${fresh.actor})`);
    text(promised, promises(fresh));
    promised.hidden = promised.textContent === '';
    groups.update(fresh);
    gated = gates.update(fresh);
    tiles.update(fresh);
    compared.update(fresh);
    text(both.firstChild, `${judged(fresh).length > 1 ? 'All' : 'Both'
    } groups ${active(fresh) ? 'now' : 'at the end'}`);
    steps.update(fresh);
    buttons.update();
    text(spec, JSON.stringify(fresh.spec, null, 2));
    content.hidden = false;
    loading.remove();
  }

  const refresh = async () => {
    const fresh = await get(path);

    update(fresh);
    if (active(fresh)) {
      series.add(present(fresh));
    }
    charts?.update(series);
  };

  const past = async () => {
    const answer = await get(`${path}/series`);

    if (!charts) {
      charts = new RolloutCharts({ stable: answer.stable_group,
        groups: groupsOf(answer), harmAt: answer.harm_at,
        safeAt: answer.safe_at, sync: id });
      chartsBox.append(charts.el);
    }
    series.replace(recorded(answer));
    if (last && active(last)) {
      series.add(present(last));
    }
    charts.update(series);
    charts.distribute(answer.latency);

    if (gated) {
      await gates.show();
    }

    const explained = explains && await maybe(`${path}/explain`);

    explains = Boolean(explained);
    if (explained) {
      steps.explain(explained);
    }
  };

  const history = () => maybe(`${path}/events?limit=1000`).then((answer) => {
    answer?.events.forEach((event) => events.add(event));
  }).catch(() => {});

  page.poll(refresh).then(() => {
    if (page.signal.aborted) {
      return;
    }
    if (!last) {
      text(loading, `There is no rollout ${id} to be shown.`);
      return;
    }
    page.poll(past, SERIES_MS);
    page.poll(async () => {
      const all = await get('v1/upstreams');

      nodes.update(all.upstreams.find((u) => u.upstream === last.upstream));
    }, SERIES_MS / 2);
    history();
    follow({ upstream: last.upstream, signal: page.signal,
      onevent: (event) => {
        if (event.rollout === id) {
          events.add(event);
          refresh().catch(() => {});
        }
        if (event.type === 'gap') { // some may have been missed
          history();
          refresh().catch(() => {});
          past().catch(() => {});
        }
      },
      onstate: (now2) => {
        stream = now2;
        if (now2 === 'none') {
          events.add({ at: last.entered ?? last.created,
            type: stateText(last), actor: last.actor, detail: last.reason });
        }
      } });
  });
  page.signal.addEventListener('abort', () => charts?.end());

  return h('div', { class: 'view' }, loading, content);
}
