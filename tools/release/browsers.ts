import { spawn, type ChildProcess } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { chromium } from "playwright-core";
import puppeteer from "puppeteer-core";
import { Builder, Capabilities } from "selenium-webdriver";

/** Opens a page and returns what its `result` promise gives. */
interface Browser {
  read(url: string): Promise<string>;
  close(): Promise<void>;
}

const FLAGS = ["--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const MINIBROWSER = "/usr/lib/x86_64-linux-gnu/webkit2gtk-4.1/MiniBrowser";
const POLICY = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'";

const engines: Record<string, () => Promise<Browser>> = {
  async Chromium() {
    const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", headless: true, args: FLAGS });
    const page = await browser.newPage();
    return {
      read: async (url) => (await page.goto(url), page.evaluate(() => (globalThis as unknown as { result: Promise<string> }).result)),
      close: () => browser.close(),
    };
  },
  async Firefox() {
    const browser = await puppeteer.launch({ browser: "firefox", executablePath: "/usr/bin/firefox-esr", headless: true });
    const page = await browser.newPage();
    return {
      read: async (url) => (await page.goto(url), page.evaluate(() => (globalThis as unknown as { result: Promise<string> }).result)),
      close: () => browser.close(),
    };
  },
  async WebKit() {
    const children: ChildProcess[] = [];
    const display = `:${90 + (process.pid % 9)}`;
    children.push(spawn("Xvfb", [display], { stdio: "ignore" }));
    await new Promise((done) => setTimeout(done, 500));
    children.push(spawn("WebKitWebDriver", ["--port=4723", "--host=127.0.0.1"], { stdio: "ignore", env: { ...process.env, DISPLAY: display } }));
    await new Promise((done) => setTimeout(done, 500));
    const capabilities = new Capabilities({ browserName: "MiniBrowser", "webkitgtk:browserOptions": { binary: MINIBROWSER, args: ["--automation"] } });
    const driver = await new Builder().usingServer("http://127.0.0.1:4723").withCapabilities(capabilities).build();
    return {
      read: async (url) => (await driver.get(url), driver.executeAsyncScript("const done = arguments[arguments.length - 1]; globalThis.result.then(done);")),
      async close() {
        await driver.quit();
        for (const child of children) child.kill();
      },
    };
  },
};

const executables: Record<string, string> = { Chromium: "/usr/bin/chromium", Firefox: "/usr/bin/firefox-esr", WebKit: MINIBROWSER };

/** The bundles of every bundler in a page with a strict policy, and those of esbuild in a worker and a service worker, in three engines. */
export async function inBrowsers(
  site: string,
  bundles: readonly string[],
  attempt: (where: string, work: () => Promise<string> | string) => Promise<void>,
  same: (printed: string) => string,
): Promise<void> {
  const pages: Record<string, string> = {};
  for (const bundler of bundles) pages[`/${bundler}.html`] = `<!doctype html><meta charset="utf-8"><title>consumer</title><script src="/${bundler}-page.js"></script>`;
  pages["/worker.html"] = `<!doctype html><meta charset="utf-8"><title>consumer</title><script src="/start-worker.js"></script>`;
  pages["/service.html"] = `<!doctype html><meta charset="utf-8"><title>consumer</title><script src="/start-service.js"></script>`;
  pages["/start-worker.js"] = `result = new Promise((resolve) => { const worker = new Worker("/esbuild-worker.js"); worker.onmessage = (event) => resolve(event.data); worker.onerror = (event) => resolve("error: " + event.message); worker.postMessage(0); });`;
  pages["/start-service.js"] = `result = (async () => { await navigator.serviceWorker.register("/esbuild-worker.js"); const { active } = await navigator.serviceWorker.ready; return new Promise((resolve) => { navigator.serviceWorker.onmessage = (event) => resolve(event.data); active.postMessage(0); }); })();`;
  const server = createServer((request, response) => {
    const path = new URL(request.url!, "http://localhost").pathname;
    const file = join(site, path);
    const body = pages[path] ?? (path.endsWith(".js") && existsSync(file) ? readFileSync(file) : undefined);
    response.writeHead(body === undefined ? 404 : 200, { "content-type": path.endsWith(".js") ? "text/javascript" : "text/html", "content-security-policy": POLICY });
    response.end(body);
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  try {
    for (const [name, open] of Object.entries(engines)) {
      if (!existsSync(executables[name])) {
        await attempt(name, () => { throw new Error(`expected ${executables[name]}, got nothing there: install the browser`); });
        continue;
      }
      const browser = await open();
      try {
        for (const bundler of bundles) await attempt(`${name}, bundle of ${bundler}, script-src 'self' 'wasm-unsafe-eval'`, async () => same(await browser.read(`${origin}/${bundler}.html`)));
        await attempt(`${name}, worker`, async () => same(await browser.read(`${origin}/worker.html`)));
        await attempt(`${name}, service worker`, async () => same(await browser.read(`${origin}/service.html`)));
      } finally {
        await browser.close();
      }
    }
  } finally {
    server.close();
  }
}
