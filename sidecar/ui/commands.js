// The buttons of a rollout: each asks once, then does it.

import { commandBody, post } from './api.js';
import { confirm } from './dialog.js';
import { freshId, h, say, text } from './dom.js';
import { refusal } from './states.js';
import * as format from './format.js';

/** What is asked before the command. */
function question(command, rollout) {
  const name = `${rollout.upstream} ${rollout.version || rollout.id}`;
  const next = rollout.spec.steps?.[rollout.step + 1];

  switch (command) {
  case 'abort':
    return { title: `Abort ${name}?`, verb: 'Abort now', danger: true,
      reason: true, detail: `All traffic goes back to ${rollout.stable
      } on every node, at once.` };
  case 'pause':
    return { title: `Pause ${name}?`, verb: 'Pause', reason: true,
      detail: 'The weights stay as they are. It is judged on, and still '
        + 'reverted if it does harm.' };
  case 'resume':
    return { title: `Resume ${name}?`, verb: 'Resume',
      detail: 'The hold goes on where it was.' };
  case 'approve':
    return { title: `Approve ${name}?`, verb: 'Approve', reason: true,
      detail: next ? `It goes on to ${format.weight(next.weight)} on ${
        rollout.canary}.` : 'It goes on to the end of the last step.' };
  case 'retry':
    return { title: `Retry ${name}?`, verb: 'Retry', reason: true,
      detail: 'A new rollout with the same spec, from its first step.' };
  default:
    return { title: `Promote ${name} to the next step?`, verb: 'Promote',
      reason: true, detail: next ? `The hold is cut short: ${rollout.canary
      } gets ${format.weight(next.weight)} at once.`
        : 'The present step is cut short.' };
  }
}

/** The result, in words. */
function outcome(command, rollout) {
  const abort = rollout.abort;

  return abort ? `Aborted: ${abort.confirmed} of ${abort.nodes} nodes serve ${
    rollout.stable} again, after ${abort.milliseconds.toFixed(0)} ms.`
    : `Done: ${command}.`;
}

/**
 * A button that says why where it may not be used: it stays in the tab order,
 * so that the reason is found.
 */
export function commandButton(label, props, onuse) {
  const why = h('span', { class: 'hidden', id: freshId('why') });
  const button = h('button', { type: 'button', ...props,
    onclick: () => (button.getAttribute('aria-disabled') === 'true'
      ? say(why.textContent, true) : onuse(button)) }, label);

  return {
    el: h('span', { class: 'command' }, button, why),
    button,
    /** @param {string} reason  '': it may */
    refuse(reason) {
      text(why, reason);
      button.title = reason;
      if (reason) {
        button.setAttribute('aria-disabled', 'true');
        button.setAttribute('aria-describedby', why.id);
      } else {
        button.removeAttribute('aria-disabled');
        button.removeAttribute('aria-describedby');
      }
    },
    name(name) { text(button, name); },
  };
}

/**
 * @param {() => Object} current  the rollout as it is now
 * @param {(message: string, bad: boolean) => void} tell
 * @param {(rollout: Object) => void} changed
 */
export function commands(current, tell, changed, only) {
  const run = async (command) => {
    const rollout = current();
    const answer = await confirm(question(command, rollout));

    if (!answer) {
      return;
    }

    tell(`${command} …`, false);
    try {
      const done = await post(`v1/rollouts/${encodeURIComponent(rollout.id)}/${
        command}`, commandBody(answer.reason));

      if (command === 'retry') {
        location.hash = `#/rollouts/${done.id}`;
        return;
      }
      tell(outcome(command, done), false);
      changed(done);
    } catch (error) {
      tell(`${command} was refused: ${error.message}`, true);
    }
  };

  const paused = () => current().state === 'paused';
  const waits = () => current().waiting_for === 'approval';
  const parts = {
    abort: commandButton('Abort', { class: 'danger' }, () => run('abort')),
    pause: commandButton('Pause', {}, () => run(paused() ? 'resume'
      : 'pause')),
    promote: commandButton('Promote', {}, () => run(waits() ? 'approve'
      : 'promote')),
    retry: commandButton('Retry', {}, () => run('retry')),
  };
  const shown = only ?? Object.keys(parts);

  return {
    el: h('div', { class: 'commands', role: 'group',
      aria: { label: 'Commands' } }, shown.map((name) => parts[name].el)),
    update() {
      const rollout = current();

      parts.abort.name(rollout.state === 'succeeded' ? 'Take back'
        : 'Abort');
      parts.pause.name(paused() ? 'Resume' : 'Pause');
      parts.promote.name(waits() ? 'Approve' : 'Promote');
      parts.promote.button.classList.toggle('primary', waits());
      parts.retry.el.hidden = rollout.state !== 'aborted';
      for (const [name, part] of Object.entries(parts)) {
        part.refuse(refusal(name, rollout));
      }
    },
  };
}
