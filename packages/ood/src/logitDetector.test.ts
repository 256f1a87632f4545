import { logSumExp, logSumExpGrad, matmul, softmax } from "@logits/core-wasm";
import { densenetCifar100, estimatorChecks, expectClose, expectExact, finiteDifferenceGradient, testRandom } from "@logits/testkit";
import { tensor } from "@logits/tensor";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import energies from "./fixtures/energy.json" with { type: "json" };
import scipyScores from "./fixtures/logitDetector.json" with { type: "json" };
import { LogitDetector, type LogitDetectorMethod } from "./index.ts";

const INF = Infinity;
const METHODS: readonly LogitDetectorMethod[] = ["msp", "maxLogit", "energy", "entropy", "margin", "odin", "gen"];

/** The definitions in float64. */
function scoreRef(method: LogitDetectorMethod, z: number[], temperature = 1): number {
  const [top, second = -INF] = z.toSorted((a, b) => b - a);
  const weights = z.map((v) => Math.exp((v - top) / temperature)), total = weights.reduce((a, b) => a + b), p = weights.map((w) => w / total);
  if (method === "msp") return (total - 1) / total;
  if (method === "maxLogit") return -top;
  if (method === "odin") return -temperature * Math.log((z.length * 1) / total);
  if (method === "gen") return p.toSorted((a, b) => b - a).slice(0, 100).reduce((sum, q, i) => sum + (q * (i > 0 ? 1 - q : (total - 1) / total)) ** 0.1, 0);
  if (method === "energy") return -(top + temperature * Math.log(total));
  return method === "entropy" ? -p.reduce((sum, q) => (q > 0 ? sum + q * Math.log(q) : sum), 0) : second - top;
}

describe("LogitDetector", () => {
  it.each(METHODS)("%s agrees with the definition, with a temperature where it has one", (method) => {
    const random = testRandom(4);
    for (const temperature of method === "maxLogit" || method === "margin" ? [1] : [1, 0.4, 5]) {
      for (const classes of [1, 2, 5, 10, 300]) {
        const rows = Array.from({ length: 9 }, () => Array.from({ length: classes }, () => Math.fround(3 * random.normal())));
        const got = LogitDetector.of(method, { temperature }).score({ logits: rows });
        expect(got.shape).toEqual([9]);
        // Half an ULP of a score of up to 50, and the kernel's 2e-5 relative in 1 - p and the entropy.
        rows.forEach((z, i) => expectClose(got.data[i], scoreRef(method, z, temperature), { atol: 4e-6, rtol: 2e-5, label: `${classes} classes, T = ${temperature}` }));
      }
    }
  });

  it("agrees with scipy on real outputs, for every method", () => {
    const [want] = scipyScores.cases;
    const { logits } = densenetCifar100();
    for (const method of ["msp", "maxLogit", "energy", "entropy", "margin"] as const) {
      const got = LogitDetector.of(method).score({ logits: { data: logits.subarray(0, want.rows * 100), shape: [want.rows, 100] } });
      // These logits are log-probabilities: their energy is 0 up to rounding, so only the absolute bound tells there.
      expectClose(got.data, want[method], { rtol: 2e-5, atol: method === "energy" ? 1e-6 : 0, label: method });
    }
  });

  it("energy is -T log Z: the values of mpmath, E(z + c) = E(z) - c, -max z as T falls, gradient -softmax(z / T) [paper:energy-based-out-of-distribution-detection]", () => {
    for (const { name, x, shape, temperature, energy } of energies.cases) {
      const logits = tensor(x, shape), detector = LogitDetector.of("energy", { temperature });
      const got = detector.score({ logits });
      expectClose(got.data, energy, { rtol: 1.2e-7, atol: 1e-6 * temperature, label: `${name}, T = ${temperature}` });
      expectClose(detector.score({ logits: tensor(x.map((v) => v + 8), shape) }).data, energy.map((e) => e - 8), { rtol: 2.4e-7, atol: 1e-6 * temperature + 1e-5, label: `${name}, shifted` });
      expectClose(LogitDetector.of("energy", { temperature: 1e-9 }).score({ logits }).data, LogitDetector.of("maxLogit").score({ logits }).data, { atol: 0 });
      // E = -T logSumExp(z / T), whose gradient is the softmax.
      const gradient = logSumExpGrad(logits, got.data.map(() => -temperature), { temperature });
      const differences = finiteDifferenceGradient((z) => [0, 1, 2, 3].reduce((sum, r) => sum + scoreRef("energy", Array.from(z.subarray(6 * r, 6 * r + 6)), temperature), 0), Float64Array.from(x));
      expectClose(gradient.data, differences, { atol: 2e-6, label: `gradient, ${name}, T = ${temperature}` });
      expectClose(got.data.map((e) => -e / temperature), logSumExp(logits, { temperature }).data, { rtol: 3e-7, atol: 1e-6 });
    }
  });

  it("odin at T = 1 orders rows as MSP does, tends to mean - max logit, and its gradient by the input of a linear model is what differences give", () => {
    const random = testRandom(31), rows = Array.from({ length: 50 }, () => Array.from({ length: 7 }, () => Math.fround(3 * random.normal())));
    const order = (x: Float32Array): number[] => Array.from(x.keys()).sort((a, b) => x[a] - x[b]);
    expect(order(LogitDetector.of("odin", { temperature: 1 }).score({ logits: rows }).data)).toEqual(order(LogitDetector.of("msp").score({ logits: rows }).data));
    // The next term is the variance of the logits over 2 T.
    expectClose(LogitDetector.of("odin", { temperature: 1e6 }).score({ logits: rows }).data, rows.map((z) => z.reduce((a, b) => a + b) / 7 - Math.max(...z)), { atol: 1e-4 });
    for (const temperature of [1, 10, 1000]) {
      const weights = Array.from({ length: 4 }, () => Array.from({ length: 3 }, () => random.normal())), x = Array.from({ length: 4 }, () => random.normal());
      const logMax = (input: Float64Array): number => {
        const z = [0, 1, 2].map((c) => input.reduce((sum, v, j) => sum + v * weights[j][c], 0));
        return -scoreRef("odin", z, temperature) / temperature;
      };
      const z = matmul([x], weights), p = softmax(z, { temperature }).data, y = z.data.indexOf(Math.max(...z.data));
      const gradient = matmul([Array.from(p, (v, c) => ((c === y ? 1 : 0) - v) / temperature)], weights, { transposeB: true });
      expectClose(gradient.data, finiteDifferenceGradient(logMax, Float64Array.from(x)), { atol: 2e-6 / temperature + 1e-8 });
      // A step of ODIN raises log max p, which lowers the score.
      const moved = x.map((v, j) => v + 0.01 * Math.sign(gradient.data[j])), score = LogitDetector.of("odin", { temperature }).score({ logits: matmul([x, moved], weights) }).data;
      expect(score[1]).toBeLessThan(score[0]);
    }
  });

  it("is higher for flat rows than for peaked ones, by every method", () => {
    for (const method of METHODS) {
      const [peaked, less, flat] = LogitDetector.of(method).score({ logits: [[12, 0, -1], [4, 0, -1], [0.1, 0, -1]] }).data;
      expect(flat).toBeGreaterThan(less);
      expect(less).toBeGreaterThan(peaked);
    }
  });

  it("msp, entropy and margin do not change with a shift, maxLogit and energy fall by it", () => {
    fc.assert(fc.property(fc.array(fc.integer({ min: -600, max: 600 }), { minLength: 2, maxLength: 12 }), fc.integer({ min: -100, max: 100 }), (steps, c) => {
      const z = steps.map((k) => k / 64);
      for (const method of METHODS) {
        const score = (row: number[]): number => LogitDetector.of(method).score({ logits: [row] }).item();
        expectClose(score(z.map((v) => v + c)), score(z) - (method === "maxLogit" || method === "energy" ? c : 0), { atol: method === "energy" ? 2e-5 : 0, label: method });
      }
    }), { seed: 3, numRuns: 100 });
  });

  it("msp does not tie where the largest probability is 1 in float32", () => {
    const scores = LogitDetector.of("msp").score({ logits: [[30, 0], [40, 0], [80, 0]] }).data;
    expectClose(scores, [30, 40, 80].map((gap) => Math.exp(-gap)), { rtol: 1e-5 });
  });

  it("scores a row with the same bits alone, in any batch and at any place, with rank in and rank out", () => {
    const random = testRandom(6);
    for (const classes of [3, 10, 150, 1000]) {
      const data = Float32Array.from({ length: 13 * classes }, () => 4 * random.normal());
      for (const method of METHODS) {
        const detector = LogitDetector.of(method), all = detector.score({ logits: { data, shape: [13, classes] } });
        for (let r = 0; r < 13; r++) {
          const alone = detector.score({ logits: data.slice(r * classes, (r + 1) * classes) });
          expect(alone.shape).toEqual([]);
          expectExact(alone.item(), all.data[r]);
        }
      }
    }
    expect(LogitDetector.of("energy").score({ logits: { data: new Float32Array(24), shape: [2, 3, 4] } }).shape).toEqual([2, 3]);
    expect(LogitDetector.of("energy").score({ logits: { data: new Float32Array(0), shape: [0, 4] } }).shape).toEqual([0]);
  });

  it("special rows", () => {
    const rows: Record<string, number[]> = { nan: [1, NaN, 0], impossible: [-INF, -INF, -INF], infinite: [0, INF, 1], infinities: [INF, INF, 0], onePossible: [-INF, 3, -INF], somePossible: [0, -INF, 0] };
    const want: Record<LogitDetectorMethod, number[]> = {
      msp: [NaN, NaN, NaN, NaN, 0, 0.5],
      maxLogit: [NaN, INF, -INF, -INF, -3, 0],
      energy: [NaN, INF, -INF, -INF, -3, -Math.fround(Math.LN2)],
      entropy: [NaN, NaN, NaN, NaN, 0, Math.fround(Math.LN2)],
      margin: [NaN, NaN, -INF, NaN, -INF, 0],
      odin: [NaN, NaN, NaN, NaN, -Math.fround(1000 * Math.log(3)), -Math.fround(1000 * Math.log(1.5))],
      gen: [NaN, NaN, NaN, NaN, 0, Math.fround(2 * 0.25 ** 0.1)],
    };
    for (const method of METHODS) expectExact(LogitDetector.of(method).score({ logits: Object.values(rows) }).data, want[method], method);
    for (const [method, score] of [["msp", 0], ["maxLogit", -7], ["energy", -7], ["entropy", 0], ["margin", -INF], ["odin", 0], ["gen", 0]] as const) expectExact(LogitDetector.of(method).score({ logits: [[7]] }).data, [score], `${method}, one class`);
  });

  const probe = tensor(Array.from({ length: 20 }, (_, i) => Math.sin(i) * 5), [5, 4]);
  it.each(METHODS.flatMap((method) => estimatorChecks<LogitDetector>({
    name: method,
    data: [],
    fit: () => LogitDetector.of(method, { temperature: method === "maxLogit" || method === "margin" ? 1 : 2.5 }),
    output: (detector) => detector.score({ logits: probe }),
    fromJSON: LogitDetector.fromJSON,
    rowOrder: "matters", // nothing is fitted
    wrongWidth: [(detector) => detector.score({ logits: { data: new Float32Array(0), shape: [3, 0] } })],
  })).map((check, i) => ({ ...check, name: `${i} ${check.name}` })))("$name", ({ run }) => run());

  it("messages", () => {
    expect(() => LogitDetector.of("softmax" as never)).toThrowErrorMatchingInlineSnapshot(`[RangeError: LogitDetector.of: expected \`method\` "msp", "maxLogit", "energy", "entropy", "margin", "odin", "gen", got softmax]`);
    expect(() => LogitDetector.of("energy", { temperature: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: LogitDetector.of: expected \`temperature\` in [2^-126, 2^126], got 0]`);
    expect(() => LogitDetector.of("margin", { temperature: 2 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: LogitDetector.of: expected \`temperature\` 1 for margin, whose order a temperature does not change, got 2]`);
    expect(() => LogitDetector.of("energy").score({ features: [[1]] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: LogitDetector.score: expected \`rows\` with \`logits\`, got features]`);
    expect(() => LogitDetector.of("energy").score({})).toThrowErrorMatchingInlineSnapshot(`[RangeError: LogitDetector.score: expected \`rows\` with \`logits\`, got none]`);
    expect(() => LogitDetector.of("energy").score({ logits: { data: Float32Array.of(1), shape: [] } })).toThrowErrorMatchingInlineSnapshot(`[RangeError: LogitDetector.score: expected \`logits\` of shape [..., C], C >= 1, got []]`);
    expect(() => LogitDetector.of("energy").score({ logits: "x" as never })).toThrowErrorMatchingInlineSnapshot(`[TypeError: LogitDetector.score: expected \`logits\` a tensor, typed array, { data, dims } or nested number arrays, got String]`);
    expect(() => LogitDetector.fromJSON({ ...LogitDetector.of("margin").toJSON(), temperature: 2 })).toThrowErrorMatchingInlineSnapshot(`[FormatError: LogitDetector.fromJSON: expected \`temperature\` 1 for margin, got 2]`);
    expect(() => LogitDetector.fromJSON({ ...LogitDetector.of("margin").toJSON(), method: "softmax" })).toThrowErrorMatchingInlineSnapshot(`[FormatError: LogitDetector.fromJSON: expected \`method\` "msp" or "maxLogit" or "energy" or "entropy" or "margin" or "odin" or "gen", got "softmax"]`);
    expect(() => LogitDetector.fromJSON({ ...LogitDetector.of("margin").toJSON(), version: 2 })).toThrowErrorMatchingInlineSnapshot(`[FormatError: LogitDetector.fromJSON: expected \`version\` 1, got 2. Upgrade @logits/ood to read it]`);
  });
});
