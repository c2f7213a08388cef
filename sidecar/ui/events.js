// The event stream, by fetch(): an EventSource cannot send the token.

import { call } from './api.js';

const FIRST_MS = 500;
const MOST_MS = 10000;

/** Turns text of an event stream into events, line by line. */
export class Parser {
  constructor(emit) {
    this.emit = emit;
    this.rest = '';
    this.clear();
  }

  clear() {
    this.event = { id: null, type: 'message', data: [] };
  }

  push(chunk) {
    const lines = (this.rest + chunk).split(/\r\n|\n|\r(?!$)/);

    this.rest = lines.pop();
    lines.forEach((line) => this.line(line));
  }

  line(line) {
    if (line === '') {
      if (this.event.data.length > 0) {
        this.emit({ ...this.event, data: this.event.data.join('\n') });
      }
      this.clear();
      return;
    }

    const colon = line.indexOf(':');

    if (colon === 0) {
      return;                       // a comment, that says "still here"
    }

    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');

    if (name === 'data') {
      this.event.data.push(value);
    } else if (name === 'event') {
      this.event.type = value;
    } else if (name === 'id') {
      this.event.id = value;
    }
  }
}

/**
 * Follows the events of an upstream until the signal is aborted.
 * @param {{upstream?: string, signal: AbortSignal,
 *          onevent: (event: Object) => void,
 *          onstate: (state: 'live'|'lost'|'none') => void}} options
 *        'none': this canaryd has no event stream; an event of the type
 *        'gap' says that others may be missing before it
 */
export async function follow({ upstream, signal, onevent, onstate }) {
  let last = null;
  let pause = FIRST_MS;

  const emit = (event) => {
    if (event.id !== null) {
      last = event.id;
    }
    try {
      const data = JSON.parse(event.data);
      onevent({ id: event.id, ...data, type: data.type ?? event.type });
    } catch (error) {
      console.warn('an event that is not JSON', error);
    }
  };

  while (!signal.aborted) {
    try {
      const query = upstream ? `?upstream=${encodeURIComponent(upstream)}`
        : '';
      const response = await call(`v1/events${query}`, {
        signal,
        headers: { Accept: 'text/event-stream',
          ...(last === null ? {} : { 'Last-Event-ID': last }) },
      });

      if (response.status === 404) {
        onstate('none');
        return;
      }
      if (response.ok) {
        onstate('live');
        pause = FIRST_MS;
        await read(response.body, new Parser(emit));
      }
    } catch {
      // lost; and if it was aborted, the loop ends
    }
    if (signal.aborted) {
      return;
    }
    onstate('lost');
    await new Promise((resolve) => { setTimeout(resolve, pause); });
    pause = Math.min(pause * 2, MOST_MS);
  }
}

async function read(body, parser) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();

  for (;;) {
    const { done, value } = await reader.read();

    if (done) {
      return;
    }
    parser.push(value);
  }
}
