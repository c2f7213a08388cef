// Clicks through the dashboard; prints a line of JSON for each check.

import { UI_URL, button, complaints, done, look, none, ok, open, shot,
  strangers } from './browser.mjs';

const { UI_BACKEND } = process.env;

const state = (page) => page.locator('.tiles .badge');

/** Names of what has the focus after each of n presses of Tab. */
async function tabs(page, n) {
  const names = [];

  for (let i = 0; i < n; i += 1) {
    await page.keyboard.press('Tab');
    names.push(await page.evaluate(() => document.activeElement.textContent
      .trim() || document.activeElement.getAttribute('aria-label')));
  }
  return names;
}

async function begin(page, version, steps) {
  await page.getByRole('link', { name: 'Start a rollout' }).first().click();
  await page.getByLabel('Version').fill(version);
  await button(page, 'Edit the spec as text').click();

  const text = await page.getByLabel('Spec').inputValue();

  ok(/upstream: app\n/.test(text) && text.includes(`version: ${
    /^[a-z][\w.-]*$/i.test(version) ? version : `"${version}"`}`),
  'the form as text', text);
  await page.getByLabel('Spec').fill(text.replace(/steps:\n(  .*\n)+/,
    `steps:\n  - ${steps}\n`));
  await button(page, 'Start the rollout').click();
  await page.getByRole('heading', { level: 1, name: `app ${version}` })
    .waitFor();
}

// --- a desk ---

const page = await open({ viewport: { width: 1280, height: 900 },
  colorScheme: 'light' });

await page.goto(UI_URL);
await page.getByRole('row', { name: /^app / }).waitFor();
await look(page, 'overview');
await shot(page, 'overview-empty');
ok(await page.getByText('No rollout is running').isVisible(),
  'nothing is running');

// --- the form, and what is wrong in it ---

await page.getByRole('link', { name: 'Start a rollout' }).first().click();
await page.getByRole('heading', { level: 1, name: 'Start a rollout' })
  .waitFor();
ok(await page.evaluate(() => document.activeElement.tagName === 'H1'),
  'the focus goes to the new view');
await page.waitForFunction(() => document.querySelector(
  '[name=canary]').value === 'green');
await page.getByLabel('Bake').fill('soon');
await button(page, 'Start the rollout').click();
await page.locator('[aria-invalid=true]').waitFor();
ok(await page.getByLabel('Bake').evaluate((el) =>
  el === document.activeElement && el.getAttribute('aria-invalid') === 'true'
  && document.getElementById(el.getAttribute('aria-describedby').split(' ')
    .at(-1)).textContent !== ''), 'a wrong field says so and has the focus');
await look(page, 'form');
await shot(page, 'form');
await page.getByLabel('Bake').fill('5m');
await page.getByLabel('Step 1: weight in percent').fill('20');
await page.getByLabel('Step 1: hold').fill('1h');
for (let i = 0; i < 3; i += 1) {
  await button(page, 'Remove step 2').click();
}
await page.getByLabel('Version').fill('v1.4.2');
await button(page, 'Start the rollout').click();

// --- it is watched ---

await page.getByRole('heading', { level: 1, name: 'app v1.4.2' }).waitFor();
await state(page).getByText('progressing').waitFor();
ok(true, 'started by the form, and progressing');
await page.locator('.tile', { hasText: 'Canary weight' })
  .getByText('green 20 %').waitFor();
await page.waitForFunction(() => {
  const cells = [...document.querySelectorAll('.compare td')]
    .map((el) => el.textContent);

  return cells.length > 4 && !cells.slice(1).includes('–');
});
ok(true, 'both groups are measured');
await page.waitForFunction(() => document.querySelectorAll('.chart canvas')
  .length === 6);
ok(/^1 : /.test(await page.locator('.tile .number').first().textContent()),
  'the odds are shown');
ok(await page.locator('.events li').count() > 0, 'events are shown');
await page.getByRole('row', { name: /up to date/ }).waitFor();
ok(true, 'the node is up to date');

for (const summary of await page.locator('.chart summary').all()) {
  await summary.click();
}
await page.waitForFunction(() => document.querySelectorAll(
  '.chart tbody tr').length > 12);
ok(true, 'the charts are there as tables');
await look(page, 'rollout');
for (const summary of await page.locator('.chart summary').all()) {
  await summary.click();
}
await page.waitForFunction(() => document.querySelector('.key strong')
  .textContent !== '–');
await shot(page, 'rollout-light');
ok(await page.locator('.plot canvas').first().evaluate((canvas) => {
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width,
    canvas.height);

  return data.some((v, i) => i % 4 === 3 && v > 0);
}), 'the charts are drawn');

// --- by keyboard ---

await page.reload();
await button(page, 'Abort').waitFor();
const order = await tabs(page, 8);
ok(JSON.stringify(order) === JSON.stringify(['Skip to content',
  'nginx-canary', 'Overview', 'Start a rollout', 'Incidents', 'Abort', 'Pause',
  'Promote']), 'the order of the focus: abort before all other commands',
order.join(', '));
await button(page, 'Abort').focus();
await page.keyboard.press('Enter');
await page.getByRole('dialog', { name: 'Abort app v1.4.2?' }).waitFor();
ok(await page.evaluate(() => document.activeElement.textContent
  === 'Abort now'), 'the way to confirm has the focus');
await look(page, 'dialog');
await shot(page, 'confirm');
await page.keyboard.press('Escape');
await page.getByRole('dialog').waitFor({ state: 'detached' });
ok(await page.evaluate(() => document.activeElement.textContent
  === 'Abort'), 'Escape leaves everything as it was, and the focus returns');
ok(await state(page).textContent() === 'progressing', 'nothing happened');

// --- pause, resume ---

await button(page, 'Pause').click();
await page.getByLabel('Reason').fill('a look at the logs');
await page.getByRole('dialog').getByRole('button', { name: 'Pause' }).click();
await state(page).getByText('paused').waitFor();
await page.getByText('a look at the logs').first().waitFor();
ok(true, 'paused, with its reason');
await button(page, 'Resume').click();
await page.getByRole('dialog').getByRole('button', { name: 'Resume' })
  .click();
await state(page).getByText('progressing').waitFor();
ok(true, 'resumed');

// --- canaryd cannot be reached ---

await page.context().setOffline(true);
await page.locator('#banner').getByText('No contact with canaryd').waitFor();
ok(true, 'it says that what is shown is old');
await page.context().setOffline(false);
await page.locator('#banner').waitFor({ state: 'hidden' });
ok(await page.locator('#contact').textContent() === 'live', 'and recovers');

// --- the looks of it ---

for (const [name, options] of [
  ['rollout-dark', { viewport: { width: 1280, height: 900 },
    colorScheme: 'dark' }],
  ['rollout-phone', { viewport: { width: 360, height: 740 },
    colorScheme: 'light', hasTouch: true, isMobile: true }],
  ['rollout-phone-dark', { viewport: { width: 360, height: 740 },
    colorScheme: 'dark', hasTouch: true, isMobile: true }]]) {
  const other = await open(options);

  await other.goto(page.url());
  await other.waitForFunction(() => document.querySelectorAll(
    '.chart canvas').length === 6);
  await look(other, name);
  ok(await button(other, 'Abort').evaluate((el) => {
    const box = el.getBoundingClientRect();

    return box.top >= 0 && box.bottom <= innerHeight && box.width > 0;
  }), `${name}: abort is in sight without scrolling`);
  await shot(other, name);
  await other.goto(UI_URL);
  await other.locator('.card').waitFor();
  await look(other, `${name}, overview`);
  await shot(other, `overview-${name.slice(8)}`);
  await other.goto(`${UI_URL}#/start`);
  await button(other, 'Start the rollout').waitFor();
  await look(other, `${name}, form`);
  await other.context().close();
}

// --- aborted by two clicks ---

const abort = button(page, 'Abort');

await abort.click();
await button(page, 'Abort now').click();
await state(page).getByText('aborted').waitFor();
ok(true, 'aborted by two clicks');
ok(/1 of 1 nodes serve blue again/.test(await page.locator(
  '.rollout > .told').textContent()), 'it says how many nodes confirmed',
await page.locator('.rollout > .told').textContent());
await page.waitForFunction(() => /aborted/.test(document.getElementById(
  'warned').textContent));
ok(true, 'and says it to a screen reader at once');
await page.locator('.events li', { hasText: 'aborted' }).first().waitFor();
ok(true, 'and in the list of events');
await page.waitForFunction(() => [...document.querySelectorAll('button')]
  .find((el) => el.textContent === 'Abort')
  ?.getAttribute('aria-disabled') === 'true');
await abort.focus();
await page.keyboard.press('Enter');
await page.waitForFunction(() => document.getElementById('warned')
  .textContent === 'It is aborted already.');
ok(await page.getByRole('dialog').count() === 0,
  'a button that may not be used says why');
await shot(page, 'aborted');

// --- reverted by canaryd ---

await begin(page, 'v2 <b>bad</b>', '{weight: 30, hold: 1h}');
await state(page).getByText('progressing').waitFor();
ok(await page.locator('h1 b').count() === 0, 'markup in a version is text');
await fetch(`${UI_BACKEND}?error=0.4`, { method: 'POST' });
await state(page).getByText('aborted').waitFor();
ok(/evidence of harm/.test(await page.locator('.rollout > .reason')
  .textContent()), 'reverted, and it says why',
await page.locator('.rollout > .reason').textContent());
await fetch(`${UI_BACKEND}?error=0`, { method: 'POST' });
await page.reload();
await page.waitForFunction(() => document.querySelectorAll('.chart canvas')
  .length === 6);
ok(await page.locator('.tile', { hasText: 'Canary weight' })
  .getByText('green 0 %').isVisible(), 'it ended with no weight');
await shot(page, 'reverted');

await page.goto(UI_URL);
await page.getByRole('row', { name: /v1\.4\.2/ }).waitFor();
await look(page, 'overview after it');
await shot(page, 'overview');

none(strangers, 'no request left the host');
none(complaints, 'no error on any page, no violation of the policy');

await done();
