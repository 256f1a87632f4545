import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, extname, join } from "node:path";
import { build } from "esbuild";
import { expectClose } from "@logits/testkit";
import { afterAll, expect, it } from "vitest";
import { onnxModel, type OnnxModel } from "../../packages/testkit/src/onnxWriter.ts";
import { expected } from "./adapter.ts";

// The battery in Chromium, with the built packages; and logits that ONNX Runtime Web left on the GPU, taken over on its device.

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
`;

/** scores = input weights. */
function head(weights: Float32Array): OnnxModel {
  return {
    inputs: [{ name: "input", shape: ["batch", 4] }],
    outputs: [{ name: "scores", shape: ["batch", CLASSES] }],
    nodes: [{ type: "Gemm", inputs: ["input", "weights"], outputs: ["scores"] }],
    initializers: [{ name: "weights", type: "float32", shape: [4, CLASSES], data: weights }],
  };
}

/** Its answer goes to the server. */
const LAST = `run().catch((error) => ({ faults: [String(error?.stack ?? error)] })).then((result) => fetch("/result", { method: "POST", body: JSON.stringify(result) }));`;

const ROWS = 4, CLASSES = 1000;
const onnxPage = `
import { logitStatistics, webgpu } from "@logits/webgpu";
import * as ort from "onnxruntime-web/webgpu";

async function run() {
  if (!(await navigator.gpu?.requestAdapter())) return { missing: "no adapter" };
  ort.env.wasm.wasmPaths = "/ort/";
  ort.env.wasm.numThreads = 1;
  const session = await ort.InferenceSession.create("/head.onnx", { executionProviders: ["webgpu"], preferredOutputLocation: "gpu-buffer" });
  const { scores } = await session.run({ input: new ort.Tensor("float32", Float32Array.from({ length: ${ROWS * 4} }, (_, i) => Math.sin(i)), [${ROWS}, 4]) });
  const { location } = scores;
  const gpu = await webgpu({ device: await ort.env.webgpu.device });
  const uncaught = [];
  gpu.device.addEventListener("uncapturederror", ({ error }) => uncaught.push(error.message));
  const logits = gpu.tensor(scores);
  const statistics = await gpu.read(logitStatistics(logits, { select: ["maxProbability", "energy", "argmax"] }));
  const { bytesRead, memory } = gpu;
  const all = (await logits.read()).data;
  logits.dispose();
  gpu.dispose();
  const again = await scores.getData();
  return { faults: [], uncaught, location, bytesRead, buffers: memory.buffers, alive: again.length, logits: [...all], argmax: [...statistics.argmax.data], energy: [...statistics.energy.data] };
}
`;

interface Answer {
  readonly missing?: string;
  readonly checks?: number;
  readonly faults?: readonly string[];
  readonly uncaught?: readonly string[];
  readonly adapter?: string;
  readonly subgroups?: boolean;
  readonly location?: string;
  readonly bytesRead?: number;
  readonly alive?: number;
  readonly logits?: readonly number[];
  readonly argmax?: readonly number[];
  readonly energy?: readonly number[];
}

const TYPES: Readonly<Record<string, string>> = { ".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm" };
const ort = dirname(createRequire(import.meta.url).resolve("onnxruntime-web"));

/** What the page answers; Chromium with its software adapter. */
async function inChromium(name: string, source: string): Promise<Answer> {
  writeFileSync(join(folder, "page.html"), '<!doctype html><meta charset="utf-8"><title>WebGPU</title><script type="module" src="/page.js"></script>');
  await build({ stdin: { contents: source + LAST, resolveDir: import.meta.dirname }, bundle: true, format: "esm", platform: "browser", outfile: join(folder, "page.js"), logLevel: "error" });
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
    const path = new URL(request.url!, "http://localhost").pathname;
    const file = path.startsWith("/ort/") ? join(ort, path.slice(5)) : join(folder, path);
    if (!existsSync(file)) response.writeHead(404).end();
    else response.writeHead(200, { "content-type": TYPES[extname(file)] ?? "application/octet-stream" }).end(readFileSync(file));
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const { port } = server.address() as { port: number };
  const flags = ["--headless", "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--remote-debugging-port=0", "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan"];
  const browser = spawn("chromium", [...flags, `--user-data-dir=${join(folder, `profile-${name}`)}`, `http://127.0.0.1:${port}/page.html`], { stdio: "ignore", detached: true });
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
  const { missing, checks, faults, uncaught, adapter, subgroups }: Answer = chromium() ? await inChromium("battery", page) : { missing: "no Chromium" };
  if (missing) {
    console.log(`WebGPU in Chromium: did not run (${missing})`);
    if (expected) expect(missing).toBe("");
    return;
  }
  console.log(`WebGPU in Chromium: ${adapter}, subgroups ${subgroups}, ${checks} checks`);
  expect([faults, uncaught]).toEqual([[], []]);
  expect(checks).toBeGreaterThan(90);
});

it("logits that ONNX Runtime Web left on the GPU are reduced there: 12 bytes a row are read back", async () => {
  const weights = Float32Array.from({ length: 4 * CLASSES }, (_, i) => 3 * Math.sin(1 + i * i));
  writeFileSync(join(folder, "head.onnx"), onnxModel(head(weights)));
  const { missing, faults, uncaught, location, bytesRead, alive, logits, argmax, energy }: Answer = chromium() ? await inChromium("onnx", onnxPage) : { missing: "no Chromium" };
  if (missing) {
    console.log(`ONNX Runtime Web on WebGPU: did not run (${missing})`);
    if (expected) expect(missing).toBe("");
    return;
  }
  expect([faults, uncaught, location, bytesRead, alive]).toEqual([[], [], "gpu-buffer", 12 * ROWS, ROWS * CLASSES]);
  for (let r = 0; r < ROWS; r++) {
    const row = logits!.slice(r * CLASSES, (r + 1) * CLASSES), top = Math.max(...row);
    expect(argmax![r]).toBe(row.indexOf(top));
    expectClose(energy![r], -top - Math.log(row.reduce((sum, v) => sum + Math.exp(v - top), 0)), { rtol: 1e-6, atol: 2e-6 }); // 30 units of float32, as in the battery
  }
});
