// Signs in, as one who may look and as one who may act.

import { UI_URL, button, complaints, done, look, none, ok, open, shot }
  from './browser.mjs';

const { UI_VIEWER, UI_OPERATOR } = process.env;
const page = await open({ viewport: { width: 1280, height: 900 } });
const dialog = page.getByRole('dialog', { name: 'Sign in' });
const sign = async (token) => {
  await page.getByLabel('Token').fill(token);
  await button(page, 'Sign in').click();
};

await page.goto(UI_URL);
await dialog.waitFor();
ok(await page.getByLabel('Token').evaluate((el) =>
  el === document.activeElement && el.type === 'password'),
'it asks for a token, and has the focus there');
await look(page, 'sign in');
await shot(page, 'sign-in');
await sign('nobody.0000');
await dialog.getByRole('alert').waitFor();
ok(true, 'a wrong one is refused, and asked for again');
await sign(UI_VIEWER);
await dialog.waitFor({ state: 'detached' });
await page.getByText('eve (viewer)').waitFor();
ok(true, 'a viewer is signed in');
await page.getByRole('link', { name: 'app v1' }).first().click();
await page.getByRole('heading', { level: 1, name: 'app v1' }).waitFor();

for (const name of ['Abort', 'Pause', 'Promote']) {
  ok(await button(page, name).evaluate((el) =>
    el.getAttribute('aria-disabled') === 'true'
    && /role is viewer/.test(document.getElementById(
      el.getAttribute('aria-describedby')).textContent)),
  `a viewer cannot ${name}, and is told why`);
}
await button(page, 'Abort').focus();
await page.keyboard.press('Enter');
ok(await page.getByRole('dialog').count() === 0, 'not by keyboard, either');
await look(page, 'viewer');
await page.reload();
await page.getByText('eve (viewer)').waitFor();
ok(await page.getByRole('dialog').count() === 0, 'the tab keeps the token');
ok(await page.evaluate(() => localStorage.length === 0
  && document.cookie === ''), 'and nothing else does');

await button(page, 'Sign out').click();
await dialog.waitFor();
await sign(UI_OPERATOR);
await page.getByText('olga (operator)').waitFor();
await button(page, 'Abort').click();
await button(page, 'Abort now').click();
await page.locator('.tiles .badge').getByText('aborted').waitFor();
ok(true, 'an operator aborts');
await page.locator('.events', { hasText: 'olga' }).waitFor();
ok(true, 'by her name');

none(complaints, 'no error on the page');
await done();
