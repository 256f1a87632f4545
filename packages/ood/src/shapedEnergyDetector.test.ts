import { core } from "@logits/core-wasm";
import { runSteps } from "@logits/tensor";
import { detectorChecks, estimatorChecks, expectClose, expectExact, testRandom, type Plain } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import fixture from "./fixtures/shapedEnergy.json" with { type: "json" };
import { floatQuantileSteps } from "./floatQuantile.ts";
import { ShapedEnergyDetector, detectorFromJSON, type ShapedEnergyMethod } from "./index.ts";
import { kthLargest } from "./kthLargest.ts";
import { shapeRef } from "./shapedEnergyDetector.ref.ts";

const METHODS: readonly ShapedEnergyMethod[] = ["react", "ashP", "ashB", "ashS", "scale", "dice"];
const plain = (data: ArrayLike<number>, width: number): Plain => ({ dtype: "float32", shape: [data.length / width, width], data: Float32Array.from(data) });
const list = (x: Plain): number[][] => Array.from({ length: x.shape[0] }, (_, i) => Array.from(x.data.subarray(i * x.shape[1], (i + 1) * x.shape[1])));
const scores = (detector: ShapedEnergyDetector, features: Plain | readonly (readonly number[])[]): number[] => Array.from(detector.score({ features: features as Plain }).data);

/** Activations after a ReLU, many of them 0. */
function activations(n: number, f: number, stream: number): Plain {
  const random = testRandom(stream);
  return plain(Float32Array.from({ length: n * f }, (_, i) => Math.max(0, 1 + (i % 5) / 2 + 1.5 * random.normal())), f);
}

function layer(f: number, c: number, stream: number): { weights: Plain; bias: Plain } {
  const random = testRandom(stream);
  return { weights: plain(Float32Array.from({ length: f * c }, () => random.normal() / Math.sqrt(f)), c), bias: { dtype: "float32", shape: [c], data: Float32Array.from({ length: c }, () => random.normal()) } };
}

function scoreRef(method: ShapedEnergyMethod, row: readonly number[], head: { weights: Plain; bias: Plain }, features: Plain, level: number, temperature: number, limit: number): number {
  const c = head.bias.shape[0], f = row.length, n = features.shape[0];
  let w = Array.from(head.weights.data);
  if (method === "dice") {
    const mean = row.map((_, j) => list(features).reduce((sum, r) => sum + r[j], 0) / n), contribution = w.map((v, i) => mean[Math.floor(i / c)] * v), order = contribution.toSorted((a, b) => a - b);
    const at = (order.length - 1) * level, cut = order[Math.floor(at)] + (at - Math.floor(at)) * ((order[Math.floor(at) + 1] ?? 0) - order[Math.floor(at)]);
    w = w.map((v, i) => (contribution[i] > cut ? v : 0));
  }
  const shaped = shapeRef(method, row, level, limit), z = Array.from({ length: c }, (_, k) => head.bias.data[k] + shaped.reduce((sum, v, j) => sum + v * w[j * c + k], 0)), top = Math.max(...z);
  expect(f).toBe(shaped.length);
  return -(top + temperature * Math.log(z.reduce((sum, v) => sum + Math.exp((v - top) / temperature), 0)));
}

describe("agrees with the definition", () => {
  for (const method of METHODS) {
    it.each([[1, 1, 0], [2, 2, 0.5], [7, 3, 0.5], [20, 5, 0.9], [50, 4, 0.65], [33, 10, 0.85]])(`${method}, F = %i, C = %i, level %f`, (f, c, level) => {
      if (method === "dice" && f * c * (1 - level) < 1) return;
      const head = layer(f, c, f), features = activations(40, f, f + 1), probe = activations(12, f, f + 2);
      for (const temperature of [1, 2.5]) {
        const detector = ShapedEnergyDetector.fit(method, head, { features, level, temperature });
        const got = scores(detector, probe), shaped = list(detector.shape({ features: probe }) as Plain);
        list(probe).forEach((row, i) => {
          const want = scoreRef(method, row, head, features, level, temperature, detector.limit);
          // Products in float32: (F + 2) 2^-24 of the sum of their sizes, which scaled activations make up to exp(F / K) times larger.
          const size = shapeRef(method, row, level, detector.limit).reduce((sum, v) => sum + Math.abs(v), 1);
          expectClose(got[i], want, { rtol: 1e-6, atol: 1e-6 * temperature + size * (f + 2) * 2 ** -23, label: `row ${i}` });
          expectClose(shaped[i], shapeRef(method, row, level, detector.limit), { rtol: 3e-7 });
        });
        detector.dispose();
      }
    });
  }

  it.each(fixture.cases.flatMap((c) => METHODS.map((method) => [method, c.name, c] as const)))("the formulas of OpenOOD: %s, %s", (method, _, item) => {
    const { shape, classes, level, temperature } = item, head = { weights: plain(item.weights, classes), bias: item.bias };
    const detector = ShapedEnergyDetector.fit(method, head, { features: plain(item.features, shape[1]), level, temperature });
    if (method === "react") expectClose(detector.limit, item.limit, { rtol: 1e-15 });
    // Logits of up to 100 in float32.
    expectClose(scores(detector, plain(item.rows, shape[1])), item[method], { rtol: 2e-6, atol: 2e-6 });
  });

  it("quantiles are numpy's, to the bit, for numbers of any sign and size, and ties", () => {
    const random = testRandom(3);
    for (const draw of [() => random.normal(), () => Math.round(2 * random.normal()), () => (random.uniform() < 0.5 ? -1 : 1) * 2 ** (250 * random.uniform() - 125), () => 0, () => (random.uniform() < 0.5 ? -0 : 1e-44)]) {
      for (const n of [1, 2, 3, 100, 999]) {
        const x = Float32Array.from({ length: n }, draw), order = Array.from(x).sort((a, b) => a - b);
        for (const p of [0, 0.1, 0.5, 0.9, 0.999, 1]) {
          const at = (n - 1) * p, low = order[Math.floor(at)], high = order[Math.min(n - 1, Math.floor(at) + 1)];
          expect(runSteps(floatQuantileSteps(x, p)) - (low + (at - Math.floor(at)) * (high - low))).toBe(0);
        }
        for (const k of [1, Math.ceil(n / 3), n]) expect(kthLargest(x.slice(), k) - order[n - k]).toBe(0);
      }
    }
  });
});

describe("laws", () => {
  const f = 24, head = layer(f, 6, 1), features = activations(60, f, 2), probe = activations(20, f, 3);

  it("with nothing cut: react, ashP and dice are the energy, scale and ashS that of e times the activations, ashB that of their mean", () => {
    const energy = scores(ShapedEnergyDetector.fit("ashP", head, { level: 0 }), probe);
    const high = plain(Float32Array.from({ length: f }, () => 1e6), f);
    expectExact(scores(ShapedEnergyDetector.fit("react", head, { features: high }), probe), energy);
    const scaled = scores(ShapedEnergyDetector.fit("ashP", head, { level: 0 }), plain(probe.data.map((v) => v * Math.E), f));
    for (const method of ["scale", "ashS"] as const) expectClose(scores(ShapedEnergyDetector.fit(method, head, { level: 0 }), probe), scaled, { atol: 1e-4 });
    const means = list(probe).flatMap((row) => row.map(() => row.reduce((sum, v) => sum + v, 0) / f));
    expectClose(scores(ShapedEnergyDetector.fit("ashB", head, { level: 0 }), probe), scores(ShapedEnergyDetector.fit("ashP", head, { level: 0 }), plain(means, f)), { atol: 1e-5 });
  });

  it("the order of activations, with that of the weights, and of classes does not matter", () => {
    const order = testRandom(5).permutation(f), turn = (x: Plain): Plain => plain(list(x).flatMap((row) => order.map((j) => row[j])), f);
    const turnedHead = { weights: plain(order.flatMap((j) => list(head.weights)[j]), 6), bias: head.bias };
    const reversed = { weights: plain(list(head.weights).flatMap((row) => row.toReversed()), 6), bias: { ...head.bias, data: head.bias.data.toReversed() } };
    for (const method of METHODS) {
      const want = scores(ShapedEnergyDetector.fit(method, head, { features }), probe);
      expectClose(scores(ShapedEnergyDetector.fit(method, turnedHead, { features: turn(features) }), turn(probe)), want, { rtol: 1e-5, atol: 1e-4 });
      expectClose(scores(ShapedEnergyDetector.fit(method, reversed, { features }), probe), want, { rtol: 1e-6, atol: 1e-6 });
    }
  });

  it("the more ReAct cuts, the smaller the activations; limits and masks depend on no order of rows", () => {
    const limits = [0.5, 0.9, 0.99].map((level) => ShapedEnergyDetector.fit("react", head, { features, level }).limit);
    expect(limits[0] < limits[1] && limits[1] < limits[2]).toBe(true);
    expect(ShapedEnergyDetector.fit("react", head, { features: plain(features.data.toReversed(), f) }).limit).toBe(ShapedEnergyDetector.fit("react", head, { features }).limit);
  });

  it("more rows than are shaped at a time, and fitAsync, give the same bits; the fit remembers its rows", async () => {
    const many = activations(1100, f, 9);
    for (const method of METHODS) {
      const detector = ShapedEnergyDetector.fit(method, head, { features: many }), all = scores(detector, many);
      for (const i of [0, 511, 512, 1099]) expectExact(scores(detector, [list(many)[i]]), [all[i]]);
      expectExact(scores(await ShapedEnergyDetector.fitAsync(method, head, { features: many }), many), all);
      expect(detector.fingerprints?.firstShared([list(many)[700]])).toBe(method === "react" || method === "dice" ? 0 : undefined);
      detector.dispose();
    }
    await expect(ShapedEnergyDetector.fitAsync("react", head, { features: many, signal: AbortSignal.abort(new Error("stop")) })).rejects.toThrow("stop");
  });
});

describe("special values", () => {
  it("a row of zeros gives the energy of the bias; NaN stays NaN, an infinity is infinitely far", () => {
    const head = { weights: [[1, 0], [0, 1], [1, 1], [1, -1]], bias: [2, 1] }, want = -Math.log(Math.exp(2) + Math.exp(1));
    for (const method of METHODS) {
      const detector = ShapedEnergyDetector.fit(method, head, { features: [[1, 2, 3, 4], [2, 2, 2, 2]], level: 0.5 });
      const got = scores(detector, [[0, 0, 0, 0], [1, NaN, 0, 1], [1, Infinity, 0, 1], [NaN, Infinity, 0, 1], [1, 2, 0, 1]]);
      expectClose(got[0], want, { atol: 1e-6 });
      expect(got.slice(1, 4)).toEqual([NaN, Infinity, NaN]);
      expect(Number.isFinite(got[4])).toBe(true);
      expect(scores(detector, [[3e38, 3e38, 3e38, 3e38]])[0]).not.toBeNaN();
    }
  });

  it("equal activations: those with the smaller index are kept; fewer than K above 0 are filled up by ashB as the paper's code does", () => {
    const head = { weights: [[1], [1], [1], [1]] };
    expect(ShapedEnergyDetector.fit("ashP", head, { level: 0.5 }).shape({ features: [[2, 2, 2, 2]] }).toArray()).toEqual([[2, 2, 0, 0]]);
    expect(ShapedEnergyDetector.fit("ashB", head, { level: 0.5 }).shape({ features: [[0, 0, 8, 0], [0, 0, 0, 0]] }).toArray()).toEqual([[4, 0, 4, 0], [0, 0, 0, 0]]);
    expect(ShapedEnergyDetector.fit("ashP", head, { level: 0.5 }).shape({ features: [1, 3, 2, 0] }).toArray()).toEqual([0, 3, 2, 0]);
  });

  it("one feature and one class", () => {
    for (const method of ["react", "ashP", "ashB"] as const) expectClose(scores(ShapedEnergyDetector.fit(method, { weights: [[2]], bias: [1] }, { features: [[3], [3]], level: 0 }), [[3]]), [-7], { ulp: 1 });
    for (const method of ["ashS", "scale"] as const) expectClose(scores(ShapedEnergyDetector.fit(method, { weights: [[2]] }, { level: 0 }), [[3]]), [-6 * Math.E], { rtol: 1e-6 });
  });

  it("negative activations are cut by ReAct and DICE, and refused by ASH and SCALE", () => {
    const head = { weights: [[1, 0], [0, 1]] };
    for (const method of ["react", "dice"] as const) expect(Number.isFinite(scores(ShapedEnergyDetector.fit(method, head, { features: [[-1, 2], [3, -4]], level: 0.5 }), [[-1, -2]])[0])).toBe(true);
    expect(() => ShapedEnergyDetector.fit("scale", head, { level: 0.5 }).score({ features: [[1, 2], [3, -4]] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: ShapedEnergyDetector.score: expected \`features\` >= 0 for the method scale, as after a ReLU, got -4 in row 1, column 1. Use "react", or a detector of distances]`);
    expect(() => ShapedEnergyDetector.fit("ashB", head, { level: 0.5 }).shape({ features: [[1, 2], [3, -4]] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: ShapedEnergyDetector.shape: expected \`features\` >= 0 for the method ashB, as after a ReLU, got -4 in row 1, column 1. Use "react", or a detector of distances]`);
  });

  it("gives its memory back", () => {
    const detector = ShapedEnergyDetector.fit("scale", layer(500, 100, 4)), before = core.bytesInUse;
    detector.score({ features: activations(1, 500, 5) });
    detector.dispose();
    expect(core.bytesInUse).toBeLessThanOrEqual(before + 65536);
    expect(() => detector.score({ features: activations(1, 500, 5) })).toThrowErrorMatchingInlineSnapshot(`[DisposedError: Detector: expected one that is in use, got one after dispose()]`);
  });
});

describe("batteries", () => {
  const f = 10, head = layer(f, 4, 7), features = activations(80, f, 8), usual = activations(40, f, 9);
  // Every activation adds to the logits, most to those of class 0: rows near zero lose that.
  const favoured = { weights: plain(head.weights.data.map((v, i) => Math.abs(v) + (i % 4 === 0 ? 1 : 0)), 4) };
  const far = plain([0.05, 0.03, 0.01, 0.001].flatMap((size) => Array.from({ length: f }, () => size)), f);
  for (const method of METHODS) {
    const make = (rows: Plain = features): ShapedEnergyDetector => ShapedEnergyDetector.fit(method, favoured, { features: rows, level: 0.7 });
    it.each(estimatorChecks<ShapedEnergyDetector>({
      name: method, data: [features], fit: (rows) => make(rows as Plain), output: (detector) => detector.score({ features: usual }), fromJSON: ShapedEnergyDetector.fromJSON,
      // The mean contribution is summed in another order.
      rowOrder: method === "dice" ? { rtol: 1e-5 } : "exact",
      wrongWidth: [(detector) => detector.score({ features: [[1, 2]] })],
      base64: ["weights.data", "bias.data"],
    }))(`${method}: $name`, ({ run }) => run());
    it.each(detectorChecks({ name: method, make, fromJSON: (json) => detectorFromJSON(json) as ShapedEnergyDetector, usual, far }))(`${method}: $name`, ({ run }) => run());
  }
});

it("says what is wrong", () => {
  const head = { weights: [[1, 0], [0, 1]] };
  const fit = (...of: Parameters<typeof ShapedEnergyDetector.fit>) => () => ShapedEnergyDetector.fit(...of);
  expect(fit("ash" as never, head)).toThrowErrorMatchingInlineSnapshot(`[RangeError: ShapedEnergyDetector.fit: expected \`method\` "react", "ashP", "ashB", "ashS", "scale", "dice", got ash]`);
  expect(fit("react", head)).toThrowErrorMatchingInlineSnapshot(`[RangeError: ShapedEnergyDetector.fit: expected \`features\` for the method react, got none]`);
  expect(fit("react", head, { features: [[1, 2, 3]] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: ShapedEnergyDetector.fit: expected \`features\` of shape [N, 2], N >= 1, got [1, 3]]`);
  expect(fit("dice", head, { features: [[1, NaN]] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: ShapedEnergyDetector.fit: expected \`features\` of finite numbers, got NaN in row 0, column 1]`);
  expect(fit("react", head, { features: [[1, 2]], level: 1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: ShapedEnergyDetector.fit: expected \`level\` in [0, 1), got 1]`);
  expect(fit("ashP", head, { level: 0.9 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: ShapedEnergyDetector.fit: expected \`level\` at which ashP keeps at least 1 of 2 activations, got 0.9, which keeps 0]`);
  expect(fit("scale", layer(400, 2, 1), { level: 0.99 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: ShapedEnergyDetector.fit: expected \`level\` at which scale keeps at least 5 of 400 activations, got 0.99, which keeps 4]`);
  expect(fit("scale", head, { temperature: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: ShapedEnergyDetector.fit: expected \`temperature\` in [2^-126, 2^126], got 0]`);
  expect(fit("scale", [[1]] as never)).toThrowErrorMatchingInlineSnapshot(`[TypeError: ShapedEnergyDetector.fit: expected \`head\` an object with \`weights\`, got Array]`);
  expect(fit("scale", { weights: [1, 2] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: ShapedEnergyDetector.fit: expected \`weights\` of shape [F, C], got [2]]`);
  expect(fit("scale", { weights: { data: new Float32Array(0), shape: [0, 3] } })).toThrowErrorMatchingInlineSnapshot(`[RangeError: ShapedEnergyDetector.fit: expected \`weights\` of shape [F, C], F >= 1 and C >= 1, got [0, 3]]`);
  expect(fit("scale", { weights: [[1, NaN]] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: ShapedEnergyDetector.fit: expected \`weights\` of finite numbers, got NaN at index 1]`);
  expect(fit("scale", { ...head, bias: [1, 2, 3] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: ShapedEnergyDetector.fit: expected \`bias\` of shape [2], got [3]]`);
  const detector = ShapedEnergyDetector.fit("scale", head, { level: 0 });
  expect(() => detector.score({ features: [[1]] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: ShapedEnergyDetector.score: expected \`features\` of shape [..., 2], got [1, 1]]`);
  expect(() => ShapedEnergyDetector.fromJSON({ ...detector.toJSON(), level: 1 })).toThrowErrorMatchingInlineSnapshot(`[FormatError: ShapedEnergyDetector.fromJSON: expected \`level\` one that keeps activations of scale, got 1]`);
  expect(() => ShapedEnergyDetector.fromJSON({ ...detector.toJSON(), bias: { dtype: "float32", shape: [1], data: "AAAAAA==" } })).toThrowErrorMatchingInlineSnapshot(`[FormatError: ShapedEnergyDetector.fromJSON: expected \`bias\` of shape [2], got [1]]`);
  expect(() => ShapedEnergyDetector.fromJSON({ ...detector.toJSON(), weights: { dtype: "float32", shape: [0, 2], data: "" } })).toThrowErrorMatchingInlineSnapshot(`[FormatError: ShapedEnergyDetector.fromJSON: expected \`weights\` of shape [F, C], F >= 1 and C >= 1, got [0, 2]]`);
});
