// Words for states, and who may do what in them.

import { h } from './dom.js';
import { forbidden } from './api.js';
import * as format from './format.js';

export const ENDED = ['succeeded', 'aborted'];

const WAITS = {
  approval: 'waiting for approval',
  no_data: 'waiting for traffic',
  incident: 'held: stable has an incident',
  freeze: 'waiting: frozen',
  gate: 'waiting for a gate',
  slo: 'waiting: objectives not met',
  node: 'waiting for a node',
};

export function active(rollout) {
  return !ENDED.includes(rollout.state);
}

export function stateText(rollout) {
  return rollout.waiting_for
    ? WAITS[rollout.waiting_for] ?? `waiting for ${rollout.waiting_for}`
    : rollout.state;
}

export function badge(rollout) {
  return h('span', { class: 'badge', 'data-state': rollout.state },
    stateText(rollout));
}

/** The groups that are compared with stable: the canary, or those of an
 * experiment. */
export function judged(rollout) {
  return rollout.groups ? Object.keys(rollout.groups) : [rollout.canary];
}

/** The judgement of one of them. */
export function judgementOf(rollout, name) {
  return rollout.groups ? rollout.groups[name].judgement : rollout.judgement;
}

/** Whose odds are the highest, of those that are still in. */
export function nearest(rollout) {
  const log = (name) => judgementOf(rollout, name)?.log_evidence ?? -Infinity;
  const names = judged(rollout);
  const running = names.filter((name) => rollout.groups?.[name].result
    === 'running');

  return (running.length > 0 ? running : names)
    .reduce((a, b) => (log(b) > log(a) ? b : a));
}

const COLORS = ['--canary', '--group-2', '--group-3', '--group-4',
  '--group-5', '--group-6', '--group-7'];

/** The colour of the number-th of judged(): a property of app.css. */
export const colorOf = (number) => COLORS[number % COLORS.length];

/** A group's weight: of a rollout that has ended, the one it ended with. */
export function weightOf(rollout, name) {
  switch (rollout.state) {
  case 'aborted':
    return 0;
  case 'succeeded':
    if (rollout.groups) {
      return rollout.spec.on_success === 'keep'
        && !['harm', 'budget'].includes(rollout.groups[name].result)
        ? rollout.spec.groups[name] ?? 0 : 0;
    }
    return rollout.spec.on_success === 'keep'
      ? (rollout.spec.steps?.at(-1)?.weight ?? 100)
        - (rollout.spec.holdback ?? 0) : 100;
  default:
    return rollout.weights[name] ?? 0;
  }
}

/** "green 10 %", or "3 groups 40 %". */
export function weightsText(rollout) {
  const names = judged(rollout);
  const sum = names.reduce((all, name) => all + weightOf(rollout, name), 0);

  return `${names.length > 1 ? `${names.length} groups` : names[0]} ${
    format.weight(sum)}`;
}

const VERDICTS = {
  watching: 'watching',
  safe: 'shown to be safe',
  incident: 'stable itself is above the ceiling',
  no_data: 'no canary traffic',
  budget: 'the error budget is used up',
  harm: 'harm',
};

export function verdict(judgement) {
  return judgement ? VERDICTS[judgement.verdict] ?? judgement.verdict
    : 'nothing judged yet';
}

/** Why the command may not be given now; '' if it may. */
export function refusal(command, rollout) {
  const no = forbidden();

  if (no) {
    return no;
  }
  if (command === 'abort') {
    return rollout.state === 'aborted' ? 'It is aborted already.'
      : rollout.state === 'reverting' ? 'It is being reverted already.' : '';
  }
  if (command === 'retry') {
    return rollout.state === 'aborted' ? '' : 'Only one that was aborted.';
  }
  if (!active(rollout) || rollout.state === 'reverting') {
    return `The rollout is ${rollout.state}.`;
  }
  if (command === 'pause' && rollout.state === 'pending') {
    return 'It has not begun yet.';
  }
  return '';
}
