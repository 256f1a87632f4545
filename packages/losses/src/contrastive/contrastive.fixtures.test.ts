import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expectClose, type LossLike } from "@logits/testkit";
import { expect, it } from "vitest";
import * as losses from "./index.ts";

interface Golden {
  readonly loss: string;
  readonly options: { readonly temperature?: number; readonly logScale?: number };
  readonly shapes: readonly (readonly number[])[];
  readonly inputs: readonly (readonly number[])[];
  readonly labels?: readonly number[];
  readonly targets?: readonly number[];
  readonly scalars?: Readonly<Record<string, number>>;
  readonly reduction: "mean" | "sum";
  readonly value: readonly number[];
  readonly grads: readonly (readonly number[])[];
}

const { cases } = JSON.parse(readFileSync(join(import.meta.dirname, "fixtures", "contrastive.json"), "utf8")) as { cases: readonly Golden[] };

it("there are at least 150 golden cases", () => {
  expect(cases.length).toBeGreaterThanOrEqual(150);
});

it.each(cases.map((one, k) => ({ name: `${one.loss} ${k} ${JSON.stringify(one.options)}`, ...one })))("agrees with torch: $name", ({ loss, options, shapes, inputs, labels, targets, scalars, reduction, value, grads }) => {
  const args: unknown[] = inputs.map((data, i) => ({ dtype: "float32", shape: shapes[i], data: Float32Array.from(data) }));
  const given: Record<string, unknown> = { ...options, reduction };
  if (labels) args.push(Int32Array.from(labels));
  if (targets && loss === "infoNceLoss") given.targets = { dtype: "float32", shape: [shapes[0][0], shapes[1][0]], data: Float32Array.from(targets) };
  else if (targets && loss === "cosentLoss") args.push(Float32Array.from(targets));
  else if (targets) args.push({ dtype: "uint8", shape: shapes[0], data: Uint8Array.from(targets) });
  const got = (losses as unknown as Record<string, LossLike>)[loss].withGrad(...args, given) as any;
  // 1e-6 for values and cosines; logits are cosines times the scale, and the gradient carries it once more.
  const scale = Math.max(1, options.temperature ? 1 / options.temperature : options.logScale ? Math.exp(options.logScale) : 1);
  expectClose(got.loss.data, value, { atol: 1e-6, rtol: 1e-6 });
  const named = got.grads ? Object.keys(got.grads as object) : ["grad"];
  grads.slice(0, got.grads ? 2 : 1).forEach((want, k) => expectClose((got.grads ?? got)[named[k]].data, want, { atol: 1e-6 * scale, rtol: 1e-6, label: named[k] }));
  for (const [name, want] of Object.entries(scalars ?? {})) expectClose(got.grads[name].item(), want, { atol: 1e-6 * scale, rtol: 1e-6, label: name });
});
