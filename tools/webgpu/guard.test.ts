import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { randomSource } from "@logits/tensor";
import { afterAll, expect, it } from "vitest";
import { onnxModel } from "../../packages/testkit/src/onnxWriter.ts";
import { intents, writeText } from "../consumers/models.ts";
import { inChromium, ran, type PageAnswer } from "./chromium.ts";

// What is read back in Chromium, where the model's runtime leaves its logits on the GPU: of each decision of a guarded pipeline or session, and of each sampled token.

const folder = mkdtempSync(join(tmpdir(), "logits-webgpu-guard-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const CLASSES = 200, VOCABULARY = 1000;

/** A text classifier of 200 classes over the tokens of `writeText`: each token adds a row of scores. */
function writeWide(): void {
  const random = randomSource(3), tokens = 64;
  const rows = Float32Array.from({ length: tokens * CLASSES }, (_, i) => (i < CLASSES ? 0 : 0.5 * (random.uniform() - 0.5) + (i % CLASSES === (7 * Math.floor(i / CLASSES)) % CLASSES ? 3 + ((13 * Math.floor(i / CLASSES)) % 32) : 0)));
  const path = join(folder, "models", "wide");
  writeText(path);
  writeFileSync(join(path, "config.json"), JSON.stringify({ model_type: "bert", architectures: ["BertForSequenceClassification"], id2label: Object.fromEntries(Array.from({ length: CLASSES }, (_, c) => [c, `c${c}`])), label2id: {} }));
  writeFileSync(join(path, "onnx", "model.onnx"), onnxModel({
    inputs: [{ name: "input_ids", type: "int64", shape: ["batch", "sequence"] }, { name: "attention_mask", type: "int64", shape: ["batch", "sequence"] }],
    outputs: [{ name: "logits", shape: ["batch", CLASSES] }],
    nodes: [
      { type: "Gather", inputs: ["embedding", "input_ids"], outputs: ["words"] }, { type: "Cast", inputs: ["attention_mask"], outputs: ["mask"], attributes: { to: 1 } },
      { type: "Unsqueeze", inputs: ["mask", "last"], outputs: ["mask3"] }, { type: "Mul", inputs: ["words", "mask3"], outputs: ["masked"] }, { type: "ReduceSum", inputs: ["masked", "middle"], outputs: ["logits"], attributes: { keepdims: 0 } },
    ],
    initializers: [{ name: "embedding", type: "float32", shape: [tokens, CLASSES], data: rows }, { name: "last", type: "int64", shape: [1], data: [-1] }, { name: "middle", type: "int64", shape: [1], data: [1] }],
  }));
}

/** A model whose input is a row of weights of four rows of scores. */
function writeHead(): void {
  const data = Float32Array.from({ length: 4 * VOCABULARY }, (_, i) => 3 * Math.sin(1 + i * i));
  writeFileSync(join(folder, "head.onnx"), onnxModel({
    inputs: [{ name: "input", shape: ["batch", 4] }], outputs: [{ name: "scores", shape: ["batch", VOCABULARY] }],
    nodes: [{ type: "Gemm", inputs: ["input", "weights"], outputs: ["scores"] }], initializers: [{ name: "weights", type: "float32", shape: [4, VOCABULARY], data }],
  }));
}

const shared = `
import { DecisionHead } from "@logits/head";
import { webgpu } from "@logits/webgpu";
const simple = (d) => [d.kind, d.set ?? d.nearest ?? d.why.code];
`;

const pipelinePage = `${shared}
import { env, pipeline } from "@huggingface/transformers";
import { guard, outputs } from "@logits/interop/transformers";

async function run() {
  if (!(await navigator.gpu?.requestAdapter())) return { missing: "no adapter" };
  const { texts, probes } = await (await fetch("/data.json")).json();
  env.allowRemoteModels = false;
  env.allowLocalModels = true;
  env.localModelPath = "/models/";
  env.useBrowserCache = false;
  env.backends.onnx.wasm.wasmPaths = "/transformers-ort/";
  env.backends.onnx.wasm.numThreads = 1;
  const classifier = await pipeline("text-classification", "wide", { dtype: "fp32", device: "webgpu", session_options: { preferredOutputLocation: "gpu-buffer" } });
  const { logits } = await outputs(classifier, texts);
  // The model's own answers, wrong in each twentieth row.
  const labels = texts.map((_, i) => (logits.row(i).data.indexOf(Math.max(...logits.row(i).data)) + (i % 20 === 0 ? 3 : 0)) % 200);
  const data = { logits, labels, classes: Array.from({ length: 200 }, (_, c) => "c" + c) };
  const gpu = await webgpu({ device: await env.backends.onnx.webgpu.device });
  const uncaught = [];
  gpu.device.addEventListener("uncapturederror", ({ error }) => uncaught.push(error.message));
  const head = DecisionHead.fit(data, { detector: "energy", maxFalsePositiveRate: 0.1 });
  const inMemory = guard(classifier, head), there = guard(classifier, head, { gpu });
  const want = await inMemory(probes);
  const got = [], bytes = [];
  for (const text of probes) {
    const before = gpu.bytesRead;
    got.push(await there(text));
    bytes.push(gpu.bytesRead - before);
  }
  return { faults: [], uncaught, got: got.map(simple), want: want.map(simple), bytes, buffers: gpu.memory.buffers, adapter: gpu.adapter };
}
`;

const sessionPage = `${shared}
import { collect, guard } from "@logits/interop/onnxruntime";
import { Sampler } from "@logits/sampling";
import * as ort from "onnxruntime-web/webgpu";

async function run() {
  if (!(await navigator.gpu?.requestAdapter())) return { missing: "no adapter" };
  ort.env.wasm.wasmPaths = "/ort/";
  ort.env.wasm.numThreads = 1;
  const session = await ort.InferenceSession.create("/head.onnx", { executionProviders: ["webgpu"], preferredOutputLocation: "gpu-buffer" });
  const feed = (batch) => ({ input: new ort.Tensor("float32", batch.flat(), [batch.length, 4]) });
  const row = (i) => [2 * Math.sin(i), 2 * Math.cos(3 * i), 2 * Math.sin(5 * i), 2];
  const inputs = Array.from({ length: 150 }, (_, i) => row(i));
  const classes = Array.from({ length: ${VOCABULARY} }, (_, c) => "c" + c);
  const first = [];
  for (const input of inputs) {
    const { scores } = await session.run(feed([input]));
    const data = await scores.getData();
    first.push(data.indexOf(Math.max(...data)));
    scores.dispose();
  }
  const head = DecisionHead.fit(await collect(session, inputs, first, { classes, feed }), { detector: "energy", maxFalsePositiveRate: 0.1 });
  const gpu = await webgpu({ device: await ort.env.webgpu.device });
  const uncaught = [];
  gpu.device.addEventListener("uncapturederror", ({ error }) => uncaught.push(error.message));
  const probes = Array.from({ length: 20 }, (_, i) => row(1000.5 + i));
  const want = await guard(session, head, { feed })(probes);
  const there = guard(session, head, { feed, gpu });
  const got = [], bytes = [];
  for (const probe of probes) {
    const before = gpu.bytesRead;
    got.push(...(await there([probe])));
    bytes.push(gpu.bytesRead - before);
  }
  const sampler = new Sampler({ seed: 7, temperature: 0.8, topK: 50, topP: 0.95 });
  const tokens = [], reference = [], tokenBytes = [];
  for (let position = 0; position < 20; position++) {
    const { scores } = await session.run(feed([row(position)]));
    const logits = gpu.tensor(scores), before = gpu.bytesRead;
    tokens.push((await sampler.sampleAsync(logits, { position })).tokens.data[0]);
    tokenBytes.push(gpu.bytesRead - before);
    reference.push(sampler.sample(await logits.read(), { position }).tokens.data[0]);
    logits.dispose();
    scores.dispose();
  }
  return { faults: [], uncaught, got: got.map(simple), want: want.map(simple), bytes, tokens, reference, tokenBytes, buffers: gpu.memory.buffers, adapter: gpu.adapter };
}
`;

interface Answer extends PageAnswer {
  readonly got?: readonly unknown[];
  readonly want?: readonly unknown[];
  readonly bytes?: readonly number[];
  readonly tokens?: readonly number[];
  readonly reference?: readonly number[];
  readonly tokenBytes?: readonly number[];
}

function check(label: string, answer: Answer): boolean {
  if (!ran(label, answer)) return false;
  const { got, want, bytes } = answer;
  expect(got).toEqual(want);
  console.log(`${label}: at most ${Math.max(...bytes!)} bytes read back per guarded decision, of ${bytes!.length}: ${JSON.stringify(count(got as (readonly [string])[]))}`);
  for (const n of bytes!) expect(n).toBeLessThan(64);
  return true;
}

function count(decisions: readonly (readonly [kind: string])[]): Record<string, number> {
  const kinds: Record<string, number> = {};
  for (const [kind] of decisions) kinds[kind] = (kinds[kind] ?? 0) + 1;
  return kinds;
}

it("a guarded pipeline of Transformers.js on WebGPU reads under 64 bytes per decision, and decides as in memory", async () => {
  writeWide();
  const { texts } = intents(200, 1);
  writeFileSync(join(folder, "data.json"), JSON.stringify({ texts, probes: [...intents(20, 9).texts, "how do i sail to the moon"] }));
  check("Transformers.js on WebGPU", await inChromium<Answer>(folder, "pipeline", pipelinePage));
});

it("a guarded session of ONNX Runtime Web on WebGPU and tokens drawn from one read under 64 bytes each", async () => {
  writeHead();
  const answer: Answer = await inChromium<Answer>(folder, "session", sessionPage);
  if (!check("ONNX Runtime Web on WebGPU", answer)) return;
  console.log(`ONNX Runtime Web on WebGPU: at most ${Math.max(...answer.tokenBytes!)} bytes read back per sampled token`);
  expect(answer.tokens).toEqual(answer.reference);
  for (const n of answer.tokenBytes!) expect(n).toBeLessThan(64);
});
