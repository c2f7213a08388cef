// The stop-the-line, and windows that are open: on every page.

import { commandBody, get, post, remove, unless } from './api.js';
import { commandButton } from './commands.js';
import { confirm } from './dialog.js';
import { fill, h, say } from './dom.js';
import * as format from './format.js';

const EVERY_MS = 3000;

async function change(stop, tell) {
  const answer = await confirm(stop
    ? { title: 'Stop the line?', verb: 'Stop', danger: true, reason: true,
      detail: 'No rollout of any upstream starts or advances until the line '
        + 'goes on. Aborts and reverts pass.' }
    : { title: 'Let the line go on?', verb: 'Go on',
      detail: 'Rollouts start and advance again.' });

  if (!answer) {
    return;
  }
  try {
    await (stop ? post : remove)('v1/freeze', commandBody(answer.reason));
    say(stop ? 'The line is stopped.' : 'The line goes on.');
  } catch (error) {
    tell(`It was refused: ${error.message}`);
  }
}

/** Stop or go on; only an admin may. */
export function stopButton(stop, after) {
  const told = h('span', { class: 'bad', role: 'status' });
  const button = commandButton(stop ? 'Stop the line' : 'Go on', {},
    async () => {
      await change(stop, (message) => told.replaceChildren(message));
      await after?.();
    });

  button.refuse(unless('admin'));
  return h('span', { class: 'command' }, button.el, told);
}

/** @param {HTMLElement} el  where it is said */
export function freezes(page, el) {
  const show = async () => {
    const { stop, windows } = await get('v1/freeze');
    const open = windows.filter((window) => window.until);

    el.hidden = !stop && open.length === 0;
    fill(el, [stop, open, unless('admin')], () => [
      stop && h('p', {}, h('strong', {}, 'The line is stopped'),
        ` since ${format.when(stop.at)} by ${stop.actor}${
          stop.reason ? `: ${stop.reason}` : ''}. Nothing starts or `
          + 'advances; aborts pass. ', stopButton(false, show)),
      open.map((window) => h('p', {}, `Frozen (${window.name}) until ${
        format.when(window.until)}: upstreams ${window.upstreams}.`))]);
  };

  page.poll(show, EVERY_MS);
}
