import { Tensor } from "@logits/tensor";
import { expectClose, expectExact, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { LinearAttentionState, hiddenAttention, linearAttention, type LinearAttentionOptions } from "./index.ts";

const zeros = (...shape: number[]): Tensor<"float32"> => new Tensor("float32", shape, new Float32Array(shape.reduce((a, b) => a * b, 1)));
const random = (shape: readonly number[], seed: number): Tensor<"float32"> => {
  const { normal } = testRandom(seed);
  return new Tensor("float32", [...shape], Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => normal()));
};
const kinds: LinearAttentionOptions[] = [{}, { causal: true }, { normalize: "none" }, { normalize: "magnitude", causal: true }, { normalize: "count" }];

it("reads what version 1 has written", () => {
  // Two keys, [1, 0] and [0, 2], with values 3 and 0.1. Never edited.
  const text = '{"format":"logits/linear-attention-state","version":1,"features":2,"featureMap":"elu","normalize":"magnitude","scale":0.7071067811865475,"countPower":1,"length":2,"products":{"dtype":"int32","shape":[1,2,2],"data":"AACAZmZmGEAAAABnZmYKQA=="},"keySum":{"dtype":"int32","shape":[1,4],"data":"AAAAAAAACEAAAAAAAAAQQA=="},"valueSum":{"dtype":"int32","shape":[1,2],"data":"AAAAzczMCEA="}}';
  const state = LinearAttentionState.fromJSON(JSON.parse(text)), twin = new LinearAttentionState({ heads: 1, features: 2, width: 1, normalize: "magnitude" });
  twin.append([[[1, 0], [0, 2]]], [[[3], [0.1]]]);
  expect(JSON.stringify(state)).toBe(text);
  expect(JSON.stringify(twin)).toBe(text);
  expectExact(state.attend([[1, -1]]).output.data, twin.attend([[1, -1]]).output.data);
});

describe("special values of linearAttention", () => {
  it("no queries, no keys, no batch", () => {
    for (const options of kinds) {
      const none = linearAttention.withGrad(zeros(2, 0, 3), zeros(2, 4, 3), zeros(2, 4, 5), { ...options, upstream: zeros(2, 0, 5) });
      expect([none.output.shape, none.rowSum.shape, none.grads.key.shape]).toEqual([[2, 0, 5], [2, 0], [2, 4, 3]]);
      expect([...none.grads.key.data, ...none.grads.value.data].every((x) => x === 0)).toBe(true);
      const alone = linearAttention.withGrad(random([2, 4, 3], 1), zeros(2, 0, 3), zeros(2, 0, 5), { ...options, upstream: random([2, 4, 5], 2) });
      for (const x of [alone.output, alone.rowSum, alone.grads.query]) expect(x.data.every((y) => y === 0)).toBe(true);
      expect(linearAttention(zeros(0, 2, 4, 3), zeros(0, 2, 4, 3), zeros(0, 2, 4, 5), options).output.shape).toEqual([0, 2, 4, 5]);
      expect(hiddenAttention(zeros(2, 4, 3), zeros(2, 0, 3), options).shape).toEqual([2, 4, 0]);
    }
  });

  it("one key: its value, whatever the scores", () => {
    const v = random([1, 3], 3), got = linearAttention(random([1, 4], 1), random([1, 4], 2), v).output.data;
    expectClose(got, v.data, { ulp: 2 });
    expectClose(linearAttention(random([1, 4], 1), random([1, 4], 2), v, { normalize: "magnitude" }).output.data, v.data, { rtol: 1e-6 });
  });

  it("a row whose scores sum to 0 gives 0 and no gradient, wherever it is divided by them", () => {
    const q = new Tensor("float32", [2, 2], Float32Array.of(-1, -2, 1, 1)), k = random([5, 2], 1).data.map(Math.abs), v = random([5, 3], 2);
    for (const normalize of ["sum", "magnitude"] as const) {
      const { output, rowSum, grads } = linearAttention.withGrad(q, new Tensor("float32", [5, 2], k), v, { featureMap: "relu", normalize, upstream: random([2, 3], 3) });
      expectExact(output.row(0).data, [0, 0, 0]);
      expect(rowSum.data[0]).toBe(0);
      expectExact(grads.query.row(0).data, [0, 0]);
      expect(output.row(1).data.every((x) => x !== 0)).toBe(true);
    }
    expectExact(hiddenAttention(q, new Tensor("float32", [5, 2], k), { featureMap: "relu" }).row(0).data, [0, 0, 0, 0, 0]);
  });

  it("a sum below 2^-126, which float32 does not hold to its digits, is one of 0 in every form; an infinite one gives NaN", () => {
    // The query sees its first key alone, through a gate.
    const q = [[1, 0], [1, 0]], k = [[1, 0], [0, 1]], v = [[3], [4]], after = (gate: number): number[] => {
      const options = { featureMap: "relu", logGates: [0, gate] } as const, state = new LinearAttentionState({ heads: 1, features: 2, width: 1, featureMap: "relu" });
      state.append([k], [v], { logGates: [[0, gate]] });
      return [linearAttention(q, k, v, options).output.data[1], state.attend([q[1]]).output.data[0], 3 * hiddenAttention(q, k, options).at(1, 0)];
    };
    // log(2^-126) is -87.34.
    for (const x of after(-87.3)) expectClose(x, 3, { ulp: 2 });
    expectExact(after(-87.4), [0, 0, 0]);
    const large = new LinearAttentionState({ heads: 1, features: 1, featureMap: "exp" });
    large.append([[1]], [[2]]);
    expectExact([linearAttention([[100]], [[1]], [[2]], { featureMap: "exp" }).output.data[0], hiddenAttention([[100]], [[1]], { featureMap: "exp" }).data[0], large.attend([[100]]).output.data[0]], [NaN, NaN, NaN]);
  });

  it("gates of 1 are no gates; gates of 0 leave each token alone, with gradients of 0 for the gates", () => {
    const [q, k, v, upstream] = [random([20, 4], 1), random([20, 4], 2), random([20, 3], 3), random([20, 3], 4)], kind = { featureMap: "identity", normalize: "none", chunkSize: 8 } as const;
    expectExact(linearAttention(q, k, v, { ...kind, logGates: zeros(20) }).output.data, linearAttention(q, k, v, { ...kind, causal: true }).output.data);
    for (const logGates of [zeros(20), zeros(20, 4)]) {
      logGates.data.fill(-Infinity);
      const { output, grads } = linearAttention.withGrad(q, k, v, { ...kind, logGates, upstream });
      for (let i = 0; i < 20; i++) {
        const score = [0, 1, 2, 3].reduce((sum, f) => sum + q.at(i, f) * k.at(i, f), 0);
        expectClose(output.row(i).data, v.row(i).data.map((x) => score * x), { atol: 2e-6, rtol: 2e-6 });
      }
      expect(grads.logGates!.data.every((x) => x === 0)).toBe(true);
    }
  });

  it("padding is not read, a forgotten state is forgotten even where it was NaN", () => {
    const [q, k, v] = [random([1, 6, 4], 1), random([1, 6, 4], 2), random([1, 6, 3], 3)], kind = { causal: true, lengths: Int32Array.of(4), chunkSize: 2 } as const, want = linearAttention(q, k, v, kind).output.data;
    k.data.fill(NaN, 16);
    v.data.fill(NaN, 12);
    expectExact(linearAttention(q, k, v, kind).output.data, want);
    // What is not finite in a value reaches its chunk, in a key only those who see it.
    const bad = (at: "key" | "value"): boolean[] => {
      const [a, b, c] = [random([4, 1], 1), random([4, 1], 2), random([4, 1], 3)];
      (at === "key" ? b : c).data[2] = NaN;
      return [...linearAttention(a, b, c, { causal: true }).output.data].map(Number.isNaN);
    };
    expect([bad("key"), bad("value")]).toEqual([[false, false, true, true], [true, true, true, true]]);
    const ones = [zeros(4, 1), zeros(4, 1), zeros(4, 1)];
    for (const x of ones) x.data.fill(1);
    ones[2].data[0] = NaN;
    const options = { featureMap: "identity", normalize: "none", logGates: [0, 0, -Infinity, 0] } as const;
    expectExact(linearAttention(ones[0], ones[1], ones[2], options).output.data, [NaN, NaN, 1, 2]);
    const state = new LinearAttentionState({ heads: 1, features: 1, featureMap: "identity", normalize: "none" });
    state.append([[[1], [1], [1]]], [[[NaN], [1], [1]]], { logGates: [[0, 0, -Infinity]] });
    expectExact(state.attend([[1]]).output.data, [1]);
  });

  it("a state before its first token gives 0", () => {
    for (const normalize of ["sum", "none", "count", "magnitude"] as const) expectExact(new LinearAttentionState({ heads: 1, features: 2, normalize }).attend([[1, 2]]).output.data, [0, 0]);
  });

  it("gates so strong that a token is a chunk, and so weak that none is cut, agree with one another across the bound", () => {
    // exp(-20.8) squared is 2^-60: the first gates cut nothing in pairs, the second cut everywhere.
    const [q, k, v] = [random([30, 3], 1), random([30, 3], 2), random([30, 2], 3)], kind = { featureMap: "identity", normalize: "none" } as const;
    for (const strength of [1e-6, 1, 20.7, 41.5, 41.7, 700, 1e30]) {
      const logGates = new Float32Array(30).fill(-strength), whole = linearAttention(q, k, v, { ...kind, logGates }).output.data;
      expectClose(whole, linearAttention(q, k, v, { ...kind, logGates, chunkSize: 1 }).output.data, { atol: 2e-6, rtol: 2e-6 });
    }
  });
});
