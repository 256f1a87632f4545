import * as core from "@logits/core-wasm";
import * as statistics from "@logits/statistics";
import * as tensors from "@logits/tensor";
import { Tensor, randomSource, type RandomSource } from "@logits/tensor";
import { expectClose, expectExact, recipe, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import * as engine from "../index.ts";
import * as pooling from "./index.ts";

type Rows = Tensor<"float32">;
const modules = { "@logits/attention": engine, "@logits/attention/pooling": pooling, "@logits/core-wasm": core, "@logits/statistics": statistics, "@logits/tensor": tensors };
const random = (shape: readonly number[], seed: number): Rows => {
  const { normal } = testRandom(seed);
  return new Tensor("float32", [...shape], Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => normal()));
};
const of = (data: ArrayLike<number>, ...shape: number[]): Rows => new Tensor("float32", shape, Float32Array.from(data));
const dot = (a: ArrayLike<number>, b: ArrayLike<number>): number => Array.from(a, (x, i) => x * b[i]).reduce((sum, x) => sum + x, 0);
/** Float32 products of a few numbers near 1, an exponential, and a sum of at most 30. */
const CLOSE = { atol: 5e-6, rtol: 5e-6 };

describe("easy instances hidden [paper:multiple-instance-learning-framework-with-masked-hard-instance-mining] [paper:multiple-instance-learning-framework-with-masked-hard-instance-mining-2]", () => {
  type Net = pooling.AttentionPoolingParameters;
  const { hideSalient, maskedHardInstances, follow } = recipe<{
    hideSalient(weights: Rows, share: number, part: number, random: RandomSource): Uint8Array;
    maskedHardInstances(bag: Rows, teacher: Net, student: Net, random: RandomSource, options?: { share?: number; part?: number }): { output: Rows; mask: Uint8Array; consistency: number };
    follow(teacher: Float32Array, student: Float32Array, rate?: number): Float32Array;
  }>("masked-hard-instances", ["hideSalient", "maskedHardInstances", "follow"], modules);

  it("hides a random part of the most salient", () => {
    const weights = random([50], 1), order = Array.from(weights.data.keys()).sort((a, b) => weights.data[b] - weights.data[a]), hidden = (mask: Uint8Array): number[] => [...mask.keys()].filter((i) => mask[i] === 0);
    expect(hidden(hideSalient(weights, 0.1, 1, randomSource(1, 0))).sort((a, b) => a - b)).toEqual(order.slice(0, 5).sort((a, b) => a - b));
    const some = hidden(hideSalient(weights, 0.1, 0.5, randomSource(1, 0)));
    expect(some.length).toBe(5);
    expect(some.every((i) => order.indexOf(i) < 10)).toBe(true);
    expect(hidden(hideSalient(weights, 0.3, 0.2, randomSource(1, 0))).length).toBe(15);
  });

  it("shows the student the rest, and measures how far it is from the teacher", () => {
    const bag = random([30, 4], 2), teacher = { hidden: random([3, 4], 3), gate: random([3, 4], 4), score: random([3], 5) }, student = { hidden: random([3, 4], 6), gate: random([3, 4], 7), score: random([3], 8) };
    const { output, mask, consistency } = maskedHardInstances(bag, teacher, student, randomSource(2, 0), { share: 0.2 }), seen = [...mask.keys()].filter((i) => mask[i] === 1);
    expect(seen.length).toBe(24);
    expectClose(output.data, pooling.attentionPooling(of(seen.flatMap((i) => [...bag.row(i).data]), 24, 4), student).output.data, CLOSE);
    const t = pooling.attentionPooling(bag, teacher).output.data, e = Array.from(t, (x) => Math.exp(10 * x)), z = e.reduce((a, b) => a + b, 0), s = Array.from(output.data, Math.exp), y = s.reduce((a, b) => a + b, 0);
    // The teacher's scores are multiplied by 10: 1e-6 becomes 1e-5.
    expectClose([consistency], [-e.reduce((sum, x, f) => sum + (x / z) * Math.log(s[f] / y), 0)], { rtol: 5e-5 });
    // After n steps beside a student that stands still: p + rate^n (p0 - p).
    let p: Float32Array = Float32Array.of(1);
    for (let n = 0; n < 10; n++) p = follow(p, Float32Array.of(3), 0.9);
    expectClose(p, [3 - 2 * 0.9 ** 10], { rtol: 1e-6 });
  });
});

describe("slots without frayed edges [paper:shepherding-slots-to-objects-towards-stable-and-robust-object]", () => {
  const { refinedSlots } = recipe<{ refinedSlots(slots: Rows, keys: Rows, values: Rows, kernel: Rows, width: number, epsilon?: number): { updates: Rows; attention: Rows } }>("refined-slots", ["refinedSlots"], modules);
  const slots = random([3, 4], 9), keys = random([12, 4], 10), values = random([12, 2], 11);

  it("is slot attention for a kernel that passes its middle, and a mean for a kernel of 0", () => {
    const plain = pooling.slotAttention(slots, keys, values), got = refinedSlots(slots, keys, values, of([0, 0, 0, 0, 1, 0, 0, 0, 0], 3, 3), 4);
    expectClose(got.updates.data, plain.updates.data, CLOSE);
    expectClose(got.attention.data, plain.attention.data, CLOSE);
    expectClose(refinedSlots(slots, keys, values, of([0], 1, 1), 3).updates.row(1).data, [0, 1].map((f) => Array.from({ length: 12 }, (_, n) => values.at(n, f)).reduce((a, b) => a + b, 0) / 12), CLOSE);
  });

  it("agrees with the definition for any kernel, and does not see the slots' order", () => {
    const kernel = random([3, 3], 12), width = 4, logit = (s: number, y: number, x: number): number => (y < 0 || y > 2 || x < 0 || x > 3 ? 0 : dot(slots.row(s).data, keys.row(y * width + x).data) / 2);
    const refined = [0, 1, 2].map((s) => Array.from({ length: 12 }, (_, n) => Math.exp([0, 1, 2].flatMap((i) => [0, 1, 2].map((j) => kernel.at(i, j) * logit(s, Math.floor(n / width) + i - 1, (n % width) + j - 1))).reduce((a, b) => a + b, 0)))), attention = refined.map((row) => row.map((e, n) => e / (refined[0][n] + refined[1][n] + refined[2][n])));
    const got = refinedSlots(slots, keys, values, kernel, width);
    expectClose(got.attention.data, attention.flat(), CLOSE);
    expectClose(got.updates.data, attention.flatMap((row) => [0, 1].map((f) => row.reduce((sum, a, n) => sum + a * values.at(n, f), 0) / row.reduce((sum, a) => sum + a, 0))), CLOSE);
    const turned = refinedSlots(of([...slots.row(2).data, ...slots.row(0).data, ...slots.row(1).data], 3, 4), keys, values, kernel, width);
    expectClose(turned.updates.row(0).data, got.updates.row(2).data, CLOSE);
  });
});

describe("a memory of slots [paper:memformer-a-memory-augmented-transformer-for-sequence-modeling]", () => {
  interface Slots { readonly query: Rows; readonly key: Rows; readonly memory: Rows }
  const { read, normalise, write } = recipe<{ read(query: Rows, slots: { key: Rows; value: Rows }): Rows; normalise(memory: Rows, bias: Rows): Rows; write(slots: Slots, segment: { key: Rows; value: Rows }, bias: Rows, temperature?: number): Rows }>("memory-slots", ["read", "normalise", "write"], modules);
  const bias = random([3, 4], 13), zero = of(new Float32Array(12), 3, 4), slots = { query: random([3, 4], 14), key: random([3, 4], 15), memory: normalise(zero, bias) }, segment = { key: random([5, 4], 16), value: random([5, 4], 17) };

  it("writes what each slot sees: itself and the segment", () => {
    const got = write(slots, segment, bias, 0.5);
    for (let i = 0; i < 3; i++) {
      const scores = [dot(slots.query.row(i).data, slots.key.row(i).data), ...Array.from({ length: 5 }, (_, j) => dot(slots.query.row(i).data, segment.key.row(j).data))].map((s) => Math.exp(s / (0.5 * 2))), z = scores.reduce((a, b) => a + b, 0), seen = [slots.memory.row(i).data, ...Array.from({ length: 5 }, (_, j) => segment.value.row(j).data)];
      const moved = [0, 1, 2, 3].map((f) => scores.reduce((sum, e, j) => sum + (e / z) * seen[j][f], 0) + bias.at(i, f)), length = Math.sqrt(dot(moved, moved));
      expectClose(got.row(i).data, moved.map((m) => m / length), CLOSE);
      expectClose([dot(got.row(i).data, got.row(i).data)], [1], CLOSE);
    }
  });

  it("keeps itself where nothing comes, and takes one token where the temperature is near 0", () => {
    const none = { key: of([], 0, 4), value: of([], 0, 4) };
    expectClose(write(slots, none, zero).data, slots.memory.data, CLOSE);
    const cold = write(slots, segment, zero, 1e-4);
    for (let i = 0; i < 3; i++) {
      const scores = [dot(slots.query.row(i).data, slots.key.row(i).data), ...Array.from({ length: 5 }, (_, j) => dot(slots.query.row(i).data, segment.key.row(j).data))], best = scores.indexOf(Math.max(...scores)), one = best === 0 ? slots.memory.row(i).data : segment.value.row(best - 1).data;
      expectClose(cold.row(i).data, Array.from(one, (x) => x / Math.sqrt(dot(one, one))), CLOSE);
    }
    // A slot that its bias cancels has no direction.
    expect(normalise(bias, of(bias.data.map((b) => -b), 3, 4)).data.every(Number.isNaN)).toBe(true);
    const query = random([2, 4], 18), got = read(query, { key: slots.key, value: slots.memory });
    expectExact(got.data, engine.attention(query, slots.key, slots.memory).output.data);
  });
});

describe("matching against frames of a video [paper:xmem-production-level-video-segmentation-from-few-annotated-frames]", () => {
  interface Query { readonly key: Rows; readonly selection: Rows }
  interface Memory { readonly key: Rows; readonly shrinkage: Float32Array; readonly value: Rows }
  const { longer, readAll, readTop } = recipe<{ longer(query: Query, memory: Memory): { query: Rows; key: Rows }; readAll(query: Query, memory: Memory): Rows; readTop(query: Query, memory: Memory, k: number): Rows }>("memory-matching", ["longer", "readAll", "readTop"], modules);
  const query = { key: random([4, 5], 19), selection: core.sigmoid(random([4, 5], 20)) }, memory = { key: random([9, 5], 21), shrinkage: Float32Array.from(random([9], 22).data, (x) => 1 + x * x), value: random([9, 3], 23) };
  const similarity = (j: number, i: number): number => (-memory.shrinkage[i] * [0, 1, 2, 3, 4].reduce((sum, c) => sum + query.selection.at(j, c) * (memory.key.at(i, c) - query.key.at(j, c)) ** 2, 0)) / Math.sqrt(5);

  it("has similarities as scalar products", () => {
    const made = longer(query, memory);
    // Squares of up to 10, expanded in float32.
    for (let j = 0; j < 4; j++) for (let i = 0; i < 9; i++) expectClose([dot(made.query.row(j).data, made.key.row(i).data) / Math.sqrt(5)], [similarity(j, i)], { atol: 2e-5 });
  });

  it("reads all, or the most similar alone", () => {
    const want = (k: number): number[] => [0, 1, 2, 3].flatMap((j) => {
      const order = Array.from({ length: 9 }, (_, i) => i).sort((a, b) => similarity(j, b) - similarity(j, a)).slice(0, k), e = order.map((i) => Math.exp(similarity(j, i))), z = e.reduce((a, b) => a + b, 0);
      return [0, 1, 2].map((f) => order.reduce((sum, i, n) => sum + (e[n] / z) * memory.value.at(i, f), 0));
    });
    expectClose(readAll(query, memory).data, want(9), { atol: 2e-5 });
    for (const k of [1, 4, 9]) expectClose(readTop(query, memory, k).data, want(k), { atol: 2e-5 });
    expectClose(readAll({ ...query, selection: of(new Float32Array(20), 4, 5) }, memory).row(0).data, [0, 1, 2].map((f) => Array.from({ length: 9 }, (_, i) => memory.value.at(i, f)).reduce((a, b) => a + b, 0) / 9), CLOSE);
  });
});

describe("attention of zeros and ones [paper:bivit-extremely-compressed-binary-vision-transformer]", () => {
  interface Binary { readonly bits: Uint8Array; readonly scales: Float32Array }
  const { binariseAttention, binaryRead, straightThrough } = recipe<{ binariseAttention(scores: Rows, share?: number): Binary; binaryRead(binary: Binary, values: Rows): Float32Array; straightThrough(score: number, upstream: number): number }>("softmax-aware-binarisation", ["binariseAttention", "binaryRead", "straightThrough"], modules);

  it("has the scale of least squares for its bits, which stand above a quarter of the largest weight", () => {
    const scores = random([6, 20], 24), weights = core.softmax(scores), made = binariseAttention(scores), values = random([20, 3], 25);
    for (let i = 0; i < 6; i++) {
      const row = [...weights.row(i).data], bits = [...made.bits.subarray(20 * i, 20 * i + 20)], error = (s: number): number => row.reduce((sum, a, j) => sum + (bits[j] === 1 ? (a - s) ** 2 : a * a), 0);
      expect(bits).toEqual(row.map((a) => Number(a >= Math.max(...row) / 4)));
      for (const step of [-1e-3, 1e-3]) expect(error(made.scales[i])).toBeLessThan(error(made.scales[i] + step));
      expectClose(binaryRead(made, values).slice(3 * i, 3 * i + 3), [0, 1, 2].map((f) => made.scales[i] * bits.reduce((sum, b, j) => sum + b * values.at(j, f), 0)), CLOSE);
    }
    const even = binariseAttention(of(new Float32Array(4), 1, 4)), sharp = binariseAttention(of([0, -Infinity, 30], 1, 3));
    expect([[...even.bits], [...even.scales], [...sharp.bits]]).toEqual([[1, 1, 1, 1], [0.25], [0, 0, 1]]);
    expect([straightThrough(0.5, 2), straightThrough(1, 2), straightThrough(-3, 2)]).toEqual([2, 0, 0]);
  });
});

describe("features that attend to each other [paper:autoint-automatic-feature-interaction-learning-via-self-attentive-neural]", () => {
  interface Layer { readonly query: Rows; readonly key: Rows; readonly value: Rows; readonly residual: Rows }
  const { interact, clickProbability } = recipe<{ interact(fields: Rows, layer: Layer, heads: number): Rows; clickProbability(last: Rows, weights: Float32Array, bias: number): Float64Array }>("feature-interactions", ["interact", "clickProbability"], modules);
  const fields = random([2, 5, 4], 26), layer = { query: random([4, 6], 27), key: random([4, 6], 28), value: random([4, 6], 29), residual: random([4, 6], 30) };

  it("agrees with the definition, head by head, and follows the order of the fields", () => {
    const got = interact(fields, layer, 3), project = (b: number, m: number, w: Rows, c: number): number => [0, 1, 2, 3].reduce((sum, f) => sum + fields.at(b, m, f) * w.at(f, c), 0), want: number[] = [];
    for (let b = 0; b < 2; b++) {
      for (let m = 0; m < 5; m++) {
        for (let c = 0; c < 6; c++) {
          const h = c - (c % 2), e = [0, 1, 2, 3, 4].map((k) => Math.exp([h, h + 1].reduce((sum, d) => sum + project(b, m, layer.query, d) * project(b, k, layer.key, d), 0))), z = e.reduce((a, x) => a + x, 0);
          want.push(Math.max(0, e.reduce((sum, x, k) => sum + (x / z) * project(b, k, layer.value, c), 0) + project(b, m, layer.residual, c)));
        }
      }
    }
    // Scores are not divided: up to 30, so weights within 3e-5.
    expectClose(got.data, want, { atol: 2e-4 });
    const order = [3, 0, 4, 1, 2], turned = interact(of(order.flatMap((m) => [...fields.row(0).row(m).data]), 1, 5, 4), layer, 3);
    for (const [i, m] of order.entries()) expectClose(turned.row(0).row(i).data, got.row(0).row(m).data, { atol: 2e-4 });
    const one = of(fields.row(0).row(0).data, 1, 1, 4);
    expectClose(interact(one, layer, 3).data, Array.from({ length: 6 }, (_, c) => Math.max(0, project(0, 0, layer.value, c) + project(0, 0, layer.residual, c))), CLOSE);
    const weights = random([30], 31).data;
    expectClose(clickProbability(got, weights, 0.3), [0, 1].map((b) => 1 / (1 + Math.exp(-0.3 - dot(weights, got.row(b).data)))), { rtol: 1e-6 });
  });
});
