import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expectClose } from "@logits/testkit";
import { afterAll, expect, it } from "vitest";
import { inChromium, ran, type PageAnswer } from "./chromium.ts";

// The devices of TensorFlow.js and jax-js, adopted in Chromium, and their tensors where they lie.

const folder = mkdtempSync(join(tmpdir(), "logits-webgpu-adoption-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const ROWS = 5, CLASSES = 300;

const tensorflowPage = `
import * as tf from "@tensorflow/tfjs-core";
import "@tensorflow/tfjs-backend-webgpu";
import { DecisionHead } from "@logits/head";
import { Sampler } from "@logits/sampling";
import { logitStatistics, webgpu } from "@logits/webgpu";

async function run() {
  if (!(await navigator.gpu?.requestAdapter())) return { missing: "no adapter" };
  if (!(await tf.setBackend("webgpu"))) return { missing: "no WebGPU backend of TensorFlow.js" };
  await tf.ready();
  const gpu = await webgpu({ device: tf.backend().device });
  const uncaught = [];
  gpu.device.addEventListener("uncapturederror", ({ error }) => uncaught.push(error.message));
  const weights = tf.tensor2d(Float32Array.from({ length: 4 * ${CLASSES} }, (_, i) => 4 * Math.sin(1 + i * i)), [4, ${CLASSES}]);
  const inputs = tf.tensor2d(Float32Array.from({ length: ${ROWS} * 4 }, (_, i) => 2 * Math.cos(i)), [${ROWS}, 4]);
  const scores = tf.matMul(inputs, weights), before = tf.memory().numTensors;
  const there = scores.dataToGPU();
  const logits = gpu.adopt(there.buffer, scores.shape);
  const statistics = await gpu.read(logitStatistics(logits, { select: ["maxProbability", "energy", "argmax"] }));
  const sampler = new Sampler({ seed: 3, topP: 0.9 });
  const tokens = (await sampler.sampleAsync(logits, { position: 0 })).tokens.data;
  const { bytesRead } = gpu;
  const data = await scores.data();
  const reference = sampler.sample({ data, dims: scores.shape }, { position: 0 }).tokens.data;
  // A head of rows of its own: what it says of rows that TensorFlow.js made is what it says of them in memory.
  const labels = Int32Array.from({ length: 200 }, (_, i) => (7 * i) % ${CLASSES});
  const rows = Float32Array.from({ length: 200 * ${CLASSES} }, (_, i) => Math.sin(i) + (labels[Math.floor(i / ${CLASSES})] === i % ${CLASSES} ? 9 : 0));
  const head = DecisionHead.fit({ logits: { data: rows, dims: [200, ${CLASSES}] }, labels, classes: Array.from({ length: ${CLASSES} }, (_, c) => "c" + c) }, { detector: "energy" });
  const simple = (d) => [d.kind, d.set ?? d.nearest];
  const got = (await head.decideAllAsync(logits)).map(simple), want = head.decideAll({ data, dims: scores.shape }).map(simple);
  logits.dispose();
  there.tensorRef.dispose();
  gpu.dispose();
  const leaked = tf.memory().numTensors - before, alive = (await tf.softmax(scores).data()).length;
  return { faults: [], uncaught, bytesRead, leaked, alive, logits: [...data], argmax: [...statistics.argmax.data], energy: [...statistics.energy.data], tokens: [...tokens], reference: [...reference], got, want };
}
`;

const jaxPage = `
import { defaultDevice, getWebGPUDevice, init, numpy as np } from "@jax-js/jax";
import { softmax, webgpu } from "@logits/webgpu";

async function run() {
  if (!(await navigator.gpu?.requestAdapter())) return { missing: "no adapter" };
  const devices = await init("webgpu");
  if (!devices.includes("webgpu")) return { missing: "no WebGPU backend of jax-js" };
  defaultDevice("webgpu");
  const gpu = await webgpu({ device: getWebGPUDevice() });
  const uncaught = [];
  gpu.device.addEventListener("uncapturederror", ({ error }) => uncaught.push(error.message));
  const x = np.array([[1, 2, 3], [0, 0, -1]]), twice = x.ref.add(x);
  const logits = gpu.adopt(await twice.ref.gpuBuffer(), twice.shape);
  const p = await softmax(logits).read();
  logits.dispose();
  const kept = [...(await twice.data())];
  gpu.dispose();
  const y = await np.array([1, 2]).add(np.array([3, 4])).data();
  return { faults: [], uncaught, same: gpu.device === getWebGPUDevice(), probabilities: [...p.data], kept, after: [...y] };
}
`;

interface Answer extends PageAnswer {
  readonly bytesRead?: number;
  readonly leaked?: number;
  readonly alive?: number;
  readonly logits?: readonly number[];
  readonly argmax?: readonly number[];
  readonly energy?: readonly number[];
  readonly tokens?: readonly number[];
  readonly reference?: readonly number[];
  readonly got?: readonly unknown[];
  readonly want?: readonly unknown[];
  readonly same?: boolean;
  readonly probabilities?: readonly number[];
  readonly kept?: readonly number[];
  readonly after?: readonly number[];
}

it("a tensor of TensorFlow.js is reduced, drawn from and decided on where it lies, on its device", async () => {
  const answer: Answer = await inChromium<Answer>(folder, "tensorflow", tensorflowPage);
  if (!ran("TensorFlow.js on WebGPU", answer)) return;
  const { logits, argmax, energy } = answer;
  expect([answer.bytesRead, answer.leaked, answer.alive]).toEqual([(12 + 28) * ROWS, 0, ROWS * CLASSES]);
  for (let r = 0; r < ROWS; r++) {
    const row = logits!.slice(r * CLASSES, (r + 1) * CLASSES), top = Math.max(...row);
    expect(argmax![r]).toBe(row.indexOf(top));
    expectClose(energy![r], -top - Math.log(row.reduce((sum, v) => sum + Math.exp(v - top), 0)), { rtol: 1e-6, atol: 2e-6 }); // 30 units of float32, as in the battery
  }
  expect(answer.tokens).toEqual(answer.reference);
  expect(answer.got).toEqual(answer.want);
});

it("an array of jax-js is reduced where it lies, on its device, and left as it was", async () => {
  const answer: Answer = await inChromium<Answer>(folder, "jax", jaxPage);
  if (!ran("jax-js on WebGPU", answer)) return;
  expect([answer.same, answer.after, answer.kept]).toEqual([true, [4, 6], [2, 4, 6, 0, 0, -2]]);
  const rows = [[2, 4, 6], [0, 0, -2]].map((row) => row.map((v) => Math.exp(v) / row.reduce((sum, w) => sum + Math.exp(w), 0)));
  expectClose(answer.probabilities!, rows.flat(), { rtol: 3e-6 }); // the bound of softmax
});
