import { expectClose } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import file from "../preference/fixtures/trl.json" with { type: "json" };
import * as trl from "./trl.ts";

// torch, float64: one rounding of ours to float32, inputs are the same float32 numbers.
const bound = { rtol: 1e-6, atol: 1e-6 };

describe("values and gradients of TRL's conventions", () => {
  it.each(file.cases.map((one, i) => ({ ...one, name: `${one.loss} ${JSON.stringify(one.options)} ${i}` })))("$name", ({ loss, options, shapes, args, values, grads }) => {
    const given = args.map((data, i) => ({ shape: shapes[i], data: Float32Array.from(data) })), one = (trl as any)[loss];
    const result = one.withGrad(...given, options);
    expectClose(result.loss.data, values, bound);
    expectClose(one(...given, options).data, result.loss.data, { atol: 0 });
    (result.grads ? [result.grads.chosen, result.grads.rejected] : [result.grad]).forEach((grad, i) => expectClose(grad.data, grads[i], bound));
  });
});

it("names what is not there", () => {
  const one = [[0], [0], [0], [0]] as const;
  expect(() => trl.dpoLoss(...one, { lossType: "sft" as "ipo" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: dpoLoss: expected \`lossType\` one of sigmoid, sigmoid_norm, hinge, ipo, exo_pair, nca_pair, robust, bco_pair, sppo_hard, aot, aot_unpaired, apo_zero, apo_down, discopop, got sft]`);
  expect(() => trl.dpoLoss(...one, { lossType: "hinge", fDivergenceType: "forward_kl" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: dpoLoss: expected \`fDivergenceType\` reverse_kl with lossType hinge, got forward_kl]`);
  expect(() => trl.dpoLoss(...one, { fDivergenceType: "kl" as "forward_kl" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: dpoLoss: expected \`fDivergenceType\` one of reverse_kl, forward_kl, js_divergence, alpha_divergence, got kl]`);
  expect(() => trl.dpoLoss(...one, { lossType: "bco_pair", beta: -1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: dpoLoss: expected \`beta\` a finite number > 0, got -1]`);
  expect(() => trl.cpoLoss([0], [0], { lossType: "ipo", beta: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: cpoLoss: expected \`beta\` a finite number > 0, got 0]`);
  expect(() => trl.dpoLoss(...one, 0.1 as never)).toThrowErrorMatchingInlineSnapshot(`[TypeError: dpoLoss: expected \`options\` an object such as { reduction }, got Number]`);
  expect(() => trl.dpoLoss(...one, { lossType: "exo_pair" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: exoLoss: expected \`labelSmoothing\` in (0, 1/2), got 0]`);
  expect(() => trl.grpoLoss([[0]], [[0]], [[0]], { lossType: "dr_grpo" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: grpoLoss: expected \`maxCompletionLength\` a finite number > 0, got 0]`);
});
