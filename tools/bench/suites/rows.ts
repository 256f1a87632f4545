import { logits } from "../inputs.ts";
import { problemCase, type Case, type Suite } from "./suite.ts";

/** Vocabularies of language models, ImageNet heads, many small rows: rows x columns. */
const SHAPES = [[1, 32_000], [1, 151_936], [256, 1000], [50_000, 100], [128, 32_000], [32, 151_936], [50_000, 10], [64, 10]] as const;

function rowCases(op: "softmax" | "logsumexp"): Case[] {
  return SHAPES.map(([rows, cols]) => problemCase(`${rows}x${cols}`, {
    problem: (seed) => ({ op, rows, cols, x: logits(rows * cols, seed) }),
    plan: rows * cols < 1e6 ? { rounds: 15 } : {},
    figures: (median) => ({ nsPerElement: (median("ours") * 1e6) / (rows * cols) }),
  }));
}

export const softmax: Suite = { name: "softmax", about: "softmax of rows, data resident in WASM memory", cases: rowCases("softmax") };

export const logsumexp: Suite = { name: "logsumexp", about: "log-sum-exp of rows, data resident in WASM memory", cases: rowCases("logsumexp") };

const TOP = [[1, 151_936, 40], [32, 151_936, 40], [1, 151_936, 1], [64, 32_000, 40], [1000, 1000, 5]] as const;

export const topk: Suite = {
  name: "topk",
  about: "the k largest of each row with their indices, scores resident in WASM memory",
  cases: TOP.map(([rows, cols, k]) => problemCase(`${k} of ${rows}x${cols}`, {
    problem: (seed) => ({ op: "topk", rows, cols, k, x: logits(rows * cols, seed) }),
    figures: (median) => ({ nsPerElement: (median("ours") * 1e6) / (rows * cols) }),
  })),
};

const SMALL = [[1, 10], [64, 10], [1, 1000]] as const;

export const latency: Suite = {
  name: "latency",
  about: "softmax from a typed array to a new typed array: what a small call costs with everything that belongs to it",
  cases: SMALL.map(([rows, cols]) => problemCase(`${rows}x${cols}`, {
    problem: (seed) => ({ op: "softmax", rows, cols, x: logits(rows * cols, seed) }),
    mode: "arrays",
    plan: { rounds: 15, sampleMs: 10 },
    figures: (median) => ({ microseconds: median("ours") * 1000 }),
  })),
};
