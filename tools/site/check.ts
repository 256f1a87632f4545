/**
 * Builds the site and checks it as a stranger meets it: links and anchors, accessibility in light and dark, weight, width on a phone, search, and that no request leaves the origin.
 *
 *   node tools/site/check.ts [--no-build] [--only landing,start] [--shots <folder>]
 *
 * A line for each check; exit status 1 where one fails. Needs the built packages, `pnpm --dir docs install`, `pnpm --dir tools/site install`, and Chromium.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { chromium, type Browser, type Page } from "playwright-core";
import { brokenLinks } from "./links.ts";
import { serve, type Site } from "./serve.ts";

const { values: options } = parseArgs({ options: { "no-build": { type: "boolean", default: false }, only: { type: "string" }, shots: { type: "string" } } });
const root = join(import.meta.dirname, "../..");
const dist = join(root, "docs/dist");
const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const FLAGS = ["--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const LARGEST = 150 * 1024;
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** One page of every kind. */
const KINDS: Record<string, string> = {
  landing: "/", start: "/start/", "way in": "/start/transformers/", guide: "/guides/unknown/", idea: "/idea/", function: "/core-wasm/softmax/", object: "/head/decision-head/", performance: "/performance/",
  "where we lose": "/where-we-lose/", accuracy: "/accuracy/", papers: "/papers/", api: "/api/ood/", index: "/pages/", glossary: "/glossary/", recipe: "/recipes/loki/", "not found": "/404.html",
};
const SHOTS = ["landing", "start", "function", "performance", "papers", "where we lose", "api", "idea", "guide"];

let failures = 0;
function report(name: string, problems: readonly string[], detail = ""): void {
  if (problems.length > 0) failures++;
  console.log(`${problems.length === 0 ? "ok  " : "FAIL"} ${name}${detail && `: ${detail}`}`);
  for (const problem of problems.slice(0, 20)) console.log(`       ${problem}`);
  if (problems.length > 20) console.log(`       and ${problems.length - 20} more`);
}

function build(): void {
  const docs = join(root, "docs");
  for (const [name, args] of [["generate", ["src/generate/main.ts"]], ["build", ["node_modules/astro/bin/astro.mjs", "build"]]] as const) {
    const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: docs, encoding: "utf8", env: { ...process.env, ASTRO_TELEMETRY_DISABLED: "1" }, maxBuffer: 1 << 28 });
    report(name, status === 0 ? [] : `${stdout.slice(-2000)}${stderr.slice(-2000)}`.split("\n"));
    if (status !== 0) process.exit(1);
  }
}

/** A page in a theme; requests to other places end up in `foreign`. */
async function open(browser: Browser, site: Site, path: string, theme: "light" | "dark", width: number, foreign: Set<string>, errors: Set<string>): Promise<Page> {
  const context = await browser.newContext({ colorScheme: theme, viewport: { width, height: width < 500 ? 844 : 900 }, reducedMotion: "reduce" });
  await context.addInitScript((chosen) => localStorage.setItem("starlight-theme", chosen), theme);
  const page = await context.newPage();
  page.on("request", (request) => {
    if (!/^(data|blob):/.test(request.url()) && new URL(request.url()).origin !== site.origin) foreign.add(request.url());
  });
  page.on("pageerror", (error) => errors.add(`${path}: ${error.message}`));
  page.on("console", (message) => {
    if (message.type() === "error" && path !== KINDS["not found"]) errors.add(`${path}: ${message.text()}`);
  });
  await page.goto(site.origin + path, { waitUntil: path === "/" ? "networkidle" : "load" });
  return page;
}

/** A code block that scrolls becomes focusable when the page is idle after a resize; axe names those that have not within ten seconds. */
async function codeBlocksSettled(page: Page): Promise<void> {
  await page.waitForTimeout(300);
  await page.waitForFunction(() => [...document.querySelectorAll<HTMLElement>(".expressive-code pre")].every((block) => block.scrollWidth <= block.clientWidth || block.tabIndex === 0), null, { timeout: 10_000 }).catch(() => undefined);
}

async function violations(page: Page): Promise<string[]> {
  await page.evaluate(axe);
  const found = await page.evaluate(() => (globalThis as unknown as { axe: { run(): Promise<{ violations: { id: string; help: string; nodes: { target: unknown[]; failureSummary: string }[] }[] }> } }).axe.run());
  return found.violations.flatMap(({ id, help, nodes }) => nodes.slice(0, 3).map(({ target, failureSummary }) => `${id}: ${help} (${target.join(" ")}) ${failureSummary.replaceAll(/\s+/g, " ").slice(0, 240)}`));
}

if (!options["no-build"]) build();
if (!existsSync(dist)) throw new Error("expected the built site in docs/dist, got none");

const { checked, pages, broken } = brokenLinks(dist);
report("links", broken, `${checked} links on ${pages} pages`);

const site = await serve(dist);
const browser = await chromium.launch({ executablePath: CHROMIUM, headless: true, args: FLAGS });
const foreign = new Set<string>(), errors = new Set<string>();
try {
  site.sent.clear();
  const landing = await open(browser, site, "/", "light", 1280, foreign, errors);
  const weight = [...site.sent.values()].reduce((total, bytes) => total + bytes, 0);
  const parts = [...site.sent].toSorted(([, a], [, b]) => b - a).map(([path, bytes]) => `${path} ${bytes}`);
  report("weight of the landing page", weight <= LARGEST ? [] : parts, `${(weight / 1024).toFixed(1)} KiB in ${site.sent.size} files, at most ${LARGEST / 1024}`);
  await landing.context().close();

  const chosen = options.only?.split(",") ?? Object.keys(KINDS);
  for (const [kind, path] of Object.entries(KINDS).filter(([kind]) => chosen.includes(kind))) {
    const problems: string[] = [], wide: string[] = [];
    for (const theme of ["light", "dark"] as const) {
      const page = await open(browser, site, path, theme, 1280, foreign, errors);
      for (const width of [1280, 390]) {
        await page.setViewportSize({ width, height: width < 500 ? 844 : 900 });
        await codeBlocksSettled(page);
        problems.push(...(await violations(page)).map((problem) => `${theme} ${width}: ${problem}`));
        const scroll = await page.evaluate(() => document.documentElement.scrollWidth);
        if (scroll > width) wide.push(`${theme}: ${scroll} pixels wide on a screen of ${width}`);
        if (options.shots !== undefined && SHOTS.includes(kind)) {
          mkdirSync(options.shots, { recursive: true });
          await page.screenshot({ path: join(options.shots, `${kind.replaceAll(" ", "-")}-${theme}-${width}.png`), fullPage: kind === "landing" || kind === "performance" });
        }
      }
      await page.context().close();
    }
    report(`axe, ${kind}`, problems);
    if (wide.length > 0) report(`width, ${kind}`, wide);
  }

  const problems: string[] = [];
  for (const theme of ["light", "dark"] as const) {
    const page = await open(browser, site, "/start/", theme, 1280, foreign, errors);
    await page.locator("button[data-open-modal]:not([disabled])").click();
    await page.locator("dialog input").fill("temperature");
    const results = page.locator("dialog .pagefind-ui__result-link, dialog a[href*='temperature']");
    await results.first().waitFor({ timeout: 20_000 });
    if ((await results.count()) === 0) problems.push(`${theme}: no result for "temperature"`);
    problems.push(...(await violations(page)).map((problem) => `${theme}: ${problem}`));
    if (options.shots !== undefined) await page.screenshot({ path: join(options.shots, `search-${theme}.png`) });
    await results.first().click();
    await page.waitForURL((url) => url.pathname !== "/start/");
    await page.context().close();
  }
  report("search finds, opens, and passes axe", problems);
} finally {
  await browser.close();
  await site.close();
}
report("no request leaves the origin", [...foreign]);
report("no error in the console", [...errors]);
console.log(failures === 0 ? "the site passes" : `${failures} checks fail`);
process.exitCode = failures === 0 ? 0 : 1;
