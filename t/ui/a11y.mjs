// What a page must be for people who do not see it, or not well.  Functions
// for page.evaluate(): they use nothing from outside of themselves.

/** Controls without a name, and ids that are used twice. */
export function unnamed() {
  const bad = [];
  const shown = (el) => el.getClientRects().length > 0;
  const named = (el) => {
    const by = el.getAttribute('aria-labelledby');
    const label = el.id
      && document.querySelector(`label[for="${CSS.escape(el.id)}"]`);

    return (el.getAttribute('aria-label')
      || (by && document.getElementById(by)?.textContent)
      || label?.textContent || el.closest('label')?.textContent
      || (el.matches('button, a, summary') && el.textContent) || '').trim();
  };

  for (const el of document.querySelectorAll('a, button, input, select,'
    + ' textarea, summary, progress, [role=img], [role=meter],'
    + ' [role=region], dialog')) {
    if (shown(el) && !named(el)) {
      bad.push(el.outerHTML.slice(0, 120));
    }
  }

  const ids = [...document.querySelectorAll('[id]')].map((el) => el.id);

  ids.filter((id, i) => ids.indexOf(id) !== i)
    .forEach((id) => bad.push(`id ${id} twice`));
  for (const el of document.querySelectorAll('[aria-describedby],'
    + ' [aria-labelledby]')) {
    for (const id of `${el.getAttribute('aria-describedby') ?? ''} ${
      el.getAttribute('aria-labelledby') ?? ''}`.split(/\s+/)) {
      if (id && !document.getElementById(id)) {
        bad.push(`there is no ${id}`);
      }
    }
  }
  return bad;
}

/** Headings, landmarks and language. */
export function structure() {
  const bad = [];
  const one = (selector) => {
    const n = document.querySelectorAll(selector).length;

    if (n !== 1) {
      bad.push(`${n} of ${selector}`);
    }
  };

  ['main', 'body > header', 'nav[aria-label]', 'h1', '[role=status]#said',
    '[role=alert]#warned'].forEach(one);
  if (document.documentElement.lang !== 'en' || !document.title) {
    bad.push('language or title');
  }

  let level = 1;

  for (const heading of document.querySelectorAll('main h1, main h2,'
    + ' main h3')) {
    const is = Number(heading.tagName[1]);

    if (is > level + 1) {
      bad.push(`${heading.textContent}: h${is} after h${level}`);
    }
    level = is;
  }
  for (const table of document.querySelectorAll('table')) {
    if (!table.querySelector('th[scope]')) {
      bad.push('a table without headers');
    }
  }
  for (const canvas of document.querySelectorAll('canvas')) {
    if (!canvas.closest('[aria-hidden=true]')
      || !canvas.closest('figure').querySelector('details')) {
      bad.push('a canvas without its table');
    }
  }
  return bad;
}

/** Text with too little contrast (WCAG 2.2, 1.4.3), as it is computed. */
export function contrast() {
  const bad = [];
  const parse = (color) => {
    const n = color.match(/[\d.]+/g).map(Number);

    return { rgb: n.slice(0, 3), alpha: n.length > 3 ? n[3] : 1 };
  };
  const background = (el) => {
    const layers = [];

    for (let at = el; at; at = at.parentElement) {
      const layer = parse(getComputedStyle(at).backgroundColor);

      layers.unshift(layer);
      if (layer.alpha === 1) {
        break;
      }
    }
    return layers.reduce((under, { rgb, alpha }) =>
      rgb.map((c, i) => c * alpha + under[i] * (1 - alpha)),
    [255, 255, 255]);
  };
  const luminance = (rgb) => rgb.map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const walker = document.createTreeWalker(document.body,
    NodeFilter.SHOW_TEXT);

  while (walker.nextNode()) {
    const el = walker.currentNode.parentElement;
    const style = getComputedStyle(el);

    if (!walker.currentNode.nodeValue.trim()
      || el.getClientRects().length === 0 || el.closest('.hidden, .skip')
      || el.matches('option, script, style')) {
      continue;
    }

    const [a, b] = [luminance(parse(style.color).rgb),
      luminance(background(el))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66
      && Number(style.fontWeight) >= 700);

    if (ratio < (large ? 3 : 4.5)) {
      bad.push(`${ratio.toFixed(2)}: ${
        walker.currentNode.nodeValue.trim().slice(0, 40)} (${style.color})`);
    }
  }
  return [...new Set(bad)];
}

/** Controls that a thumb would miss: lower than 24 px (WCAG 2.2, 2.5.8). */
export function small() {
  return [...document.querySelectorAll('button, input, select')]
    .map((el) => [el, el.getBoundingClientRect()])
    .filter(([, box]) => box.width > 0 && (box.height < 24 || box.width < 20))
    .map(([el]) => el.outerHTML.slice(0, 100));
}

/** Colours of the charts' groups that look alike (their distance in OKLab),
 * or are faint on a panel (WCAG 2.2, 1.4.11). */
export function alike() {
  const style = getComputedStyle(document.documentElement);
  const linear = (name) => {
    const hex = style.getPropertyValue(name).trim();

    return [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16) / 255)
      .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  };
  const light = (name) => linear(name).reduce((sum, c, i) =>
    sum + c * [0.2126, 0.7152, 0.0722][i], 0.05);
  const times = (matrix, v) => matrix.map((row) =>
    row.reduce((sum, m, i) => sum + m * v[i], 0));
  const lab = (name) => times([[0.21045, 0.79362, -0.00407],
    [1.978, -2.42859, 0.45059], [0.0259, 0.78277, -0.80868]],
  times([[0.41222, 0.53633, 0.05145], [0.2119, 0.6807, 0.1074],
    [0.0883, 0.28172, 0.62998]], linear(name)).map(Math.cbrt));
  const names = ['--stable', '--canary', ...[2, 3, 4, 5, 6, 7]
    .map((n) => `--group-${n}`)];
  const bad = [];

  names.forEach((a, i) => {
    const ratio = [light(a), light('--panel')].sort((x, y) => y - x);

    if (!(ratio[0] / ratio[1] >= 3)) {
      bad.push(`${a} is faint`);
    }
    for (const b of names.slice(i + 1)) {
      if (!(Math.hypot(...lab(a)
        .map((v, k) => v - lab(b)[k])) >= 0.15)) {
        bad.push(`${a} and ${b} look alike`);
      }
    }
  });
  return bad;
}
