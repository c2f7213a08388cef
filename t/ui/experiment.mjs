// Looks at an experiment's charts; prints a line of JSON for each check.

import { UI_URL, complaints, done, look, none, ok, open, shot, strangers }
  from './browser.mjs';
import { alike } from './a11y.mjs';

const CHARTS = ['Evidence', 'Weight', 'Error rate', 'Latency, p50 and p99',
  'Latency distribution', 'Requests'];

const page = await open({ viewport: { width: 1280, height: 900 },
  colorScheme: 'light' });
const api = (path, body) => fetch(new URL(`../v1/${path}`, UI_URL),
  body && { method: 'POST', body: JSON.stringify(body),
    headers: { 'Content-Type': 'application/json' } }).then((r) => r.json());
const chart = (on, name) => on.getByRole('group', { name, exact: true });

/** Starts one and opens its view. */
async function begin(groups) {
  const made = await api('rollouts', { upstream: 'app', version: 'x',
    strategy: 'experiment', groups, duration: '1h',
    analysis: { latency: [] } });

  await page.goto(`${UI_URL}#/rollouts/${made.id}`);
  await page.waitForFunction((n) => document.querySelectorAll(
    '.chart canvas').length === 6 && document.querySelectorAll(
    'table.compare thead th').length === n, 1 + Object.keys(groups).length);
  return made;
}

async function abort({ id }) {
  await api(`rollouts/${id}/abort`, {});
  await page.goto(`${UI_URL}#/rollouts/${id}`);
  await page.locator('.tiles .badge').getByText('aborted').waitFor();
}

/** Lines that the chart's canvas has in the colour of its key's entries:
 * [label, pixels]. */
const painted = (on, name) => chart(on, name).evaluate((figure) => {
  const canvas = figure.querySelector('canvas');
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width,
    canvas.height);

  return [...figure.querySelectorAll('.key li')].map((item) => {
    const color = getComputedStyle(item).getPropertyValue('--color').trim();
    const want = [1, 3, 5].map((i) => parseInt(color.slice(i, i + 2), 16));
    let pixels = 0;

    for (let i = 0; i < data.length; i += 4) {
      pixels += data[i + 3] > 200 && want.every((v, k) =>
        Math.abs(v - data[i + k]) < 12);
    }
    return [item.firstChild.textContent.trim(), pixels];
  });
});

async function drawn(on, name) {
  await on.waitForFunction((title) => [...document.querySelectorAll(
    '.chart')].find((el) => el.querySelector('h2').textContent === title)
    .querySelectorAll('tbody tr, canvas').length > 0, name);

  const lines = await painted(on, name);

  none(lines.filter(([, pixels]) => pixels < 20).map(([label]) => label),
    `${name}: ${lines.map(([label]) => label).join(', ')} are drawn`);
  return lines.map(([label]) => label);
}

function same(list, wanted, name) {
  ok(JSON.stringify(list) === JSON.stringify(wanted), name,
    JSON.stringify(list));
}

// --- three groups, one of them harmful ---

const three = await begin({ green: 20, red: 15, teal: 5 });
const table = page.getByRole('region', { name: 'Groups', exact: true });

await table.getByRole('row', { name: /^red 0 % .* harm$/ }).waitFor();
await table.getByRole('row', { name: /^green 20 % 1 : .* running/ })
  .waitFor();
await page.locator('.compare').getByRole('columnheader',
  { name: 'teal' }).waitFor();
ok(true, 'all groups stand side by side');
await page.getByText('3 groups 25 %', { exact: true }).waitFor();
await page.getByRole('img', { name: 'green 20 %, red 0 %, teal 5 %, '
  + 'blue 75 %' }).waitFor();
ok(true, 'with their weights');

const widths = await page.locator('.split .part').evaluateAll((parts) =>
  parts.map((part) => part.style.width));

same(widths, ['20%', '0%', '5%'], 'each has its part of the bar');
await page.getByText(/Odds against (green|teal), the highest/).waitFor();
ok(true, 'the odds are those of a group that is still in');

// points of before, too, as canaryd recorded them
await page.reload();
await page.waitForFunction(() => document.querySelectorAll('.chart canvas')
  .length === 6);

for (const name of CHARTS) {
  await chart(page, name).locator('summary').click();
}
await page.waitForFunction(() => document.querySelectorAll(
  '.chart tbody tr').length > 12);

for (const name of CHARTS) {
  const head = (await chart(page, name).locator('thead th')
    .allTextContents()).slice(1);

  same((await painted(page, name)).map(([label]) => label), head, `${name}: key and table agree`);
  none(['green', 'red', 'teal'].filter((group) =>
    !head.some((label) => label.split(' ')[0] === group)),
  `${name}: each group has its numbers`);
}
for (const name of CHARTS) {
  await chart(page, name).locator('summary').click();
}

await page.waitForFunction(() => document.querySelectorAll(
  '.chart canvas')[0].width > 0);
await drawn(page, 'Weight');
await drawn(page, 'Latency distribution');
await drawn(page, 'Requests');

const was = await api(`rollouts/${three.id}/series`);

ok(new Set(was.series.groups.red.weight).has(15)
  && was.series.groups.red.weight.at(-1) === 0, 'red was there, and is out');
await look(page, 'experiment of three');
await shot(page, 'experiment-3');

for (const scheme of ['light', 'dark']) {
  await page.emulateMedia({ colorScheme: scheme });
  none(await page.evaluate(alike), `${scheme}: colours tell groups apart`);
}
await drawn(page, 'Weight');
await shot(page, 'experiment-3-dark');
await page.emulateMedia({ colorScheme: 'light' });

await page.goto(`${UI_URL}#/`);
await page.locator('.card').getByText(/errors green .*, red .*, teal /)
  .waitFor();
ok(true, 'the overview has each group');
await look(page, 'overview of an experiment');
await shot(page, 'experiment-overview');
await abort(three);

// --- as many as there can be ---

const seven = await begin({ green: 22, red: 18, teal: 13, plum: 9, pink: 6,
  gold: 4, grey: 2 });

await table.getByRole('row', { name: /^grey 2 % 1 : / }).waitFor();
await page.waitForFunction(() => /grey p50/.test(
  document.querySelector('main').textContent));
same((await painted(page, 'Weight')).map(([label]) => label),
  ['blue (stable)', 'green', 'red', 'teal', 'plum', 'pink', 'gold', 'grey'],
  'eight groups have their names');
await page.waitForFunction(async (url) => {
  const answer = await (await fetch(url)).json();

  return answer.series.at_ms.length > 5;
}, new URL(`../v1/rollouts/${seven.id}/series`, UI_URL).href);
await page.reload();
await page.waitForFunction(() => document.querySelectorAll('.chart canvas')
  .length === 6);
await drawn(page, 'Weight');
await look(page, 'experiment of seven');
await shot(page, 'experiment-7');

const phone = await open({ viewport: { width: 360, height: 740 },
  colorScheme: 'dark', hasTouch: true, isMobile: true });

await phone.goto(page.url());
await phone.waitForFunction(() => document.querySelectorAll('.chart canvas')
  .length === 6);
await drawn(phone, 'Weight');
await look(phone, 'experiment of seven, phone');
await shot(phone, 'experiment-7-phone-dark');
await abort(seven);

none(strangers, 'no request left the host');
none(complaints, 'no error on any page, no violation of the policy');
await done();
