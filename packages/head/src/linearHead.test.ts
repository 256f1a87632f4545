import { ConvergenceError, type CsrMatrix } from "@logits/tensor";
import { core } from "@logits/core-wasm";
import { estimatorChecks, expectClose, expectExact, finiteDifferenceGradient, testRandom } from "@logits/testkit";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import fixture from "./fixtures/linearHead.json" with { type: "json" };
import { LinearHead, scorerFromJSON, type LinearHeadOptions } from "./index.ts";

const plain = (data: Float32Array, ...shape: number[]) => ({ dtype: "float32" as const, shape, data });
const labelsOf = (data: Int32Array) => ({ dtype: "int32" as const, shape: [data.length], data });

/** Classes around random centres. */
function blobs(rows: number, features: number, classes: number, seed: number, spread = 1) {
  const random = testRandom(seed);
  const centres = Float64Array.from({ length: classes * features }, () => random.normal());
  const labels = Int32Array.from({ length: rows }, (_, n) => (n < classes ? n : random.integer(classes)));
  const x = Float32Array.from({ length: rows * features }, (_, i) => centres[labels[Math.floor(i / features)] * features + (i % features)] + spread * random.normal());
  return { x: plain(x, rows, features), y: labelsOf(labels) };
}

function toCsr({ shape: [rows, columns], data }: { shape: readonly number[]; data: Float32Array }): CsrMatrix {
  const indptr = new Int32Array(rows + 1), indices: number[] = [], values: number[] = [];
  for (let n = 0; n < rows; n++) {
    for (let f = 0; f < columns; f++) {
      if (data[n * columns + f] === 0) continue;
      indices.push(f);
      values.push(data[n * columns + f]);
    }
    indptr[n + 1] = indices.length;
  }
  return { shape: [rows, columns], indptr, indices: Int32Array.from(indices), data: Float32Array.from(values) };
}

/** The objective in float64; parameters are W [F, C] and then b. */
function objective(x: ArrayLike<number>, y: ArrayLike<number>, features: number, classes: number, l2: number, weight: (label: number) => number = () => 1) {
  return (parameters: Float64Array): number => {
    let loss = 0, total = 0, square = 0;
    for (let n = 0; n < y.length; n++) {
      const z = Array.from({ length: classes }, (_, c) => {
        let sum = parameters[features * classes + c];
        for (let f = 0; f < features; f++) sum += x[n * features + f] * parameters[f * classes + c];
        return sum;
      });
      const top = Math.max(...z);
      loss += weight(y[n]) * (top + Math.log(z.reduce((s, v) => s + Math.exp(v - top), 0)) - z[y[n]]);
      total += weight(y[n]);
    }
    for (let i = 0; i < features * classes; i++) square += parameters[i] ** 2;
    return loss / total + (l2 / 2) * square;
  };
}

const parametersOf = (head: LinearHead): Float64Array => Float64Array.of(...head.weights.data, ...head.bias.data);

describe("LinearHead.fit", () => {
  it("is at a stationary point of the objective in float64", () => {
    fc.assert(fc.property(fc.integer({ min: 1, max: 1000 }), fc.integer({ min: 1, max: 7 }), fc.integer({ min: 2, max: 6 }), fc.boolean(), (seed, features, classes, sparse) => {
      const { x, y } = blobs(40, features, classes, seed);
      if (sparse) x.data.forEach((v, i) => (x.data[i] = Math.abs(v) < 0.7 ? 0 : v));
      const head = LinearHead.fit(sparse ? toCsr(x) : x, y, { l2: 0.02, tolerance: 1e-5 });
      const gradient = finiteDifferenceGradient(objective(x.data, y.data, features, classes, 0.02), parametersOf(head));
      // 1e-5 of a gradient of about 1 at zero, times the scale of a variable (at most 1 / sqrt(variance / 6) here), and float32 sums of 40 terms.
      expectClose(gradient, new Float64Array(gradient.length), { atol: 5e-5 });
    }), { seed: 5, numRuns: 40 });
  });

  it("gives the same optimum for dense and for CSR features, whatever the order of a row and with an element in two parts", () => {
    const { x, y } = blobs(60, 5, 3, 2);
    x.data.forEach((v, i) => (x.data[i] = Math.abs(v) < 0.7 ? 0 : v));
    const dense = LinearHead.fit(x, y, { l2: 0.01, tolerance: 1e-5 });
    const csr = toCsr(x);
    // Every row backwards; each element as 3/4 and 1/4 of it, in float32 exactly.
    const indptr = csr.indptr.map((at) => 2 * at), indices = new Int32Array(2 * csr.indices.length), data = new Float32Array(2 * csr.indices.length);
    for (let n = 0; n < 60; n++) {
      for (let j = csr.indptr[n], to = indptr[n + 1] - 1; j < csr.indptr[n + 1]; j++, to -= 2) {
        indices[to] = indices[to - 1] = csr.indices[j];
        data[to] = 0.75 * csr.data[j];
        data[to - 1] = csr.data[j] - data[to];
      }
    }
    for (const features of [csr, { shape: csr.shape, indptr, indices, data }]) {
      const head = LinearHead.fit(features, y, { l2: 0.01, tolerance: 1e-5 });
      // Strong convexity: |W - W'| <= (|g| + |g'|) / l2, with |g| about 1e-5 of the gradient at zero.
      expectClose(head.weights, dense.weights, { atol: 2e-3 });
      expectClose(head.logits(features), dense.logits(x), { atol: 2e-3 });
    }
  });

  it("does not depend on the units and the offset of a feature more than the penalty does", () => {
    const { x, y } = blobs(80, 3, 3, 4);
    const head = LinearHead.fit(x, y, { l2: 1e-7, tolerance: 1e-5 });
    const moved = plain(x.data.map((v, i) => (i % 3 === 0 ? 64 * v : i % 3 === 1 ? v + 100 : v)), 80, 3);
    const other = LinearHead.fit(moved, y, { l2: 1e-7, tolerance: 1e-5 });
    expectClose(other.fitted!.loss, head.fitted!.loss, { atol: 1e-5 }); // l2 times the squares of the weights, and 100 rounded to float32
    expect(other.fitted!.iterations).toBeLessThan(60);
  });

  it("has the closed form of features that say nothing: the class frequencies", () => {
    const head = LinearHead.fit([[0], [0], [0], [0]], [0, 0, 0, 1], { tolerance: 1e-6 });
    expectExact(head.weights, [0, 0]);
    expectClose(head.bias.data[0] - head.bias.data[1], Math.log(3), { atol: 1e-5 }); // the tolerance
    const none = LinearHead.fit({ data: new Float32Array(0), shape: [4, 0] }, [0, 0, 0, 1], { tolerance: 1e-6 });
    expectClose(none.bias.data[0] - none.bias.data[1], Math.log(3), { atol: 1e-5 });
    expect([none.features, none.classes, none.weights.shape]).toEqual([0, 2, [0, 2]]);
  });

  it("weighs classes: a weight of 2 is the row twice, balanced is N / (C rows of the class), 0 is no row", () => {
    const { x, y } = blobs(30, 2, 3, 6);
    const options = { l2: 0.01, tolerance: 1e-5 };
    const counts = [0, 1, 2].map((c) => y.data.filter((label) => label === c).length);
    const twice = LinearHead.fit(plain(Float32Array.of(...x.data, ...[...x.data].filter((_, i) => y.data[i >> 1] === 1)), 30 + counts[1], 2), Int32Array.of(...y.data, ...new Int32Array(counts[1]).fill(1)), options);
    expectClose(LinearHead.fit(x, y, { ...options, classWeight: [1, 2, 1] }).weights, twice.weights, { atol: 2e-3 }); // as above
    const balanced = LinearHead.fit(x, y, { ...options, classWeight: "balanced" });
    expectExact(balanced.weights, LinearHead.fit(x, y, { ...options, classWeight: counts.map((n) => 30 / (3 * n)) }).weights.data);
    const without = LinearHead.fit(x, y, { ...options, classWeight: [1, 0, 1] });
    expect([without.bias.data[1], without.weights.at(0, 1), without.weights.at(1, 1)]).toEqual([-Infinity, 0, 0]);
  });

  it("gives a class without a row no weight and never predicts it", () => {
    const { x, y } = blobs(30, 2, 2, 7);
    const two = LinearHead.fit(x, y, { l2: 0.01 });
    const head = LinearHead.fit(x, labelsOf(y.data.map((label) => 3 * label)), { l2: 0.01, classes: 5 });
    expect(head.classes).toBe(5);
    expectExact(head.bias, [two.bias.data[0], -Infinity, -Infinity, two.bias.data[1], -Infinity]);
    expectExact(head.weights.row(0), [two.weights.at(0, 0), 0, 0, two.weights.at(0, 1), 0]);
    expectExact(head.logits(x.data.subarray(0, 2)).data.filter((_, c) => c % 3 > 0), [-Infinity, -Infinity, -Infinity]);
  });

  it("takes one class, one row, fewer rows than features, dead and constant features", () => {
    const one = LinearHead.fit([[1, 2], [3, 4]], [0, 0]);
    expectExact(one.logits([[5, 6]]), { shape: [1, 1], data: [0] });
    expectExact(LinearHead.fit([[1, 2]], [2]).logits([1, 2]), { shape: [3], data: [-Infinity, -Infinity, 0] });
    const wide = blobs(6, 40, 3, 8);
    const head = LinearHead.fit(wide.x, wide.y, { l2: 0.01 });
    expect(Array.from({ length: 6 }, (_, n) => { const z = head.logits(wide.x).row(n).data; return z.indexOf(Math.max(...z)); })).toEqual([...wide.y.data]);
    const { x, y } = blobs(30, 3, 2, 9);
    x.data.forEach((_, i) => (x.data[i] = i % 3 === 1 ? 0 : i % 3 === 2 ? 7 : x.data[i]));
    const dead = LinearHead.fit(x, y, { l2: 0.01 }).weights;
    expectExact(dead.row(1), [0, 0]);
    expectClose(dead.row(2), [0, 0], { atol: 1e-5 }); // 7 less its mean in float32
  });

  it("fits features of any size that float32 can add up, and says so where it cannot", () => {
    const { x, y } = blobs(60, 3, 2, 11);
    const right = (head: LinearHead, rows: typeof x) => [...y.data].filter((label, n) => { const z = head.logits(rows).row(n).data; return (z[1] > z[0] ? 1 : 0) === label; }).length;
    const want = right(LinearHead.fit(x, y, { l2: 1e-6 }), x);
    for (const size of [1e-10, 1e10, 1e30]) {
      const rows = plain(x.data.map((v) => size * v), 60, 3);
      // The penalty of weights of 1 / size must not count.
      expect(Math.abs(right(LinearHead.fit(rows, y, { l2: 1e-6 * Math.min(1, size * size) }), rows) - want)).toBeLessThanOrEqual(1);
    }
    const huge = LinearHead.fit([[3e38], [-3e38], [3e38], [-3e38]], [0, 1, 0, 1]);
    expect(huge.logits([3e38]).data[0]).toBeGreaterThan(1);
    const sums: CsrMatrix = { shape: [2, 1], indptr: Int32Array.of(0, 8, 9), indices: new Int32Array(9), data: new Float32Array(9).fill(3e38) };
    expect(() => LinearHead.fit(sums, [0, 1])).toThrowErrorMatchingInlineSnapshot(`[ConvergenceError: LinearHead.fit: expected sums over the rows that float32 holds, got an infinite gradient. Scale the features down]`);
  });

  it("is the same alone, in pieces, and leaves no memory behind, also when it stops", async () => {
    const { x, y } = blobs(3000, 20, 5, 10);
    const head = LinearHead.fit(x, y, { l2: 1e-3 });
    const used = core.bytesInUse;
    const shares: number[] = [];
    const again = await LinearHead.fitAsync(x, y, { l2: 1e-3, onProgress: (share) => shares.push(share) });
    expectExact(again.weights, head.weights.data);
    expect([shares[0], shares.at(-1)]).toEqual([0, 1]);
    const controller = new AbortController();
    await expect(LinearHead.fitAsync(x, y, { tolerance: 1e-6, signal: controller.signal, onProgress: (share) => share > 0 && controller.abort(new Error("enough")) })).rejects.toThrow("enough");
    expect(core.bytesInUse).toBe(used);
  });
});

describe("LinearHead against scikit-learn", () => {
  it.each(fixture.cases)("$name", ({ shape, x, y, classes, l2, classWeight, weights, bias, loss }) => {
    const options = { classes, l2, tolerance: 1e-5, ...(classWeight !== null && { classWeight }) } as LinearHeadOptions;
    const head = LinearHead.fit({ data: Float32Array.from(x), shape }, y, options);
    // The loss is flat at the optimum: what is left is the float32 rounding of the logits, 1e-7, and |g|^2 / (2 curvature).
    expectClose(head.fitted!.loss, loss, { atol: 1e-6 });
    const f = objective(x, y, shape[1], classes, l2, classWeight === null ? () => 1 : classWeight === "balanced" ? (c) => y.length / (classes * y.filter((label) => label === c).length) : (c) => (classWeight as number[])[c]);
    expectClose(f(Float64Array.of(...weights, ...bias)), loss, { rtol: 1e-12 });
    // No lower than the optimum, and within 1e-7 of it, in float64.
    const gap = f(parametersOf(head)) - loss;
    expect(gap).toBeGreaterThan(-1e-12);
    expect(gap).toBeLessThan(1e-7);
    // (l2 / 2) |W - W*|^2 <= gap.
    expectClose(head.weights, weights, { atol: Math.sqrt((2 * 1e-7) / l2) });
    expectClose(head.weights, weights, { atol: 2e-3 * Math.max(...weights.map(Math.abs)) });
    expectClose(head.bias, bias, { atol: 2e-3 * Math.max(...weights.map(Math.abs), ...bias.map(Math.abs)) });
  });
});

const data = blobs(60, 4, 3, 1);
const probe = blobs(20, 4, 3, 12).x;

describe("LinearHead", () => {
  it.each(estimatorChecks<LinearHead>({
    name: "LinearHead",
    data: [data.x, data.y],
    fit: (x, y) => LinearHead.fit(x, y, { l2: 0.01, classes: 4 }),
    output: (head) => [head.logits(probe), head.logits(toCsr(probe)), head.weights, head.bias],
    fromJSON: (json) => LinearHead.fromJSON(json),
    // Float32 sums in another order end within the tolerance of 1e-3 of the gradient at zero, over l2 = 0.01.
    rowOrder: { atol: 0.02 },
    wrongWidth: [(head) => head.logits([[1, 2, 3]]), (head) => head.logits([1]), (head) => head.logits(toCsr(plain(new Float32Array(3), 1, 3))), (head) => head.logits({ data: new Float32Array(4), shape: [1, 1, 4] })],
    optional: ["fit"],
    base64: ["weights.data", "bias.data"],
    invariants: [{ name: "scores one row as it scores a batch, dense and CSR", holds: (head) => {
      const all = head.logits(probe), sparse = head.logits(toCsr(probe));
      for (let n = 0; n < 20; n++) {
        const row = probe.data.subarray(4 * n, 4 * n + 4);
        expectExact(head.logits(row), { shape: [4], data: Float64Array.from(all.row(n).data) });
        expectExact(head.logits(toCsr(plain(row, 1, 4))).data, sparse.row(n).data);
      }
      expectClose(sparse.data.filter((_, i) => i % 4 !== 3), all.data.filter((_, i) => i % 4 !== 3), { atol: 1e-5 }); // float32 sums of 4 products
    } }],
  }))("$name", ({ run }) => run());

  it("scores given weights; a row with NaN is NaN, an infinity goes where IEEE sums take it", () => {
    const head = LinearHead.fromWeights([[1, 0, 2], [0, 1, 3]], [0.5, 0, -Infinity]);
    expectExact(head.logits([[2, 3], [NaN, 0], [Infinity, 0]]).row(0), { shape: [3], data: [2.5, 3, -Infinity] });
    expectExact(head.logits([NaN, 0]), [NaN, NaN, NaN]);
    expectExact(head.logits(toCsr(plain(Float32Array.of(NaN, 1), 1, 2))), { shape: [1, 3], data: [NaN, NaN, NaN] });
    expectExact(head.logits({ shape: [1, 2], indptr: Int32Array.of(0, 2), indices: Int32Array.of(1, 1), data: Float32Array.of(1, 2) }), [0.5, 3, -Infinity]);
    expect(head.logits({ data: new Float32Array(0), shape: [0, 2] }).shape).toEqual([0, 3]);
    expect(head.fitted).toBeUndefined();
    const again = scorerFromJSON(JSON.parse(JSON.stringify(head)));
    expect(again).toBeInstanceOf(LinearHead);
    expectExact(again.logits([2, 3]), [2.5, 3, -Infinity]);
  });

  it("names what is wrong", () => {
    const message = (run: () => unknown): string => { try { run(); } catch (error) { return String(error); } return "no error"; };
    const x = [[1, 2], [3, 4]];
    expect(message(() => LinearHead.fit([1, 2], [0, 1]))).toMatchInlineSnapshot(`"RangeError: LinearHead.fit: expected \`features\` of shape [N, F], got [2]"`);
    expect(message(() => LinearHead.fit({ data: new Float32Array(0), shape: [0, 2] }, []))).toMatchInlineSnapshot(`"RangeError: LinearHead.fit: expected \`features\` with at least one row, got shape [0, 2]"`);
    expect(message(() => LinearHead.fit(x, [0]))).toMatchInlineSnapshot(`"RangeError: LinearHead.fit: expected \`labels\` of shape [2], got [1]"`);
    expect(message(() => LinearHead.fit(x, [0, -1]))).toMatchInlineSnapshot(`"RangeError: LinearHead.fit: expected \`labels\` in [0, 1), got -1 at index 1"`);
    expect(message(() => LinearHead.fit(x, [0, 2], { classes: 2 }))).toMatchInlineSnapshot(`"RangeError: LinearHead.fit: expected \`labels\` in [0, 2), got 2 at index 1"`);
    expect(message(() => LinearHead.fit(x, [0, 1], { classes: 0 }))).toMatchInlineSnapshot(`"RangeError: LinearHead.fit: expected \`classes\` an integer in [1, 16777216], got 0"`);
    expect(message(() => LinearHead.fit([[1, 2], [3, NaN]], [0, 1]))).toMatchInlineSnapshot(`"RangeError: LinearHead.fit: expected \`features\` of finite numbers, got NaN in row 1, column 1"`);
    expect(message(() => LinearHead.fit(toCsr(plain(Float32Array.of(0, 0, 1, 0, 0, Infinity), 2, 3)), [0, 1]))).toMatchInlineSnapshot(`"RangeError: LinearHead.fit: expected \`features\` of finite numbers, got Infinity in row 1, column 2"`);
    expect(message(() => LinearHead.fit(x, [0, 1], { l2: 0 }))).toMatchInlineSnapshot(`"RangeError: LinearHead.fit: expected \`l2\` a finite number > 0, got 0"`);
    expect(message(() => LinearHead.fit(x, [0, 1], { tolerance: 0 }))).toMatchInlineSnapshot(`"RangeError: LinearHead.fit: expected \`tolerance\` in [1e-6, 1), got 0"`);
    expect(message(() => LinearHead.fit(x, [0, 1], { maxIterations: 0 }))).toMatchInlineSnapshot(`"RangeError: LinearHead.fit: expected \`maxIterations\` an integer in [1, 9007199254740991], got 0"`);
    expect(message(() => LinearHead.fit(x, [0, 1], { classWeight: "even" as never }))).toMatchInlineSnapshot(`"RangeError: LinearHead.fit: expected \`classWeight\` "balanced" or float32 of shape [2], got "even""`);
    expect(message(() => LinearHead.fit(x, [0, 1], { classWeight: [1] }))).toMatchInlineSnapshot(`"RangeError: LinearHead.fit: expected \`classWeight\` of shape [2], got [1]"`);
    expect(message(() => LinearHead.fit(x, [0, 1], { classWeight: [1, -1] }))).toMatchInlineSnapshot(`"RangeError: LinearHead.fit: expected \`classWeight\` of finite numbers >= 0, got -1 at index 1"`);
    expect(message(() => LinearHead.fit(x, [0, 0], { classes: 2, classWeight: [0, 1] }))).toMatchInlineSnapshot(`"RangeError: LinearHead.fit: expected \`classWeight\` above 0 for a class of the rows, got 0 for all of them"`);
    const few = () => LinearHead.fit(blobs(50, 3, 3, 1).x, blobs(50, 3, 3, 1).y, { maxIterations: 2 });
    expect(message(few)).toMatchInlineSnapshot(`"ConvergenceError: LinearHead.fit: expected a gradient of at most 0.001 of that at zero, got 0.183 after 2 iterations. Raise \`l2\`, \`tolerance\` or \`maxIterations\`"`);
    expect(few).toThrow(ConvergenceError);
    expect(message(() => LinearHead.fromWeights([1, 2], [0]))).toMatchInlineSnapshot(`"RangeError: LinearHead.fromWeights: expected \`weights\` of shape [F, C], got [2]"`);
    expect(message(() => LinearHead.fromWeights({ data: new Float32Array(0), shape: [2, 0] }, []))).toMatchInlineSnapshot(`"RangeError: LinearHead.fromWeights: expected \`weights\` with at least one class, got shape [2, 0]"`);
    expect(message(() => LinearHead.fromWeights([[1, 2]], [0]))).toMatchInlineSnapshot(`"RangeError: LinearHead.fromWeights: expected \`bias\` of shape [2], got [1]"`);
    expect(message(() => LinearHead.fromWeights([[1, Infinity]], [0, 0]))).toMatchInlineSnapshot(`"RangeError: LinearHead.fromWeights: expected \`weights\` of finite numbers, got Infinity in row 0, column 1"`);
    expect(message(() => LinearHead.fromWeights([[1, 2]], [0, NaN]))).toMatchInlineSnapshot(`"RangeError: LinearHead.fromWeights: expected \`bias\` of numbers that are finite or -Infinity, got NaN at index 1"`);
    expect(message(() => LinearHead.fromWeights([[1, 2]], [0, 0]).logits([1, 2]))).toMatchInlineSnapshot(`"RangeError: LinearHead.logits: expected \`features\` of shape [N, 1] or [1], got [2]"`);
    expect(message(() => LinearHead.fromWeights([[1, 2]], [0, 0]).logits(toCsr(plain(Float32Array.of(1, 2), 1, 2))))).toMatchInlineSnapshot(`"RangeError: LinearHead.logits: expected \`features\` of 1 columns, got shape [1, 2]"`);
    const json = JSON.parse(JSON.stringify(LinearHead.fromWeights([[1, 2]], [0, 0])));
    expect(message(() => LinearHead.fromJSON({ ...json, bias: { dtype: "float32", shape: [1], data: "AAAAAA==" } }))).toMatchInlineSnapshot(`"FormatError: LinearHead.fromJSON: expected \`bias\` 2 numbers, one per class, got 1"`);
    expect(message(() => LinearHead.fromJSON({ ...json, weights: { dtype: "float32", shape: [1, 0], data: "" } }))).toMatchInlineSnapshot(`"FormatError: LinearHead.fromJSON: expected \`weights\` at least one class, got shape [1, 0]"`);
    expect(message(() => LinearHead.fromJSON({ ...json, unseen: { dtype: "int32", shape: [1], data: "AgAAAA==" } }))).toMatchInlineSnapshot(`"FormatError: LinearHead.fromJSON: expected \`unseen\` classes in [0, 2), got 2"`);
    expect(message(() => scorerFromJSON({ format: "logits/temperature-scaling" }))).toMatchInlineSnapshot(`"FormatError: scorerFromJSON: expected \`format\` "logits/linear-head", "logits/prototype-head" or "logits/zero-shot-scorer", got "logits/temperature-scaling""`);
    expect(message(() => scorerFromJSON(null))).toMatchInlineSnapshot(`"FormatError: scorerFromJSON: expected \`format\` "logits/linear-head", "logits/prototype-head" or "logits/zero-shot-scorer", got nothing: the field is missing"`);
  });
});
