import { chromium, type Browser, type BrowserContext, type BrowserContextOptions, type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, expect, inject } from "vitest";

const PATH = process.env.CHROMIUM ?? "/usr/bin/chromium";
const FLAGS = ["--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

export const PANELS = ["calibrate", "compare", "sets", "unknown", "shift", "intents", "teach", "decoding", "spans", "roll", "speed"] as const;

export function launch(): Promise<Browser> {
  return chromium.launch({ executablePath: PATH, args: FLAGS });
}

/** A page that fails the test on anything that the console or the policy complains of, and on any request that leaves the page's own site. */
export async function openPage(context: BrowserContext, panel: string, complaints: string[]): Promise<Page> {
  const page = await context.newPage(), origin = inject("origin");
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") complaints.push(message.text());
  });
  page.on("pageerror", (cause) => complaints.push(cause.message));
  page.on("request", (request) => {
    if (!request.url().startsWith(origin) && !/^(?:blob|data):/.test(request.url())) complaints.push(`request to ${request.url()}`);
  });
  await page.goto(`${origin}#${panel}`);
  await page.locator(`main[data-panel=${panel}] .card`).first().waitFor();
  return page;
}

export function newContext(browser: Browser, options: BrowserContextOptions = {}): Promise<BrowserContext> {
  return browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
}

/** Opens panels in a browser of its own, for each test in a fresh context; afterwards nothing may have complained. Called where the hooks of the tests stand. */
export function panelOpener(options: BrowserContextOptions = {}): (panel: (typeof PANELS)[number]) => Promise<Page> {
  let browser: Browser, context: BrowserContext, complaints: string[];
  beforeAll(async () => {
    browser = await launch();
  });
  afterAll(() => browser.close());
  beforeEach(async () => {
    complaints = [];
    context = await newContext(browser, options);
  });
  afterEach(async () => {
    await context.close();
    expect(complaints).toEqual([]);
  });
  return (panel) => openPage(context, panel, complaints);
}

/** The text of an element with a `data-name`. */
export async function shown(page: Page, name: string): Promise<string> {
  return (await page.locator(`[data-name="${name}"]`).first().textContent())!;
}

/** Waits until the element shows a text. */
export async function expectShown(page: Page, name: string, text: string): Promise<void> {
  await expect.poll(() => shown(page, name), { timeout: 20_000, message: name }).toBe(text);
}

/** Waits until no job runs. */
export async function idle(page: Page): Promise<void> {
  await page.waitForFunction(() => document.querySelector("[data-busy=yes]") === null, undefined, { timeout: 50_000 });
}

/** Moves a slider as a hand does. */
export async function slide(page: Page, name: string, value: number): Promise<void> {
  await page.locator(`input[name=${name}]`).evaluate((input: HTMLInputElement, to) => {
    input.value = String(to);
    input.dispatchEvent(new Event("input", { bubbles: true }));
  }, value);
}
