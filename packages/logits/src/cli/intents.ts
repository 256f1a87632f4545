import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { core } from "@logits/core-wasm";
import { DecisionHead, HashedNgrams } from "@logits/head";
import { FormatError, message, readJson } from "@logits/tensor";
import { UsageError } from "./input.ts";
import { INTENT_DETECTORS, intentNames, trainIntentClassifier, type IntentClassifier, type IntentData, type IntentOptions } from "./intentClassifier.ts";
import { writeAll } from "./output.ts";

/** The data of the demo as they lie in the repository, what identifies them, and where the trained classifier is kept. */
export interface IntentSource {
  readonly data: IntentData;
  readonly hash: string;
  readonly cache: string;
}

/** A text classifier that knows when it does not know. */
export interface Intents extends IntentClassifier {
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

async function train(data: IntentData, options: IntentOptions, say: (text: string) => void): Promise<Intents> {
  let start = 0, told = 0, seconds = 0;
  const trained = await trainIntentClassifier(data, options, {
    onFeatures: (features) => {
      say(`${data.train.length} training queries, ${intentNames(data).length} intents, ${Math.round(features.data.length / data.train.length)} n-grams a query in ${options.buckets} buckets`);
      start = performance.now();
    },
    onTraining: (share) => {
      if (share < told + 0.1 || share === 1) return;
      told = Math.floor(share * 10) / 10;
      say(`training: ${Math.round(100 * told)} %`);
    },
    onScorer: (scorer) => {
      seconds = (performance.now() - start) / 1000;
      say(`trained in ${seconds.toFixed(1)} s: ${scorer.fitted!.iterations} steps, ${scorer.weights.size} weights`);
    },
  });
  say(`calibrated and guarded by "${trained.head.detector!.method}" on ${data.val.length} validation queries`);
  return { ...trained, seconds };
}
