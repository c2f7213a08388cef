// Questions: native dialogs, which keep the focus and close on Escape.

import { h, freshId } from './dom.js';

function open(el, first) {
  const before = document.activeElement;

  document.body.append(el);
  el.addEventListener('close', () => {
    el.remove();
    if (before instanceof HTMLElement && before.isConnected) {
      before.focus();
    }
  });
  el.showModal();
  first.focus();
}

/**
 * Asks before something is done.  The way to do it has the focus: a second
 * Enter, or click, is enough.
 * @param {{title: string, detail: string, verb: string, danger?: boolean,
 *          reason?: boolean}} question
 * @returns {Promise<{reason: string}|null>}  null: no
 */
export function confirm({ title, detail, verb, danger, reason }) {
  return new Promise((resolve) => {
    const label = freshId('dialog');
    const input = h('input', { type: 'text', maxlength: 180,
      autocomplete: 'off', name: 'reason' });
    const yes = h('button', { type: 'submit',
      class: danger ? 'danger' : 'primary' }, verb);
    let answer = null;

    const el = h('dialog', { aria: { labelledby: label } },
      h('form', { method: 'dialog', onsubmit: () => {
        answer = { reason: input.value.trim() };
      } },
      h('h2', { id: label }, title),
      h('p', {}, detail),
      reason && h('label', { class: 'field' },
        'Reason, for the record (optional)', input),
      h('div', { class: 'buttons' }, yes,
        h('button', { type: 'button', onclick: () => el.close() },
          'Cancel'))));

    el.addEventListener('close', () => resolve(answer));
    open(el, yes);
  });
}

/** Asks for a token until one is given. */
export function askToken(detail) {
  return new Promise((resolve) => {
    const label = freshId('dialog');
    const input = h('input', { type: 'password', autocomplete: 'off',
      required: true, name: 'token' });
    let given = '';

    const el = h('dialog', { aria: { labelledby: label } },
      h('form', { method: 'dialog', onsubmit: () => {
        given = input.value.trim();
      } },
      h('h2', { id: label }, 'Sign in'),
      h('p', {}, 'This canaryd asks for a token. It is kept in this tab only,'
        + ' until the tab is closed.'),
      detail && h('p', { class: 'refused', role: 'alert' }, detail),
      h('label', { class: 'field' }, 'Token', input),
      h('div', { class: 'buttons' },
        h('button', { type: 'submit', class: 'primary' }, 'Sign in'))));

    el.addEventListener('cancel', (event) => event.preventDefault());
    el.addEventListener('close', () => resolve(given));
    open(el, input);
  });
}
