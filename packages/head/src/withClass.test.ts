import { LogitDetector, NearestNeighborDetector, Threshold, groupRows } from "@logits/ood";
import { checkGuarantee, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { DecisionHead, LinearHead, PrototypeHead, withClass, withClassAsync } from "./index.ts";

type Random = ReturnType<typeof testRandom>;
const SLOW = Boolean(process.env.LOGITS_SLOW), F = 4, RATE = 0.1;

/** Rows of Gaussian classes, class c around 5 on axis c. */
function draw(random: Random, classes: readonly number[]): { features: { data: Float32Array; shape: [number, number] }; labels: Int32Array } {
  const data = new Float32Array(classes.length * F);
  classes.forEach((c, n) => {
    for (let f = 0; f < F; f++) data[n * F + f] = random.normal() + (f === c ? 5 : 0);
  });
  return { features: { data, shape: [classes.length, F] }, labels: Int32Array.from(classes) };
}

const among = (random: Random, rows: number, classes: number): number[] => Array.from({ length: rows }, () => random.integer(classes));
const OPTIONS = { detector: "maxLogit", maxFalsePositiveRate: RATE, confidence: "marginal" } as const;

/** A head of two classes by their means. */
function twoClasses(random: Random, rows = 60): DecisionHead<"a" | "b"> {
  const train = draw(random, among(random, 40, 2)), scorer = PrototypeHead.fit(train.features, train.labels, { kind: "mean", classes: 2 });
  return DecisionHead.fit({ scorer, ...draw(random, among(random, rows, 2)), classes: ["a", "b"] }, OPTIONS);
}

function flagged(head: DecisionHead<string>, { features }: ReturnType<typeof draw>): number {
  return head.decideAll({ features }).filter(({ kind }) => kind === "unknown").length / features.shape[0];
}

describe("withClass", () => {
  const random = testRandom(1), head = twoClasses(random), own = draw(random, Array.from({ length: 12 }, () => 2)), data = draw(random, among(random, 90, 3));

  it("is DecisionHead.fit with the scorer that has the class, and with what the head was asked for", async () => {
    const taught = withClass(head, { name: "c", features: own.features }, data);
    const want = DecisionHead.fit({ scorer: (head.scorer as PrototypeHead).addClass(own.features), ...data, classes: ["a", "b", "c"] }, OPTIONS);
    expect(taught.toJSON()).toEqual(want.toJSON());
    expect(taught.classes).toEqual(["a", "b", "c"]);
    expect((await withClassAsync(head, { name: "c", features: own.features }, data)).toJSON()).toEqual(want.toJSON());
    expect(head.classes).toEqual(["a", "b"]);
    expect(withClass(head, { name: "c", features: own.features }, data, { alpha: 0.3, detector: "energy" })).toMatchObject({ alpha: 0.3, detector: { method: "energy" } });
  });

  it("takes several classes in at once: as one after the other", () => {
    const more = draw(random, [3, 3, 3]), both = draw(random, among(random, 120, 4));
    const taught = withClass(head, [{ name: "c", features: own.features }, { name: "d", features: more.features }], both);
    const want = DecisionHead.fit({ scorer: (head.scorer as PrototypeHead).addClass(own.features).addClass(more.features), ...both, classes: ["a", "b", "c", "d"] }, OPTIONS);
    expect(taught.toJSON()).toEqual(want.toJSON());
    expect(withClass(head, [], draw(random, among(random, 60, 2))).classes).toEqual(["a", "b"]);
  });

  it("answers with the class that it called unknown before, whose rows were found by grouping", () => {
    const stream = draw(random, Array.from({ length: 200 }, () => 2 + random.integer(2)));
    const refused = [...head.decideAll(stream).entries()].filter(([, { kind }]) => kind === "unknown").map(([n]) => n);
    expect(refused.length).toBeGreaterThan(150);
    const rows = refused.map((n) => [...stream.features.data.subarray(n * F, (n + 1) * F)]);
    const { groups } = groupRows(rows);
    expect(groups).toHaveLength(2);
    const third = groups.find((group) => group.rows.every((i) => stream.labels[refused[i]] === 2) && group.rows.length > 50)!;
    const taught = withClass(head, { name: "c", features: [...third.rows].map((i) => rows[i]) }, data);
    const fresh = draw(random, Array.from({ length: 300 }, () => 2)), kinds = taught.decideAll(fresh).map((decision) => (decision.kind === "label" ? decision.label : decision.kind));
    expect(kinds.filter((kind) => kind === "c").length).toBeGreaterThan(240);
    expect(flagged(head, fresh)).toBeGreaterThan(0.9);
  });

  it("takes CSR rows", () => {
    const csr = ({ data: x, shape }: { data: Float32Array; shape: [number, number] }) => ({ shape, data: x, indices: Int32Array.from(x, (_, i) => i % F), indptr: Int32Array.from({ length: shape[0] + 1 }, (_, n) => n * F) });
    expect(withClass(head, { name: "c", features: csr(own.features) }, { ...data, features: csr(data.features) }).toJSON()).toEqual(withClass(head, { name: "c", features: own.features }, data).toJSON());
  });

  it("keeps the promise where the rows of the new class in the data are drawn like those to come", () => {
    const { mean } = checkGuarantee({
      name: "false alarms after a class was added", kind: "marginal mean", level: RATE, repetitions: SLOW ? 4000 : 200,
      simulate: (seed) => {
        const next = testRandom(seed), taught = withClass(twoClasses(next), { name: "c", features: draw(next, [2, 2, 2, 2, 2]).features }, draw(next, among(next, 80, 3)));
        return flagged(taught, draw(next, among(next, 60, 3)));
      },
    });
    expect(mean).toBeGreaterThan(0.05);
  });

  it("breaks it where the rows of the new class in the data were refused and grouped: they are too near, and leave their share of alarms to all others", () => {
    const simulate = (seed: number): number => {
      const next = testRandom(seed), before = twoClasses(next), stream = draw(next, Array.from({ length: 130 }, () => 2));
      // What lies nearest to the centre of what was refused, as a group that someone names does.
      const x = before.decideAll(stream).flatMap(({ kind }, n) => (kind === "unknown" ? [[...stream.features.data.subarray(n * F, (n + 1) * F)]] : []));
      const [{ rows }] = groupRows(x, { counts: [], normalize: false }).groups, near = [...rows.subarray(0, 50)].map((i) => x[i]);
      const old = draw(next, among(next, 80, 2));
      const data = { features: { data: Float32Array.from([...old.features.data, ...near.slice(0, 40).flat()]), shape: [120, F] }, labels: [...old.labels, ...new Array<number>(40).fill(2)] };
      return flagged(withClass(before, { name: "c", features: near.slice(40) }, data), draw(next, among(next, 60, 3)));
    };
    const repetitions = SLOW ? 1000 : 250, promise = { name: "grouped rows behind a promise", kind: "marginal mean", repetitions, simulate } as const;
    expect(() => checkGuarantee({ ...promise, level: RATE })).toThrow("promised at most 0.1");
    // Measured: 0.142 with a standard error of 0.002 over 1,000 repetitions. A third of the calibration rows hardly ever raises an alarm, so the others may raise 0.15 in the long run.
    expect(checkGuarantee({ ...promise, level: 0.15 }).mean).toBeGreaterThan(0.12);
  });

  it("an old threshold stays good for the old classes, without their rows, where the score is a minimum over classes in a fixed metric", () => {
    const { mean } = checkGuarantee({
      name: "exemplar-free", kind: "marginal mean", level: RATE, repetitions: SLOW ? 4000 : 300,
      simulate: (seed) => {
        const next = testRandom(seed), train = draw(next, among(next, 40, 2)), scorer = PrototypeHead.fit(train.features, train.labels, { kind: "mean", classes: 2 }), detector = LogitDetector.of("maxLogit");
        const scores = (own: PrototypeHead, rows: ReturnType<typeof draw>): Float32Array => detector.score({ logits: own.logits(rows.features) }).data;
        const threshold = Threshold.fit(scores(scorer, draw(next, among(next, 59, 2))), { maxFalsePositiveRate: RATE, confidence: "marginal" });
        const wider = scorer.addClass(draw(next, [2, 2, 2]).features), fresh = draw(next, among(next, 60, 2)), before = scores(scorer, fresh), after = scores(wider, fresh);
        let flags = 0;
        for (let n = 0; n < 60; n++) {
          // The mean of all rows moves, so the products round otherwise.
          expect(after[n]).toBeLessThanOrEqual(before[n] + 1e-4);
          flags += Number(after[n] > threshold.value);
        }
        return flags / 60;
      },
    });
    expect(mean).toBeLessThan(RATE);
  });

  it("messages", () => {
    const linear = DecisionHead.fit({ scorer: LinearHead.fit(draw(random, among(random, 40, 2)).features, Int32Array.from({ length: 40 }, (_, n) => n % 2), { l2: 0.1 }), ...draw(random, among(random, 60, 2)), classes: ["a", "b"] });
    expect(() => withClass(linear, { name: "c", features: own.features }, data)).toThrowErrorMatchingInlineSnapshot(`[TypeError: withClass: expected \`head\` with a scorer that takes classes in, a PrototypeHead, got logits/linear-head. A trained layer is trained again]`);
    const bare = DecisionHead.fit({ logits: [[1, 0], [0, 1], [2, 0], [0, 2]], labels: [0, 1, 0, 1], classes: ["a", "b"] });
    expect(() => withClass(bare, { name: "c", features: own.features }, data)).toThrowErrorMatchingInlineSnapshot(`[TypeError: withClass: expected \`head\` with a scorer that takes classes in, a PrototypeHead, got one without a scorer. A trained layer is trained again]`);
    expect(() => withClass(head, { name: "a", features: own.features }, data)).toThrowErrorMatchingInlineSnapshot(`[RangeError: withClass: expected \`added.name\` of no other class, got "a". More rows of a class: \`update\` of the scorer]`);
    expect(() => withClass(head, { name: "c", features: own.features }, draw(random, among(random, 20, 2)))).toThrowErrorMatchingInlineSnapshot(`[RangeError: withClass: expected \`data.labels\` with rows of the new class, 2, got none. The promises are about rows like these]`);
    const shared = draw(random, [0, 1, 2, 0, 1, 2]);
    expect(() => withClass(head, { name: "c", features: [[...shared.features.data.subarray(2 * F, 3 * F)]] }, shared)).toThrowErrorMatchingInlineSnapshot(`[RangeError: withClass: expected \`data.features\` of rows that are not among those of the new class that the scorer learns from, got row 2, which is row 0 of them. Take it out of one of the two: the promises rest on rows of their own. If they are different examples, pass \`duplicates: "allowed"\`]`);
    expect(() => withClass(head, { name: "c", features: [[1, 2]] }, data)).toThrowErrorMatchingInlineSnapshot(`[RangeError: PrototypeHead.addClass: expected \`rows\` of 4 columns, got shape [1, 2]]`);
  });

  it("refuses rows twice by default, and not where they are vouched for", () => {
    const rows = draw(random, among(random, 60, 3)), features = { data: rows.features.data.slice(0, F), shape: [1, F] };
    rows.labels[0] = 2;
    expect(() => withClass(head, { name: "c", features }, rows)).toThrow("row 0, which is row 0 of them");
    expect(withClass(head, { name: "c", features }, { ...rows, duplicates: "allowed" }).classes).toHaveLength(3);
  });

  it("a detector on features is fitted again too", () => {
    const before = DecisionHead.fit({ scorer: head.scorer!, ...draw(random, among(random, 80, 2)), classes: ["a", "b"] }, { detector: "knn", maxFalsePositiveRate: RATE, confidence: "marginal" });
    expect(withClass(before, { name: "c", features: own.features }, data).detector).toBeInstanceOf(NearestNeighborDetector);
  });
});
