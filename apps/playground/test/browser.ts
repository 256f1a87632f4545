import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium, type Browser, type BrowserContext, type BrowserContextOptions, type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, expect, inject } from "vitest";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const PATH = process.env.CHROMIUM ?? "/usr/bin/chromium";
const FLAGS = ["--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

export const PANELS = ["calibrate", "compare", "sets", "unknown", "shift", "intents", "teach", "decoding", "spans", "roll", "speed", "gpu"] as const;

export function launch(flags: readonly string[] = []): Promise<Browser> {
  return chromium.launch({ executablePath: PATH, args: [...FLAGS, ...flags] });
}

/** A page that fails the test on anything that the console or the policy complains of, and on any request that leaves the page's own site. */
export async function openPage(context: BrowserContext, panel: string, complaints: string[], origin = inject("origin")): Promise<Page> {
  const page = await context.newPage();
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

interface Violation {
  readonly id: string;
  readonly nodes: readonly { readonly html: string; readonly failureSummary?: string }[];
}

async function violations(page: Page): Promise<string[]> {
  // Transitions end before colours are compared.
  await page.waitForTimeout(200);
  const found = await page.evaluate(async () => ((await (globalThis as unknown as { axe: { run: () => Promise<{ violations: unknown[] }> } }).axe.run()).violations as Violation[]));
  return found.map(({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary ?? ""}`).join(" | ")}`);
}

/** In light, in dark and on a small phone axe finds nothing, and nothing is wider than the phone. */
export async function expectAccessible(page: Page): Promise<void> {
  await page.evaluate(AXE);
  expect(await violations(page)).toEqual([]);
  await page.emulateMedia({ colorScheme: "dark" });
  expect(await violations(page)).toEqual([]);
  await page.setViewportSize({ width: 360, height: 740 });
  await page.waitForTimeout(200);
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(360);
  expect(await violations(page)).toEqual([]);
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
