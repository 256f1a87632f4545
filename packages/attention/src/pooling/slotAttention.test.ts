import { Tensor } from "@logits/tensor";
import { expectClose, expectExact, finiteDifferenceGradient, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import fixtures from "./fixtures/pooling.json" with { type: "json" };
import { slotAttention } from "./index.ts";

const random = (shape: readonly number[], seed: number): Tensor<"float32"> => {
  const { normal } = testRandom(seed);
  return new Tensor("float32", [...shape], Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => normal()));
};

const of = (data: ArrayLike<number>, ...shape: number[]): Tensor<"float32"> => new Tensor("float32", shape, Float32Array.from(data));
const slots = fixtures.cases[1] as unknown as Record<string, number[]>;
/** Float32 products of at most 6 numbers near 1 and an exponential. */
const CLOSE = { atol: 3e-6, rtol: 3e-6 };

describe("slotAttention", () => {
  it("agrees with PyTorch, and its gradients with autograd", () => {
    const got = slotAttention.withGrad(of(slots.slots, 2, 3, 4), of(slots.keys, 2, 6, 4), of(slots.values, 2, 6, 5), { upstream: of(slots.upstream, 2, 3, 5) });
    expectClose(got.updates.data, slots.updates, CLOSE);
    expectClose(got.attention.data, slots.attention, CLOSE);
    for (const name of ["slots", "keys", "values"] as const) expectClose(got.grads[name].data, slots[`grad_${name}`], { atol: 1e-5, rtol: 1e-5, label: name });
  });

  it("agrees with the definition, and has its gradients by differences, with a large epsilon", () => {
    const q = random([3, 2], 1), k = random([5, 2], 2), v = random([5, 2], 3), upstream = random([3, 2], 4), options = { scale: 0.8, epsilon: 0.3 };
    const updates = (a: ArrayLike<number>, b: ArrayLike<number>, c: ArrayLike<number>): number[] => {
      const e = Array.from({ length: 3 }, (_, s) => Array.from({ length: 5 }, (_, n) => Math.exp(0.8 * (a[2 * s] * b[2 * n] + a[2 * s + 1] * b[2 * n + 1])))), z = [0, 1, 2, 3, 4].map((n) => e[0][n] + e[1][n] + e[2][n]), w = e.map((row) => row.map((x, n) => x / z[n] + 0.3));
      return w.flatMap((row) => [0, 1].map((f) => row.reduce((s, x, n) => s + x * c[2 * n + f], 0) / row.reduce((s, x) => s + x, 0)));
    };
    const got = slotAttention.withGrad(q, k, v, { ...options, upstream }), value = (made: number[]): number => made.reduce((s, x, i) => s + x * upstream.data[i], 0), near = { atol: 5e-6 };
    expectClose(got.updates.data, updates(q.data, k.data, v.data), CLOSE);
    expectExact(slotAttention(q, k, v, options).updates.data, got.updates.data);
    expectClose(got.grads.slots.data, finiteDifferenceGradient((x) => value(updates(x, k.data, v.data)), q.data), near);
    expectClose(got.grads.keys.data, finiteDifferenceGradient((x) => value(updates(q.data, x, v.data)), k.data), near);
    expectClose(got.grads.values.data, finiteDifferenceGradient((x) => value(updates(q.data, k.data, x)), v.data), near);
  });

  it("shares each input out among the slots, whatever their order, and one slot reads the mean", () => {
    const q = random([4, 3], 5), k = random([9, 3], 6), v = random([9, 2], 7), { updates, attention } = slotAttention(q, k, v), order = [2, 0, 3, 1];
    for (let n = 0; n < 9; n++) expectClose([attention.at(0, n) + attention.at(1, n) + attention.at(2, n) + attention.at(3, n)], [1], { ulp: 4 });
    const moved = slotAttention(of(order.flatMap((s) => [...q.row(s).data]), 4, 3), k, v);
    for (const [i, s] of order.entries()) expectClose(moved.updates.row(i).data, updates.row(s).data, CLOSE);
    expectClose(slotAttention(of(q.row(0).data, 1, 3), k, v).updates.data, [0, 1].map((f) => [0, 1, 2, 3, 4, 5, 6, 7, 8].reduce((s, n) => s + v.at(n, f) / 9, 0)), CLOSE);
  });

  it("reads nothing from no inputs, and NaN where a key is NaN", () => {
    const none = slotAttention.withGrad(random([2, 3], 8), of([], 0, 3), of([], 0, 4), { upstream: of(new Float32Array(8), 2, 4) });
    expectExact(none.updates.data, new Float32Array(8));
    expectExact(none.grads.slots.data, new Float32Array(6));
    // A slot that won nothing in float32: nothing to divide by, or with epsilon the mean.
    expectExact(slotAttention([[20], [-20]], [[20], [20]], [[1], [3]], { epsilon: 0 }).updates.data, [2, NaN]);
    expectClose(slotAttention([[20], [-20]], [[20], [20]], [[1], [3]]).updates.data, [2, 2], CLOSE);
    expect(slotAttention(random([2, 1], 9), of([NaN, 1], 2, 1), of([1, 1], 2, 1)).updates.data.every(Number.isNaN)).toBe(true);
    expect(slotAttention(of([], 0, 3), random([2, 3], 9), random([2, 4], 9)).updates.shape).toEqual([0, 4]);
  });
});
