import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { core } from "@logits/core-wasm";
import { DecisionHead, HashedNgrams, LinearHead } from "@logits/head";
import { FormatError, message, readJson } from "@logits/tensor";
import { UsageError } from "./input.ts";
import { writeAll } from "./output.ts";

/** Queries with their intents. */
export type Queries = readonly (readonly [query: string, intent: string])[];

/** The lists of CLINC150. */
export interface IntentData {
  readonly train: Queries;
  readonly val: Queries;
  readonly test: Queries;
  readonly oos_train: Queries;
  readonly oos_val: Queries;
  readonly oos_test: Queries;
}

/** The data of the demo as they lie in the repository, what identifies them, and where the trained classifier is kept. */
export interface IntentSource {
  readonly data: IntentData;
  readonly hash: string;
  readonly cache: string;
}

/** Everything that was chosen, on training and validation queries only. */
export interface IntentOptions {
  readonly buckets: number;
  readonly l2: number;
  readonly alpha: number;
  readonly maxFalsePositiveRate: number;
  readonly seed: number;
}

/**
 * l2: of 2e-6, 4e-6 and 8e-6, whose validation accuracies differ by less than a standard error, the middle one; maxFalsePositiveRate: the largest of 1, 1.5, 2, 2.5 and 3 % that keeps
 * the accuracy on the validation queries (a rejected one counted as an error), less one standard error, at 0.92.
 */
export const INTENT_OPTIONS: IntentOptions = { buckets: 32768, l2: 4e-6, alpha: 0.05, maxFalsePositiveRate: 0.025, seed: 0 };

/** The detectors among which the out-of-scope queries of training and validation choose. */
export const INTENT_DETECTORS = ["msp", "maxLogit", "energy", "entropy", "margin"] as const;

/** A text classifier that knows when it does not know. */
export interface Intents {
  readonly ngrams: HashedNgrams;
  readonly head: DecisionHead;
  /** Seconds of the training of the linear head; undefined where it came from the cache. */
  readonly seconds: number | undefined;
}

const FORMAT = "logits/demo-intents";

/** Finds the data of the demo: in a checkout of the repository only. */
export async function intentSource(): Promise<IntentSource> {
  let path: string;
  try {
    path = fileURLToPath(import.meta.resolve("@logits/data/clinc150/data_full.json.gz"));
    const bytes = await readFile(path);
    const data = JSON.parse(gunzipSync(bytes).toString("utf8")) as IntentData;
    return { data, hash: createHash("sha256").update(bytes).digest("hex"), cache: join(dirname(path), "..", "..", "out", "cache") };
  } catch (cause) {
    throw new UsageError(message("logits", "--demo", "the demo's data, which a checkout of the repository has", `${(cause as NodeJS.ErrnoException).code ?? (cause as Error).message}`), { cause });
  }
}

/** The names of the intents, in the order of the classes. */
export function intentNames(data: IntentData): string[] {
  return [...new Set(data.train.map(([, intent]) => intent))].sort();
}

/** Labels of queries: index of the intent. */
export function intentLabels(queries: Queries, names: readonly string[]): Int32Array {
  const index = new Map(names.map((name, i) => [name, i]));
  return Int32Array.from(queries, ([, intent]) => index.get(intent)!);
}

/** The texts of queries. */
export function texts(...lists: readonly Queries[]): string[] {
  return lists.flatMap((list) => list.map(([query]) => query));
}

/**
 * The intent classifier from the cache, or trained and put there. A cache that is damaged is named, and replaced.
 *
 * @param say - takes progress, one line a call
 * @param retrain - leaves the cache unread
 */
export async function loadIntents({ data, hash, cache }: IntentSource, options: IntentOptions, say: (text: string) => void, retrain = false): Promise<Intents> {
  const key = createHash("sha256").update(JSON.stringify([FORMAT, hash, options, INTENT_DETECTORS, core.version, core.variant])).digest("hex").slice(0, 16);
  const name = `clinc150-${key}`;
  if (!retrain) {
    const kept = await fromCache(cache, name, say);
    if (kept !== undefined) return kept;
  }
  const trained = await train(data, options, say);
  const ngrams = JSON.stringify(trained.ngrams);
  const [path] = await writeAll(cache, { [`${name}.head`]: trained.head.toBytes(), [`${name}.json`]: JSON.stringify({ format: FORMAT, version: 1, sha256: digest(ngrams), ngrams }) });
  say(`kept in ${path}`);
  return trained;
}

async function fromCache(cache: string, name: string, say: (text: string) => void): Promise<Intents | undefined> {
  const path = join(cache, `${name}.head`);
  try {
    const [head, text] = [await readFile(path), await readFile(join(cache, `${name}.json`), "utf8")];
    const fields = readJson("logits", JSON.parse(text), FORMAT, 1, "logits");
    const ngrams = fields.string("ngrams");
    if (fields.string("sha256") !== digest(ngrams)) fields.fail("sha256", "the digest of `ngrams`", "another");
    const read = { ngrams: HashedNgrams.fromJSON(JSON.parse(ngrams)), head: DecisionHead.fromBytes(head), seconds: undefined };
    say(`read the intent classifier from ${path}`);
    return read;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    if (!(cause instanceof SyntaxError || cause instanceof FormatError)) throw cause;
    say(`the cache ${path} is damaged (${cause.message}): training again`);
    return undefined;
  }
}

const digest = (text: string): string => createHash("sha256").update(text).digest("hex");

async function train(data: IntentData, { buckets, l2, alpha, maxFalsePositiveRate, seed }: IntentOptions, say: (text: string) => void): Promise<Intents> {
  const names = intentNames(data);
  const ngrams = await HashedNgrams.fitAsync(texts(data.train), { buckets });
  const features = await ngrams.transformAsync(texts(data.train));
  say(`${data.train.length} training queries, ${names.length} intents, ${Math.round(features.data.length / data.train.length)} n-grams a query in ${buckets} buckets`);
  const start = performance.now();
  let told = 0;
  const scorer = await LinearHead.fitAsync(features, intentLabels(data.train, names), {
    l2, classes: names.length,
    onProgress: (share) => {
      if (share < told + 0.1 || share === 1) return;
      told = Math.floor(share * 10) / 10;
      say(`training: ${Math.round(100 * told)} %`);
    },
  });
  const seconds = (performance.now() - start) / 1000;
  say(`trained in ${seconds.toFixed(1)} s: ${scorer.fitted!.iterations} steps, ${scorer.weights.size} weights`);
  const head = await DecisionHead.fitAsync(
    { scorer, features: ngrams.transform(texts(data.val)), labels: intentLabels(data.val, names), classes: names, outliers: { features: ngrams.transform(texts(data.oos_train, data.oos_val)) } },
    { detector: INTENT_DETECTORS, maxFalsePositiveRate, alpha, seed },
  );
  say(`calibrated and guarded by "${head.detector!.method}" on ${data.val.length} validation queries`);
  return { ngrams, head, seconds };
}
