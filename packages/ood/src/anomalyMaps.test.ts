import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { expectClose, expectExact, testRandom } from "@logits/testkit";
import { Tensor } from "@logits/tensor";
import { ResidualDetector, blurMap, connectedComponents, cosineMap, kMeans, mapScore, mapSvg, otsuThreshold, resizeMap, stableThreshold } from "./index.ts";

const { cases } = JSON.parse(readFileSync(new URL("./fixtures/anomalyMaps.json", import.meta.url), "utf8")) as { cases: readonly (Record<"shape" | "size" | "features" | "counterpart" | "bank" | "pairwise" | "nearest" | "map" | "resized" | "aligned" | "blurred" | "zeroEdge" | "mask" | "four" | "eight", number[]> & { readonly name: string; readonly topFifth: number })[] };
const of = (shape: readonly number[], data: readonly number[]): Tensor<"float32"> => new Tensor("float32", [...shape], Float32Array.from(data));

/** A map of noise below 0.2 with discs of height 1. */
function discs(seed: number, size: number, centres: readonly (readonly [number, number, number])[], noise = 0.2): Tensor<"float32"> {
  const random = testRandom(seed);
  return of([size, size], Array.from({ length: size * size }, (_, at) => {
    const i = Math.floor(at / size), j = at % size;
    return (centres.some(([a, b, r]) => (i - a) ** 2 + (j - b) ** 2 <= r * r) ? 1 : 0) + noise * random.uniform();
  }));
}

describe("maps agree with torch and scipy", () => {
  for (const { name, shape, size, features, counterpart, bank, pairwise, nearest, map, resized, aligned, blurred, zeroEdge, topFifth, mask, four, eight } of cases) {
    const [h, w, f] = shape, given = of([h, w], map);
    test(`${name}: cosine maps, sizes, filters, scores and components`, () => {
      // Directions are float32: 2 ulp each, the cosine within a few 1e-7.
      expectClose(cosineMap(of(shape, features), { counterpart: of(shape, counterpart) }), pairwise, { atol: 1e-6 });
      expectClose(cosineMap(of(shape, features), { bank: of([bank.length / f, f], bank) }), nearest, { atol: 1e-6 });
      // Float64 weights, rounded once.
      expectClose(resizeMap(given, size as never), resized, { ulp: 1, atol: 1e-9 });
      expectClose(resizeMap(given, size as never, { alignCorners: true }), aligned, { ulp: 1, atol: 1e-9 });
      expectClose(blurMap(given, { sigma: 1.3 }), blurred, { ulp: 1, atol: 1e-9 });
      expectClose(blurMap(given, { sigma: 4, radius: 2, edge: "zero" }), zeroEdge, { ulp: 1, atol: 1e-9 });
      expectClose(mapScore(given, { share: 0.2 }), [topFifth], { ulp: 1 });
      const m = { data: Uint8Array.from(mask), shape: [h, w] };
      expectExact(connectedComponents(m, { connectivity: 4 }).labels, four);
      expectExact(connectedComponents(m).labels, eight);
    });
  }
});

describe("cosineMap", () => {
  const random = testRandom(3), x = of([2, 3, 4, 5], Array.from({ length: 120 }, random.normal)), bank = of([7, 5], Array.from({ length: 35 }, random.normal));

  test("does not see lengths, is the half of a squared distance, and takes leading axes", () => {
    const map = cosineMap(x, { bank });
    expect(map.shape).toEqual([2, 3, 4]);
    expectClose(cosineMap(of(x.shape, [...x.data].map((value, i) => value * (1 + Math.floor(i / 5)))), { bank }), map.data, { atol: 1e-6 });
    expectClose(cosineMap(of([3, 4, 5], [...x.data.subarray(60)]), { bank }), map.data.subarray(12), { atol: 0 });
    const centres = kMeans(bank, 3).centres;
    cosineMap(x, { bank: centres }).data.forEach((value) => expect(value >= 0 && value <= 2).toBe(true));
  });

  test("special values", () => {
    expectExact(cosineMap([[[1, 0], [0, 2], [-3, 0], [0, 0], [NaN, 1], [Infinity, 1]]], { bank: [[5, 0]] }), [0, 1, 2, 1, NaN, NaN]);
    expectExact(cosineMap([[[1, 0], [-1, 0]]], { bank: [[0, 0], [5, 0]] }), [0, 1]);
    expectExact(cosineMap([[[1, 0], [0, 0], [NaN, 0]]], { bank: [[0, 0]] }), [1, 1, NaN]);
    expectExact(cosineMap([[[1, 0]]], { bank: [[NaN, 0]] }), [NaN]);
    expectExact(cosineMap([[[1, 0], [1, 0], [0, 0], [0, 0], [1, 0]]], { counterpart: [[[2, 0], [0, 0], [0, 0], [1, NaN], [-1, 0]]] }), [0, 1, 1, NaN, 2]);
    expect(cosineMap(of([0, 3, 2], []), { bank: [[1, 0]] }).shape).toEqual([0, 3]);
  });

  test("a residual map is the score of a detector, whose shape follows", () => {
    const detector = ResidualDetector.fit(of([24, 5], [...x.data]), { dimension: 2 });
    expect(detector.score({ features: x }).shape).toEqual([2, 3, 4]);
  });
});

describe("resizeMap, blurMap, mapScore", () => {
  test("a constant map stays, whatever the size; a mean stays under a mirrored blur", () => {
    const flat = of([3, 4], new Array<number>(12).fill(0.7)), seven = Math.fround(0.7);
    expectExact(resizeMap(flat, [7, 2]), new Array<number>(14).fill(seven));
    expectClose(blurMap(flat, { sigma: 2 }), new Array<number>(12).fill(seven), { ulp: 1 });
    const map = discs(1, 9, [[2, 2, 1]]), mean = (t: Tensor<"float32">): number => t.data.reduce((a, b) => a + b, 0) / t.size;
    expectClose(mean(blurMap(map, { sigma: 1.5 })), mean(map), { rtol: 1e-6 });
    expectExact(resizeMap(map, [9, 9]), [...map.data]);
    expectExact(resizeMap(map, [9, 9], { alignCorners: true }), [...map.data]);
  });

  test("special values", () => {
    expectExact(resizeMap([[4]], [2, 3]), [4, 4, 4, 4, 4, 4]);
    expectExact(resizeMap([[1, 3]], [1, 1], { alignCorners: true }), [1]);
    expectExact(resizeMap([[0, NaN, 1]], [1, 3]), [0, NaN, 1]);
    expectExact(blurMap([[0, Infinity, 0, 0]], { sigma: 1, radius: 1 }), [Infinity, Infinity, Infinity, 0]);
    expectExact(blurMap([[1, 2]], { sigma: 1, radius: 0 }), [1, 2]);
    expectExact(mapScore([[1, 2], [NaN, 0]]), [NaN]);
    expectExact(mapScore([[1, 2], [Infinity, 0]], { share: 0 }), [Infinity]);
    expectExact(mapScore([[[1, 2]], [[3, 5]]], { share: 1 }), [1.5, 4]);
    expect(mapScore([[1]]).shape).toEqual([]);
  });
});

describe("otsuThreshold", () => {
  test("agrees with the definition, by trying all", () => {
    for (let seed = 0; seed < 20; seed++) {
      const random = testRandom(seed), values = Float32Array.from({ length: 30 }, (_, i) => (seed % 3 === 0 ? Math.round(4 * random.normal()) + 0 : random.normal() + (i % 4 === 0 ? 3 : 0)));
      let best = -1, want = NaN;
      for (const t of values.slice().sort()) {
        const low = values.filter((v) => v <= t), high = values.filter((v) => v > t);
        if (high.length === 0) continue;
        const mean = (own: Float32Array): number => own.reduce((a, b) => a + b, 0) / own.length;
        const between = low.length * high.length * (mean(high) - mean(low)) ** 2;
        if (between > best * (1 + 1e-12)) [best, want] = [between, t];
      }
      expect(otsuThreshold(values)).toBe(want);
    }
  });

  test("special values: one value, equal values, infinities, an offset that would cancel", () => {
    expect(otsuThreshold([5])).toBe(5);
    expect(otsuThreshold([5, 5, 5])).toBe(5);
    expect(otsuThreshold([1, 2, Infinity])).toBe(2);
    expect(otsuThreshold([-Infinity, 1, 2])).toBe(-Infinity);
    expect(otsuThreshold([1e6, 1e6 + 0.25, 1e6 + 8])).toBe(1e6 + 0.25);
  });
});

describe("connectedComponents", () => {
  test("areas and boxes are those of the labels; 4 never joins what 8 parts", () => {
    for (let seed = 0; seed < 20; seed++) {
      const random = testRandom(seed), shape = [1 + random.integer(9), 1 + random.integer(9)], data = Uint8Array.from({ length: shape[0] * shape[1] }, () => Number(random.uniform() < 0.5));
      const four = connectedComponents({ data, shape }, { connectivity: 4 }), eight = connectedComponents({ data, shape });
      expect(four.regions.length).toBeGreaterThanOrEqual(eight.regions.length);
      eight.regions.forEach(({ area, top, left, bottom, right }, k) => {
        const own = [...eight.labels.data.keys()].filter((at) => eight.labels.data[at] === k + 1), rows = own.map((at) => Math.floor(at / shape[1])), columns = own.map((at) => at % shape[1]);
        expect([area, top, left, bottom, right]).toEqual([own.length, Math.min(...rows), Math.min(...columns), Math.max(...rows) + 1, Math.max(...columns) + 1]);
      });
      data.forEach((on, at) => expect(four.labels.data[at] > 0).toBe(on === 1));
    }
  });

  test("special values: nothing, everything, no elements, a spiral", () => {
    expect(connectedComponents([[0, 0]]).regions).toEqual([]);
    expect(connectedComponents([[1, 1], [1, 1]]).regions).toEqual([{ area: 4, top: 0, left: 0, bottom: 2, right: 2 }]);
    expect(connectedComponents(new Tensor("uint8", [0, 4], new Uint8Array(0))).regions).toEqual([]);
    expect(connectedComponents([[1, 1, 1, 1], [0, 0, 0, 1], [1, 1, 0, 1], [1, 0, 0, 1], [1, 1, 1, 1]], { connectivity: 4 }).regions).toHaveLength(1);
  });
});

describe("stableThreshold", () => {
  const blobs = [[[6, 6, 3]], [[6, 6, 3], [20, 20, 4]], [[6, 6, 3], [20, 20, 4], [22, 5, 3]]] as const;

  test("[paper:anomalyncd-towards-novel-anomaly-class-discovery-in-industrial-scenarios] finds blobs of known number, and their elements", () => {
    blobs.forEach((centres, i) => {
      const map = discs(i, 28, centres), { threshold, count } = stableThreshold(map);
      expect(count).toBe(i + 1);
      const { regions } = connectedComponents({ data: Uint8Array.from(map.data, (value) => Number(value > threshold)), shape: [28, 28] });
      expect(regions.map(({ area }) => area).sort()).toEqual(centres.map(([, , r]) => discs(0, 28, [[14, 14, r]], 0).data.filter((value) => value > 0.5).length).sort());
    });
  });

  test("agrees with the definition: the longest run of equal counts", () => {
    for (let seed = 0; seed < 30; seed++) {
      const map = discs(seed, 12, [[3, 3, 2], [9, 8, 1]], 0.9), connectivity = seed % 2 ? 4 : 8, leastSteps = 1 + (seed % 5);
      const { threshold, count, counts } = stableThreshold(map, { steps: 20, leastSteps, connectivity }), low = Math.min(...map.data), high = Math.max(...map.data);
      counts.forEach((own, i) => {
        const mask = Uint8Array.from(map.data, (value) => Number(value > low + (high - low) * (1 - i / 20)));
        expect(own).toBe(connectedComponents({ data: mask, shape: [12, 12] }, { connectivity }).regions.length);
      });
      const runs: { from: number; to: number; count: number }[] = [];
      counts.forEach((own, i) => (i > 0 && counts[i - 1] === own ? (runs[runs.length - 1].to = i) : runs.push({ from: i, to: i, count: own })));
      const stable = runs.filter((run) => run.count > 0 && run.to - run.from + 1 >= leastSteps), longest = Math.max(...stable.map((run) => run.to - run.from));
      const first = stable.find((run) => run.to - run.from === longest), run = stable.findLast((other) => other.to - other.from === longest && other.count === first?.count);
      expect(count).toBe(run?.count ?? 0);
      expect(threshold).toBe(run ? low + (high - low) * (1 - run.to / 20) : Infinity);
    }
  });

  test("special values: a constant map, a normal picture among others, nothing stable, an infinite element", () => {
    expect(stableThreshold([[1, 1], [1, 1]])).toMatchObject({ threshold: Infinity, count: 0 });
    expect(stableThreshold(discs(1, 10, []), { low: 0.5, high: 1 })).toMatchObject({ threshold: Infinity, count: 0 });
    expect(stableThreshold([[0, 1, 0, 2, 0, 3]], { steps: 3, leastSteps: 3 })).toMatchObject({ threshold: Infinity, count: 0, counts: Int32Array.of(0, 1, 2) });
    expect(stableThreshold([[0, Infinity]], { low: 0, high: 1 }).count).toBe(1);
  });
});

describe("mapSvg", () => {
  test("draws what it says, and nothing for what is low", () => {
    expect(mapSvg([[0, 1, 1], [0.5, NaN, 0]], { title: "a < b", regions: [{ area: 2, top: 0, left: 1, bottom: 1, right: 3 }], cell: 10 })).toMatchInlineSnapshot(`"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 3 2" width="30" height="20" role="img" aria-labelledby="map-title map-description"><title id="map-title">a &lt; b</title><desc id="map-description">2 rows of 3 elements, from 0.00 without colour to 1.00 in full colour; 1 region is framed, of 2 elements.</desc><g fill="var(--plot-2,#c2541b)" shape-rendering="crispEdges"><rect x="1" y="0" width="2" height="1" opacity="1"/><rect x="0" y="1" width="1" height="1" opacity="0.5"/></g><path d="M1 1l1 1m0 -1l-1 1" stroke="var(--plot-soft,#8a939b)" stroke-width="0.1" fill="none"/><rect width="3" height="2" fill="none" stroke="var(--plot-soft,#8a939b)" stroke-width="0.1"/><g fill="none" stroke="var(--plot-1,#1f78ad)" stroke-width="0.3"><rect x="1" y="0" width="2" height="1"/></g></svg>"`);
    expect(mapSvg([[NaN]], { id: "x" })).toContain("0.00 without colour");
    expect(mapSvg([[3, 3]])).toContain('opacity="1"');
    expect(mapSvg([[1, Infinity, 2]]).match(/opacity/g)).toHaveLength(1);
    expect(mapSvg([[0, 9]], { domain: [0, 18] })).toContain('opacity="0.5"');
  });
});

test("messages", () => {
  expect(() => cosineMap([[1, 2]], { bank: [[1]] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: cosineMap: expected \`features\` of shape [..., H, W, F], F >= 1, got [1, 2]]`);
  expect(() => cosineMap([[[1, 2]]], {})).toThrowErrorMatchingInlineSnapshot(`[TypeError: cosineMap: expected \`reference\` \`bank\` or \`counterpart\`, got neither]`);
  expect(() => cosineMap([[[1, 2]]], { bank: [[1, 2]], counterpart: [[[1, 2]]] })).toThrowErrorMatchingInlineSnapshot(`[TypeError: cosineMap: expected \`reference\` \`bank\` or \`counterpart\`, got both]`);
  expect(() => cosineMap([[[1, 2]]], { bank: [[1]] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: cosineMap: expected \`bank\` of shape [M, 2], M >= 1, got [1, 1]]`);
  expect(() => cosineMap([[[1, 2]]], { counterpart: [[[1, 2], [1, 2]]] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: cosineMap: expected \`counterpart\` of shape [1, 1, 2], got [1, 2, 2]]`);
  expect(() => resizeMap([1, 2], [2, 2])).toThrowErrorMatchingInlineSnapshot(`[RangeError: resizeMap: expected \`map\` of shape [..., H, W], H >= 1 and W >= 1, got [2]]`);
  expect(() => resizeMap([[1, 2]], [0, 2])).toThrowErrorMatchingInlineSnapshot(`[RangeError: resizeMap: expected \`size[0]\` an integer in [1, 16777216], got 0]`);
  expect(() => resizeMap([[1, 2]], [2, 2], { alignCorners: 1 as never })).toThrowErrorMatchingInlineSnapshot(`[TypeError: resizeMap: expected \`alignCorners\` true or false, got Number]`);
  expect(() => blurMap([[1, 2]], { sigma: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: blurMap: expected \`sigma\` a finite number > 0, got 0]`);
  expect(() => blurMap([[1, 2]], { sigma: 1, radius: -1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: blurMap: expected \`radius\` an integer in [0, 65536], got -1]`);
  expect(() => blurMap([[1, 2]], { sigma: 1, edge: "wrap" as never })).toThrowErrorMatchingInlineSnapshot(`[RangeError: blurMap: expected \`edge\` "reflect" or "zero", got wrap]`);
  expect(() => mapScore([[1, 2]], { share: 2 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: mapScore: expected \`share\` in [0, 1], got 2]`);
  expect(() => mapScore(of([0, 2], []))).toThrowErrorMatchingInlineSnapshot(`[RangeError: mapScore: expected \`map\` of shape [..., H, W], H >= 1 and W >= 1, got [0, 2]]`);
  expect(() => otsuThreshold([1, NaN])).toThrowErrorMatchingInlineSnapshot(`[RangeError: otsuThreshold: expected \`values\` without NaN, got NaN at index 1]`);
  expect(() => otsuThreshold(of([0], []))).toThrowErrorMatchingInlineSnapshot(`[RangeError: otsuThreshold: expected \`values\` at least one, got none]`);
  expect(() => connectedComponents([1, 0])).toThrowErrorMatchingInlineSnapshot(`[RangeError: connectedComponents: expected \`mask\` of shape [H, W], got [2]]`);
  expect(() => connectedComponents([[1, 0]], { connectivity: 6 as never })).toThrowErrorMatchingInlineSnapshot(`[RangeError: connectedComponents: expected \`connectivity\` 4 or 8, got 6]`);
  expect(() => connectedComponents([[2]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: connectedComponents: expected \`mask\` of 0 and 1, got 2 at index 0]`);
  expect(() => stableThreshold([[[1]]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: stableThreshold: expected \`map\` of shape [H, W], got [1, 1, 1]]`);
  expect(() => stableThreshold([[1, NaN]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: stableThreshold: expected \`map\` without NaN, got NaN in row 0, column 1]`);
  expect(() => stableThreshold([[1, Infinity]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: stableThreshold: expected \`low\` finite and at most \`high\`, got 1 and Infinity]`);
  expect(() => stableThreshold([[1]], { steps: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: stableThreshold: expected \`steps\` an integer in [1, 65536], got 0]`);
  expect(() => stableThreshold([[1]], { leastSteps: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: stableThreshold: expected \`leastSteps\` an integer in [1, 65536], got 0]`);
  expect(() => stableThreshold([[1]], { connectivity: 5 as never })).toThrowErrorMatchingInlineSnapshot(`[RangeError: stableThreshold: expected \`connectivity\` 4 or 8, got 5]`);
  expect(() => mapSvg([[[1]]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: mapSvg: expected \`map\` of shape [H, W], got [1, 1, 1]]`);
  expect(() => mapSvg([[1]], { cell: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: mapSvg: expected \`cell\` a finite number > 0, got 0]`);
  expect(() => mapSvg([[1]], { domain: [1, 1] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: mapSvg: expected \`domain\` of two finite numbers, the lower one before, got [1, 1]]`);
});
