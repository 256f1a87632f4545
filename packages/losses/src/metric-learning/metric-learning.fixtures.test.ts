import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expectClose, type LossLike } from "@logits/testkit";
import { expect, it } from "vitest";
import * as presets from "../presets/pytorch-metric-learning.ts";
import * as losses from "./index.ts";

interface Golden {
  readonly module: "own" | "pml";
  readonly loss: string;
  readonly options: Readonly<Record<string, any>>;
  readonly y: readonly number[];
  readonly shapes: readonly (readonly number[])[];
  readonly inputs: readonly (readonly number[])[];
  readonly value: readonly number[];
  readonly grads: readonly (readonly number[])[];
}

const { cases } = JSON.parse(readFileSync(join(import.meta.dirname, "fixtures", "metric-learning.json"), "utf8")) as { cases: readonly Golden[] };

it("there are at least 200 golden cases", () => {
  expect(cases.length).toBeGreaterThanOrEqual(200);
});

it.each(cases.map((one, k) => ({ name: `${one.module} ${one.loss} ${k} ${JSON.stringify(one.options)}`, ...one })))("agrees with torch: $name", ({ module, loss, options, y, shapes, inputs, value, grads }) => {
  const of = (module === "own" ? losses : presets) as unknown as Record<string, LossLike>, args = inputs.map((data, i) => ({ dtype: "float32", shape: shapes[i], data: Float32Array.from(data) }));
  const got = of[loss].withGrad(...args, Int32Array.from(y), { ...options, ...((module === "own" || value.length > 1) && { reduction: value.length > 1 ? "none" : "sum" }) }) as any, given = got.grads ? [got.grads.embeddings, got.grads.weights] : [got.grad];
  // 1e-6 for values and cosines; scores are cosines times the scale, and the gradient carries it once more.
  const scale = Math.max(1, options.scale ?? options.beta ?? options.gamma ?? (module === "pml" ? 64 : 50));
  expectClose(got.loss.data, value, { atol: 1e-7 * scale, rtol: 1e-6 });
  grads.forEach((want, k) => expectClose(given[k].data, want, { atol: 1e-6 * scale, rtol: 1e-6, label: `gradient ${k}` }));
});
