import { expectClose } from "@logits/testkit";
import { describe, it } from "vitest";
import file from "./fixtures/cases.json" with { type: "json" };
import * as losses from "./index.ts";

// torch, float64: one rounding of ours to float32, inputs are the same float32 numbers.
const bound = { rtol: 1e-6, atol: 1e-6 };

describe("values and gradients of torch", () => {
  it.each(file.cases.map((one, i) => ({ ...one, name: `${one.loss} ${JSON.stringify(one.options)} ${one.reduction} ${i}` })))("$name", ({ loss, options, reduction, shapes, args, values, upstream, grads }) => {
    const whole = 2, given = args.map((data, i) => ({ shape: shapes[i], data: whole === i ? Int32Array.from(data) : Float32Array.from(data) }));
    const shape = loss === "relationDistillationLoss" ? shapes[0].slice(0, 2) : [values.length];
    const result = (losses as any)[loss].withGrad(...given, { ...options, reduction, upstream: { shape: reduction === "none" ? shape : [], data: Float32Array.from(upstream) } });
    expectClose(result.loss.data, values, bound);
    expectClose(result.grad.data, grads[0], bound);
  });
});
