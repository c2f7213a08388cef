// Requests to canaryd.  The token lives as long as the tab.

import { askToken } from './dialog.js';

const KEY = 'canary-token';

/** @typedef {{actor: string|null, role: string, upstreams: string[]|null}} Who */

/** A refusal: what canaryd says in its problem document. */
export class Problem extends Error {
  constructor(status, body) {
    super(body.detail || body.title || `HTTP ${status}`);
    this.status = status;
    this.field = body.field ?? '';
    this.body = body;
  }
}

export function token() {
  return sessionStorage.getItem(KEY);
}

export function forget() {
  sessionStorage.removeItem(KEY);
}

let skew = 0;

/** The time of the server, in ms: clocks differ, above all those of phones. */
export function now() {
  return Date.now() + skew;
}

function hear(response) {
  const date = Date.parse(response.headers.get('Date') ?? '');

  // it has whole seconds: a difference below that says nothing
  if (Math.abs(date - Date.now()) > 2000) {
    skew = date - Date.now();
  }
}

let asking = null;

/** Asks once, however many requests wait for it. */
function ask(detail) {
  asking ??= askToken(detail).then((given) => {
    asking = null;
    sessionStorage.setItem(KEY, given);
  });
  return asking;
}

async function problem(response) {
  let body = {};

  try {
    body = await response.json();
  } catch {
    // not from canaryd: a proxy in between, or nothing at all
  }
  return new Problem(response.status, body);
}

/**
 * fetch() with the token; asks for one on 401 and tries again.
 * @param {string} path  "v1/rollouts": relative, so that a proxy may serve
 *                       everything below a path of its own
 */
export async function call(path, options = {}) {
  for (;;) {
    const given = token();
    const headers = { ...options.headers };

    if (given) {
      headers.Authorization = `Bearer ${given}`;
    }

    const response = await fetch(`../${path}`,
      { cache: 'no-store', ...options, headers });

    hear(response);
    if (response.status !== 401) {
      return response;
    }

    const refused = await problem(response);

    if (given && given === token()) {
      forget();
    }
    if (!token()) {
      await ask(given ? refused.message : '');
    }
  }
}

export async function get(path) {
  const response = await call(path);

  if (!response.ok) {
    throw await problem(response);
  }
  return response.json();
}

/** As get(); null where there is no such thing. */
export async function maybe(path) {
  const response = await call(path);

  if (response.status === 404) {
    return null;
  }
  if (!response.ok) {
    throw await problem(response);
  }
  return response.json();
}

async function send(method, path, body) {
  const raw = typeof body === 'string';
  const json = !raw || body.trimStart().startsWith('{');
  const response = await call(path, {
    method,
    headers: { 'Content-Type': json ? 'application/json'
      : 'application/yaml' },
    body: raw ? body : JSON.stringify(body),
  });

  if (!response.ok) {
    throw await problem(response);
  }
  return response.json();
}

/** @param {Object|string} body  an object, or the text of a spec */
export const post = (path, body) => send('POST', path, body);

export const remove = (path, body) => send('DELETE', path, body);

/** @type {Who} */
let who = { actor: null, role: 'admin' };

/** Who the token says one is.  A canaryd without logins lets anybody do
 * anything, and has nobody to tell of. */
export async function whoami() {
  const response = await call('v1/whoami');

  if (response.ok) {
    who = await response.json();
  }
  return who;
}

const ROLES = ['viewer', 'operator', 'admin'];

/** Why a command may not be given that needs such a role; '' if it may. */
export function unless(role) {
  return ROLES.indexOf(who.role) >= ROLES.indexOf(role) ? ''
    : `Your role is ${who.role}: this needs an ${role}.`;
}

export const forbidden = () => unless('operator');

/** What a command is given: canaryd knows the actor by the token. */
export function commandBody(reason) {
  const body = reason ? { reason } : {};

  if (!who.actor) {
    body.actor = 'dashboard';
  }
  return body;
}
