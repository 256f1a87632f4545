/** Trains the intent classifier that the page carries: `generated/intents.safetensors` (the decision head) and `generated/intents.json` (its features and figures). */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { core } from "@logits/core-wasm";
import { INTENT_DETECTORS, INTENT_OPTIONS, trainIntents, type IntentData } from "../src/data/intents.ts";

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
