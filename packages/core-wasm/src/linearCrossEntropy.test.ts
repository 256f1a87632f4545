import { Tensor, type CsrMatrix } from "@logits/tensor";
import { expectClose, expectExact, finiteDifferenceGradient, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { LinearCrossEntropy } from "./families/linear.ts";
import { core } from "./index.ts";
import { linearCrossEntropyRef } from "./linearCrossEntropy.ref.ts";

function problem(rows: number, features: number, classes: number, seed: number, density = 1) {
  const random = testRandom(seed);
  const x = Float32Array.from({ length: rows * features }, () => (random.uniform() < density ? random.normal() : 0));
  const y = Int32Array.from({ length: rows }, () => random.integer(classes));
  const v = Float32Array.from({ length: rows }, () => 2 * random.uniform());
  const w = Float32Array.from({ length: (features + 1) * classes }, () => random.normal());
  return { x, y, v, w, rows, features, classes };
}

function toCsr(x: Float32Array, rows: number, columns: number): CsrMatrix {
  const indptr = new Int32Array(rows + 1), indices: number[] = [], data: number[] = [];
  for (let n = 0; n < rows; n++) {
    for (let f = 0; f < columns; f++) {
      if (x[n * columns + f] === 0) continue;
      indices.push(f);
      data.push(x[n * columns + f]);
    }
    indptr[n + 1] = indices.length;
  }
  return { shape: [rows, columns], indptr, indices: Int32Array.from(indices), data: Float32Array.from(data) };
}

/** Loss and gradient [F + 1, C] of all pieces. */
function evaluate({ x, y, v, w, rows, features, classes }: ReturnType<typeof problem>, sparse: boolean, start = 0) {
  const loss = new LinearCrossEntropy(sparse ? toCsr(x, rows, features) : new Tensor("float32", [rows, features], x), new Tensor("int32", [rows], y), v, classes);
  const stride = loss.shape[1];
  const parameters = core.alloc(loss.shape), gradient = core.alloc(loss.shape);
  for (let f = 0; f <= features; f++) for (let c = 0; c < classes; c++) parameters.data[f * stride + c] = w[f * classes + c];
  const given = parameters.data.slice();
  gradient.data.fill(start);
  let value = 0, pieces = 0;
  for (let first = 0; first < rows; first = loss.pieceEnd(first), pieces++) value += loss.pass(parameters, gradient, first);
  expectExact(parameters.data.slice(), given);
  const all = gradient.data.slice();
  const grad = Float32Array.from(w, (_, i) => all[Math.floor(i / classes) * stride + (i % classes)]);
  const padding = all.filter((_, i) => i % stride >= classes);
  parameters.dispose();
  gradient.dispose();
  return { value, grad, padding, pieces };
}

const reference = ({ x, y, v, w, features, classes }: ReturnType<typeof problem>): { value: number; grad: Float64Array } => {
  const at = (p: ArrayLike<number>) => linearCrossEntropyRef(x, y, v, features, classes, p);
  return { value: at(w), grad: finiteDifferenceGradient(at, Float64Array.from(w)) };
};

describe.each([["dense", false], ["CSR", true]] as const)("LinearCrossEntropy on %s features", (_, sparse) => {
  it.each([1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 33])("agrees with the definition and with central differences for %i classes", (classes) => {
    for (const features of [0, 1, 2, 3, 5, 9]) {
      const given = problem(6, features, classes, 100 * classes + features, sparse ? 0.6 : 1);
      const got = evaluate(given, sparse), want = reference(given);
      // Rows of up to 10 products: 1e-6 of the logits (about 10). The gradient: sums of 6 terms of at most 10, and differences good to 1e-8.
      expectClose(got.value, want.value, { atol: 1e-5 });
      expectClose(got.grad, want.grad, { atol: 1e-5 });
      expectExact(got.padding, new Float32Array(got.padding.length));
    }
  });

  it("adds up over pieces, and adds to what stands in the gradient", () => {
    const given = problem(700, 4, 5, 1);
    const got = evaluate(given, sparse);
    expect(got.pieces).toBe(3);
    const random = testRandom(2);
    const w = Float64Array.from(given.w);
    expectClose(got.value, linearCrossEntropyRef(given.x, given.y, given.v, 4, 5, w), { rtol: 1e-6 });
    // The slope along a line, for all elements at once: 700 rows in float32.
    for (let k = 0; k < 5; k++) {
      const along = Float64Array.from(w, () => random.normal());
      const slope = finiteDifferenceGradient(([t]) => linearCrossEntropyRef(given.x, given.y, given.v, 4, 5, w.map((p, i) => p + t * along[i])), Float64Array.of(0))[0];
      expectClose(got.grad.reduce((sum, g, i) => sum + g * along[i], 0), slope, { atol: 1e-3, rtol: 1e-5 });
    }
    const more = evaluate(given, sparse, 1000);
    expectClose(more.grad.map((g) => g - 1000), got.grad, { atol: 0.02 }); // 3 additions to a number of 1000
  });

  it("is finite at logits of 1e4 and gives the class of the highest score all the weight", () => {
    const given = { ...problem(1, 1, 3, 1), x: Float32Array.of(1), y: Int32Array.of(1), v: Float32Array.of(2), w: Float32Array.of(10000, 0, -10000, 0, 0, 0) };
    const { value, grad } = evaluate(given, sparse);
    expectExact([value, ...grad], [20000, 2, -2, 0, 2, -2, 0]);
  });

  it("is NaN with NaN or +Infinity in a row, and 0 for one class", () => {
    for (const bad of [NaN, Infinity]) expect(evaluate({ ...problem(2, 2, 3, 3), x: Float32Array.of(1, 2, bad, 1) }, sparse).value).toBeNaN();
    const one = evaluate(problem(5, 3, 1, 4), sparse);
    expect(one.value).toBeCloseTo(0, 12); // the logarithm's 2e-10
    expectClose(one.grad, new Float32Array(4), { atol: 1e-6 }); // weight times (1 rounded) less weight
  });

  it("takes rows of weight 0 and rows without elements", () => {
    const given = { ...problem(3, 2, 3, 5), x: Float32Array.of(0, 0, 1, 2, 3, 4), v: Float32Array.of(1, 0, 1) };
    const want = reference(given);
    const got = evaluate(given, sparse);
    expectClose(got.value, want.value, { atol: 1e-5 });
    expectClose(got.grad, want.grad, { atol: 1e-5 });
  });
});

describe("LinearCrossEntropy", () => {
  it("adds elements of one column of a CSR row, in pairs and in fours", () => {
    const x: CsrMatrix = { shape: [2, 2], indptr: Int32Array.of(0, 5, 7), indices: Int32Array.of(1, 1, 1, 1, 0, 0, 0), data: Float32Array.of(1, 2, 3, 4, 5, 6, 7) };
    const dense = problem(2, 2, 4, 6);
    const want = reference({ ...dense, x: Float32Array.of(5, 10, 13, 0) });
    const loss = new LinearCrossEntropy(x, new Tensor("int32", [2], dense.y), dense.v, 4);
    const parameters = core.alloc([3, 4]), gradient = core.alloc([3, 4]);
    parameters.data.set(dense.w);
    expectClose(loss.pass(parameters, gradient, 0), want.value, { atol: 1e-5 });
    expectClose(gradient.data.slice(), want.grad, { atol: 3e-5 });
    parameters.dispose();
    gradient.dispose();
  });

  it("cuts the same pieces every time, each at least one row, by the work in them", () => {
    const rows = 50, features = 40000;
    const indptr = Int32Array.from({ length: rows + 1 }, (_, n) => 1000 * n);
    const x: CsrMatrix = { shape: [rows, features], indptr, indices: new Int32Array(1000 * rows), data: new Float32Array(1000 * rows) };
    const loss = new LinearCrossEntropy(x, new Tensor("int32", [rows], new Int32Array(rows)), new Float32Array(rows), 1000);
    expect([loss.pieceEnd(0), loss.pieceEnd(2), loss.pieceEnd(49)]).toEqual([2, 4, 50]); // 2^21 / 1000 elements
    const wide = new LinearCrossEntropy(new Tensor("float32", [3, 100000], new Float32Array(300000)), new Tensor("int32", [3], new Int32Array(3)), new Float32Array(3), 1000);
    expect(wide.pieceEnd(0)).toBe(1);
  });

  it("names what is wrong", () => {
    const message = (run: () => unknown): string => { try { run(); } catch (error) { return String(error); } return "no error"; };
    const x = new Tensor("float32", [2, 1], Float32Array.of(1, 2)), y = new Tensor("int32", [2], Int32Array.of(0, 1)), v = Float32Array.of(1, 1);
    expect(message(() => new LinearCrossEntropy(new Tensor("float32", [2], v), y, v, 2))).toMatchInlineSnapshot(`"RangeError: LinearCrossEntropy: expected \`x\` of shape [N, F], got [2]"`);
    expect(message(() => new LinearCrossEntropy(x, new Tensor("int32", [1], Int32Array.of(0)), v, 2))).toMatchInlineSnapshot(`"RangeError: LinearCrossEntropy: expected \`labels\` of shape [2], got [1]"`);
    expect(message(() => new LinearCrossEntropy(x, y, v, 1))).toMatchInlineSnapshot(`"RangeError: LinearCrossEntropy: expected \`labels\` in [0, 1), got 1 at index 1"`);
    expect(message(() => new LinearCrossEntropy(x, y, Float32Array.of(1), 2))).toMatchInlineSnapshot(`"RangeError: LinearCrossEntropy: expected \`weights\` of length 2, got 1"`);
    expect(message(() => new LinearCrossEntropy({ ...toCsr(x.data, 2, 1), indices: Int32Array.of(0, 1) }, y, v, 2))).toMatchInlineSnapshot(`"RangeError: LinearCrossEntropy: expected \`x.indices\` in [0, 1), got 1 at index 1"`);
    const small = core.alloc([1, 4]);
    expect(message(() => new LinearCrossEntropy(x, y, v, 2).pass(small, small, 0))).toMatchInlineSnapshot(`"RangeError: LinearCrossEntropy.pass: expected \`parameters\` resident of shape [2, 4], got [1, 4]"`);
    small.dispose();
  });
});
