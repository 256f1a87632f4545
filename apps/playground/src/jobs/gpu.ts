import { core, logitStatistics as statisticsHere, matmul as matmulHere, softmax as softmaxHere, topK as topKHere } from "@logits/core-wasm";
import { Sampler } from "@logits/sampling";
import { sampleNormal } from "@logits/statistics";
import { BackendUnavailableError, Tensor, randomSource } from "@logits/tensor";
import { logitStatistics, matmul, sampleTokens, softmax, topK, webgpu, type Gpu, type GpuTensor } from "@logits/webgpu";
import type { Control } from "../worker/protocol.ts";
import { agrees, compare, type Differences, type GpuFigure, type GpuTimes } from "./gpuFigures.ts";

/** The figures, and where they were measured; or why there are none. */
export type GpuReport = { readonly missing: string } | {
  readonly adapter: string;
  readonly subgroups: boolean;
  /** Of @logits/core-wasm. */
  readonly variant: string;
  readonly version: string;
  readonly figures: readonly GpuFigure[];
  /** What is left out because it would take too long here: operations and sizes. */
  readonly left: readonly string[];
  /** Samples behind each median where time allows. */
  readonly rounds: number;
};

interface Case extends Pick<Differences, "allowed" | "relative"> {
  readonly name: string;
  readonly size: string;
  /** About as long as so many elements of softmax take: small sizes come first, and say what to expect of large ones. */
  readonly work: number;
  /** Dispatches, without waiting. */
  readonly gpu: () => Readonly<Record<string, GpuTensor>>;
  /** Which of them is read when a small result is: all of it where it is integers, otherwise its first element. */
  readonly small: string;
  readonly wasm: () => Readonly<Record<string, Tensor>>;
  /** What is copied for comparison. */
  readonly copied?: GpuTensor;
}

/** Runs so many times, to the end. */
type Run = (count: number) => Promise<void>;

const ROUNDS = 5, BUDGET_MS = 15_000;
export const TOP_P = 0.9;
/** What a sample takes at least: the wait at its end, about a millisecond in a browser, must not count where calls are dispatched ahead. */
const SAMPLE_MS = { gpu: 25, copy: 25, read: 10, wasm: 10 } as const;
/** Twice the widest bound that the pages state for softmax and statistics, the one of the entropy. */
const SHARE = 4e-5;
const SELECT = ["maxProbability", "otherProbability", "maxLogit", "energy", "entropy", "margin", "argmax"] as const;

/** Of the scores and of the sampler: such that no sum which decides on a token lies within 2e-6 of what it is compared with, so that all devices must draw the same ones. */
const SCORES = 16, SEED = 18;
export const SIZES: readonly (readonly [rows: number, width: number])[] = [[64, 1000], [1, 151936], [1024, 1024]];

export function scoresOf(rows: number, width: number, stream = rows): Tensor<"float32"> {
  const random = randomSource(SCORES, stream);
  return new Tensor("float32", [rows, width], Float32Array.from({ length: rows * width }, () => 3 * sampleNormal(random)));
}

/** The numbers that the sampler takes at position 0. */
export function uniformsOf(rows: number): number[] {
  return Array.from({ length: rows }, (_, row) => randomSource(SEED, row).uniform());
}

function cases(gpu: Gpu): Case[] {
  const scores = SIZES.map(([rows, width]) => {
    const here = scoresOf(rows, width), size = `${rows.toLocaleString("en-GB")} × ${width.toLocaleString("en-GB")}`;
    return { here, there: gpu.tensor(here), size, work: rows * width, u: uniformsOf(rows) };
  });
  const sampler = new Sampler({ topP: TOP_P, seed: SEED });
  return [
    ...scores.map(({ here, there, ...rest }): Case => ({ name: "softmax", ...rest, allowed: SHARE, relative: true, gpu: () => ({ probabilities: softmax(there) }), small: "probabilities", wasm: () => ({ probabilities: softmaxHere(here) }), copied: there })),
    ...scores.map(({ here, there, ...rest }): Case => ({ name: "logitStatistics", ...rest, allowed: SHARE, relative: true, gpu: () => logitStatistics(there), small: "argmax", wasm: () => statisticsHere(here, { select: SELECT }) })),
    ...scores.map(({ here, there, ...rest }): Case => ({ name: "topK, 10 largest", ...rest, allowed: 0, relative: true, gpu: () => topK(there, 10), small: "indices", wasm: () => ({ ...topKHere(here, 10) }) })),
    ...[128, 512].map((n): Case => {
      const a = scoresOf(n, n), b = scoresOf(n, n, n + 1), p = gpu.tensor(a), q = gpu.tensor(b);
      // Sums of 512 products of about 9: float32 leaves some 1e-3 in the worst of them, a wrong term 1 or more.
      return { name: "matmul", size: `${n} × ${n} × ${n}`, work: n ** 3 / 32, allowed: 1e-2, relative: false, gpu: () => ({ product: matmul(p, q) }), small: "product", wasm: () => ({ product: matmulHere(a, b) }) };
    }),
    ...scores.map(({ here, there, u, ...rest }): Case => ({
      name: "sampleTokens, topP 0.9", ...rest, allowed: 0, relative: true, gpu: () => sampleTokens(there, { uniforms: u, topP: TOP_P }), small: "tokens",
      wasm: () => {
        const { tokens } = sampler.sample(here, { position: 0 });
        return { tokens };
      },
    })),
  ];
}

/**
 * Compares both backends on the same numbers, and only then times them, in turn: medians of a few rounds. Small sizes come before large ones. On a slow device the rounds are fewer, and a size is left
 * out for which, by the operation's smaller one, what is left of the time would not do.
 */
export async function measure(_: null, control: Control): Promise<GpuReport> {
  control.progress(0, "Asking for a GPU");
  let gpu: Gpu;
  try {
    gpu = await webgpu();
  } catch (cause) {
    if (cause instanceof BackendUnavailableError) return { missing: cause.message };
    throw cause;
  }
  try {
    const all = cases(gpu), figures = new Map<Case, GpuFigure>(), left: string[] = [], end = performance.now() + BUDGET_MS;
    for (const [i, one] of [...all].sort((a, b) => a.work - b.work).entries()) {
      const { name, size, work } = one, before = [...figures.values()].findLast((figure) => figure.name === name), now = performance.now();
      // The check, samples of each kind, and some.
      if (before?.times && (6 * before.times.read * work) / before.work > end - now) {
        left.push(`${name} ${size}`);
        continue;
      }
      const pause = async (share: number): Promise<void> => {
        control.progress((i + share) / all.length, `${share === 0 ? "Checking" : "Timing"} ${name}, ${size}`);
        await new Promise((resume) => setTimeout(resume));
        control.signal.throwIfAborted();
      };
      await pause(0);
      const made = one.gpu(), differences = compare(await gpu.read(made), one.wasm(), one);
      release(made);
      figures.set(one, { name, size, work, differences, ...(agrees(differences) ? { times: await timesOf(gpu, one, now + (end - now) / (all.length - i), pause) } : {}) });
    }
    control.progress(1);
    return { adapter: gpu.adapter, subgroups: gpu.subgroups, variant: core.variant, version: core.version, figures: all.flatMap((one) => figures.get(one) ?? []), left, rounds: ROUNDS };
  } finally {
    gpu.dispose();
  }
}

async function timesOf(gpu: Gpu, one: Case, until: number, pause: (share: number) => Promise<void>): Promise<GpuTimes> {
  const { copied } = one, target = copied && softmax(copied);
  const runs: Readonly<Record<string, Run>> = {
    gpu: async (count) => {
      for (let i = 0; i < count; i++) release(one.gpu());
      await gpu.finish();
    },
    read: async (count) => {
      for (let i = 0; i < count; i++) {
        const made = one.gpu(), whole = made[one.small], flat = whole.reshape([whole.size]), small = whole.dtype === "int32" ? flat : flat.row(0);
        await small.read();
        release({ ...made, flat, small });
      }
    },
    wasm: async (count) => {
      for (let i = 0; i < count; i++) one.wasm();
    },
    ...(copied && {
      copy: async (count) => {
        for (let i = 0; i < count; i++) copy(gpu, copied, target!);
        await gpu.finish();
      },
    }),
  };
  const contenders = Object.entries(runs).map(([name, run]) => ({ name, run, repeats: 1, times: [] as number[] }));
  for (const each of contenders) {
    // Often enough that the clock's steps do not matter; this also warms up.
    let ms = await timeOf(each.run, each.repeats);
    while (ms < SAMPLE_MS[each.name as keyof typeof SAMPLE_MS] && each.repeats < 4096 && performance.now() < until) ms = await timeOf(each.run, (each.repeats *= 2));
    // It must do where time is up.
    each.times.push(ms / each.repeats);
    await pause(0.4);
  }
  let rounds = 0;
  for (; rounds < ROUNDS && performance.now() < until; rounds++) {
    if (rounds === 0) for (const { times } of contenders) times.pop();
    for (let k = 0; k < contenders.length; k++) {
      const { run, repeats, times } = contenders[(rounds + k) % contenders.length];
      times.push((await timeOf(run, repeats)) / repeats);
    }
    await pause(0.4 + (0.6 * (rounds + 1)) / ROUNDS);
  }
  if (target) release({ target });
  const medians = Object.fromEntries(contenders.map(({ name, times }) => [name, times.sort((a, b) => a - b)[rounds >> 1]])) as unknown as Omit<GpuTimes, "rounds">;
  return { ...medians, rounds: Math.max(1, rounds) };
}

async function timeOf(run: Run, count: number): Promise<number> {
  const start = performance.now();
  await run(count);
  return performance.now() - start;
}

function release(tensors: Readonly<Record<string, GpuTensor>>): void {
  for (const tensor of Object.values(tensors)) tensor.dispose();
}

/** One copy from buffer to buffer, submitted alone as an operation is. */
function copy({ device }: Gpu, from: GpuTensor, to: GpuTensor): void {
  const encoder = device.createCommandEncoder() as { copyBufferToBuffer(from: unknown, fromOffset: number, to: unknown, toOffset: number, size: number): void; finish(): never };
  encoder.copyBufferToBuffer(from.gpuBuffer, 0, to.gpuBuffer, 0, 4 * from.size);
  device.queue.submit([encoder.finish()]);
}
