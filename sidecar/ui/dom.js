// Elements made without markup, and the few things all views do with them.

/**
 * An element: h('p', {class: 'x', onclick: f, aria: {label: 'y'}}, 'text', el).
 * A property that is null or false is left out.
 * @param {string} tag
 * @param {Object<string, any>} [props]
 * @param {...(Node|string|number|null|false|Array)} children
 * @returns {HTMLElement}
 */
export function h(tag, props, ...children) {
  const el = document.createElement(tag);

  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) {
      continue;
    }
    if (name.startsWith('on')) {
      el.addEventListener(name.slice(2), value);
    } else if (name === 'aria') {
      for (const [key, text] of Object.entries(value)) {
        el.setAttribute(`aria-${key}`, text);
      }
    } else if (name === 'value') {
      el.value = value;
    } else {
      el.setAttribute(name, value === true ? '' : value);
    }
  }

  el.append(...children.flat(9).filter((c) => c !== null && c !== false
    && c !== undefined));

  return el;
}

/** Sets text only where it is another one: nothing is announced or drawn
 * for nothing. */
export function text(el, value) {
  const string = String(value);

  if (el.textContent !== string) {
    el.textContent = string;
  }
}

const keys = new WeakMap();

/** Builds the content of el anew if key is another than the last time. */
export function fill(el, key, build) {
  const string = JSON.stringify(key);

  if (keys.get(el) === string) {
    return;
  }
  keys.set(el, string);
  el.replaceChildren(...[build()].flat(9).filter(Boolean));
}

let id = 0;

/** An id for aria-labelledby and the like. */
export function freshId(what) {
  id += 1;
  return `${what}-${id}`;
}

/** Says it to a screen reader; urgent ones interrupt. */
export function say(message, urgent = false) {
  const el = document.getElementById(urgent ? 'warned' : 'said');

  el.textContent = '';
  requestAnimationFrame(() => { el.textContent = message; });
}

/** A table; on a small screen it scrolls within itself.  Names of columns of
 * numbers begin with '#'. */
export function table(caption, head, rows, props = {}) {
  return h('div', { class: 'scroll', tabindex: 0, role: 'region',
    aria: { label: caption } },
  h('table', props, h('caption', { class: 'hidden' }, caption),
    h('thead', {}, h('tr', {}, head.map((t) => h('th', { scope: 'col',
      class: t.startsWith('#') && 'num' }, t.replace(/^#/, ''))))),
    h('tbody', {}, rows)));
}

export function panel(title, ...content) {
  const label = freshId('panel');

  return h('section', { class: 'panel', aria: { labelledby: label } },
    h('h2', { id: label }, title), ...content);
}
