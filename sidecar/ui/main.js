// Which view is shown, and what all of them have around them.

import { forget, token, whoami } from './api.js';
import { say, text } from './dom.js';
import * as format from './format.js';
import { freezes } from './freeze.js';
import { incidents } from './incidents.js';
import { overview } from './overview.js';
import { rollout } from './rollout.js';
import { start } from './start.js';

const POLL_MS = 1000;

const main = document.getElementById('main');
const banner = document.getElementById('banner');
const contact = document.getElementById('contact');
let leave = null;                   // AbortController of the view
let heard = Date.now();

/** What a view is told, and tells. */
class Page {
  constructor(signal) {
    this.signal = signal;
  }

  /** Calls work at once and then each second, while the page is seen and
   * the last call has ended; says so when canaryd cannot be reached. */
  poll(work, every = POLL_MS) {
    let busy = false;

    const once = async () => {
      if (busy || document.hidden) {
        return;
      }
      busy = true;
      try {
        await work();
        if (!this.signal.aborted) {
          reached();
        }
      } catch (error) {
        if (!this.signal.aborted) {
          lost(error);
        }
      }
      busy = false;
    };
    const timer = setInterval(once, every);
    const seen = () => { if (!document.hidden) { once(); } };

    document.addEventListener('visibilitychange', seen);
    this.signal.addEventListener('abort', () => {
      clearInterval(timer);
      document.removeEventListener('visibilitychange', seen);
    });
    return once();
  }

  title(name) {
    document.title = `${name} · nginx-canary`;
  }
}

function reached() {
  heard = Date.now();
  if (!banner.hidden) {
    say('canaryd answers again.');
  }
  banner.hidden = true;
  text(contact, 'live');
  contact.dataset.state = 'live';
}

function lost(error) {
  text(contact, 'no contact');
  contact.dataset.state = 'lost';
  text(banner, error.status
    ? `canaryd refuses: ${error.message}`
    : `No contact with canaryd since ${format.clock(heard)}: what is shown `
      + 'is as old. nginx goes on without it.');
  banner.hidden = false;
}

const routes = [
  [/^\/rollouts\/([^/]+)$/, (page, id) => rollout(page,
    decodeURIComponent(id))],
  [/^\/incidents$/, (page) => incidents(page)],
  [/^\/start$/, (page, query) => start(page, query)],
  [/^\/?$/, (page) => overview(page)],
];

function show(first) {
  const [path, query] = location.hash.replace(/^#/, '').split('?');

  for (const [pattern, view] of routes) {
    const found = pattern.exec(path);

    if (!found) {
      continue;
    }
    leave?.abort();
    leave = new AbortController();

    const page = new Page(leave.signal);

    main.replaceChildren(view(page, found[1] ?? new URLSearchParams(query)));
    freezes(page, document.getElementById('line'));
    if (!first) {
      window.scrollTo(0, 0);
      (main.querySelector('h1') ?? main).focus();
    }
    for (const link of document.querySelectorAll('nav a')) {
      if (link.getAttribute('href') === `#${path || '/'}`) {
        link.setAttribute('aria-current', 'page');
      } else {
        link.removeAttribute('aria-current');
      }
    }
    return;
  }
  location.hash = '#/';
}

async function known() {
  try {
    const who = await whoami();

    text(document.getElementById('who'), who.actor
      ? `${who.actor} (${who.role})` : '');
  } catch {
    // the view says it
  }
  document.getElementById('sign').hidden = !token();
}

function begin() {
  document.getElementById('sign').addEventListener('click', () => {
    forget();
    location.reload();
  });
  window.addEventListener('hashchange', () => show(false));
  document.querySelector('.skip').addEventListener('click', (event) => {
    event.preventDefault();
    (main.querySelector('h1') ?? main).focus();
  });
  show(true);
  known();
}

begin();
