import { core } from "@logits/core-wasm";
import { detectorChecks, estimatorChecks, expectClose, expectExact, testRandom, type Plain } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import fixture from "./fixtures/nearestNeighbors.json" with { type: "json" };
import { NearestNeighborDetector } from "./index.ts";
import { nearestNeighborDetectorRef } from "./nearestNeighborDetector.ref.ts";

const plain = (data: Float32Array, width: number): Plain => ({ dtype: "float32", shape: [data.length / width, width], data });
const list = (x: Plain): number[][] => Array.from({ length: x.shape[0] }, (_, i) => Array.from(x.data.subarray(i * x.shape[1], (i + 1) * x.shape[1])));
const scores = (detector: NearestNeighborDetector, features: Plain | number[][]): number[] => Array.from(detector.score({ features }).data);

/** Rows around one direction. */
function rows(n: number, f: number, stream: number, spread = 0.3): Plain {
  const random = testRandom(stream);
  return plain(Float32Array.from({ length: n * f }, (_, i) => (i % f === 0 ? 2 : 0) + spread * random.normal()), f);
}

describe("agrees with the definition", () => {
  it.each([[1, 1, 1], [10, 2, 3], [40, 5, 40], [70, 16, 10], [120, 33, 5]])("for N = %i, F = %i, k = %i", (n, f, k) => {
    const bank = rows(n, f, n), probe = rows(12, f, 99, 2);
    for (const normalize of [true, false]) {
      const got = scores(NearestNeighborDetector.fit(bank, { k, normalize }), probe);
      // Squared distances to (F / 16 + 8) 2^-24, half of that for the root; normalised rows are rounded by 2^-24 each, twice: 2^-22 of their length 1.
      list(probe).forEach((row, i) => expectClose(got[i], nearestNeighborDetectorRef(list(bank), row, k, normalize), { rtol: (f / 16 + 9) * 2 ** -25, atol: normalize ? 2 ** -22 : 0 }));
    }
  });

  it.each(fixture.cases.map((c) => [c.name, c] as const))("scikit-learn's brute force: %s", (_, { shape, k, normalize, features, rows: probe, scores: want }) => {
    const detector = NearestNeighborDetector.fit(plain(Float32Array.from(features), shape[1]), { k, normalize });
    expectClose(scores(detector, plain(Float32Array.from(probe), shape[1])), want, { rtol: 10 * 2 ** -25, atol: normalize ? 2 ** -22 : 0 });
  });
});

describe("laws", () => {
  const bank = rows(200, 8, 1), probe = rows(60, 8, 2, 1);

  it("normalised scores do not depend on the lengths of rows and lie in [0, 2]", () => {
    const detector = NearestNeighborDetector.fit(bank), got = scores(detector, probe);
    expectExact(scores(detector, plain(probe.data.map((v) => 1024 * v), 8)), got);
    expectClose(scores(NearestNeighborDetector.fit(plain(bank.data.map((v, i) => v * (1 + Math.floor(i / 8))), 8)), probe), got, { atol: 2 ** -21 });
    got.forEach((score) => expect(score >= 0 && score <= 2).toBe(true));
    expectClose(scores(NearestNeighborDetector.fit([[1, 0], [2, 0]], { k: 2 }), [[-3, 0]]), [2], { ulp: 1 });
  });

  it("a rotation of the features changes nothing but rounding", () => {
    const turn = (x: Plain): Plain => plain(Float32Array.from(list(x).flatMap((r) => [0.6 * r[0] - 0.8 * r[1], 0.8 * r[0] + 0.6 * r[1], ...r.slice(2).reverse()])), 8);
    for (const normalize of [true, false]) {
      const want = scores(NearestNeighborDetector.fit(bank, { normalize }), probe);
      // Two coordinates are rounded again, to 2^-24 of a size of about 3.
      expectClose(scores(NearestNeighborDetector.fit(turn(bank), { normalize }), turn(probe)), want, { atol: 1e-6 });
    }
  });

  it("scores grow with k, and repeated rows count as many neighbours", () => {
    const by = [1, 2, 5, 50, 200].map((k) => scores(NearestNeighborDetector.fit(bank, { k }), probe));
    for (let i = 1; i < by.length; i++) by[i].forEach((score, n) => expect(score).toBeGreaterThanOrEqual(by[i - 1][n]));
    const tripled = NearestNeighborDetector.fit(plain(Float32Array.from([...bank.data, ...bank.data, ...bank.data]), 8), { k: 15 });
    expectExact(scores(tripled, probe), by[2]);
  });

  it("a row of the bank is its own first neighbour", () => {
    expectExact(scores(NearestNeighborDetector.fit(bank, { k: 1 }), bank), new Float32Array(200));
    scores(NearestNeighborDetector.fit(bank, { k: 2 }), bank).forEach((score) => expect(score).toBeGreaterThan(0));
  });

  it("more rows than are prepared at a time, in fits and scores", () => {
    const large = rows(2500, 3, 3), detector = NearestNeighborDetector.fit(large, { k: 4 }), all = scores(detector, large);
    for (const i of [0, 1023, 1024, 2499]) expectExact(scores(detector, [list(large)[i]]), [all[i]]);
    expect(detector.fingerprints?.firstShared([[9, 9, 9], list(large)[2400]])).toBe(1);
  });

  it("fitAsync gives the same bits and stops", async () => {
    expectExact(scores(await NearestNeighborDetector.fitAsync(bank, { k: 3 }), probe), scores(NearestNeighborDetector.fit(bank, { k: 3 }), probe));
    await expect(NearestNeighborDetector.fitAsync(bank, { signal: AbortSignal.abort(new Error("stop")) })).rejects.toThrow("stop");
  });
});

describe("a bank in bytes", () => {
  it("scores with the bits of the float32 one, one row and many, before and after JSON", () => {
    for (const f of [1, 5, 16, 40]) {
      const bank = rows(700, f, f), probe = rows(30, f, 50, 1);
      for (const normalize of [true, false]) {
        const exact = NearestNeighborDetector.fit(bank, { k: 7, normalize }), bytes = NearestNeighborDetector.fit(bank, { k: 7, normalize, scan: "int8" });
        const want = scores(exact, probe);
        expect([bytes.scan, exact.scan]).toEqual(["int8", "float32"]);
        expectExact(scores(bytes, probe), want);
        const again = NearestNeighborDetector.fromJSON(JSON.parse(JSON.stringify(bytes)));
        expect(again.scan).toBe("int8");
        for (const [i, row] of list(probe).entries()) {
          expectExact(scores(bytes, [row]), [want[i]]);
          expectExact(scores(again, [row]), [want[i]]);
        }
        for (const row of [[NaN], [Infinity], [0], [1e-42], [3e38]]) expectExact(scores(bytes, [new Array(f).fill(row[0])]), scores(exact, [new Array(f).fill(row[0])]), `${row}`);
      }
    }
  });

  it("gives its memory back", () => {
    const before = core.bytesInUse, detector = NearestNeighborDetector.fit(rows(2000, 8, 4), { scan: "int8" });
    detector.score({ features: rows(1, 8, 5) });
    expect(core.bytesInUse).toBeGreaterThan(before + 2000 * 8 * 5);
    detector.dispose();
    expect(core.bytesInUse).toBeLessThanOrEqual(before + 65536);
  });
});

describe("a coreset", () => {
  const bank = rows(400, 6, 8, 1), probe = rows(50, 6, 9, 2);

  it("is within its radius of all rows, for one neighbour", () => {
    for (const normalize of [true, false]) {
      const full = NearestNeighborDetector.fit(bank, { k: 1, normalize }), want = scores(full, probe);
      let last = Infinity;
      for (const maxRows of [1, 10, 100, 399]) {
        const core = NearestNeighborDetector.fit(bank, { k: 1, normalize, maxRows });
        expect(core.n).toBe(maxRows);
        expect(core.radius).toBeLessThanOrEqual(last);
        last = core.radius;
        // The rounding of two distances and of the radius.
        scores(core, probe).forEach((score, i) => expect(score >= want[i] && score <= (want[i] + core.radius) * (1 + 1e-6)).toBe(true));
        expect(Math.max(...scores(core, bank))).toBeLessThanOrEqual(core.radius * (1 + 1e-6));
        expect(core.fingerprints?.size).toBe(400);
      }
      const all = NearestNeighborDetector.fit(bank, { k: 1, normalize, maxRows: 400 });
      expect([all.n, all.radius]).toEqual([400, 0]);
      expectExact(scores(all, probe), want);
    }
  });

  it("keeps its radius and bits in JSON, and comes in pieces too", async () => {
    const detector = NearestNeighborDetector.fit(bank, { k: 3, maxRows: 40, scan: "int8" }), again = NearestNeighborDetector.fromJSON(JSON.parse(JSON.stringify(detector)));
    expect([again.n, again.radius, again.k]).toEqual([40, detector.radius, 3]);
    expectExact(scores(again, probe), scores(detector, probe));
    expectExact(scores(await NearestNeighborDetector.fitAsync(bank, { k: 3, maxRows: 40 }), probe), scores(detector, probe));
  });
});

describe("special values", () => {
  it("a row of zeros has no direction: distance 1 of all others, 0 of other zeros", () => {
    expect(scores(NearestNeighborDetector.fit([[3, 4], [-5, 0]], { k: 2 }), [[0, -0]])[0]).toBeCloseTo(1, 6);
    expect(scores(NearestNeighborDetector.fit([[3, 4], [0, 0]], { k: 1 }), [[0, 0], [1e-30, 0]])).toEqual([0, expect.closeTo(Math.sqrt(0.8), 6)]);
  });

  it("rows with infinities are infinitely far, NaN stays NaN, large and tiny rows keep their direction", () => {
    for (const normalize of [true, false]) {
      const detector = NearestNeighborDetector.fit([[1, 0], [0, 1]], { k: 1, normalize });
      expect(scores(detector, [[Infinity, 0], [1, -Infinity], [NaN, 1], [NaN, Infinity], [1, 0]])).toEqual([Infinity, Infinity, NaN, NaN, 0]);
    }
    const detector = NearestNeighborDetector.fit([[1, 0], [0, 1]], { k: 1 });
    expect(scores(detector, [[3e38, 0], [1e-40, 0], [0, 3e38]])).toEqual([0, 0, 0]);
    expect(scores(NearestNeighborDetector.fit([[1, 0]], { k: 1, normalize: false }), [[3e38, 0]])).toEqual([Infinity]);
  });

  it("gives its memory back", () => {
    const detector = NearestNeighborDetector.fit(rows(2000, 8, 4)), before = core.bytesInUse;
    detector.score({ features: rows(1, 8, 5) });
    detector.dispose();
    expect(core.bytesInUse).toBeLessThanOrEqual(before + 65536);
    const unused = NearestNeighborDetector.fit(rows(50, 8, 4));
    unused.dispose();
    expect(() => unused.score({ features: rows(1, 8, 5) })).toThrowError("dispose()");
    expect(() => unused.toJSON()).toThrowError("dispose()");
    expect(() => detector.score({ features: rows(1, 8, 5) })).toThrowErrorMatchingInlineSnapshot(`[DisposedError: Detector: expected one that is in use, got one after dispose()]`);
  });
});

describe("batteries", () => {
  const bank = rows(150, 5, 6), usual = rows(40, 5, 7);
  it.each(estimatorChecks<NearestNeighborDetector>({
    name: "NearestNeighborDetector",
    data: [bank],
    fit: (features) => NearestNeighborDetector.fit(features, { k: 3 }),
    output: (detector) => detector.score({ features: usual }),
    fromJSON: NearestNeighborDetector.fromJSON,
    wrongWidth: [(detector) => detector.score({ features: [[1, 2]] })],
    base64: ["bank.data"],
  }))("$name", ({ run }) => run());
  // Further by angle where directions are compared, by distance where rows are.
  const turned = plain(Float32Array.from([50, 80, 110, 140, 175].flatMap((degrees) => [Math.cos((degrees * Math.PI) / 180), Math.sin((degrees * Math.PI) / 180), 0, 0, 0])), 5);
  const away = plain(Float32Array.from([5, 10, 1e3, 1e6, 1e15].flatMap((reach) => [reach, -reach, reach, reach, -reach])), 5);
  for (const [normalize, far] of [[true, turned], [false, away]] as const) {
    it.each(detectorChecks({ name: `NearestNeighborDetector, normalize ${normalize}`, make: () => NearestNeighborDetector.fit(bank, { normalize }), fromJSON: NearestNeighborDetector.fromJSON, usual, far }))("$name", ({ run }) => run());
  }
});

it("takes the tenth neighbour where nothing is said, the last of fewer rows", () => {
  expect([NearestNeighborDetector.fit([[1, 2], [3, 4]]).k, NearestNeighborDetector.fit(Array.from({ length: 11 }, (_, n) => [n])).k]).toEqual([2, 10]);
});

it("says what is wrong", () => {
  expect(() => NearestNeighborDetector.fit([[1, 2], [NaN, 1]], { k: 1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: NearestNeighborDetector.fit: expected \`features\` of finite numbers, got NaN in row 1, column 0]`);
  expect(() => NearestNeighborDetector.fit([[1, 2]], { k: 10 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: NearestNeighborDetector.fit: expected \`k\` at most the number of rows, 1, got 10]`);
  expect(() => NearestNeighborDetector.fit([[1, 2]], { k: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: NearestNeighborDetector.fit: expected \`k\` an integer in [1, 1], got 0]`);
  expect(() => NearestNeighborDetector.fit([1, 2])).toThrowErrorMatchingInlineSnapshot(`[RangeError: NearestNeighborDetector.fit: expected \`features\` of shape [N, F], got [2]]`);
  expect(() => NearestNeighborDetector.fit({ data: new Float32Array(0), shape: [0, 2] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: NearestNeighborDetector.fit: expected \`features\` of shape [N, F], N >= 1 and F >= 1, got [0, 2]]`);
  expect(() => NearestNeighborDetector.fit([[1, 2]], { maxRows: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: NearestNeighborDetector.fit: expected \`maxRows\` an integer in [1, 2147483647], got 0]`);
  expect(() => NearestNeighborDetector.fit([[1, 2], [3, 4]], { maxRows: 1, k: 2 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: NearestNeighborDetector.fit: expected \`k\` at most the number of rows, 1, got 2]`);
  expect(() => NearestNeighborDetector.fit([[1, 2]], { scan: "int4" as never })).toThrowErrorMatchingInlineSnapshot(`[RangeError: NearestNeighborDetector.fit: expected \`scan\` "float32" or "int8", got int4]`);
  const detector = NearestNeighborDetector.fit([[1, 2]], { k: 1 });
  expect(() => NearestNeighborDetector.fromJSON({ ...detector.toJSON(), scan: "int4" })).toThrowErrorMatchingInlineSnapshot(`[FormatError: NearestNeighborDetector.fromJSON: expected \`scan\` "float32" or "int8", got "int4"]`);
  expect(() => NearestNeighborDetector.fromJSON({ ...detector.toJSON(), radius: -1 })).toThrowErrorMatchingInlineSnapshot(`[FormatError: NearestNeighborDetector.fromJSON: expected \`radius\` a finite number in [0, Infinity], got -1]`);
  expect(() => detector.score({ features: [[1, 2, 3]] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: NearestNeighborDetector.score: expected \`features\` of shape [..., 2], got [1, 3]]`);
  expect(() => detector.score({})).toThrowErrorMatchingInlineSnapshot(`[RangeError: NearestNeighborDetector.score: expected \`rows\` with \`features\`, got none]`);
  expect(() => NearestNeighborDetector.fromJSON({ ...detector.toJSON(), bank: { dtype: "float32", shape: [0, 2], data: "" } })).toThrowErrorMatchingInlineSnapshot(`[FormatError: NearestNeighborDetector.fromJSON: expected \`bank\` of shape [N, F], N >= 1 and F >= 1, got [0, 2]]`);
});
