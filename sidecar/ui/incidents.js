// Incidents: what went wrong, who cares, and what was done.

import { commandBody, forbidden, get, post } from './api.js';
import { commandButton } from './commands.js';
import { confirm } from './dialog.js';
import { h, panel, say, text } from './dom.js';
import * as format from './format.js';

/** As a link only where it is one: a runbook comes from a configuration. */
const runbook = (url) => (/^https?:\/\//.test(url)
  ? h('a', { href: url, rel: 'noreferrer' }, 'Runbook') : url || null);

class Incident {
  constructor(incident, changed) {
    this.badge = h('span', { class: 'badge' });
    this.told = h('p', { class: 'told bad', role: 'status' });
    this.lines = h('ol', { class: 'lines' });
    this.level = h('span');
    this.acknowledge = commandButton('Acknowledge', {},
      () => this.run('acknowledge', changed));
    this.resolve = commandButton('Resolve', {},
      () => this.run('resolve', changed));
    this.el = h('li', { class: 'card' },
      h('div', { class: 'card-head' },
        h('h3', {}, `${incident.upstream}: ${incident.title}`), this.badge,
        h('div', { class: 'commands', role: 'group',
          aria: { label: `Commands of ${incident.id}` } },
        this.acknowledge.el, this.resolve.el)),
      h('p', { class: 'facts' }, `${incident.severity} · ${incident.kind} · ${
        format.when(incident.opened)} `, this.level,
      incident.rollout && [' · ', h('a', { href: `#/rollouts/${
        incident.rollout}` }, 'Rollout')],
      incident.runbook && [' · ', runbook(incident.runbook)]),
      this.told, this.lines);
    this.update(incident);
  }

  async run(command, changed) {
    const ends = command === 'resolve';
    const answer = await confirm({ title: `${ends ? 'Resolve'
      : 'Acknowledge'} ${this.incident.title}?`, reason: true,
    verb: ends ? 'Resolve' : 'Acknowledge', detail: ends
      ? 'It is over; whoever was told is told of this, too.'
      : 'You care for it: nobody else is called.' });

    if (!answer) {
      return;
    }
    try {
      this.update(await post(`v1/incidents/${encodeURIComponent(
        this.incident.id)}/${command}`, commandBody(answer.reason)));
      text(this.told, '');
      say(`${this.incident.title}: ${this.incident.state}`);
      changed();
    } catch (error) {
      text(this.told, `It was refused: ${error.message}`);
    }
  }

  update(incident) {
    this.incident = incident;
    text(this.badge, incident.state);
    this.badge.dataset.state = { open: 'aborted', acknowledged: 'waiting',
      resolved: 'succeeded' }[incident.state];
    text(this.level, incident.level > 0
      ? `· escalated ${incident.level} times` : '');
    this.acknowledge.refuse(forbidden() || (incident.state === 'open' ? ''
      : `It is ${incident.state} already.`));
    this.resolve.refuse(forbidden() || (incident.state !== 'resolved' ? ''
      : 'It is resolved already.'));
    this.lines.replaceChildren(...incident.timeline.map((line) => h('li', {},
      `${format.when(line.at)} ${line.what} by ${line.actor}${
        line.detail ? `: ${line.detail}` : ''}`)));
  }
}

export function incidents(page) {
  const seen = new Map();
  const open = h('ul', { class: 'cards' });
  const past = h('ul', { class: 'cards' });
  const none = h('p', { class: 'empty' }, 'No incident is open.');
  const pastPanel = panel('Resolved', past);

  page.title('Incidents');

  const load = async () => {
    const answer = await get('v1/incidents');

    for (const incident of answer.incidents) {
      const card = seen.get(incident.id) ?? new Incident(incident, load);

      if (!seen.has(incident.id)
        || JSON.stringify(card.incident) !== JSON.stringify(incident)) {
        card.update(incident);
      }
      seen.set(incident.id, card);
    }

    const place = (list, wanted) => {
      const cards = answer.incidents.filter(wanted)
        .map((incident) => seen.get(incident.id).el);

      if (cards.length !== list.children.length
        || cards.some((el, i) => el !== list.children[i])) {
        list.replaceChildren(...cards);
      }
      return cards.length;
    };

    none.hidden = place(open, (x) => x.state !== 'resolved') > 0;
    pastPanel.hidden = place(past, (x) => x.state === 'resolved') === 0;
  };

  pastPanel.hidden = true;
  page.poll(load);
  return h('div', { class: 'view' },
    h('h1', { tabindex: -1, class: 'hidden' }, 'Incidents'),
    panel('Open incidents', none, open), pastPanel);
}
