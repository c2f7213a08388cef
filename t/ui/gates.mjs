// Clicks through what surrounds rollouts; prints a line of JSON for each
// check.

import { UI_URL, button, complaints, done, look, none, ok, open, shot,
  strangers } from './browser.mjs';

const { UI_FAKE } = process.env;
const state = (page) => page.locator('.tiles .badge');
const inDialog = (page, name) => page.getByRole('dialog')
  .getByRole('button', { name, exact: true });

async function begin(page, spec) {
  await page.goto(`${UI_URL}#/start`);
  await page.waitForFunction(() => document.querySelector(
    '[name=canary]')?.value === 'green');
  await button(page, 'Edit the spec as text').click();
  await page.getByLabel('Spec').fill(JSON.stringify(spec));
  await button(page, 'Start the rollout').click();
  await state(page).waitFor();
}

const page = await open({ viewport: { width: 1280, height: 900 },
  colorScheme: 'light' });

const phone = { viewport: { width: 360, height: 740 }, colorScheme: 'dark',
  hasTouch: true, isMobile: true };

/** The same on a phone in the dark. */
async function small(name, ready) {
  const other = await open(phone);

  await other.goto(page.url());
  await ready(other);
  await look(other, `${name}, phone`);
  await shot(other, `${name}-phone-dark`);
  await other.context().close();
}

// --- gates, objectives, an approval ---

await begin(page, { upstream: 'app', canary: 'green', version: 'v1',
  environment: 'staging', ticket: 'OPS-12', deadline: '2h',
  slo: { error_rate: 0.2, p99_ms: 9000, min_requests: 1 },
  smoke: [{ name: 'home', path: '/home', servers: [UI_FAKE] }],
  checks: [{ name: 'queue', http: { url: `http://${UI_FAKE}/value`,
    path: 'n' }, max: 5 }],
  steps: [{ weight: 20, hold: '500ms', approval: true }, { weight: 100 }],
  bake: '0s', analysis: { latency: [] } });
await state(page).getByText('waiting for approval').waitFor();
await page.getByText(/Objectives: errors at most 20.0 %/).waitFor();
await page.getByText(/reverts in 1 h 59 m/).waitFor();
ok(true, 'objectives and the deadline are shown');
await page.locator('.gates > li', { hasText: 'smoke passed' }).first()
  .waitFor();
await page.locator('.gates > li', { hasText: 'checks passed' }).first()
  .waitFor();
await page.locator('.gates summary').first().click();
ok(true, 'smoke tests and checks are shown');
await button(page, 'Run the smoke tests').click();
await inDialog(page, 'Run').click();
await page.getByText('Smoke tests passed: 1 of 1').waitFor();
ok(true, 'smoke tests by a click');
await look(page, 'gates');
await shot(page, 'gates');
await small('gates', (other) => other.locator('.gates > li').first()
  .waitFor());

const asked = page.waitForRequest(/\/approve$/);

await button(page, 'Approve').click();
await page.getByLabel('Reason').fill('looks good');
await inDialog(page, 'Approve').click();
await asked;
await state(page).getByText('succeeded').waitFor();
ok(true, 'approved by a click, by its own route');

// --- the way back ---

await page.goto(UI_URL);
await page.getByRole('button', { name: 'Roll back' }).click();
await inDialog(page, 'Roll back').click();
await page.waitForURL(/#\/rollouts\//);
await state(page).getByText('succeeded').waitFor();
await page.getByText(/green → blue/).waitFor();
ok(true, 'rolled back by a click');

// --- an experiment, aborted and tried again ---

await begin(page, { upstream: 'app', strategy: 'experiment', version: 'x',
  groups: { green: 20 }, duration: '1h' });
await page.getByRole('region', { name: 'Groups', exact: true })
  .getByRole('row', { name: /^green 20 % 1 : .* running/ }).waitFor();
ok(true, 'the groups of an experiment with their odds');
await look(page, 'experiment');
await shot(page, 'experiment');
await button(page, 'Abort').click();
await button(page, 'Abort now').click();
await state(page).getByText('aborted').waitFor();

const before = page.url();

await button(page, 'Retry').click();
await inDialog(page, 'Retry').click();
await page.waitForURL((url) => url.href !== before);
await state(page).getByText('progressing').waitFor();
ok(true, 'tried again by a click');
await button(page, 'Abort').click();
await button(page, 'Abort now').click();
await state(page).getByText('aborted').waitFor();

// --- rolling by nodes ---

await begin(page, { upstream: 'app', strategy: 'rolling', canary: 'green',
  version: 'r', holdback: 50, rolling: { by: 'nodes', bake: '1h' } });
await page.locator('.steps li[aria-current=step]', { hasText: 'bake 1h' })
  .waitFor();
ok(true, 'rolling shows its nodes');
await shot(page, 'rolling');
await button(page, 'Abort').click();
await button(page, 'Abort now').click();
await state(page).getByText('aborted').waitFor();

// --- incidents ---

await page.getByRole('link', { name: 'Incidents' }).click();
await page.getByRole('heading', { level: 1, name: 'Incidents' }).waitFor();

const card = page.locator('.card').first();

await page.waitForFunction(() => document.querySelectorAll('.card').length
  === 3);                           // each abort opened one, in its time
await look(page, 'incidents');
await shot(page, 'incidents');
await small('incidents', (other) => other.locator('.card').first()
  .waitFor());
await card.getByRole('button', { name: 'Acknowledge' }).click();
await page.getByLabel('Reason').fill('mine');
await inDialog(page, 'Acknowledge').click();
await card.getByText('acknowledged by anna: mine').waitFor();
ok(true, 'acknowledged by a click');
await card.getByRole('button', { name: 'Resolve' }).click();
await inDialog(page, 'Resolve').click();
await page.getByRole('region', { name: 'Resolved' })
  .getByText('resolved by anna').waitFor();
ok(true, 'resolved by a click');

// --- the stop of the line ---

await page.goto(`${UI_URL}#/`);
await button(page, 'Stop the line').click();
await page.getByLabel('Reason').fill('black friday');
await inDialog(page, 'Stop').click();
await page.locator('#line').getByText('black friday').waitFor();
await look(page, 'stopped');
await shot(page, 'stopped');
await small('stopped', (other) => other.locator('#line').getByText(
  'The line is stopped').waitFor());
await page.locator('#line').getByRole('button', { name: 'Go on' }).click();
await inDialog(page, 'Go on').click();
await page.locator('#line').waitFor({ state: 'hidden' });
ok(true, 'the line was stopped and goes on by clicks');

// --- a node that refuses the record ---

await begin(page, { upstream: 'app', canary: 'green', version: 'v3',
  steps: [{ weight: 1, hold: '1h', rules: [{ if: { country: ['NZ'] },
    group: 'green' }] }] });
await state(page).getByText('waiting for a node').waitFor();
await page.locator('.rollout > .reason', { hasText:
  /node \S+ refuses the record, .*needs canary_geoip/ }).waitFor();
ok(true, 'the reason names the node and what its nginx said');
await look(page, 'refused');
await shot(page, 'refused');

none(strangers, 'no request left the host');
none(complaints, 'no error on any page, no violation of the policy');
await done();
