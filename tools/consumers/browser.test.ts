import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { build } from "esbuild";
import { expectClose } from "@logits/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { onnxModel } from "../../packages/testkit/src/onnxWriter.ts";
import { CHROMIUM_FLAGS, pageAnswer } from "../pageAnswer.ts";
import { FLOWERS, FLOWER_WEIGHTS, flowerModel, flowers, intents, writeText } from "./models.ts";

// The same five lines in a page: Transformers.js with a model that it fetches and taps, ONNX Runtime Web, TensorFlow.js, in Chromium, with the built packages.

const here = import.meta.dirname;
const folder = mkdtempSync(join(tmpdir(), "logits-browser-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const page = `
import { env, pipeline } from "@huggingface/transformers";
import { DecisionHead } from "@logits/head";
import * as onnx from "@logits/interop/onnxruntime";
import * as tensorflow from "@logits/interop/tensorflow";
import { collect, guard, tappedFetch } from "@logits/interop/transformers";
import * as tf from "@tensorflow/tfjs";
import * as ort from "onnxruntime-web/wasm";

async function run() {
  const { texts, labels, rows, species } = await (await fetch("/data.json")).json();
  env.allowRemoteModels = false;
  env.allowLocalModels = true;
  env.localModelPath = "/models/";
  env.useBrowserCache = false;
  env.fetch = tappedFetch();
  env.backends.onnx.wasm.wasmPaths = "/transformers-ort/";
  env.backends.onnx.wasm.numThreads = 1;
  const classifier = await pipeline("text-classification", "intents", { dtype: "fp32", device: "wasm" });
  const data = await collect(classifier, texts, labels, { features: true });
  const head = DecisionHead.fit(data, { detector: "mahalanobis", maxFalsePositiveRate: 0.05 });
  const decide = guard(classifier, head);
  const text = (await decide(["book a ticket please", "how do i sail to the moon"])).map(({ kind, label }) => label ?? kind);

  ort.env.wasm.wasmPaths = "/ort/";
  ort.env.wasm.numThreads = 1;
  const session = await ort.InferenceSession.create("/flowers.onnx");
  const classes = ${JSON.stringify(FLOWERS)};
  const feed = (batch) => ({ input: new ort.Tensor("float32", batch.flat(), [batch.length, 4]) });
  const collected = await onnx.collect(session, rows, species, { classes, feed, features: "hidden" });
  const flowerHead = DecisionHead.fit(collected, { detector: "mahalanobis", maxFalsePositiveRate: 0.05 });
  const two = [[1.2, 0, 0.1, 0], [0, 0, 0, 5]];
  const numbers = (await onnx.guard(session, flowerHead, { feed })(two)).map(({ kind, label }) => label ?? kind);

  const model = tf.sequential({ layers: [
    tf.layers.activation({ activation: "relu", name: "hidden", inputShape: [4] }), tf.layers.dense({ units: 3, name: "scores", useBias: false }),
  ] });
  tf.tidy(() => model.getLayer("scores").setWeights([tf.tensor2d(${JSON.stringify(FLOWER_WEIGHTS)}, [4, 3])]));
  const options = { feed: (batch) => tf.tensor2d(batch), features: "hidden" };
  const seen = await tensorflow.collect(model, rows, species, { classes, ...options, batchSize: 100 });
  const before = tf.memory().numTensors;
  const thirdHead = DecisionHead.fit(seen, { detector: "mahalanobis", maxFalsePositiveRate: 0.05 });
  const tensors = (await tensorflow.guard(model, thirdHead, options)(two)).map(({ kind, label }) => label ?? kind);
  return { text, numbers, tensors, backend: tf.getBackend(), leaked: tf.memory().numTensors - before, features: [...data.features.shape], logits: [...data.logits.data] };
}

`;

const gpuPage = `
import { collect } from "@logits/interop/onnxruntime";
import * as ort from "onnxruntime-web/webgpu";

async function run() {
  if (!(await navigator.gpu?.requestAdapter())) return { adapter: false };
  ort.env.wasm.wasmPaths = "/ort/";
  ort.env.wasm.numThreads = 1;
  const { rows, species } = await (await fetch("/data.json")).json();
  const session = await ort.InferenceSession.create("/flowers.onnx", { executionProviders: ["webgpu"], preferredOutputLocation: "gpu-buffer" });
  const outputs = [];
  const watched = { inputNames: session.inputNames, outputNames: session.outputNames, async run(...args) {
    const output = await session.run(...args);
    outputs.push(...Object.values(output).map((tensor) => ({ tensor, location: tensor.location })));
    return output;
  } };
  const feed = (batch) => ({ input: new ort.Tensor("float32", batch.flat(), [batch.length, 4]) });
  const { logits, features } = await collect(watched, rows.slice(0, 20), species.slice(0, 20), { classes: ${JSON.stringify(FLOWERS)}, feed, features: "hidden", batchSize: 10 });
  return { adapter: true, logits: [...logits.data], features: [...features.data], locations: outputs.map(({ tensor, location }) => [location, tensor.location]) };
}
`;

/** What `run` of a page returns, from Chromium. */
async function inChromium(name: string, source: string, flags: readonly string[]): Promise<Record<string, unknown>> {
  const last = `run().then((result) => result, (error) => ({ error: String(error?.stack ?? error) })).then((result) => fetch("/result", { method: "POST", body: JSON.stringify(result) }));`;
  writeFileSync(join(folder, `${name}.html`), `<!doctype html><meta charset="utf-8"><title>${name}</title><script type="module" src="/${name}.js"></script>`);
  await build({ stdin: { contents: source + last, resolveDir: here }, bundle: true, format: "esm", platform: "browser", outfile: join(folder, `${name}.js`), logLevel: "error" });
  const require = createRequire(import.meta.url);
  const ours = dirname(require.resolve("onnxruntime-web"));
  const theirs = dirname(createRequire(require.resolve("@huggingface/transformers")).resolve("onnxruntime-web"));
  return pageAnswer({ folder, page: `${name}.html`, mounts: { ort: ours, "transformers-ort": theirs }, command: "chromium", flags: [...CHROMIUM_FLAGS, "--remote-debugging-port=0", ...flags, `--user-data-dir=${join(folder, `profile-${name}`)}`], seconds: 100 });
}

const { rows, labels: species } = flowers(400, 1);

beforeAll(() => {
  writeText(join(folder, "models/intents"));
  writeFileSync(join(folder, "flowers.onnx"), onnxModel(flowerModel()));
  const { texts, labels } = intents(400, 1);
  writeFileSync(join(folder, "data.json"), JSON.stringify({ texts, labels, rows, species }));
});

describe.skipIf(!chromium())("a page in Chromium", () => {
  it("decides as the pages say", async () => {
    const { logits, ...rest } = await inChromium("page", page, ["--disable-gpu"]);
    expect(rest).toEqual({ text: ["flight", "unknown"], numbers: ["setosa", "unknown"], tensors: ["setosa", "unknown"], backend: expect.any(String) as string, leaked: 0, features: [400, 8] });
    expect(logits).toHaveLength(1200);
  });

  it("reads outputs that ONNX Runtime left on a GPU, and frees them", async () => {
    const { adapter, error, logits, features, locations } = await inChromium("gpu", gpuPage, ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan"]);
    expect([adapter, error]).toEqual([true, undefined]);
    const hidden = rows.slice(0, 20).map((row) => row.map((x) => Math.max(0, x)));
    expectClose(features as number[], hidden.flat(), { atol: 1e-6 }); // float32
    expectClose(logits as number[], hidden.flatMap((row) => [0, 1, 2].map((c) => row.reduce((sum, x, i) => sum + x * FLOWER_WEIGHTS[3 * i + c], 0))), { rtol: 1e-5, atol: 1e-5 }); // float32 sums of four products
    expect(locations).toEqual(Array.from({ length: 4 }, () => ["gpu-buffer", "none"]));
  });
});

function chromium(): boolean {
  try {
    execFileSync("chromium", ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}
