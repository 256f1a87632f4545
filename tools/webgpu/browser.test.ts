import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expectClose } from "@logits/testkit";
import { afterAll, expect, it } from "vitest";
import { onnxModel, type OnnxModel } from "../../packages/testkit/src/onnxWriter.ts";
import { batteryPage, inChromium, ran, type PageAnswer } from "./chromium.ts";

// The battery in Chromium, with the built packages; and logits that ONNX Runtime Web left on the GPU, taken over on its device.

const folder = mkdtempSync(join(tmpdir(), "logits-webgpu-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** scores = input weights. */
function head(weights: Float32Array): OnnxModel {
  return {
    inputs: [{ name: "input", shape: ["batch", 4] }],
    outputs: [{ name: "scores", shape: ["batch", CLASSES] }],
    nodes: [{ type: "Gemm", inputs: ["input", "weights"], outputs: ["scores"] }],
    initializers: [{ name: "weights", type: "float32", shape: [4, CLASSES], data: weights }],
  };
}

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

interface Answer extends PageAnswer {
  readonly checks?: number;
  readonly adapter?: string;
  readonly subgroups?: boolean;
  readonly location?: string;
  readonly bytesRead?: number;
  readonly alive?: number;
  readonly logits?: readonly number[];
  readonly argmax?: readonly number[];
  readonly energy?: readonly number[];
}

it("the battery passes in Chromium, or says that it did not run", async () => {
  const answer: Answer = await inChromium<Answer>(folder, "battery", batteryPage("backendChecks")), { checks, adapter, subgroups } = answer;
  if (!ran("WebGPU in Chromium", answer)) return;
  console.log(`WebGPU in Chromium: ${adapter}, subgroups ${subgroups}, ${checks} checks`);
  expect(checks).toBeGreaterThan(90);
});

it("logits that ONNX Runtime Web left on the GPU are reduced there: 12 bytes a row are read back", async () => {
  const weights = Float32Array.from({ length: 4 * CLASSES }, (_, i) => 3 * Math.sin(1 + i * i));
  writeFileSync(join(folder, "head.onnx"), onnxModel(head(weights)));
  const answer: Answer = await inChromium<Answer>(folder, "onnx", onnxPage), { location, bytesRead, alive, logits, argmax, energy } = answer;
  if (!ran("ONNX Runtime Web on WebGPU", answer)) return;
  expect([location, bytesRead, alive]).toEqual(["gpu-buffer", 12 * ROWS, ROWS * CLASSES]);
  for (let r = 0; r < ROWS; r++) {
    const row = logits!.slice(r * CLASSES, (r + 1) * CLASSES), top = Math.max(...row);
    expect(argmax![r]).toBe(row.indexOf(top));
    expectClose(energy![r], -top - Math.log(row.reduce((sum, v) => sum + Math.exp(v - top), 0)), { rtol: 1e-6, atol: 2e-6 }); // 30 units of float32, as in the battery
  }
});
