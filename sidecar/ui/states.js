// Words for states, and who may do what in them.

import { h } from './dom.js';
import { forbidden } from './api.js';

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

/** The canary's weight: of one that has ended, the one it ended with. */
export function canaryWeight(rollout) {
  switch (rollout.state) {
  case 'aborted':
    return 0;
  case 'succeeded':
    if (rollout.spec.groups) {
      return rollout.spec.on_success === 'keep'
        ? rollout.spec.groups[rollout.canary] ?? 0 : 0;
    }
    return rollout.spec.on_success === 'keep'
      ? (rollout.spec.steps?.at(-1)?.weight ?? 100)
        - (rollout.spec.holdback ?? 0) : 100;
  default:
    return rollout.weights[rollout.canary] ?? 0;
  }
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
