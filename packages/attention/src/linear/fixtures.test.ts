import { Tensor } from "@logits/tensor";
import { expectClose } from "@logits/testkit";
import { describe, it } from "vitest";
import fixture from "./fixtures/linear.json" with { type: "json" };
import { hiddenAttention, linearAttention, selectiveScan, softmaxFreeAttention, type LinearAttentionOptions } from "./index.ts";

interface Case { readonly name: string; readonly shape: number[]; readonly symmetric?: boolean; readonly arrays: Record<string, number[]> }
const cases = fixture.cases as unknown as Case[];
const named = (name: string): Case => cases.find((each) => each.name === name)!;
const of = (shape: readonly number[], data: number[]): Tensor<"float32"> => new Tensor("float32", shape, Float32Array.from(data));
/** Float32 against float64, standard normal inputs of 9 tokens; log gates are rounded to float32 before they are read. */
const NEAR = { atol: 1e-5, rtol: 1e-5 };

describe("the authors' formulas in torch", () => {
  const options: Record<string, LinearAttentionOptions> = {
    "linear transformer, causal": { causal: true, chunkSize: 4 }, MALA: { normalize: "magnitude" }, Cottention: { featureMap: "cosine", normalize: "count" }, "gates of tokens": { featureMap: "identity", normalize: "none", chunkSize: 4 }, "gates of features": { featureMap: "identity", normalize: "none", chunkSize: 4 },
  };
  for (const [name, given] of Object.entries(options)) {
    it(name, () => {
      const { shape: [b, h, t, d, e], arrays } = named(name), q = of([b, h, t, d], arrays.query), k = of([b, h, t, d], arrays.key), v = of([b, h, t, e], arrays.value), all: LinearAttentionOptions = {
        ...given, ...(arrays.logGates && { logGates: of(arrays.logGates.length === b * h * t ? [b, h, t] : [b, h, t, d], arrays.logGates) }), ...(arrays.power && { countPower: of([h], arrays.power) }),
      };
      const { output, grads } = linearAttention.withGrad(q, k, v, { ...all, upstream: of([b, h, t, e], arrays.upstream) });
      expectClose(output.data, arrays.output, NEAR);
      expectClose(grads.query.data, arrays.queryGradient, NEAR);
      expectClose(grads.key.data, arrays.keyGradient, NEAR);
      expectClose(grads.value.data, arrays.valueGradient, NEAR);
      if (arrays.logGates) expectClose(grads.logGates!.data, arrays.logGatesGradient, NEAR);
      // The power is sigmoid(m).
      if (arrays.power) expectClose(grads.countPower!.data.map((g, i) => g * arrays.power[i] * (1 - arrays.power[i])), arrays.mGradient, NEAR);
      const weights = hiddenAttention(q, k, all), quadratic = arrays.output.map((_, at) => { const row = Math.floor(at / e), head = Math.floor(row / t); return Array.from({ length: t }, (__, j) => weights.data[row * t + j] * v.data[(head * t + j) * e + (at % e)]).reduce((x, y) => x + y, 0); });
      expectClose(quadratic, arrays.output, NEAR);
    });
  }

  it("selective scan", () => {
    const { shape: [b, t, c, n], arrays } = named("selective scan"), { output, state, grads } = selectiveScan.withGrad(of([b, t, c], arrays.input), of([b, t, c], arrays.delta), of([c, n], arrays.A), of([b, t, n], arrays.B), of([b, t, n], arrays.C), { D: of([c], arrays.D), upstream: of([b, t, c], arrays.upstream) });
    expectClose(output.data, arrays.output, NEAR);
    expectClose(state.data, arrays.state, NEAR);
    for (const name of ["input", "delta", "A", "B", "C", "D"] as const) expectClose(grads[name]!.data, arrays[`${name}Gradient`], { ...NEAR, label: name });
  });

  for (const name of ["SOFT", "SOFT++"]) {
    it(name, () => {
      const { shape: [t, m, d, e], symmetric, arrays } = named(name), { output, grads } = softmaxFreeAttention.withGrad(of([t, d], arrays.tokens), of([t, e], arrays.value), of([m, d], arrays.landmarks), { symmetric, upstream: of([t, e], arrays.upstream) });
      expectClose(output.data, arrays.output, NEAR);
      for (const part of ["tokens", "value", "landmarks"] as const) expectClose(grads[part].data, arrays[`${part}Gradient`], { ...NEAR, label: part });
    });
  }
});
