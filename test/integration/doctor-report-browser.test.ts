import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { chromium, type Browser, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { formatReportHtml } from '../../src/doctor/report/html.ts';
import { frame, hostileReport, reportCases } from '../helpers/report-cases.ts';
import { findProgram, testWithTools } from '../helpers/tools.ts';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
let folder = '';
let browser: Browser | null = null;

beforeAll(async () => {
  const executablePath = findProgram('chromium');
  if (executablePath === null) return;
  folder = await mkdtemp(join(tmpdir(), 'mcpd-report-'));
  for (const [name, report] of [...reportCases, ['hostile', hostileReport(20_000)] as const]) {
    await writeFile(join(folder, `${name}.html`), formatReportHtml(report, frame));
  }
  browser = await chromium.launch({
    executablePath,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-background-networking',
      '--no-first-run',
      '--disable-dev-shm-usage',
    ],
  });
}, 60_000);
afterAll(async () => {
  await browser?.close();
  if (folder !== '') await rm(folder, { recursive: true, force: true });
});

/** Opens a report and runs `look`; whatever the browser complains of or asks for besides the file fails it. */
async function withReport<T>(
  name: string,
  options: { readonly colorScheme?: 'light' | 'dark'; readonly width?: number },
  look: (page: Page) => Promise<T>,
): Promise<T> {
  if (browser === null) throw new Error('there is no browser');
  const viewport = { width: options.width ?? 1_100, height: 900 };
  const context = await browser.newContext({ colorScheme: options.colorScheme ?? 'light', viewport });
  try {
    const page = await context.newPage();
    const complaints: string[] = [];
    page.on('console', (message) => complaints.push(message.text()));
    page.on('pageerror', (error) => complaints.push(error.message));
    page.on('dialog', (dialog) => complaints.push(dialog.message()));
    const asked: string[] = [];
    page.on('request', (request) => asked.push(request.url()));
    const url = pathToFileURL(join(folder, `${name}.html`)).href;
    await page.goto(url);
    const result = await look(page);
    expect(complaints).toEqual([]);
    expect(asked).toEqual([url]);
    return result;
  } finally {
    await context.close();
  }
}

const looks = [
  { name: 'broken', colorScheme: 'light', width: 1_100 },
  { name: 'broken', colorScheme: 'dark', width: 1_100 },
  { name: 'broken', colorScheme: 'light', width: 400 },
  { name: 'healthy', colorScheme: 'dark', width: 400 },
  { name: 'partly-unknown', colorScheme: 'light', width: 1_100 },
  { name: 'hostile', colorScheme: 'dark', width: 400 },
] as const;

describe('the page of a report in a real browser', () => {
  for (const look of looks) {
    testWithTools(['chromium'], `${look.name}, ${look.colorScheme}, ${look.width} px: axe finds nothing`, async () => {
      const violations = await withReport(look.name, look, async (page) => {
        expect(await page.evaluate<number>('document.documentElement.scrollWidth')).toBeLessThanOrEqual(look.width);
        await page.evaluate('for (const each of document.querySelectorAll("details")) each.open = true');
        await page.evaluate(`${axe}; undefined`);
        return page.evaluate<readonly string[]>(
          'axe.run().then(({ violations }) => violations.map(({ id, nodes }) => [id, ...nodes.map(({ html }) => html)].join(" ")))',
        );
      });
      expect(violations).toEqual([]);
    });
  }

  testWithTools(['chromium'], 'a server puts no element, no attribute and no script into it', async () => {
    const seen = await withReport('hostile', {}, (page) =>
      page.evaluate<{ scripts: number; handlers: string[]; title: string }>(`({
        scripts: document.querySelectorAll('script, img, iframe, a, object, link').length,
        handlers: [...document.querySelectorAll('*')].flatMap((element) =>
          element.getAttributeNames().filter((name) => name.startsWith('on'))),
        title: document.title,
      })`),
    );
    expect(seen).toMatchObject({ scripts: 0, handlers: [] });
    expect(seen.title).toContain("<script>alert('1')</script>");
  });

  testWithTools(
    ['chromium'],
    'the picture marks the broken hop, and each thing is reached by the keyboard in order',
    async () => {
      const seen = await withReport('broken', {}, async (page) => {
        const broken = await page.locator('svg.path.wide .label.bad').allTextContents();
        const reached: string[] = [];
        for (let presses = 0; presses < 6; presses += 1) {
          await page.keyboard.press('Tab');
          reached.push(await page.evaluate<string>('document.activeElement.tagName'));
        }
        await page.locator('details.finding summary').first().focus();
        await page.keyboard.press('Enter');
        const open = await page.locator('details.finding').first().getAttribute('open');
        return { broken, reached, open };
      });
      expect(seen.broken).toEqual(['nginx/1.22.1']);
      expect(seen.reached).toEqual(['SUMMARY', 'DIV', 'SUMMARY', 'SUMMARY', 'SUMMARY', 'SUMMARY']);
      expect(seen.open).not.toBeNull();
    },
  );

  testWithTools(['chromium'], 'it prints, with what is folded away unfolded and black on white', async () => {
    await withReport('broken', { colorScheme: 'dark' }, async (page) => {
      const pdf = await page.pdf({ format: 'A4' });
      expect(pdf.subarray(0, 5).toString()).toBe('%PDF-');
      await page.emulateMedia({ media: 'print', colorScheme: 'dark' });
      expect(await page.locator('details li').first().isVisible()).toBe(true);
      const background = await page.evaluate<string>('getComputedStyle(document.documentElement).backgroundColor');
      expect(background).toBe('rgb(255, 255, 255)');
    });
  });
});
