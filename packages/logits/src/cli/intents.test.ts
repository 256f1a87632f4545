import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { afterAll, describe, expect, it } from "vitest";
import { measureIntents } from "./demo.ts";
import { INTENT_OPTIONS, intentNames, texts, type IntentData, type Queries } from "./intentClassifier.ts";
import { loadIntents, type IntentSource } from "./intents.ts";

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

describe.runIf(process.env.LOGITS_SLOW)("the intent classifier of the demo", () => {
  it("reaches what it must on CLINC150", async () => {
    const { evaluation, detectors } = measureIntents(await loadIntents({ data: all, hash: "all", cache: join(folder, "all") }, INTENT_OPTIONS, () => {}), all);
    expect(evaluation.accuracy.answered.rate).toBeGreaterThanOrEqual(0.92);
    expect(evaluation.outliers!.detected.rate).toBeGreaterThanOrEqual(0.45);
    const msp = detectors.find((each) => each.detector === "msp")!;
    expect(msp.auroc).toBeGreaterThanOrEqual(0.95);
    expect(Math.max(msp.flaggedAt95Detected, msp.keptAt95Kept)).toBeLessThanOrEqual(0.22);
  }, 300_000);
});
