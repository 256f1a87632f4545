import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { afterAll, expect, it } from "vitest";
import { expected } from "./adapter.ts";

// The battery in Chromium, with the built packages.

const folder = mkdtempSync(join(tmpdir(), "logits-webgpu-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const page = `
import { backendChecks } from "@logits/testkit";
import { webgpu } from "@logits/webgpu";
import { asBackend } from "./backend.ts";

async function run() {
  let gpu;
  try {
    gpu = await webgpu();
  } catch (error) {
    return { missing: error.message };
  }
  const faults = [], uncaught = [];
  gpu.device.onuncapturederror = ({ error }) => uncaught.push(error.message);
  const checks = backendChecks(asBackend(gpu, "Chromium"));
  for (const { name, run } of checks) await run().catch((error) => faults.push(name + ": " + error.message));
  return { checks: checks.length, faults, uncaught, adapter: gpu.adapter, subgroups: gpu.subgroups };
}
run().catch((error) => ({ faults: [String(error?.stack ?? error)] })).then((result) => fetch("/result", { method: "POST", body: JSON.stringify(result) }));
`;

interface Answer {
  readonly missing?: string;
  readonly checks?: number;
  readonly faults?: readonly string[];
  readonly uncaught?: readonly string[];
  readonly adapter?: string;
  readonly subgroups?: boolean;
}

/** What the page answers; Chromium with its software adapter. */
async function inChromium(): Promise<Answer> {
  writeFileSync(join(folder, "page.html"), '<!doctype html><meta charset="utf-8"><title>WebGPU</title><script type="module" src="/page.js"></script>');
  await build({ stdin: { contents: page, resolveDir: import.meta.dirname }, bundle: true, format: "esm", platform: "browser", outfile: join(folder, "page.js"), logLevel: "error" });
  let answer: (result: Answer) => void;
  let late: ReturnType<typeof setTimeout> | undefined;
  const result = new Promise<Answer>((resolve, reject) => {
    answer = resolve;
    late = setTimeout(() => reject(new Error("the page did not answer within 280 s")), 280_000);
  });
  const server = createServer(async (request, response) => {
    if (request.method === "POST") {
      let body = "";
      for await (const piece of request) body += piece;
      answer(JSON.parse(body) as Answer);
      response.end();
      return;
    }
    const file = request.url === "/page.js" ? "page.js" : request.url === "/page.html" ? "page.html" : undefined;
    if (!file) response.writeHead(404).end();
    else response.writeHead(200, { "content-type": file.endsWith(".js") ? "text/javascript" : "text/html" }).end(readFileSync(join(folder, file)));
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const { port } = server.address() as { port: number };
  const flags = ["--headless", "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--remote-debugging-port=0", "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan"];
  const browser = spawn("chromium", [...flags, `--user-data-dir=${join(folder, "profile")}`, `http://127.0.0.1:${port}/page.html`], { stdio: "ignore", detached: true });
  try {
    return await result;
  } finally {
    clearTimeout(late);
    process.kill(-browser.pid!, "SIGKILL");
    server.close();
    server.closeAllConnections();
  }
}

function chromium(): boolean {
  try {
    execFileSync("chromium", ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

it("the battery passes in Chromium, or says that it did not run", async () => {
  const { missing, checks, faults, uncaught, adapter, subgroups }: Answer = chromium() ? await inChromium() : { missing: "no Chromium" };
  if (missing) {
    console.log(`WebGPU in Chromium: did not run (${missing})`);
    if (expected) expect(missing).toBe("");
    return;
  }
  console.log(`WebGPU in Chromium: ${adapter}, subgroups ${subgroups}, ${checks} checks`);
  expect([faults, uncaught]).toEqual([[], []]);
  expect(checks).toBeGreaterThan(90);
});
