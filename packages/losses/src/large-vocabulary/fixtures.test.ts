import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expectClose } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import * as losses from "./index.ts";

interface Case {
  loss: string;
  options: any;
  reduction: string;
  shapes: number[][];
  inputs: number[][];
  labels?: number[];
  weight?: number[];
  value: number[];
  grads: number[][];
}

const { cases } = JSON.parse(readFileSync(join(import.meta.dirname, "fixtures/largeVocabulary.json"), "utf8")) as { cases: Case[] };

/** Loss and gradients, in the order of the inputs. */
function run({ loss: name, options: given, reduction, shapes, inputs, labels, weight }: Case): [value: ArrayLike<number>, grads: ArrayLike<number>[]] {
  const loss = (losses as any)[name], { indices, logExpected, targets, ...options } = given, [x, ...rest] = inputs.map((data, i) => ({ data: Float32Array.from(data), shape: shapes[i] })), y = labels && Int32Array.from(labels);
  Object.assign(options, { reduction }, weight && { weight }, options.temperature && { temperature: Number(options.temperature) }, indices && { negatives: { indices: Int32Array.from(indices as number[]), words: shapes[1][0], logExpected: (v: number) => logExpected[v] } });
  const call = (...args: unknown[]): any => {
    const both = loss.withGrad(...args);
    expectClose(loss(...args).data, both.loss.data, { atol: 0 });
    return both;
  };
  if (rest.length === 0) {
    const { loss: value, grad } = call(x, y, options);
    return [value.data, [grad.data]];
  }
  if (name === "adaptiveSoftmaxLoss") {
    const tails = rest.slice(1).flatMap((projection, i, all) => (i % 2 === 0 ? [{ projection, output: all[i + 1] }] : [])), { loss: value, grads } = call(x, { head: rest[0], tails }, y, options);
    return [value.data, [grads.hidden.data, grads.weights.head.data, ...grads.weights.tails.flatMap((tail: any) => [tail.projection.data, tail.output.data])]];
  }
  if (name === "memoryBankLoss") {
    const { loss: value, grad } = call(x, rest[0], y, options);
    return [value.data, [grad.data]];
  }
  const aim = targets ? { data: Float32Array.from(targets as number[]), shape: [shapes[0][0], shapes[1][0]] } : y, { loss: value, grads } = call(x, rest[0], aim, { ...options, ...(rest[1] && { bias: rest[1] }) });
  return [value.data, [grads.hidden.data, "rows" in grads.weights ? losses.denseRows(grads.weights).data : grads.weights.data, ...(grads.bias ? [grads.bias.data] : [])]];
}

describe("values and gradients of torch in float64", () => {
  it.each([...new Set(cases.map(({ loss }) => loss))].map((name) => [name, cases.filter(({ loss }) => loss === name)] as const))("%s", (_, group) => {
    for (const one of group) {
      const [value, grads] = run(one), label = JSON.stringify(one).slice(0, 120);
      // Golden values have 8 digits; logits are a few float32 products.
      expectClose(value, one.value, { atol: 1e-6, rtol: 1e-6, label });
      grads.forEach((grad, i) => expectClose(grad, one.grads[i], { atol: 1.5e-6, rtol: 1e-6, label: `${label}: gradient ${i}` }));
    }
  });

  it("are many", () => expect(cases.length).toBeGreaterThan(149));
});
