/**
 * Trains what the page carries: the intent classifier, `generated/intents.safetensors` (the decision head) and `generated/intents.json` (its features and figures); the tagger of the panel Spans,
 * `generated/tagger.bin` (its weights) and `generated/tagger.json`.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import { core } from "@logits/core-wasm";
import { INTENT_DETECTORS, INTENT_OPTIONS, trainIntents, type IntentData } from "../src/data/intents.ts";
import { TAGGER_OPTIONS, trainTagger } from "../src/data/tagger.ts";

const EXAMPLES = 100;
const folder = join(import.meta.dirname, "..", "generated"), json = join(folder, "intents.json");
const bytes = readFileSync(join(import.meta.dirname, "..", "..", "..", "data", "clinc150", "data_full.json.gz"));
const key = createHash("sha256").update(bytes).update(JSON.stringify([INTENT_OPTIONS, INTENT_DETECTORS, EXAMPLES, core.version, core.variant])).digest("hex");

if (existsSync(json) && (JSON.parse(readFileSync(json, "utf8")) as { key: string }).key === key) {
  console.log("intent classifier: as before");
} else {
  const data = JSON.parse(gunzipSync(bytes).toString("utf8")) as IntentData;
  const { ngrams, head, figures } = await trainIntents(data, EXAMPLES);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "intents.safetensors"), head.toBytes());
  writeFileSync(json, JSON.stringify({ key, ngrams, figures }));
  console.log(`intent classifier: trained in ${figures.seconds.toFixed(1)} s, right on ${(100 * figures.accuracy).toFixed(1)} % of ${figures.testRows} test sentences`);
}

const posts = ["train", "dev", "test"].map((name) => readFileSync(join(import.meta.dirname, "..", "..", "..", "data", "wnut17", `${name}.tsv.gz`))), about = join(folder, "tagger.json");
const code = readFileSync(join(import.meta.dirname, "..", "src", "data", "tagger.ts")), hash = posts.reduce((sum, file) => sum.update(file), createHash("sha256")).update(code).update(JSON.stringify([TAGGER_OPTIONS, core.version])).digest("hex");

if (existsSync(about) && (JSON.parse(readFileSync(about, "utf8")) as { key: string }).key === hash) {
  console.log("tagger: as before");
} else {
  const [train, dev, test] = posts.map((file) => gunzipSync(file).toString("utf8").split("\n").map((line) => line.split("\t").slice(0, 2).join("\t")).join("\n"));
  const { weights, figures, ...rest } = await trainTagger([train, dev], test);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "tagger.bin"), gzipSync(weights, { level: 9 }));
  writeFileSync(about, JSON.stringify({ key: hash, ...rest, figures }));
  console.log(`tagger: trained in ${figures.seconds.toFixed(1)} s, F1 ${(100 * figures.ways.exact.f1).toFixed(1)} on ${figures.testPosts} posts that it has not seen`);
}
