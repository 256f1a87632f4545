import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { afterAll, describe, expect, it } from "vitest";
import { measureIntents } from "./demo.ts";
import { INTENT_OPTIONS, intentNames, texts, type IntentData, type Queries } from "./intentClassifier.ts";
import { loadIntents, type IntentSource } from "./intents.ts";
import { NEW_INTENT_OPTIONS, newIntents } from "./newIntents.ts";

const folder = mkdtempSync(join(tmpdir(), "logits-intents-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const all = JSON.parse(gunzipSync(readFileSync(join(import.meta.dirname, "../../../../data/clinc150/data_full.json.gz"))).toString()) as IntentData;

describe("the intent classifier on 12 of the 150 intents", () => {
  const names = intentNames(all).slice(0, 12);
  const some = (list: Queries): Queries => list.filter(([, intent]) => names.includes(intent));
  const data: IntentData = { ...all, train: some(all.train), val: some(all.val), test: some(all.test) };
  const source: IntentSource = { data, hash: "small", cache: join(folder, "cache") };
  const options = { ...INTENT_OPTIONS, buckets: 4096, l2: 1e-4, maxFalsePositiveRate: 0.1 };

  it("is trained once, kept, and the same from the cache; a damaged cache is named and replaced", async () => {
    const said: string[] = [];
    const load = (): ReturnType<typeof loadIntents> => loadIntents(source, options, (text) => said.push(text));
    const first = await load();
    expect(first.seconds).toBeGreaterThan(0);
    expect(said.join("\n")).toMatch(/1200 training queries, 12 intents[^]*trained in [^]*calibrated and guarded by "\w+" on 240 validation queries\nkept in /);
    const metrics = measureIntents(first, data);
    // 12 intents are easier than 150: 360 test queries, so 0.9 is more than three standard errors below the 0.96 that was seen.
    expect(metrics.evaluation.accuracy.all.rate).toBeGreaterThan(0.9);
    expect(metrics.detectors.find((each) => each.detector === "maxLogit")!.auroc).toBeGreaterThan(0.9);

    said.length = 0;
    const again = await load();
    expect(again.seconds).toBeUndefined();
    expect(said).toEqual([expect.stringMatching(/^read the intent classifier from /)]);
    const questions = texts(data.test.slice(0, 50), all.oos_test.slice(0, 50));
    expect(again.head.decideAll({ features: again.ngrams.transform(questions) })).toEqual(first.head.decideAll({ features: first.ngrams.transform(questions) }));

    for (const file of readdirSync(source.cache)) {
      const path = join(source.cache, file), bytes = readFileSync(path);
      const flipped = Uint8Array.from(bytes);
      flipped[bytes.length - 20] ^= 1;
      for (const damaged of [bytes.subarray(0, bytes.length / 2), flipped, "{}", ""]) {
        writeFileSync(path, damaged);
        said.length = 0;
        expect((await load()).seconds, file).toBeGreaterThan(0);
        expect(said[0]).toMatch(/^the cache .* is damaged \([^]*\): training again$/);
      }
      expect(readFileSync(path).equals(bytes)).toBe(true);
    }

    await loadIntents(source, { ...options, alpha: 0.2 }, () => {});
    expect(readdirSync(source.cache)).toHaveLength(4);
  });
});

describe("the second act on 12 of the 150 intents", () => {
  // In alphabetical order the first and the seventh are held out.
  const names = ["credit_score", "definition", "directions", "flip_coin", "gas", "insurance", "jump_start", "meal_suggestion", "next_holiday", "oil_change_how", "order", "pay_bill"], some = (list: Queries): Queries => list.filter(([, intent]) => names.includes(intent));
  const data: IntentData = { ...all, train: some(all.train), val: some(all.val), test: some(all.test), oos_train: all.oos_train.slice(0, 40), oos_val: [], oos_test: all.oos_test.slice(0, 300) };

  it("groups what was refused, names groups and adds them; the known intents and the promise stay", async () => {
    const told: string[] = [];
    const { known, heldOut, added, groups, before, after, refused } = await newIntents(data, { ...NEW_INTENT_OPTIONS, heldOutEvery: 6, buckets: 2048, groupBuckets: 256 }, { onProgress: (_, text) => told.push(text) });
    expect([known, heldOut.length]).toEqual([10, 2]);
    expect(refused).toBeGreaterThan(40);
    expect(added.length).toBeGreaterThanOrEqual(1);
    for (const { name, purity, nearest, size } of groups) {
      expect(nearest).toHaveLength(5);
      expect(size).toBeGreaterThanOrEqual(NEW_INTENT_OPTIONS.leastRows);
      if (name !== undefined) expect(purity).toBeGreaterThan(0.5);
    }
    // Standard errors over 300 and 30 or 60 test queries: 0.02 and 0.09 at most.
    expect(after.known).toBeGreaterThan(before.known - 0.06);
    expect(after.added).toBeGreaterThan(0.6);
    // 5 % are promised with confidence 0.95 for rows like the calibration rows.
    expect(Math.max(before.falseAlarms, after.falseAlarms)).toBeLessThan(0.1);
    expect(new Set(told.map((text) => text.replace(/\d+/g, "N")))).toEqual(new Set(["Learning N intents", "Grouping N refused queries", "Adding N intents", "Testing on queries that nothing has seen", "Done"]));
    await expect(newIntents(data, NEW_INTENT_OPTIONS, { signal: AbortSignal.abort(new Error("enough")) })).rejects.toThrow("enough");
  }, 60_000);
});

describe.runIf(process.env.LOGITS_SLOW)("the intent classifier of the demo", () => {
  it("reaches what it must on CLINC150", async () => {
    const { evaluation, detectors } = measureIntents(await loadIntents({ data: all, hash: "all", cache: join(folder, "all") }, INTENT_OPTIONS, () => {}), all);
    expect(evaluation.accuracy.answered.rate).toBeGreaterThanOrEqual(0.92);
    expect(evaluation.outliers!.detected.rate).toBeGreaterThanOrEqual(0.45);
    const msp = detectors.find((each) => each.detector === "msp")!;
    expect(msp.auroc).toBeGreaterThanOrEqual(0.95);
    expect(Math.max(msp.flaggedAt95Detected, msp.keptAt95Kept)).toBeLessThanOrEqual(0.22);
  }, 300_000);

  it("has a second act in which the known intents lose nothing", async () => {
    const { added, before, after } = await newIntents(all);
    expect(added.length).toBeGreaterThanOrEqual(3);
    expect(after.added).toBeGreaterThanOrEqual(0.7);
    expect(after.known).toBeGreaterThanOrEqual(before.known - 0.01);
    expect(after.falseAlarms).toBeLessThanOrEqual(0.05);
  }, 300_000);
});
