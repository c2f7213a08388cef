// Starting a rollout: a form for what is usual, the spec for all else.

import { forbidden, get, post, Problem } from './api.js';
import { commandButton } from './commands.js';
import { freshId, h, say, text } from './dom.js';

const USUAL = [[1, '60s', false], [10, '2m', false], [50, '2m', false],
  [100, '', false]];

/** An input with its name, a hint, and a place for what is wrong with it. */
function field(name, label, input, hint) {
  const id = freshId(name);
  const wrong = h('span', { class: 'wrong', id: `${id}-wrong` });
  const help = hint && h('span', { class: 'hint', id: `${id}-hint` }, hint);

  input.id = id;
  input.name = name;
  input.setAttribute('aria-describedby', `${hint ? `${id}-hint ` : ''}${id
  }-wrong`);

  return { name, input, el: h('div', { class: 'field' },
    h('label', { for: id }, label), input, help, wrong),
  refuse(why) {
    text(wrong, why);
    if (why) {
      input.setAttribute('aria-invalid', 'true');
    } else {
      input.removeAttribute('aria-invalid');
    }
  } };
}

const input = (value, props = {}) => h('input', { type: 'text',
  autocomplete: 'off', value, ...props });

const select = (options) => h('select', {}, options.map(([value, label]) =>
  h('option', { value }, label ?? value)));

/** The steps: rows that can be added and taken away. */
function stepsEditor() {
  const body = h('tbody');
  const rows = [];

  const number = () => rows.forEach((row, i) => {
    row.inputs.forEach((el, n) => el.setAttribute('aria-label',
      `Step ${i + 1}: ${['weight in percent', 'hold', 'approval'][n]}`));
    row.remove.setAttribute('aria-label', `Remove step ${i + 1}`);
  });

  const add = ([weight, hold, approval]) => {
    const inputs = [
      input(weight, { inputmode: 'decimal', size: 5 }),
      input(hold, { size: 6, placeholder: '0s' }),
      h('input', { type: 'checkbox' }),
    ];
    const row = { inputs, remove: h('button', { type: 'button',
      class: 'quiet', onclick: () => {
        const i = rows.indexOf(row);

        rows.splice(i, 1);
        row.el.remove();
        number();
        (rows[Math.min(i, rows.length - 1)]?.remove ?? more).focus();
      } }, '✕') };

    inputs[2].checked = approval;
    row.el = h('tr', {}, inputs.map((el) => h('td', {}, el)),
      h('td', {}, row.remove));
    rows.push(row);
    body.append(row.el);
    number();
    return row;
  };

  const more = h('button', { type: 'button', onclick: () =>
    add([100, '', false]).inputs[0].focus() }, 'Add a step');

  USUAL.forEach(add);

  return {
    el: h('fieldset', {}, h('legend', {}, 'Steps'),
      h('table', { class: 'edit' }, h('thead', {}, h('tr', {},
        ['Weight %', 'Hold', 'Approval', ''].map((name) => h('th',
          { scope: 'col' }, name)))), body), more),
    read: () => rows.map(({ inputs: [weight, hold, approval] }) => ({
      weight: Number(weight.value),
      ...(hold.value.trim() ? { hold: hold.value.trim() } : {}),
      ...(approval.checked ? { approval: true } : {}),
    })),
  };
}

/** A spec as YAML: only what such a spec has. */
export function yaml(value) {
  const plain = (v) => (typeof v === 'string' && !/^[a-z][\w.-]*$/i.test(v)
    ? JSON.stringify(v) : String(v));
  const flow = (v) => (Array.isArray(v) ? `[${v.map(flow).join(', ')}]`
    : v !== null && typeof v === 'object' ? `{${Object.entries(v)
      .map(([k, x]) => `${k}: ${flow(x)}`).join(', ')}}` : plain(v));

  return Object.entries(value).map(([name, v]) => (Array.isArray(v)
    ? `${name}:\n${v.map((x) => `  - ${flow(x)}\n`).join('')}`
    : `${name}: ${flow(v)}\n`)).join('');
}

export function start(page, query) {
  const upstreams = new Map();
  const f = {
    upstream: field('upstream', 'Upstream', h('select')),
    canary: field('canary', 'Canary group', h('select'),
      'The group that has the new version.'),
    version: field('version', 'Version', input('', { maxlength: 120 }),
      'What it is called in lists and messages.'),
    strategy: field('strategy', 'Strategy', select([['canary',
      'Canary: step by step'], ['blue-green', 'Blue-green: all at once']])),
    bake: field('bake', 'Bake', input('5m', { size: 8 }),
      'How long the last step is watched before it counts as a success.'),
    ramp: field('ramp', 'Go on', select([['clock',
      'when the hold is over'], ['evidence', 'as soon as it is shown safe']])),
    alpha: field('analysis.alpha', 'Chance of a false rollback',
      input('0.01', { inputmode: 'decimal', size: 8 }),
      'Over the whole rollout. 0.01: one harmless release in a hundred.'),
    error_rate: field('analysis.max_error_rate', 'Error ceiling',
      input('', { inputmode: 'decimal', size: 8, placeholder: 'none' }),
      'A share, as 0.05. Above it the canary is reverted whatever stable '
      + 'does.'),
    on_success: field('on_success', 'At the end', select([['promote',
      'the canary becomes stable'], ['keep', 'the weights stay']])),
  };
  const steps = stepsEditor();
  const raw = field('spec', 'Spec', h('textarea', { rows: 18,
    spellcheck: 'false', class: 'code' }), 'YAML or JSON, as canaryctl '
    + 'start -f takes it.');
  const wrong = h('p', { class: 'refused', role: 'alert', hidden: true });
  const simple = h('div', {}, h('div', { class: 'columns' }, [f.upstream,
    f.canary, f.version, f.strategy].map((x) => x.el)), steps.el,
  h('div', { class: 'columns' }, [f.bake, f.ramp, f.alpha, f.error_rate,
    f.on_success].map((x) => x.el)));
  const rawBox = h('div', { hidden: true }, raw.el);
  let text2 = false;

  page.title('Start a rollout');

  const read = () => {
    const spec = { upstream: f.upstream.input.value,
      canary: f.canary.input.value };
    const version = f.version.input.value.trim();
    const ceiling = f.error_rate.input.value.trim();

    if (version) {
      spec.version = version;
    }
    spec.strategy = f.strategy.input.value;
    if (spec.strategy === 'canary') {
      spec.steps = steps.read();
    }
    spec.ramp = f.ramp.input.value;
    spec.bake = f.bake.input.value.trim() || '0s';
    spec.analysis = { alpha: Number(f.alpha.input.value) };
    if (ceiling) {
      spec.analysis.max_error_rate = Number(ceiling);
    }
    spec.on_success = f.on_success.input.value;
    return spec;
  };

  const groups = () => {
    const known = upstreams.get(f.upstream.input.value);
    const names = Object.keys(known?.groups ?? {})
      .filter((name) => name !== known.stable);

    f.canary.input.replaceChildren(...names.map((name) => h('option',
      { value: name }, name)));
    f.upstream.refuse(known?.active ? 'A rollout of it is running.' : '');
  };

  f.upstream.input.addEventListener('change', groups);
  f.strategy.input.addEventListener('change', () => {
    steps.el.hidden = f.strategy.input.value !== 'canary';
  });

  const refuse = (error) => {
    const at = !text2 && error instanceof Problem
      ? Object.values(f).find((x) => x.name === error.field) : null;

    Object.values(f).forEach((x) => x.refuse(x === at ? error.message : ''));
    wrong.hidden = false;
    wrong.replaceChildren(`Not started: ${error.field ? `${error.field} `
      : ''}${error.message}`, ...(error.body?.rollout ? [' ', h('a', { href:
        `#/rollouts/${error.body.rollout}` }, 'Show it')] : []));
    (at?.input ?? wrong).focus();
  };

  const go = commandButton('Start the rollout', { class: 'primary' },
    async (button) => {
      button.disabled = true;
      try {
        const made = await post('v1/rollouts', text2 ? raw.input.value
          : read());

        say(`Started ${made.id}.`);
        location.hash = `#/rollouts/${made.id}`;
      } catch (error) {
        refuse(error);
      }
      button.disabled = false;
    });

  const swap = h('button', { type: 'button', class: 'quiet', onclick: () => {
    text2 = !text2;
    if (text2) {
      raw.input.value = yaml(read());
    }
    simple.hidden = text2;
    rawBox.hidden = !text2;
    swap.setAttribute('aria-pressed', String(text2));
    (text2 ? raw : f.upstream).input.focus();
  }, aria: { pressed: 'false' } }, 'Edit the spec as text');

  go.refuse(forbidden());
  wrong.tabIndex = -1;

  page.poll(async () => {
    if (upstreams.size > 0) {
      return;
    }
    const answer = await get('v1/upstreams');

    answer.upstreams.forEach((u) => upstreams.set(u.upstream, u));
    f.upstream.input.replaceChildren(...[...upstreams.keys()].map((name) =>
      h('option', { value: name }, name)));
    if (upstreams.has(query.get('upstream'))) {
      f.upstream.input.value = query.get('upstream');
    }
    groups();
    go.refuse(forbidden());
  });

  return h('div', { class: 'view narrow' },
    h('h1', { tabindex: -1 }, 'Start a rollout'),
    h('form', { class: 'panel', onsubmit: (event) => {
      event.preventDefault();
      go.button.click();
    } }, wrong, simple, rawBox,
    h('div', { class: 'buttons' }, go.el, swap)));
}
