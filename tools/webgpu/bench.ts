import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onnxModel, type OnnxModel } from "../../packages/testkit/src/onnxWriter.ts";
import { inChromium, type PageAnswer } from "./chromium.ts";

// `bench webgpu`: TensorFlow.js, jax-js and ONNX Runtime Web beside us in one page, each on its own device of the same adapter. Inputs and results stay on the GPU; what is timed is a run of
// dispatches until the queue is done. Every result is compared with float64 first, and one that is wrong takes no part.

/** One operation at one size. */
interface Case {
  readonly name: string;
  readonly op: "softmax" | "logSumExp" | "argmax" | "topK" | "matmul";
  /** Rows and columns; of matmul M, K, N. */
  readonly size: readonly number[];
}

/** Figures of one contender. */
export interface GpuContender {
  /** Median and least milliseconds of one run over the rounds. */
  readonly ms?: number;
  readonly least?: number;
  /** Why it takes no part. */
  readonly refused?: string;
}

/** Figures of one case. */
export interface GpuRecord {
  readonly suite: "webgpu";
  readonly case: string;
  readonly ours: GpuContender;
  readonly peers: Readonly<Record<string, GpuContender>>;
  /** Bytes that must be read and written, over the time, in GB/s; of matmul the rate in Gflop/s. */
  readonly rate: number;
}

/** What the page finds. */
export interface GpuFigures {
  readonly adapter: string;
  /** A software adapter's figures say nothing of a GPU's. */
  readonly software: boolean;
  readonly subgroups: boolean;
  /** Of copying one buffer to another, bytes read and written, in GB/s. */
  readonly copyBandwidth: number;
  readonly records: readonly GpuRecord[];
  /** Geometric mean, over the cases that both do, of a peer's time over ours. */
  readonly ahead: Readonly<Record<string, number>>;
  /** Rate of the largest softmax over the bandwidth of copying. */
  readonly softmaxOfCopy: number;
}

const CASES: readonly Case[] = [
  { name: "softmax 64 x 1000", op: "softmax", size: [64, 1000] }, { name: "softmax 4096 x 128", op: "softmax", size: [4096, 128] }, { name: "softmax 8 x 32000", op: "softmax", size: [8, 32000] }, { name: "softmax 256 x 32000", op: "softmax", size: [256, 32000] },
  { name: "logSumExp 64 x 1000", op: "logSumExp", size: [64, 1000] }, { name: "logSumExp 8 x 32000", op: "logSumExp", size: [8, 32000] },
  { name: "argmax 64 x 1000", op: "argmax", size: [64, 1000] }, { name: "top-5 of 64 x 1000", op: "topK", size: [64, 1000] },
  { name: "matmul 256 x 256 x 256", op: "matmul", size: [256, 256, 256] }, { name: "matmul 512 x 768 x 512", op: "matmul", size: [512, 768, 512] },
];

const NODES = { softmax: "Softmax", logSumExp: "ReduceLogSumExp", argmax: "ArgMax", topK: "TopK", matmul: "MatMul" } as const;

function model({ op, size }: Case): OnnxModel {
  const [rows, cols, n] = size, inputs = op === "matmul" ? [{ name: "x", shape: [rows, cols] }, { name: "y", shape: [cols, n] }] : [{ name: "x", shape: [rows, cols] }];
  const last = { name: "axes", type: "int64" as const, shape: [1], data: [-1] }, k = { name: "k", type: "int64" as const, shape: [1], data: [5] };
  const attributes = op === "softmax" ? { axis: -1 } : op === "argmax" ? { axis: -1, keepdims: 0 } : op === "logSumExp" ? { keepdims: 0 } : {};
  const outputs = op === "topK" ? ["values", "z"] : ["z"];
  return {
    inputs, outputs: outputs.map((name) => ({ name, ...(name === "z" && (op === "topK" || op === "argmax") ? { type: "int64" as const } : {}) })),
    nodes: [{ type: NODES[op], inputs: [...inputs.map(({ name }) => name), ...(op === "topK" ? ["k"] : op === "logSumExp" ? ["axes"] : [])], outputs, attributes }],
    initializers: op === "topK" ? [k] : op === "logSumExp" ? [last] : [],
  } as OnnxModel;
}

const page = (cases: readonly Case[], roundMs: number, rounds: number): string => `
import * as logits from "@logits/webgpu";
import * as tf from "@tensorflow/tfjs-core";
import "@tensorflow/tfjs-backend-webgpu";
import * as jax from "@jax-js/jax";
import * as ort from "onnxruntime-web/webgpu";

const CASES = ${JSON.stringify(cases)}, ROUND = ${roundMs}, ROUNDS = ${rounds};
const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1];

function data(length, seed) {
  let state = seed >>> 0;
  return Float32Array.from({ length }, () => { state = (Math.imul(state, 1664525) + 1013904223) >>> 0; return 12 * (state / 4294967296 - 0.5); });
}

/** The results in float64: values, or indices. */
function wanted({ op, size: [rows, cols, n] }, x, y) {
  const out = [];
  if (op === "matmul") {
    // A few results of each row.
    for (let i = 0; i < rows; i += 7) for (let j = i % 5; j < n; j += 31) { let sum = 0; for (let p = 0; p < cols; p++) sum += x[i * cols + p] * y[p * n + j]; out.push([i * n + j, sum]); }
    return out;
  }
  for (let r = 0; r < rows; r++) {
    const row = x.subarray(r * cols, (r + 1) * cols), top = row.reduce((a, b) => Math.max(a, b)), z = row.reduce((sum, v) => sum + Math.exp(v - top), 0);
    if (op === "softmax") for (let c = 0; c < cols; c += 13) out.push([r * cols + c, Math.exp(row[c] - top) / z]);
    if (op === "logSumExp") out.push([r, top + Math.log(z)]);
    if (op === "argmax") out.push([r, row.indexOf(top)]);
    if (op === "topK") Array.from(row.keys()).sort((a, b) => row[b] - row[a] || a - b).slice(0, 5).forEach((c, j) => out.push([5 * r + j, c]));
  }
  return out;
}

function fault({ op, size: [, cols] }, got, want) {
  const bound = { softmax: (v) => 2e-5 * v + 1e-30, logSumExp: () => 2e-5, matmul: () => 36 * cols * 2e-6, argmax: () => 0, topK: () => 0 }[op];
  for (const [i, v] of want) if (!(Math.abs(Number(got[i]) - v) <= bound(v))) return "element " + i + " is " + got[i] + ", not " + v;
  return undefined;
}

async function contenders() {
  const list = {};
  const gpu = await logits.webgpu(), queue = gpu.device.queue;
  list.ours = (one, x, y) => {
    const [rows, cols, n] = one.size, a = gpu.tensor({ data: x, dims: [rows, cols] }), b = y && gpu.tensor({ data: y, dims: [cols, n] });
    const call = { softmax: () => [logits.softmax(a)], logSumExp: () => [logits.logSumExp(a)], argmax: () => [logits.argmax(a)], topK: () => Object.values(logits.topK(a, 5)), matmul: () => [logits.matmul(a, b)] }[one.op];
    return { run: () => call().forEach((t) => t.dispose()), done: () => queue.onSubmittedWorkDone(), read: async () => { const out = call(); return (await out[out.length - 1].read()).data; }, free: () => [a, b].forEach((t) => t?.dispose()) };
  };
  if (await tf.setBackend("webgpu").catch(() => false)) {
    await tf.ready();
    const backend = tf.backend(), end = async () => { backend.submitQueue(); await backend.device.queue.onSubmittedWorkDone(); };
    list["@tensorflow/tfjs-backend-webgpu"] = (one, x, y) => {
      const [rows, cols, n] = one.size, a = tf.tensor2d(x, [rows, cols]), b = y && tf.tensor2d(y, [cols, n]);
      const call = { softmax: () => [tf.softmax(a)], logSumExp: () => [tf.tidy(() => tf.logSumExp(a, -1))], argmax: () => [tf.argMax(a, -1)], topK: () => { const t = tf.topk(a, 5); return [t.values, t.indices]; }, matmul: () => [tf.matMul(a, b)] }[one.op];
      return { run: () => call().forEach((t) => t.dispose()), done: end, read: async () => { const out = call(), last = await out[out.length - 1].data(); out.forEach((t) => t.dispose()); return last; }, free: () => [a, b].forEach((t) => t?.dispose()) };
    };
  }
  if ((await jax.init("webgpu").catch(() => [])).includes("webgpu")) {
    jax.defaultDevice("webgpu");
    const np = jax.numpy, device = jax.getWebGPUDevice();
    list["@jax-js/jax"] = (one, x, y) => {
      const [rows, cols, n] = one.size, a = np.array(x, { shape: [rows, cols] }), b = y && np.array(y, { shape: [cols, n] });
      const op = { softmax: jax.jit((v) => jax.nn.softmax(v, -1)), logSumExp: jax.jit((v) => jax.nn.logsumexp(v, -1)), argmax: jax.jit((v) => np.argmax(v, -1)), matmul: jax.jit((v, w) => np.matmul(v, w)) }[one.op];
      if (!op) return undefined;
      const call = () => (b ? op(a.ref, b.ref) : op(a.ref));
      // It dispatches when a result is asked for.
      const open = [];
      const end = async () => { for (const out of open.splice(0)) { await out.blockUntilReady(); out.dispose(); } await device.queue.onSubmittedWorkDone(); };
      return { run: () => open.push(call()), done: end, read: () => call().data(), free: () => [a, b].forEach((t) => t?.dispose()) };
    };
  }
  ort.env.wasm.wasmPaths = "/ort/";
  ort.env.wasm.numThreads = 1;
  list["onnxruntime-web"] = async (one, x, y) => {
    const [rows, cols, n] = one.size, session = await ort.InferenceSession.create("/" + CASES.indexOf(one) + ".onnx", { executionProviders: ["webgpu"], preferredOutputLocation: "gpu-buffer" });
    const device = await ort.env.webgpu.device, buffers = [];
    const put = (values, dims) => {
      const buffer = device.createBuffer({ size: 16 * Math.ceil(values.byteLength / 16), usage: 128 | 4 | 8 });
      device.queue.writeBuffer(buffer, 0, values);
      buffers.push(buffer);
      return ort.Tensor.fromGpuBuffer(buffer, { dataType: "float32", dims });
    };
    const feeds = { x: put(x, [rows, cols]), ...(y && { y: put(y, [cols, n]) }) };
    return {
      run: async () => Object.values(await session.run(feeds)).forEach((t) => t.dispose()), done: () => device.queue.onSubmittedWorkDone(),
      read: async () => { const { z } = await session.run(feeds); return z.location === "cpu" ? z.data : z.getData(); },
      free: async () => { await session.release(); buffers.forEach((buffer) => buffer.destroy()); },
    };
  };
  return { list, gpu };
}

async function copyBandwidth({ device }) {
  const size = 2 ** 25, [from, to] = [4, 8].map((usage) => device.createBuffer({ size, usage: usage | 128 })), times = [];
  for (let i = 0; i < 6; i++) {
    const start = performance.now();
    for (let j = 0; j < 4; j++) {
      const encoder = device.createCommandEncoder();
      encoder.copyBufferToBuffer(from, 0, to, 0, size);
      device.queue.submit([encoder.finish()]);
    }
    await device.queue.onSubmittedWorkDone();
    times.push((performance.now() - start) / 4);
  }
  [from, to].forEach((buffer) => buffer.destroy());
  return (2 * size) / Math.min(...times) / 1e6;
}

async function run() {
  const adapter = await navigator.gpu?.requestAdapter();
  if (!adapter) return { missing: "no adapter" };
  const { list, gpu } = await contenders(), records = [];
  for (const one of CASES) {
    const [rows, cols, n] = one.size, x = data(rows * cols, 1), y = n === undefined ? undefined : data(cols * n, 2), want = wanted(one, x, y), ready = {}, figures = {};
    for (const [name, prepare] of Object.entries(list)) {
      try {
        const made = await prepare(one, x, y);
        if (made === undefined) { figures[name] = { refused: "has no such operation" }; continue; }
        const bad = fault(one, await made.read(), want);
        if (bad !== undefined) { figures[name] = { refused: bad }; continue; }
        // How many runs fill a round.
        await made.run();
        await made.done();
        let count = 1;
        for (;;) {
          const start = performance.now();
          for (let i = 0; i < count; i++) await made.run();
          await made.done();
          if (performance.now() - start > ROUND || count >= 4096) break;
          count *= 2;
        }
        ready[name] = { made, count, times: [] };
      } catch (error) {
        figures[name] = { refused: String(error?.message ?? error).slice(0, 200) };
      }
    }
    if (figures.ours) throw new Error(one.name + ": ours is wrong: " + figures.ours.refused);
    const names = Object.keys(ready);
    for (let round = 0; round < ROUNDS; round++) {
      for (let k = 0; k < names.length; k++) {
        const { made, count, times } = ready[names[(round + k) % names.length]], start = performance.now();
        for (let i = 0; i < count; i++) await made.run();
        await made.done();
        times.push((performance.now() - start) / count);
      }
    }
    for (const name of names) {
      figures[name] = { ms: median(ready[name].times), least: Math.min(...ready[name].times) };
      await ready[name].made.free();
    }
    const { ours, ...peers } = figures, work = n === undefined ? 4 * rows * cols * (one.op === "softmax" ? 2 : 1) : 2 * rows * cols * n;
    records.push({ suite: "webgpu", case: one.name, ours, peers, rate: work / ours.ms / 1e6 });
  }
  const ahead = {};
  for (const name of Object.keys(list).filter((name) => name !== "ours")) {
    const ratios = records.filter(({ peers }) => peers[name]?.ms !== undefined).map(({ ours, peers }) => Math.log(peers[name].ms / ours.ms));
    if (ratios.length > 0) ahead[name] = Math.exp(ratios.reduce((a, b) => a + b, 0) / ratios.length);
  }
  const bandwidth = await copyBandwidth(gpu), softmaxes = records.filter((record) => record.case.startsWith("softmax"));
  const { vendor, architecture, device, description } = adapter.info;
  const name = [vendor, architecture, device, description].filter(Boolean).join(" ");
  return { faults: [], adapter: name, software: /swiftshader|llvmpipe|software/i.test(name), subgroups: gpu.subgroups, copyBandwidth: bandwidth, records, ahead, softmaxOfCopy: softmaxes.length > 0 ? softmaxes[softmaxes.length - 1].rate / bandwidth : 0 };
}
`;

/** The figures of the cases whose names contain `filter`. */
export async function benchWebGpu(filter: string, { roundMs = 150, rounds = 5 } = {}): Promise<GpuFigures> {
  const cases = CASES.filter(({ name }) => name.includes(filter));
  if (cases.length === 0) throw new Error(`no case of webgpu contains ${filter}. There are ${CASES.map(({ name }) => name).join(", ")}`);
  const folder = mkdtempSync(join(tmpdir(), "logits-webgpu-bench-"));
  try {
    cases.forEach((one, i) => writeFileSync(join(folder, `${i}.onnx`), onnxModel(model(one))));
    const answer = await inChromium<GpuFigures & PageAnswer>(folder, "bench", page(cases, roundMs, rounds), 1500);
    if (answer.missing !== undefined) throw new Error(`WebGPU in Chromium: ${answer.missing}`);
    if (answer.faults!.length > 0) throw new Error(answer.faults!.join("\n"));
    const { adapter, software, subgroups, copyBandwidth, records, ahead, softmaxOfCopy } = answer as GpuFigures;
    return { adapter, software, subgroups, copyBandwidth, records, ahead, softmaxOfCopy };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
