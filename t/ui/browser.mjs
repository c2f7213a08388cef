// Headless Chromium for the tests; checks are printed as lines of JSON.

import { createRequire } from 'node:module';
import { contrast, small, structure, unnamed } from './a11y.mjs';

export const { UI_URL } = process.env;

const { UI_CHROMIUM, UI_NPM, UI_SHOTS, UI_TOKEN } = process.env;
const { chromium } = createRequire(UI_NPM)('playwright-core');
const PATIENCE = 30000;

export function ok(value, name, detail = '') {
  process.stdout.write(`${JSON.stringify({ ok: Boolean(value), name,
    detail: String(detail) })}\n`);
}

export const none = (list, name) => ok(list.length === 0, name,
  list.join('\n'));

/** Errors of pages, and requests to other hosts. */
export const complaints = [];
export const strangers = [];

const browser = await chromium.launch({ executablePath: UI_CHROMIUM,
  args: ['--no-sandbox', '--disable-dev-shm-usage'] });

export async function open(options) {
  const context = await browser.newContext(options);

  await context.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (event) =>
      console.error(`CSP: ${event.violatedDirective} ${event.blockedURI}`));
  });

  if (UI_TOKEN) {
    await context.addInitScript((token) =>
      sessionStorage.setItem('canary-token', token), UI_TOKEN);
  }

  const page = await context.newPage();

  page.setDefaultTimeout(PATIENCE);
  page.on('pageerror', (error) => complaints.push(error.stack));
  page.on('console', (message) => {
    // what canaryd has not, and what was refused or cut off on purpose
    if (message.type() === 'error' && !/status of (401|404|409|422)|ERR_INTERN/
      .test(message.text())) {
      complaints.push(message.text());
    }
  });
  page.on('request', (request) => {
    if (new URL(request.url()).host !== new URL(UI_URL).host) {
      strangers.push(request.url());
    }
  });
  return page;
}

export const button = (page, name) => page.getByRole('button', { name,
  exact: true });

export const shot = (page, name) => page.screenshot({
  path: `${UI_SHOTS}/${name}.png`, fullPage: true });

export async function look(page, name) {
  none(await page.evaluate(unnamed), `${name}: all controls have names`);
  none(await page.evaluate(structure), `${name}: headings and landmarks`);
  none(await page.evaluate(contrast), `${name}: contrast`);
  none(await page.evaluate(small), `${name}: large enough to hit`);
  // innerWidth of a phone grows with what is too wide
  ok(await page.evaluate(() => document.documentElement.scrollWidth)
    <= page.viewportSize().width, `${name}: not wider than the screen`);
}

export const done = () => browser.close();
