// All rollouts and upstreams at a glance.

import { forbidden, get, now, unless } from './api.js';
import { commandButton, commands } from './commands.js';
import { fill, h, panel, say, table, text } from './dom.js';
import * as format from './format.js';
import { stopButton } from './freeze.js';
import { rollback } from './gates.js';
import { harmAt, oddsMeter, splitBar } from './parts.js';
import { active, badge, judged, judgementOf, nearest, stateText, verdict,
  weightsText } from './states.js';

const LATEST = 25;

/** One active rollout. */
class Card {
  constructor(rollout) {
    this.rollout = rollout;
    this.split = splitBar();
    this.meter = oddsMeter();
    this.badge = h('span');
    this.odds = h('strong', { class: 'number' });
    this.against = h('span', { class: 'label' });
    this.whose = h('span', { class: 'label' });
    this.weight = h('strong', { class: 'number' });
    this.facts = h('p', { class: 'facts' });
    this.reason = h('p', { class: 'reason' });
    this.told = h('p', { class: 'told', role: 'status' });
    this.commands = commands(() => this.rollout, (message, bad) => {
      text(this.told, message);
      this.told.classList.toggle('bad', bad);
    }, (fresh) => this.update({ ...this.rollout, ...fresh }), ['abort']);

    this.el = h('li', { class: 'card' },
      h('div', { class: 'card-head' },
        h('h3', {}, h('a', { href: `#/rollouts/${rollout.id}` },
          `${rollout.upstream} ${rollout.version}`)),
        this.badge, this.commands.el),
      h('div', { class: 'card-body' },
        h('div', {}, this.against, this.odds, this.meter.el),
        h('div', {}, this.whose, this.weight, this.split.el)),
      this.facts, this.reason, this.told);
  }

  update(rollout) {
    const { stable, groups, nodes, traffic } = rollout;
    const names = judged(rollout);
    const first = nearest(rollout);
    const judgement = judgementOf(rollout, first);
    const log = judgement?.log_evidence ?? 0;
    const each = (member, show) => names.map((name) => (names.length > 1
      ? `${name} ` : '') + show(traffic[name]?.[member])).join(', ');

    this.rollout = rollout;
    fill(this.badge, [rollout.state, rollout.waiting_for],
      () => badge(rollout));
    text(this.odds, judgement ? judgement.odds : '–');
    this.meter.update(log, harmAt(rollout));
    text(this.against, groups ? `odds against ${first}` : 'odds against it');
    text(this.whose, names.length > 1 ? 'weight of all groups'
      : 'canary weight');
    text(this.weight, weightsText(rollout));
    this.split.update(rollout);
    text(this.facts, [
      `step ${Math.min(rollout.step + 1, rollout.steps)} of ${rollout.steps}`,
      `errors ${each('error_rate', format.rate)} (stable ${
        format.rate(traffic[stable]?.error_rate)})`,
      `p99 ${each('p99_ms', format.ms)} (stable ${
        format.ms(traffic[stable]?.p99_ms)})`,
      `${nodes.confirmed} of ${nodes.live} nodes`,
      `since ${format.duration(now() - Date.parse(rollout.created))}`,
    ].join(' · '));
    text(this.reason, `${verdict(judgement)} · ${rollout.reason} (${
      rollout.actor})`);
    this.commands.update();
  }
}

function upstreamRow(upstream, tell) {
  const back = commandButton('Roll back', { class: 'quiet' },
    () => rollback(upstream.upstream, tell));
  const live = upstream.nodes.filter((node) => node.live);
  const late = live.filter((node) => node.revision < upstream.revision
    || node.lapsed || node.error);
  const start = h('a', { href: `#/start?upstream=${
    encodeURIComponent(upstream.upstream)}` }, 'Start a rollout');

  return h('tr', {},
    h('th', { scope: 'row' }, upstream.upstream),
    h('td', {}, format.weights(upstream.groups)),
    h('td', {}, upstream.stable ?? '–'),
    h('td', {}, `${live.length - late.length} of ${upstream.nodes.length}`,
      late.length > 0 && h('span', { class: 'bad' },
        ` ${late.map((node) => node.node).join(', ')} behind`)),
    h('td', { class: 'num' }, upstream.revision),
    h('td', {}, upstream.active
      ? h('a', { href: `#/rollouts/${upstream.rollout}` }, 'rollout running')
      : forbidden() ? h('span', { class: 'soft' }, 'no rollout')
      : [start, ' ', back.el]));
}

function rolloutRow(rollout) {
  const time = Date.parse(rollout.finished ?? rollout.updated)
    - Date.parse(rollout.created);

  return h('tr', {},
    h('th', { scope: 'row' }, h('a', { href: `#/rollouts/${rollout.id}` },
      `${rollout.upstream} ${rollout.version}`)),
    h('td', {}, badge(rollout)),
    h('td', {}, `${rollout.stable} → ${
      judged(rollout).join(', ')}`),
    h('td', { class: 'wide' }, rollout.reason),
    h('td', {}, rollout.actor),
    h('td', { class: 'num' }, format.when(rollout.created)),
    h('td', { class: 'num' }, format.duration(time)));
}

export function overview(page) {
  /** @type {Map<string, Card>} */
  const cards = new Map();
  const states = new Map();
  const list = h('ul', { class: 'cards' });
  const none = h('p', { class: 'empty', hidden: true },
    'No rollout is running. All traffic is where it was left.');
  const upstreams = h('div');
  const latest = h('div');
  const told = h('p', { class: 'told bad', role: 'status' });
  const tell = (message) => text(told, message);
  const stop = h('span');

  page.title('Overview');

  const place = (rollouts) => {
    const running = rollouts.filter(active);

    for (const [id, card] of cards) {
      if (!running.some((rollout) => rollout.id === id)) {
        card.el.remove();
        cards.delete(id);
      }
    }
    for (const rollout of running) {
      if (!cards.has(rollout.id)) {
        const card = new Card(rollout);

        cards.set(rollout.id, card);
        list.append(card.el);
      }
      cards.get(rollout.id).update(rollout);
    }
    none.hidden = running.length > 0;
  };

  const announce = (rollouts) => {
    for (const rollout of rollouts) {
      const word = stateText(rollout);
      const before = states.get(rollout.id);

      if (before !== undefined && before !== word) {
        say(`${rollout.upstream} ${rollout.version}: ${word}`,
          ['reverting', 'aborted'].includes(rollout.state));
      }
      states.set(rollout.id, word);
    }
  };

  page.poll(async () => {
    const [running, past, known, frozen] = await Promise.all([
      get('v1/rollouts?state=active&limit=100'),
      get(`v1/rollouts?limit=${LATEST}`), get('v1/upstreams'),
      get('v1/freeze')]);
    const ids = new Set(past.rollouts.map((rollout) => rollout.id));
    const all = [...past.rollouts,
      ...running.rollouts.filter((rollout) => !ids.has(rollout.id))];

    place(all);
    announce(all);
    const brief = known.upstreams.map(({ nodes, ...rest }) => [rest,
      nodes.map(({ seen, ...node }) => node)]);

    fill(upstreams, [brief, forbidden()], () => table('Upstreams',
      ['Upstream', 'Weights', 'Stable', 'Nodes up to date', '#Revision', ''],
      known.upstreams.map((u) => upstreamRow(u, tell))));
    stop.hidden = frozen.stop !== null;
    fill(stop, unless('admin'), () => stopButton(true));
    fill(latest, past.rollouts.map((r) => [r.id, r.state, r.waiting_for,
      r.reason, active(r) ? r.updated : 0]), () => table('Latest rollouts',
      ['Rollout', 'State', 'From → to', 'Why', 'Who', '#Started', '#Took'],
      past.rollouts.map(rolloutRow)));
  });

  return h('div', { class: 'view' },
    h('h1', { tabindex: -1, class: 'hidden' }, 'Overview'),
    panel('Running rollouts', none, list),
    panel('Upstreams', upstreams, told,
      h('div', { class: 'buttons' }, stop)),
    panel('Latest rollouts', latest));
}
