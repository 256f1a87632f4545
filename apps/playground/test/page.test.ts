import { readFileSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { PANELS, expectAccessible, expectShown, idle, launch, newContext, openPage, shown, slide } from "./browser.ts";

let browser: Browser;
beforeAll(async () => {
  browser = await launch();
});
afterAll(() => browser.close());

/** Brings a panel to the state with the most on it. */
async function fill(page: Page, panel: string): Promise<void> {
  if (panel === "teach") {
    await page.locator("input[value=pictures]").check();
    await page.locator("button[name=example-pictures]").click();
    await page.locator("button[name=teach]:enabled").waitFor();
    await page.locator("button[name=teach]").click();
    await page.locator("button[name=try-checkerboard]").click();
    await page.locator("[data-name=decision]").waitFor();
  } else if (panel === "speed") {
    await page.locator("button[name=measure]").click();
    await page.locator("table[data-name=speed]").waitFor({ timeout: 50_000 });
  } else if (panel === "gpu") {
    await page.locator("button[name=measure]").click();
    await page.locator("[data-name=gpu-missing], [data-name=gpu-summary]").waitFor({ timeout: 50_000 });
  } else {
    const ready = { calibrate: "calibrate-summary", compare: "compare-summary", sets: "sets-summary", unknown: "unknown-summary", shift: "shift-summary", intents: "intent-p-value", decoding: "decoding-summary", spans: "legal", roll: "roll-summary" }[panel]!;
    await page.locator(`[data-name=${ready}]`).waitFor({ timeout: 30_000 });
    await idle(page);
    for (const details of await page.locator("details.numbers summary").all()) await details.click();
  }
}

describe("every panel", () => {
  test.each(PANELS)("%s: axe finds nothing in light and in dark, nothing is wider than a small phone, and the console is silent", async (panel) => {
    const complaints: string[] = [], context = await newContext(browser, { colorScheme: "light" }), page = await openPage(context, panel, complaints);
    await fill(page, panel);
    await expectAccessible(page);
    await context.close();
    expect(complaints).toEqual([]);
  });
});

describe("the page", () => {
  test("is interactive within 2 seconds, and shows the first result soon after", async () => {
    const context = await newContext(browser, { serviceWorkers: "block" }), page = await context.newPage();
    await page.goto(inject("origin"), { waitUntil: "commit" });
    const [controls, result] = await page.evaluate(async () => {
      const until = async (ready: () => boolean): Promise<number> => {
        while (!ready()) await new Promise((resume) => requestAnimationFrame(resume));
        return performance.now();
      };
      return [await until(() => document.querySelector("select[name=set]") !== null), await until(() => document.querySelector("[data-name=fitted-temperature]") !== null && document.querySelector("figure svg") !== null)];
    });
    console.log(`controls after ${Math.round(controls)} ms, first result after ${Math.round(result)} ms`);
    expect(controls).toBeLessThan(2000);
    // The main thread is free: a control answers at once.
    const start = Date.now();
    await page.locator("button[name=theme]").click();
    expect(await page.evaluate(() => document.documentElement.dataset.theme)).toBe("dark");
    expect(Date.now() - start).toBeLessThan(1000);
    await context.close();
  });

  test("weighs little: shell, panels and pictures compressed", () => {
    const assets = join(import.meta.dirname, "..", "dist", "assets"), html = readFileSync(join(assets, "..", "index.html"), "utf8");
    const gzip = (name: string): number => gzipSync(readFileSync(join(assets, name)), { level: 9 }).length;
    const linked = [...html.matchAll(/assets\/([^"]+)"/g)].map((match) => match[1]);
    expect(linked).not.toEqual([]);
    const shell = gzipSync(html).length + linked.reduce((sum, name) => sum + gzip(name), 0);
    const scripts = readdirSync(assets).filter((name) => name.endsWith(".js") && !linked.includes(name));
    console.log(`shell ${shell} bytes; ${scripts.map((name) => `${name} ${gzip(name)}`).join(", ")}; data ${readdirSync(assets).filter((name) => !/\.(?:js|css)$/.test(name)).map((name) => `${name} ${statSync(join(assets, name)).size}`).join(", ")}`);
    expect(shell).toBeLessThan(20 * 1024);
    expect(scripts.reduce((sum, name) => sum + gzip(name), 0)).toBeLessThan(320 * 1024);
  });

  test("works without a network after the first visit", async () => {
    const complaints: string[] = [], context = await newContext(browser), page = await openPage(context, "calibrate", complaints);
    await page.locator("[data-name=fitted-temperature]").waitFor();
    await page.evaluate(() => navigator.serviceWorker.ready.then((registration) => registration.active!.state === "activated" || new Promise((resume) => registration.active!.addEventListener("statechange", resume))));
    // The first visit began before the service worker did: the second one fills its store with the data.
    await page.reload();
    await page.locator("[data-name=fitted-temperature]").waitFor();
    const temperature = await shown(page, "fitted-temperature");
    await context.setOffline(true);
    await page.reload();
    await expectShown(page, "fitted-temperature", temperature);
    await page.locator("nav a[href='#speed']").click();
    await page.locator("button[name=measure]").waitFor();
    await context.close();
    expect(complaints).toEqual([]);
  });

  test("is used by keyboard: skip link, navigation, focus on the heading, the chosen theme is kept", async () => {
    const context = await newContext(browser), page = await openPage(context, "calibrate", []);
    await page.keyboard.press("Tab");
    expect(await page.evaluate(() => document.activeElement!.textContent)).toBe("Skip to the panel");
    await page.keyboard.press("Enter");
    expect(await page.evaluate(() => document.activeElement!.tagName)).toBe("H2");
    await page.locator("nav a[href='#sets']").focus();
    await page.keyboard.press("Enter");
    await page.locator("main[data-panel=sets] input[name=alpha]").waitFor();
    expect(await page.evaluate(() => document.activeElement!.textContent)).toBe("Sets: answers with a guarantee");
    expect(await page.title()).toBe("Sets · Logits playground");
    expect(await page.locator("nav a[aria-current=page]").textContent()).toBe("Sets");
    await page.locator("button[name=theme]").click();
    await page.reload();
    expect(await page.evaluate(() => document.documentElement.dataset.theme)).toBe("dark");
    await context.close();
  });

  test("long work can be stopped and started again, and a moved slider replaces what it waits for", async () => {
    const complaints: string[] = [], context = await newContext(browser), page = await openPage(context, "sets", complaints);
    await page.locator("[data-name=sets-summary]").waitFor();
    for (let i = 1; i <= 40; i++) await slide(page, "alpha", 0.01 * i);
    await expectShown(page, "promised", "60.0\u00a0%");
    await idle(page);
    await page.evaluate(async () => {
      const stop = document.querySelector<HTMLButtonElement>("[data-name=sets-job] button")!;
      document.querySelector<HTMLButtonElement>("button[name=split]")!.click();
      while (stop.disabled) await new Promise((resume) => setTimeout(resume));
      stop.click();
    });
    await page.locator(".message", { hasText: "Stopped" }).locator("button").click();
    await expectShown(page, "seed", "1");
    await idle(page);
    await context.close();
    expect(complaints).toEqual([]);
  });
});
