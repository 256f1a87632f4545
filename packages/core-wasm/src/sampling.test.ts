import { float32ToFloat16, float16ToFloat32 } from "@logits/tensor";
import { expectClose, expectExact, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { drawToken, tokenStatistics, type TokenRules } from "./families/sampling.ts";
import { core } from "./index.ts";
import { distancesRef, ruleRef } from "./sampling.ref.ts";

const INF = Infinity, where = "test";
type Random = ReturnType<typeof testRandom>;

/** Rows of every shape that a language model has, and some that it should not have. */
const KINDS: Record<string, (random: Random, c: number) => number> = {
  normal: (random) => 3 * random.normal(),
  flat: (random) => 0.01 * random.normal(),
  equal: () => 1,
  ties: (random) => Math.round(2 * random.normal()),
  impossible: (random, c) => (c % 3 === 1 ? -INF : 2 * random.normal()),
  certain: (random, c) => (c === 2 ? 90 : random.normal()),
  "far below zero": (random) => -1000 + 4 * random.normal(),
  huge: (random) => 1e30 * random.normal(),
};
const SIZES = [1, 2, 3, 4, 5, 8, 31, 64, 65, 131, 600];
const RULES: [keyof TokenRules, readonly number[]][] = [["topK", [1, 2, 5, 40, 900]], ["topP", [0.01, 0.5, 0.9, 0.999, 1 - 1e-7]], ["minP", [1, 0.5, 0.05, 1e-6]], ["typicalP", [0.05, 0.5, 0.95]], ["eta", [0.3, 0.01, 3e-4]], ["surprise", [0.1, 2, 6, 20]]];

function row(kind: string, n: number, seed: number): Float32Array {
  const random = testRandom(seed);
  return Float32Array.from({ length: n }, (_, c) => KINDS[kind](random, c));
}

function distribution(x: Float32Array, rules: TokenRules, u = 0.5): { p: Float32Array; kept: number[]; draw: ReturnType<typeof drawToken> } {
  const p = new Float32Array(x.length).fill(7), draw = drawToken(where, x, 0, rules, u, { probabilities: p });
  return { p, kept: Array.from(p.keys()).filter((c) => p[c] > 0), draw };
}

describe("drawToken", () => {
  for (const [rule, values] of RULES) {
    it(`keeps what ${rule} is defined to keep, ties by the smaller token`, () => {
      for (const kind of Object.keys(KINDS)) for (const n of SIZES) for (const value of values) for (const temperature of [1, 0.6]) {
        const x = row(kind, n, n), d = distancesRef(x, temperature), { order, least, most } = ruleRef(x, d, rule, value), label = `${kind} ${n} ${value} ${temperature}`;
        const { p, kept, draw } = distribution(x, { temperature, [rule]: value });
        expect(draw.kept, label).toBeGreaterThanOrEqual(least);
        expect(draw.kept, label).toBeLessThanOrEqual(most);
        // Weights below 2^-126 are 0: such a token is kept and never drawn.
        const set = order.slice(0, draw.kept), z = set.reduce((sum, c) => sum + Math.exp(-d.get(c)!), 0), want = new Float64Array(n);
        for (const c of set) want[c] = Math.exp(-d.get(c)!) / z;
        // Weights are within (1.3 + 1.5 d) units of 2^-23; their sum and the float32 result take one more.
        const bad = want.findIndex((q, c) => !(Math.abs(p[c] - q) <= 1e-37 + q * (2.5 + 1.6 * (d.get(c) ?? 0)) * 2 ** -23));
        expect(bad, `${label}: ${p[bad]} instead of ${want[bad]}`).toBe(-1);
        const inSet = new Set(set);
        expect(kept.filter((c) => !inSet.has(c)), label).toEqual([]);
      }
    });
  }

  it("keeps what topP is defined to keep in long rows, whether or not the guess from a sixteenth of the blocks holds", () => {
    const n = 20003, random = testRandom(4), normal = Float32Array.from({ length: n }, () => random.normal());
    const block = (c: number): number => (c >> 6) % 16;
    const rows: Record<string, (v: number, c: number) => number> = {
      normal: (v) => 3 * v,
      flat: (v) => 0.01 * v,
      equal: () => 0,
      ties: (v) => Math.round(v),
      "mass where the guess looks": (v, c) => v + (block(c) === 0 ? 6 : 0),
      "mass where it does not look": (v, c) => v + (block(c) === 0 ? -6 : 0),
      "nothing where it looks": (v, c) => (block(c) === 0 ? -INF : 2 * v),
      "nothing elsewhere": (v, c) => (block(c) === 0 ? 2 * v : -INF),
      "one token": (v, c) => (c === 777 ? 40 : v),
    };
    for (const [name, make] of Object.entries(rows)) for (const [value, temperature] of [[0.3, 1], [0.97, 0.7]]) {
      const x = normal.map(make), { order, least, most } = ruleRef(x, distancesRef(x, temperature), "topP", value), { kept } = distribution(x, { temperature, topP: value }), label = `${name} ${value} ${temperature}`;
      expect(kept.length, label).toBeGreaterThanOrEqual(least);
      expect(kept.length, label).toBeLessThanOrEqual(most);
      expect(kept, label).toEqual(order.slice(0, kept.length).sort((a, b) => a - b));
    }
  });

  it("keeps what the other rules are defined to keep in long rows", () => {
    const x = row("normal", 20003, 6), d = distancesRef(x, 0.9);
    for (const [rule, value] of [["topK", 1], ["topK", 50], ["topK", 4000], ["minP", 0.05], ["minP", 1e-4], ["typicalP", 0.3], ["typicalP", 0.95], ["eta", 0.001], ["surprise", 5]] as const) {
      const { order, least, most } = ruleRef(x, d, rule, value), { kept } = distribution(x, { temperature: 0.9, [rule]: value });
      expect(kept.length, rule).toBeGreaterThanOrEqual(least);
      expect(kept.length, rule).toBeLessThanOrEqual(most);
      const missing = new Set(kept);
      if (rule !== "typicalP") expect(order.slice(0, kept.length).every((c) => missing.has(c)), rule).toBe(true);
      // The key of typical tokens is rounded to float32, so that neighbours at the cut may change places.
      else expect(order.slice(0, kept.length - 3).filter((c) => !missing.has(c)).length, rule).toBeLessThanOrEqual(1);
    }
  });

  it("applies several rules in their order, each to what is left", () => {
    for (const kind of Object.keys(KINDS)) for (const n of SIZES) {
      const x = row(kind, n, 7 * n), temperature = 1.3, rules = { topK: 50, topP: 0.83, minP: 0.02, typicalP: 0.77, eta: 0.03 };
      let left = distancesRef(x, temperature), clear = true;
      for (const [rule, value] of Object.entries(rules)) {
        const { order, least, most } = ruleRef(x, left, rule, value);
        clear &&= least === most;
        left = new Map(order.slice(0, least).map((c) => [c, left.get(c)!]));
      }
      if (clear) expect(distribution(x, { temperature, ...rules }).kept.length, `${kind} ${n}`).toBe([...left.values()].filter((d) => d < 87.3).length);
    }
  });

  it("draws by the running sum in the order of the tokens", () => {
    for (const kind of ["normal", "flat", "equal", "ties", "impossible", "certain"]) for (const n of SIZES) for (const rules of [{}, { topP: 0.9 }, { topK: 3 }, { minP: 0.1 }]) for (const u of [0, 1e-9, 0.3, 0.77, 1 - 2 ** -53]) {
      const x = row(kind, n, n), all = { temperature: 0.8, ...rules }, { p, draw } = distribution(x, all, u), plain = drawToken(where, x, 0, all, u);
      let before = 0;
      for (let c = 0; c < plain.token; c++) before += p[c];
      expect(p[plain.token]).toBeGreaterThan(0);
      expect(before).toBeLessThanOrEqual(u + 1e-5); // p is float32
      expect(before + p[plain.token], `${kind} ${n} ${JSON.stringify(rules)} ${u}`).toBeGreaterThanOrEqual(u - 1e-5);
      expectClose(plain.drawLogProbability, Math.log(p[plain.token]), { atol: 4e-6 }); // a weight at distance 20
      expect(plain.token).toBe(draw.token);
    }
  });

  it("tells of the row before any rule", () => {
    for (const kind of Object.keys(KINDS)) for (const n of SIZES) {
      const x = row(kind, n, 3 * n), top = Math.max(...x), d = Array.from(x, (v) => Math.fround(top - v)), z = d.reduce((sum, v) => sum + Math.exp(-v), 0);
      const draw = drawToken(where, x, 0, { temperature: 0.5, topP: 0.5 }, 0.4), sorted = x.toSorted((a, b) => b - a);
      const entropy = Math.log(z) + d.reduce((sum, v) => sum + (v === INF ? 0 : v * Math.exp(-v)) / z, 0);
      expectClose([draw.logPartition, draw.entropy], [top + Math.log(z), entropy], { rtol: 1e-6, atol: 1e-6 }); // float32 weights
      expectClose(draw.logProbability, x[draw.token] - top - Math.log(z), { atol: 1e-6, rtol: 1e-6 });
      expect([draw.top, draw.best]).toEqual([top, x.indexOf(top)]);
      expect(draw.margin).toBe(n === 1 ? INF : sorted[0] - sorted[1]);
      const { logPartition, entropy: same, margin } = tokenStatistics(where, x, 0);
      expectExact([logPartition, same, margin], [draw.logPartition, draw.entropy, draw.margin]);
    }
  });

  it("takes the first of the largest at temperature 0", () => {
    for (const kind of Object.keys(KINDS)) for (const n of SIZES) {
      const x = row(kind, n, n), best = x.indexOf(Math.max(...x)), { p, draw } = distribution(x, { temperature: 0, topP: 0.3 });
      expect([draw.token, draw.kept, draw.drawLogProbability, p[best], p.reduce((a, b) => a + b)]).toEqual([best, 1, 0, 1, 1]);
      const edited = drawToken(where, x, 0, { temperature: 0 }, 0.5, { edit: (y) => void (y[n - 1] = 2e38) });
      expect(edited.token).toBe(n - 1);
      expectExact(edited.logProbability, x[n - 1] - edited.logPartition);
    }
  });

  it("draws among allowed tokens as if the others were impossible", () => {
    const x = row("normal", 500, 1), random = testRandom(5), allowed = Int32Array.from(Array.from({ length: 500 }, (_, c) => c).filter(() => random.uniform() < 0.1));
    const masked = x.map((v, c) => (allowed.includes(c) ? v : -INF));
    for (const rules of [{}, { topP: 0.9 }, { topK: 3 }, { minP: 0.1 }, { typicalP: 0.5 }, { eta: 0.1 }, { surprise: 2 }]) for (const temperature of [0, 1, 2]) for (const u of [0.1, 0.5, 0.9]) {
      const a = new Float32Array(500), b = new Float32Array(500), { token, kept } = drawToken(where, x, 0, { temperature, ...rules }, u, { allowed, probabilities: a });
      expect({ token, kept }).toEqual((({ token, kept }) => ({ token, kept }))(drawToken(where, masked, 0, { temperature, ...rules }, u, { probabilities: b })));
      expectClose(a, b, { rtol: 1e-6 }); // sums in another order
    }
  });

  it("reads half precision as its float32 values, and tensors in this memory without changing them", () => {
    const every = Uint16Array.from({ length: 65536 }, (_, i) => i), wide = float16ToFloat32(every);
    for (let from = 0; from < 65536; from += 1021) {
      const bits = every.slice(from, from + 1021), values = wide.subarray(from, from + 1021);
      if (values.some((v) => v !== v || v === INF) || values.every((v) => v === -INF)) continue;
      expect(drawToken(where, bits, 0, { temperature: 1, topP: 0.9 }, 0.4)).toEqual(drawToken(where, values, 0, { temperature: 1, topP: 0.9 }, 0.4));
    }
    expect(() => tokenStatistics(where, Uint16Array.of(0, 0x7e01, 0), 3)).toThrow("NaN in row 3, column 1");
    expect(() => tokenStatistics(where, Uint16Array.of(0, 0, 0, 0, 0x7c00), 0)).toThrow("+Infinity in row 0, column 4");
    const x = row("normal", 300, 2), resident = core.alloc([300]);
    resident.data.set(x);
    const edit = (y: Float32Array): void => void (y[5] = 50);
    for (const options of [{}, { edit }]) expect(drawToken(where, { pointer: resident.pointer, length: 300 }, 0, { temperature: 1, topK: 9 }, 0.3, options)).toEqual(drawToken(where, x, 0, { temperature: 1, topK: 9 }, 0.3, options));
    expectExact(resident.data, x);
    resident.dispose();
    expectExact(float32ToFloat16(Float32Array.of(1))[0], 0x3c00);
  });

  it("gives the same bits in every engine and variant", () => {
    let hash = 2166136261;
    const add = (v: number): void => { for (const word of new Uint32Array(Float64Array.of(v).buffer)) hash = Math.imul(hash ^ word, 16777619) >>> 0; };
    for (const kind of Object.keys(KINDS)) for (const [rule, values] of [...RULES, ["temperature", [0.7]] as const]) for (const value of values) {
      // No Math.log in these rows: they are the same in every engine as well.
      const x = Float32Array.from({ length: 1531 }, (_, c) => (kind === "impossible" && c % 3 === 1 ? -INF : ((c * 7919) % 1531) / 150));
      const { token, kept, logProbability, drawLogProbability, entropy } = drawToken(where, x, 0, { temperature: 1.1, [rule]: value }, 0.37);
      for (const v of [token, kept, logProbability, drawLogProbability, entropy]) add(v);
    }
    expect(hash).toMatchInlineSnapshot(`1745546320`);
  });

  it("says what is wrong", () => {
    const draw = (x: number[], options = {}) => () => drawToken(where, Float32Array.from(x), 2, { temperature: 1 }, 0.5, options);
    expect(draw([1, NaN])).toThrowErrorMatchingInlineSnapshot(`[RangeError: test: expected \`logits\` without NaN, got NaN in row 2, column 1]`);
    expect(draw([1, INF])).toThrowErrorMatchingInlineSnapshot(`[RangeError: test: expected \`logits\` below +Infinity, got +Infinity in row 2, column 1]`);
    expect(draw([-INF, -INF])).toThrowErrorMatchingInlineSnapshot(`[RangeError: test: expected \`logits\` with a possible token in every row, got only -Infinity in row 2]`);
    expect(draw([1, 2], { edit: (x: Float32Array) => void x.fill(-INF) })).toThrowErrorMatchingInlineSnapshot(`[RangeError: test: expected \`logits\` with a possible token in every row, got only -Infinity in row 2]`);
    expect(draw([1, -INF], { allowed: Int32Array.of(1) })).toThrowErrorMatchingInlineSnapshot(`[RangeError: test: expected \`allowed\` with a possible token, got none in row 2]`);
    // Memory is at least a MiB, so that a row of this length makes it grow under a view of it.
    const view = core.alloc([3]), size = core.memory.buffer.byteLength / 16;
    const long = core.alloc([size]);
    expect(() => drawToken(where, long.data, 2, { temperature: 1 }, 0.5)).toThrowErrorMatchingInlineSnapshot(`[RangeError: test: expected \`logits\` with its elements, got a detached buffer. Pass the tensor itself, or a copy]`);
    for (const tensor of [view, long]) tensor.dispose();
    expect(draw([1, -INF], { allowed: new Int32Array(0) })).toThrowErrorMatchingInlineSnapshot(`[RangeError: test: expected \`allowed\` with a possible token, got none in row 2]`);
  });
});
