import { expectClose } from "@logits/testkit";
import { describe, it } from "vitest";
import file from "./fixtures/cases.json" with { type: "json" };
import * as losses from "./index.ts";

// torch, float64: one rounding of ours to float32, inputs are the same float32 numbers.
const bound = { rtol: 1e-6, atol: 1e-6 };
const tensor = (data: readonly number[], shape: readonly number[], dtype: "float32" | "int32" = "float32") => ({ dtype, shape, data: dtype === "int32" ? Int32Array.from(data) : Float32Array.from(data) });

describe("values and gradients of torch", () => {
  it.each(file.cases.map((one, i) => ({ ...one, name: `${one.loss} ${JSON.stringify(one.options)} ${one.reduction} ${i}` })))("$name", ({ loss, options, reduction, shapes, args, values, upstream, grads }) => {
    const sequences = loss === "sequenceLogProbs", given = args.map((data, i) => tensor(data, shapes[i], sequences && i === 1 ? "int32" : "float32"));
    const result = (losses as any)[loss].withGrad(...given, { ...options, ...(sequences ? {} : { reduction }), upstream: tensor(upstream, reduction !== "none" ? [] : sequences ? [values.length] : shapes[0]) });
    expectClose((sequences ? result.logProbs : result.loss).data, values, bound);
    (result.grads ? [result.grads.chosen, result.grads.rejected] : [result.grad]).forEach((grad, i) => expectClose(grad.data, grads[i], bound));
  });
});
