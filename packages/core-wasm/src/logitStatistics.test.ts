import { expectClose, expectExact, guarded, guardedInput, kernelChecks, testRandom, type Closeness } from "@logits/testkit";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import fixture from "./fixtures/logitStatistics.json" with { type: "json" };
import { argmax, core, entropy, logitStatistics, logSumExp, max, softmax, type LogitStatistic } from "./index.ts";
import { kernels } from "./logitStatistics.ts";
import { logitStatisticsRef } from "./logitStatistics.ref.ts";

const INF = Infinity;
const NAMES: readonly LogitStatistic[] = ["maxProbability", "otherProbability", "maxLogit", "energy", "entropy", "margin", "argmax", "concentration", "uniformDistance", "generalizedEntropy"];
const DEFAULT = NAMES.slice(0, 7);
const draw = (seed: number, n: number, deviation = 4): Float32Array => {
  const random = testRandom(seed);
  return Float32Array.from({ length: n }, () => deviation * random.normal());
};

/**
 * Distances to the largest logit are rounded once (twice with a temperature, and so is 1 / T): up to 3 * 88 * 2^-24 relative in a weight. A class that weighs less than
 * 2^-126 of the largest counts nothing: 2^-126 of a probability, 88 times that of the entropy.
 */
function bound(name: LogitStatistic, classes: number, temperature: number): (want: number) => Closeness {
  switch (name) {
    case "maxProbability": return () => ({ rtol: 2e-6 }); // the error of the others times 1 - p, and 1 - p is small where theirs is large
    case "otherProbability": return () => ({ rtol: 2e-5, atol: classes * 2 ** -126 });
    case "entropy": return () => ({ rtol: 2e-5, atol: classes * 2 ** -119 });
    case "energy": return (want) => ({ atol: 2 ** -24 * Math.abs(want) + 1e-6 * temperature });
    case "margin": return () => ({ ulp: 0.5 });
    // 1 - exp(-d) has the relative error of d, rounded three times with a temperature, and of the sum.
    case "concentration": return () => ({ rtol: 4e-6, atol: classes * temperature * 2 ** -126 });
    // Each |C p - 1| errs by that of C p: 2e-6 of sum C p = C.
    case "uniformDistance": return () => ({ rtol: 4e-6, atol: 2e-6 * classes });
    // gamma times the error of -log p + -log(1 - p), up to 2^-18 at 64 and 3 * 88 * 2^-24 with a temperature.
    case "generalizedEntropy": return () => ({ rtol: 1e-5, atol: 0 });
    default: return () => ({ atol: 0 });
  }
}

/** A special row and its statistics in the order of NAMES; T = 1. */
const SPECIAL: readonly { readonly name: string; readonly row: readonly number[]; readonly want: readonly number[] }[] = [
  { name: "one class", row: [3], want: [1, 0, 3, -3, 0, INF, 0, 0, 0, 0] },
  { name: "one class, -0", row: [-0], want: [1, 0, 0, 0, 0, INF, 0, 0, 0, 0] },
  { name: "one possible class", row: [-INF, 3, -INF, -INF, -INF], want: [1, 0, 3, -3, 0, INF, 1, Math.log(5), 8, 0] },
  { name: "two equal, the others impossible", row: [-INF, 1, -INF, 1, -INF], want: [0.5, 0.5, 1, -Math.fround(1 + Math.LN2), Math.fround(Math.LN2), 0, 1, Math.log(2.5), 6, 2 * 0.25 ** 0.1] },
  { name: "far apart", row: [0, -3e38], want: [1, 0, 0, 0, 0, Math.fround(3e38), 0, Math.LN2, 2, 0] },
  { name: "beyond float32", row: [3e38, -3e38], want: [1, 0, Math.fround(3e38), -Math.fround(3e38), 0, INF, 0, Math.LN2, 2, 0] },
  { name: "zeros of both signs", row: [-0, 0], want: [0.5, 0.5, 0, -Math.fround(Math.LN2), Math.fround(Math.LN2), 0, 0, 0, 0, 2 * 0.25 ** 0.1] },
  { name: "nothing possible", row: [-INF, -INF], want: [NaN, NaN, -INF, INF, NaN, NaN, 0, NaN, NaN, NaN] },
  { name: "+Infinity", row: [0, INF, 1], want: [NaN, NaN, INF, -INF, NaN, INF, 1, NaN, NaN, NaN] },
  { name: "two of +Infinity", row: [0, INF, 1, 2, INF], want: [NaN, NaN, INF, -INF, NaN, NaN, 1, NaN, NaN, NaN] },
];

for (const [i, name] of NAMES.entries()) {
  for (const temperature of [1, 0.5, 3]) {
    describe(`logitStatistics ${name} at temperature ${temperature}`, () => {
      it.each(kernelChecks({
        name,
        run: (x) => logitStatistics(x, { select: [name], temperature })[name],
        reference: (row) => logitStatisticsRef(row, temperature)[i],
        bound: (row, [want]) => bound(name, row.length, temperature)(want),
        nan: name === "argmax" ? "refused" : "row",
        special: temperature === 1 ? SPECIAL.map(({ want, ...row }) => ({ ...row, want: want[i], ...(i > 6 && want[i] - want[i] === 0 && { bound: { ulp: 2 } }) })) : [],
      }))("$name", ({ run }) => run());
    });
  }
}

describe("logitStatistics", () => {
  it("agrees with the definition where the kernels change and in wide rows, alone and in a batch with the same bits, whichever statistics are asked for", () => {
    for (const classes of [64, 65, 255, 256, 257, 260, 1000, 5003]) {
      const rows = 7, data = draw(classes, rows * classes), x = { data, shape: [rows, classes] };
      const all = logitStatistics(x, { temperature: 0.7, select: NAMES });
      expect(Object.keys(all)).toEqual(NAMES);
      expect(Object.keys(logitStatistics(x))).toEqual(DEFAULT);
      for (const [i, name] of NAMES.entries()) {
        expectExact(logitStatistics(x, { temperature: 0.7, select: [name] })[name], all[name], `${name} alone`);
        for (let r = 0; r < rows; r++) {
          const row = data.slice(r * classes, (r + 1) * classes);
          const want = logitStatisticsRef(Float64Array.from(row), 0.7)[i];
          expectClose(all[name].data[r], want, { ...bound(name, classes, 0.7)(want), label: `${name}, ${classes} classes, row ${r}` });
          const alone = logitStatistics(row, { temperature: 0.7, select: NAMES });
          expect(alone[name].shape).toEqual([]);
          expectExact(alone[name].item(), all[name].data[r], `${name}, ${classes} classes, row ${r} alone`);
        }
      }
    }
  });

  it("sums generalizedEntropy over the largest probabilities whatever their order, ties and neighbouring rows", () => {
    const random = testRandom(12), select = ["generalizedEntropy"] as const;
    const shapes: ((c: number) => number)[] = [
      () => 4 * random.normal(), () => Math.round(2 * random.normal()), (c) => (c % 3 === 0 ? -INF : random.normal()), () => 5, () => (random.uniform() < 0.1 ? 9 : -1e30),
      (c) => c - 600, () => -1e3 + random.normal(), () => (random.uniform() < 0.5 ? -0 : 0), () => 1e-40 * random.integer(9),
    ];
    for (const classes of [6, 40, 100, 101, 255, 300, 1003]) {
      const data = Float32Array.from({ length: 2 * shapes.length * classes }, (_, i) => shapes[Math.floor(i / classes) % shapes.length](i % classes));
      for (const [gamma, top] of [[0.1, 100], [1, 10], [5, 1000], [0.01, 1], [0.5, 30]]) {
        const { data: all } = logitStatistics({ data, shape: [2 * shapes.length, classes] }, { gamma, top, select }).generalizedEntropy;
        for (let r = 0; r < all.length; r++) {
          const row = data.slice(r * classes, (r + 1) * classes), label = `${classes} classes, gamma ${gamma}, top ${top}, row ${r}`;
          expectClose(all[r], logitStatisticsRef(Float64Array.from(row), 1, gamma, top)[9], { rtol: 1e-5 * Math.max(1, gamma), atol: 1e-37, label });
          expectExact(logitStatistics(row, { gamma, top, select }).generalizedEntropy.item(), all[r], label);
        }
      }
    }
  });

  it("concentration orders rows as maxProbability does, and tends to the largest minus the mean logit", () => {
    const data = draw(13, 40 * 1000), x = { data, shape: [40, 1000] };
    const means = Array.from({ length: 40 }, (_, r) => data.subarray(1000 * r, 1000 * (r + 1)).reduce((sum, v) => sum + v) / 1000);
    const { maxLogit } = logitStatistics(x, { select: ["maxLogit"] });
    for (const temperature of [1, 1000, 1e6]) {
      const { concentration, maxProbability } = logitStatistics(x, { temperature, select: ["concentration", "maxProbability"] });
      if (temperature === 1) expectClose(concentration.data, maxProbability.data.map((p) => Math.log(1000 * p)), { rtol: 1e-5 });
      // The next term is the variance of the logits, 16, over 2 T.
      else expectClose(concentration.data, means.map((mean, r) => maxLogit.data[r] - mean), { atol: 16 / temperature, rtol: 4e-6 });
    }
  });

  it("orders rows whose largest probability is 1 in float32, down to 2^-126", () => {
    for (const classes of [2, 5, 300]) {
      const gaps = Array.from({ length: 55 }, (_, i) => 24 + i);
      const { maxProbability, otherProbability } = logitStatistics(gaps.map((gap) => Array.from({ length: classes }, (_, c) => (c === 1 ? gap : c / 64 - 5))));
      expect(new Set(maxProbability.data)).toEqual(new Set([1]));
      for (let i = 1; i < gaps.length; i++) expect(otherProbability.data[i]).toBeLessThan(otherProbability.data[i - 1]);
      expect(otherProbability.data.at(-1)).toBeGreaterThan(0);
    }
  });

  it("agrees with mpmath", () => {
    for (const item of fixture.cases) {
      const { x, shape, temperature } = item;
      const got = logitStatistics({ data: Float32Array.from(x as (number | string)[], Number), shape }, { temperature });
      for (const name of ["maxProbability", "otherProbability", "maxLogit", "energy", "entropy", "margin", "argmax"] as const) {
        const want = Array.from(item[name] as (number | string)[], Number);
        want.forEach((value, r) => expectClose(got[name].data[r], value, { ...bound(name, shape[1], temperature)(value), label: `${item.name}: ${name} of row ${r}` }));
      }
    }
  });

  it("is what the single operations give", () => {
    const x = { data: draw(3, 9 * 40), shape: [3, 3, 40] };
    const all = logitStatistics(x, { temperature: 2 });
    expect(all.energy.shape).toEqual([3, 3]);
    expectExact(all.maxLogit, max(x));
    expectExact(all.argmax, argmax(x));
    expectClose(all.energy.data.map((e) => -e / 2), logSumExp(x, { temperature: 2 }).data, { ulp: 2 });
    expectClose(all.entropy, entropy(x, { temperature: 2 }), { rtol: 4e-5 });
    expectClose(all.maxProbability, max(softmax(x, { temperature: 2 })), { rtol: 4e-6 });
    expectClose(all.maxProbability.data.map((p, i) => p + all.otherProbability.data[i]), new Float32Array(9).fill(1), { atol: 1.2e-7 });
  });

  it("does not change with the order of the classes; a shift moves maxLogit and energy by itself and the others not at all", () => {
    fc.assert(fc.property(fc.array(fc.integer({ min: -600, max: 600 }), { minLength: 1, maxLength: 30 }), fc.integer(), (steps, salt) => {
      const x = steps.map((k) => k / 64);
      const select = ["otherProbability", "maxLogit", "energy", "entropy", "margin"] as const;
      const was = logitStatistics(x, { select });
      const now = logitStatistics(testRandom(salt).permutation(x.length).map((i) => x[i] + 512), { select });
      expectExact(now.margin.item(), was.margin.item());
      expectExact(now.maxLogit.item(), was.maxLogit.item() + 512);
      expectClose(now.energy.item(), was.energy.item() - 512, { atol: 1e-4 }); // half an ULP of 522
      expectClose(now.entropy.item(), was.entropy.item(), { rtol: 1e-6, atol: 1e-40 });
      expectClose(now.otherProbability.item(), was.otherProbability.item(), { rtol: 1e-6, atol: 1e-40 });
      expect(was.entropy.item()).toBeLessThanOrEqual(Math.log(x.length) * (1 + 1e-6));
    }), { seed: 9, numRuns: 200 });
  });

  it("keeps the energy between minus the largest logit and that minus T log C, and tends to the former as T falls", () => {
    const data = draw(8, 50 * 12), x = { data, shape: [50, 12] };
    for (const temperature of [0.01, 0.3, 1, 10]) {
      const { energy, maxLogit } = logitStatistics(x, { temperature, select: ["energy", "maxLogit"] });
      for (let r = 0; r < 50; r++) {
        expect(-energy.data[r]).toBeGreaterThanOrEqual(maxLogit.data[r]);
        expect(-energy.data[r]).toBeLessThanOrEqual((maxLogit.data[r] + temperature * Math.log(12)) * (1 + Math.sign(maxLogit.data[r]) * 1e-6) + 1e-6);
      }
    }
    const sharp = logitStatistics(x, { temperature: 2 ** -126 });
    expectExact(sharp.energy.data.map((e) => -e), sharp.maxLogit.data);
    expectExact(sharp.entropy.data, new Float32Array(50));
    expectClose(logitStatistics(x, { temperature: 2 ** 126 }).otherProbability.data, new Float32Array(50).fill(11 / 12), { ulp: 1 });
  });

  it("takes resident logits and more rows than are copied at a time", () => {
    for (const [rows, classes] of [[30001, 5], [700, 300]]) {
      const data = draw(rows, rows * classes);
      const plain = logitStatistics({ data, shape: [rows, classes] }, { select: NAMES });
      const resident = core.alloc([rows, classes]);
      resident.data.set(data);
      const again = logitStatistics(resident, { select: NAMES });
      for (const name of NAMES) expectExact(again[name], plain[name]);
      expectExact(resident.data.slice(), data);
      resident.dispose();
      for (const r of [0, 1, rows >> 1, rows - 2, rows - 1]) {
        const alone = logitStatistics(data.slice(r * classes, (r + 1) * classes), { select: NAMES });
        for (const name of NAMES) expectExact(alone[name].item(), plain[name].data[r]);
      }
    }
  });

  it("NaN anywhere in a wide row makes each statistic NaN, also one alone, and beside infinities", () => {
    for (const classes of [257, 271, 300]) {
      for (const [at, beside] of [[0, 0], [1, Infinity], [150, 0], [classes - 2, -Infinity], [classes - 1, Infinity]]) {
        const x = draw(classes, classes);
        x[7] = beside;
        x[at] = NaN;
        for (const name of NAMES) if (name !== "argmax") expect(logitStatistics(x, { select: [name] })[name].item(), `${name} of ${classes}, NaN at ${at}`).toBeNaN();
      }
      const open = draw(classes, classes);
      open[3] = Infinity;
      expectExact(logitStatistics(open, { select: ["maxLogit"] }).maxLogit.item(), Infinity);
      expectExact(logitStatistics(open).margin.item(), Infinity);
    }
  });

  it("gives nothing for no rows and no names", () => {
    expect(logitStatistics({ data: new Float32Array(0), shape: [0, 3] }).argmax.size).toBe(0);
    expect(logitStatistics([[1, 2]], { select: [] })).toEqual({});
    expect(logitStatistics([NaN, 1], { select: ["energy"] }).energy.item()).toBeNaN();
  });

  it("the kernel stays in its arrays and writes only what is selected", () => {
    const room = core.alloc([9000]);
    const [px, py, lanes, chosen] = [room.pointer + 1024, room.pointer + 8192, room.pointer + 16384, room.pointer + 28672];
    const { f32_logit_statistics } = kernels();
    for (const classes of [1, 2, 3, 4, 5, 7, 8, 33, 258]) {
      for (const rows of [1, 2, 3, 4, 5]) {
        const data = draw(classes, rows * classes);
        const guards = [guardedInput(core.memory, px, data), guarded(core.memory, py, 10 * rows), ...(classes > 256 ? [] : [guarded(core.memory, lanes, 4 * classes)])];
        // Work space need not be filled; what lies around it must stay.
        const words = new Float32Array(core.memory.buffer, chosen - 64, 32 + ((4 * classes + 127) & ~63) / 2).fill(7);
        f32_logit_statistics(px, py, rows, classes, rows, 1, 1, 1023, lanes, 0.1, 4, chosen);
        for (const guard of guards) guard.check();
        expect([...words.subarray(0, 16), ...words.subarray(-16)]).toEqual(new Array(32).fill(7));
        for (let bit = 0; bit < 10; bit++) {
          const got = new Float32Array(core.memory.buffer, py, 10 * rows).fill(NaN);
          f32_logit_statistics(px, py, rows, classes, rows, 1, 1, 1 << bit, lanes, 0.1, 4, chosen);
          got.forEach((value, i) => expect(Number.isNaN(value)).toBe(Math.floor(i / rows) !== bit));
        }
      }
    }
    room.dispose();
  });

  it("messages", () => {
    expect(() => logitStatistics([[1, 2], [NaN, 1]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: logitStatistics: expected \`logits\` without NaN where \`argmax\` is selected, got NaN in row 1]`);
    expect(() => logitStatistics([])).toThrowErrorMatchingInlineSnapshot(`[RangeError: logitStatistics: expected \`logits\` with at least one class, got shape [0]]`);
    expect(() => logitStatistics({ data: Float32Array.of(1), shape: [] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: logitStatistics: expected \`logits\` with at least one axis, got shape []]`);
    expect(() => logitStatistics([1], { temperature: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: logitStatistics: expected \`temperature\` in [2^-126, 2^126], got 0]`);
    expect(() => logitStatistics([1], { select: ["msp" as never] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: logitStatistics: expected \`select\` of maxProbability, otherProbability, maxLogit, energy, entropy, margin, argmax, concentration, uniformDistance, generalizedEntropy, got msp]`);
    expect(() => logitStatistics([1], { select: "energy" as never })).toThrowErrorMatchingInlineSnapshot(`[TypeError: logitStatistics: expected \`select\` a list of names, got energy]`);
    expect(() => logitStatistics("no" as never)).toThrowErrorMatchingInlineSnapshot(`[TypeError: logitStatistics: expected \`logits\` a tensor, typed array, { data, dims } or nested number arrays, got String]`);
    expect(() => logitStatistics([1], { gamma: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: logitStatistics: expected \`gamma\` in [2^-10, 2^10], got 0]`);
    expect(() => logitStatistics([1], { top: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: logitStatistics: expected \`top\` an integer in [1, 2147483647], got 0]`);
  });
});
