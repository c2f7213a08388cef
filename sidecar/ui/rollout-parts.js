// Steps, nodes and events of one rollout.

import { now } from './api.js';
import { fill, h, panel, table } from './dom.js';
import * as format from './format.js';
import { progress } from './parts.js';

const EVENTS = 200;

/** The steps of each strategy: weights, nodes, servers, or one of time. */
function planned(rollout) {
  const { spec } = rollout;
  const rolling = spec.rolling;

  if (rolling) {
    return (rolling.order ?? rolling.servers ?? []).map((name, i) => ({ name,
      facts: i === rollout.step && rollout.turn ? rollout.turn
        : rolling.bake !== '0s' && `bake ${rolling.bake}` }));
  }
  if (spec.duration) {
    return [{ name: 'experiment', facts: spec.duration }];
  }
  return (spec.steps ?? []).map((s) => ({ name: format.weight(s.weight),
    facts: [s.hold && s.hold !== '0s' && `hold ${s.hold}`,
      s.min_requests > 1 && `${format.count(s.min_requests)} requests`,
      s.approval && 'approval', s.rules && `${s.rules.length} rules`]
      .filter(Boolean).join(', ') }));
}

const sentence = (words) => String(words ?? '').replace(/^./, (c) =>
  c.toUpperCase());

/** The steps, with how far it is. */
export function stepsPanel() {
  const list = h('ol', { class: 'steps' });
  const bar = progress('Time held of this step');
  const next = h('div');

  return {
    el: panel('Steps', list, next),
    /** What would have to happen, by GET explain. */
    explain(answer) {
      fill(next, answer.next ?? [], () => (answer.next ?? []).length > 0
        && [h('h3', { class: 'next-title' }, 'What comes next'),
          h('ul', { class: 'next' }, answer.next.map((item) => h('li', {},
            h('span', {}, sentence(item.when)), ' → ',
            h('strong', {}, item.then))))]);
    },
    update(rollout) {
      const { spec, state, step } = rollout;
      const bakes = spec.bake && spec.bake !== '0s';
      const ended = state === 'succeeded';
      const stopped = ['reverting', 'aborted'].includes(state);
      const baking = state === 'baking';
      const items = planned(rollout).map((s, i) => ({ ...s,
        place: ended || i < step || baking ? 'done'
          : i > step || state === 'pending' ? 'later'
          : stopped ? 'stopped' : 'now',
      }));

      if (bakes) {
        items.push({ name: 'bake', facts: spec.bake,
          place: ended ? 'done' : baking ? 'now' : 'later' });
      }
      bar.update(rollout.step_held_ms, rollout.step_hold_ms);

      const words = { done: 'done', now: 'now',
        later: stopped ? 'not reached' : 'to come',
        stopped: 'reverted here' };

      fill(list, items, () => items.map((item) => h('li',
        { 'data-place': item.place,
          aria: item.place === 'now' ? { current: 'step' } : {} },
        h('strong', {}, item.name), h('span', {}, item.facts),
        h('span', { class: 'place' }, words[item.place]),
        item.place === 'now' && bar.el)));
    },
  };
}

function nodeState(node, revision) {
  if (!node.live) {
    return ['gone', 'bad'];
  }
  if (node.error) {
    return [`nginx refuses: ${node.error}`, 'bad'];
  }
  if (node.missing?.length > 0) {
    return [`its nginx.conf lacks ${node.missing.join(', ')}`, 'bad'];
  }
  if (node.lapsed) {
    return ['lease ran out: serves stable', 'bad'];
  }
  return node.revision < revision ? ['behind', 'bad'] : ['up to date', 'good'];
}

export function nodesPanel() {
  const box = h('div');

  return {
    el: panel('Nodes', box),
    update(upstream) {
      const rows = (upstream?.nodes ?? []).map((node) => {
        const [state, kind] = nodeState(node, upstream.revision);
        const behind = upstream.revision - node.revision;
        const ago = now() - Date.parse(node.seen);

        return [node.node, node.revision, behind > 0 ? `${behind} behind`
          : 'none', ago < 5000 ? 'now' : `${format.duration(ago)} ago`,
        state, kind];
      });

      fill(box, rows, () => table('Nodes', ['Node', '#Revision', 'Lag',
        'Seen', 'State'], rows.map((row) => h('tr', {},
        h('th', { scope: 'row' }, row[0]),
        h('td', { class: 'num' }, row[1]), h('td', {}, row[2]),
        h('td', {}, row[3]), h('td', { class: row[5] }, row[4])))));
    },
  };
}

/** The inputs of a decision, where the event has them. */
function inputs(data) {
  return data && typeof data === 'object' && Object.keys(data).length > 0
    && h('details', {}, h('summary', {}, 'inputs'),
      h('pre', {}, JSON.stringify(data, null, 1)));
}

export function eventsPanel() {
  const seen = new Map();
  const list = h('ol', { class: 'events' });
  const note = h('p', { class: 'note' }, 'Nothing yet.');

  const show = () => {
    const sorted = [...seen.values()].sort((a, b) => b.at - a.at)
      .slice(0, EVENTS);

    note.hidden = sorted.length > 0;
    fill(list, sorted.map((event) => event.key), () => sorted.map((event) =>
      h('li', {},
        h('time', { datetime: new Date(event.at).toISOString() },
          format.when(event.at)),
        h('span', { class: 'type', 'data-type': event.type }, event.type),
        h('span', { class: 'actor' }, event.actor || '–'),
        h('span', { class: 'detail' }, event.detail, inputs(event.data)))));
  };

  return {
    el: panel('Events', note, list),
    /** @param {{id?: string, at: number|string, type: string, actor: string,
     *   detail: string, data?: Object}} event */
    add(event) {
      const at = typeof event.at === 'number' ? event.at
        : Date.parse(event.at);
      const key = event.id ?? `${at} ${event.type}`;

      if (!seen.has(key) && !Number.isNaN(at)) {
        seen.set(key, { ...event, at, key });
        show();
      }
    },
  };
}
