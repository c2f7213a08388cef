// Numbers and times as people read them.

const DASH = '–';

function missing(value) {
  return value === null || value === undefined || Number.isNaN(value);
}

/** 0.00712 -> "0.71 %" */
export function rate(value) {
  if (missing(value)) {
    return DASH;
  }
  const p = value * 100;

  return `${p === 0 ? '0' : p < 0.1 ? p.toFixed(3) : p < 10 ? p.toFixed(2)
    : p.toFixed(1)} %`;
}

/** A weight, which is in percent. */
export function weight(value) {
  return missing(value) ? DASH : `${Number(value.toFixed(2))} %`;
}

export function ms(value) {
  if (missing(value)) {
    return DASH;
  }
  if (value >= 10000) {
    return `${(value / 1000).toFixed(1)} s`;
  }
  return `${value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1)
    : value.toFixed(2)} ms`;
}

export function count(value) {
  return missing(value) ? DASH
    : Math.round(value).toString().replace(/\B(?=(\d{3})+$)/g, '\u202f');
}

export function perSecond(value) {
  return missing(value) ? DASH
    : `${value >= 100 ? count(value) : value.toFixed(1)}/s`;
}

/** 90500 -> "1 m 30 s" */
export function duration(millis) {
  if (missing(millis)) {
    return DASH;
  }
  const s = Math.max(0, Math.round(millis / 1000));
  const parts = [[86400, 'd'], [3600, 'h'], [60, 'm'], [1, 's']];
  const out = [];
  let rest = s;

  for (const [size, unit] of parts) {
    if (rest >= size || (unit === 's' && out.length === 0)) {
      out.push(`${Math.floor(rest / size)} ${unit}`);
      rest %= size;
    }
    if (out.length === 2) {
      break;
    }
  }
  return out.join(' ');
}

const two = (n) => String(n).padStart(2, '0');

/** Local time of day. */
export function clock(millis) {
  const d = new Date(millis);

  return `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
}

/** Date and time of day, local; the date only where it is not today. */
export function when(iso) {
  if (!iso) {
    return DASH;
  }
  const d = new Date(iso);
  const day = d.toDateString() === new Date().toDateString() ? ''
    : `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())} `;

  return day + clock(d);
}

/** Odds against the canary: from the log, as canaryd cuts them. */
export function odds(log) {
  if (missing(log)) {
    return DASH;
  }
  const x = Math.exp(log);

  if (!(x >= 0.01)) {
    return '1 : <0.01';
  }
  if (x >= 999999.5) {
    return `1 : 10^${Math.floor(log / Math.LN10 + 1e-9)}`;
  }
  return `1 : ${x < 10 ? Math.floor(x * 100 + 1e-9) / 100
    : Math.floor(x + 1e-9)}`;
}

/** "blue 90 %, green 10 %" */
export function weights(groups) {
  return Object.entries(groups ?? {})
    .map(([name, value]) => `${name} ${weight(value)}`).join(', ');
}
