import { expectClose, expectExact, lossChecks, testRandom, type LossArgument } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { SphericalHead, sphericalZLoss, type SphericalShape } from "./index.ts";

const random = testRandom(41);
const normals = (count: number): Float32Array => Float32Array.from({ length: count }, () => random.normal());
const ref = (o: ArrayLike<number>, y: number, { sharpness: a = 1, threshold: b = 10 }: SphericalShape): number => {
  const values = Array.from(o), mean = values.reduce((s, v) => s + v, 0) / values.length, deviation = Math.sqrt(values.reduce((s, v) => s + (v - mean) ** 2, 0) / values.length), t = a * (b - (values[y] - mean) / deviation);
  return (Math.max(t, 0) + Math.log1p(Math.exp(-Math.abs(t)))) / a;
};

describe("sphericalZLoss", () => {
  it.each(lossChecks({
    name: "sphericalZLoss", loss: sphericalZLoss, labels: { argument: 1, classes: 6 }, reference: ([o, [y]], options) => ref(o, y, options),
    cases: [["plain", {}], ["another shape", { sharpness: 3, threshold: 0.5 }]].map(([name, options]) => ({ name: name as string, options: options as object, arguments: [{ dtype: "float32", shape: [5, 6], data: normals(30) }, { dtype: "int32", shape: [5], data: Int32Array.of(0, 5, 2, 2, 4) }] as LossArgument[] })),
    // Sums in float64, one rounding.
    bound: { rtol: 1e-6, atol: 1e-7 }, gradientBound: { atol: 2e-6, rtol: 1e-6 },
  }))("[paper:the-z-loss-a-shift-and-scale-invariant-classification] $name", ({ run }) => run());

  it("[paper:the-z-loss-a-shift-and-scale-invariant-classification] does not change when outputs are shifted, scaled, or turned among those that are no label", () => {
    const o = Float64Array.from(normals(4)), value = (x: ArrayLike<number>): number => sphericalZLoss([Array.from(x)], [0], { threshold: 1 }).item(), want = value(o);
    // Exact in the outputs; float32 of the arguments limits them.
    expectClose(value(o.map((v) => 8 * v + 4)), want, { rtol: 2e-6 });
    // A rotation about (1, 1, 1) keeps sum and sum of squares.
    const s = (o[1] + o[2] + o[3]) / 3, [p, q] = [Math.cos(1), Math.sin(1) / Math.sqrt(3)], [a, b, c] = [o[1] - s, o[2] - s, o[3] - s];
    expectClose(value([o[0], s + p * a + q * (c - b), s + p * b + q * (a - c), s + p * c + q * (b - a)]), want, { rtol: 2e-6 });
  });

  it("has no value where nothing varies, and says what it refuses", () => {
    expect([sphericalZLoss([[1, 1]], [0]).item(), sphericalZLoss([[1]], [0]).item(), sphericalZLoss([[1, -Infinity]], [0]).item()]).toEqual([NaN, NaN, NaN]);
    const say = (run: () => unknown): string => { try { run(); } catch (error) { return `${(error as Error).name}: ${(error as Error).message}`; } return "nothing"; };
    const head = SphericalHead.from([[1, 0], [0, 1], [1, 1]], { threshold: 1 });
    expect([
      say(() => sphericalZLoss([[1, 2]], [0], { sharpness: 0 })), say(() => sphericalZLoss([[1, 2]], [0], { threshold: NaN })), say(() => SphericalHead.from([1])), say(() => SphericalHead.from([[]])), say(() => SphericalHead.from([[1]], { sharpness: -1 })),
      say(() => head.withGrad([[1]], [0])), say(() => head.withGrad([[1, 2]], [0, 1])), say(() => head.withGrad([[1, 2]], [3])), say(() => head.step([[1, 2]], [0], 0)),
    ].join("\n")).toMatchInlineSnapshot(`
      "RangeError: sphericalZLoss: expected \`sharpness\` a finite number > 0, got 0
      RangeError: sphericalZLoss: expected \`threshold\` a finite number, got NaN
      RangeError: SphericalHead.from: expected \`weights\` of shape [C, D], got [1]
      RangeError: SphericalHead.from: expected \`weights\` with at least one class and feature, got shape [1, 0]
      RangeError: SphericalHead.from: expected \`sharpness\` a finite number > 0, got -1
      RangeError: SphericalHead.withGrad: expected \`hidden\` of shape [B, 2], got [1, 1]
      RangeError: SphericalHead.withGrad: expected \`labels\` of shape [1], got [2]
      RangeError: SphericalHead.withGrad: expected \`labels\` in [0, 3), got 3 at index 0
      RangeError: SphericalHead.step: expected \`rate\` a finite number > 0, got 0"
    `);
  });
});

describe("SphericalHead", () => {
  const [classes, width, batch] = [40, 5, 6], options = { threshold: 2, sharpness: 0.8 };
  /** W, loss and gradients with all logits. */
  const full = (w: Float64Array, x: Float32Array, y: Int32Array): { loss: number; dx: Float64Array; dw: Float64Array } => {
    const dx = new Float64Array(x.length), dw = new Float64Array(w.length);
    let loss = 0;
    for (let b = 0; b < y.length; b++) {
      const o = Float64Array.from({ length: classes }, (_, c) => x.subarray(b * width, (b + 1) * width).reduce((s, v, d) => s + v * w[c * width + d], 0)), mean = o.reduce((s, v) => s + v, 0) / classes, deviation = Math.sqrt(o.reduce((s, v) => s + (v - mean) ** 2, 0) / classes), z = o.map((v) => (v - mean) / deviation);
      loss += ref(o, y[b], options) / y.length;
      const slope = -1 / (1 + Math.exp(-0.8 * (2 - z[y[b]]))) / deviation / y.length;
      for (let c = 0; c < classes; c++) for (let d = 0, g = slope * (Number(c === y[b]) - (1 + z[y[b]] * z[c]) / classes); d < width; d++) {
        dx[b * width + d] += g * w[c * width + d];
        dw[c * width + d] += g * x[b * width + d];
      }
    }
    return { loss, dx, dw };
  };

  it("[paper:the-z-loss-a-shift-and-scale-invariant-classification] has the loss and gradient of all logits, and makes the step of the whole matrix, 200 times", () => {
    const start = normals(classes * width), head = SphericalHead.from({ data: start, shape: [classes, width] }, options), w = Float64Array.from(start);
    for (let step = 0; step < 200; step++) {
      // Two rows share a label now and then.
      const x = normals(batch * width), y = Int32Array.from({ length: batch }, (_, b) => (step % 3 === 0 && b === 1 ? 7 : b === 0 ? 7 : random.integer(classes))), got = step % 10 === 0 ? head.withGrad({ data: x, shape: [batch, width] }, y) : undefined, want = full(w, x, y);
      if (got) {
        expectClose(got.loss.item(), want.loss, { rtol: 1e-5 });
        expectClose(got.grad.data, want.dx, { atol: 1e-5 });
      }
      expectClose(head.step({ data: x, shape: [batch, width] }, y, 0.5).loss.item(), want.loss, { rtol: 1e-5 });
      want.dw.forEach((g, i) => (w[i] -= 0.5 * g));
    }
    // Rows of A are float32: 200 roundings of a few.
    expectClose(head.weights().data, w, { atol: 2e-5 });
    expectClose(head.weights().data.reduce((s, v, i) => s + Math.abs(v - start[i]), 0), w.reduce((s, v, i) => s + Math.abs(v - start[i]), 0), { rtol: 1e-4 });
  });

  it("is the loss of its logits", () => {
    const w = normals(12), x = [[1, 0.5, -1], [0, 2, 1]], head = SphericalHead.from({ data: w, shape: [4, 3] }), logits = x.map((row) => Array.from({ length: 4 }, (_, c) => row[0] * w[3 * c] + row[1] * w[3 * c + 1] + row[2] * w[3 * c + 2]));
    expectClose(head.withGrad(x, [1, 3]).loss.item(), sphericalZLoss(logits, [1, 3]).item(), { rtol: 1e-6 });
    expectExact(head.weights().data, w);
    expect(head.withGrad({ data: new Float32Array(0), shape: [0, 3] }, new Int32Array(0)).loss.item()).toBe(0);
  });
});
