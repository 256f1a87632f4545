import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { probabilitiesToLogits } from "@logits/calibration";
import { DecisionHead, HashedNgrams } from "@logits/head";
import { Tensor, randomSource } from "@logits/tensor";
import { readNpy } from "../../../packages/logits/src/io/npy.ts";
import { readNpz } from "../../../packages/logits/src/io/npz.ts";
import { toLabels, toMatrix } from "../../../packages/logits/src/io/readTensor.ts";
import { ngramModel, type NgramModel } from "../src/data/ngramModel.ts";
import type { PieceTagger, TaggerFigures } from "../src/data/tagger.ts";
import { intentLabels, textsOf, type IntentData, type IntentFigures } from "../src/data/intents.ts";

const data = join(import.meta.dirname, "..", "..", "..", "data"), generated = join(import.meta.dirname, "..", "generated");

export interface Rows {
  readonly logits: Tensor<"float32">;
  readonly labels: Tensor<"int32">;
}

export function densenet(): Rows {
  const bytes = readFileSync(join(data, "densenet-bc-100-cifar-100", "outputs.npz"));
  return { logits: toMatrix(readNpz(bytes, "outputs.npz", "logits"), "logits"), labels: toLabels(readNpz(bytes, "outputs.npz", "labels"), "labels") };
}

export function vgg(): Rows {
  const read = (name: string) => readNpy(readFileSync(join(data, "cifar10-vgg16", name)), name);
  return { logits: probabilitiesToLogits(toMatrix(read("probabilities.npy"), "p")).logits, labels: toLabels(read("labels.npy"), "labels") };
}

export function sentences(): IntentData {
  return JSON.parse(gunzipSync(readFileSync(join(data, "clinc150", "data_full.json.gz"))).toString("utf8")) as IntentData;
}

export function intents(): { readonly head: DecisionHead; readonly ngrams: HashedNgrams; readonly figures: IntentFigures } {
  const { ngrams, figures } = JSON.parse(readFileSync(join(generated, "intents.json"), "utf8")) as { ngrams: unknown; figures: IntentFigures };
  return { head: DecisionHead.fromBytes(new Uint8Array(readFileSync(join(generated, "intents.safetensors")))), ngrams: HashedNgrams.fromJSON(ngrams), figures };
}

/** The language model of the panel Decoding. */
export function trigrams(): NgramModel {
  return ngramModel(textsOf(sentences().train));
}

/** The tagger that the page carries. */
export function tagger(): PieceTagger & { readonly figures: TaggerFigures } {
  const rest = JSON.parse(readFileSync(join(generated, "tagger.json"), "utf8")) as Omit<PieceTagger, "weights"> & { readonly figures: TaggerFigures };
  return { ...rest, weights: new Int8Array(gunzipSync(readFileSync(join(generated, "tagger.bin")))) };
}

export function clinc(): Rows & { readonly outliers: Tensor<"float32"> } {
  const { head, ngrams } = intents(), { test, oos_test } = sentences();
  const logits = head.scorer!.logits(ngrams.transform(textsOf(test))), outliers = head.scorer!.logits(ngrams.transform(textsOf(oos_test)));
  return { logits, labels: new Tensor("int32", [test.length], intentLabels(test, head.classes)), outliers };
}

function pick({ logits, labels }: Rows, order: Int32Array): Rows {
  const width = logits.shape[1], rows = Array.from(order, (n) => Array.from(logits.data.subarray(n * width, (n + 1) * width)));
  return { logits: new Tensor("float32", [order.length, width], Float32Array.from(rows.flat())), labels: new Tensor("int32", [order.length], Int32Array.from(order, (n) => labels.data[n])) };
}

/** Half fits, a quarter calibrates, a quarter tests; `rest` is all that does not fit. */
export function split(rows: Rows, seed: number): { readonly fit: Rows; readonly calibration: Rows; readonly test: Rows; readonly rest: Rows } {
  const n = rows.labels.size, order = randomSource(seed, 0).permutation(n), a = Math.floor(n / 2), b = a + Math.floor((n - a) / 2);
  return { fit: pick(rows, order.slice(0, a)), calibration: pick(rows, order.slice(a, b)), test: pick(rows, order.slice(b)), rest: pick(rows, order.slice(a)) };
}

/** Logits divided by a number. */
export function divided(logits: Tensor<"float32">, by: number): Tensor<"float32"> {
  return new Tensor("float32", logits.shape, logits.data.map((score) => score / by));
}
