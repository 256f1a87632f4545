/**
 * Two intents in one text, of which one label may be missing: `npx -y pnpm@12 experiments multiLabel` writes docs/data/experiments/multi-label.json.
 * A linear layer on the words for each loss, the same order of rows; sums over labels, means over rows.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { asymmetricLoss, binaryCrossEntropy, entropyMaximizationLoss, sigmoidFocalLoss } from "@logits/losses/multi-label";
import { Tensor, randomSource } from "@logits/tensor";
import { cosine, effectOf, recordOf, roundedEffect, taken, train, type Rows } from "./mlp.ts";

/** What the layer learns from, at the defaults of each paper. */
export const METHODS = ["cross-entropy", "asymmetric", "asymmetric, official gradient", "focal", "entropy maximisation"] as const;
type Method = (typeof METHODS)[number];
/** All labels, or one of the two of each row. */
export const SETTINGS = ["all labels", "one label of two"] as const;
type Setting = (typeof SETTINGS)[number];

const INTENTS = 60, WORDS = 600;

/** Texts of two queries of different intents [N, words], with both labels [N, intents], or with one. */
interface Pairs {
  readonly x: Rows;
  readonly all: Rows;
  readonly one: Rows;
}

/** Pairs from CLINC150: the first 60 intents by name, the 600 most frequent words of the training queries; a text has a 1 for each of its words, over the root of their number. */
function pairs(trainRows: number, testRows: number): { train: Pairs; test: Pairs } {
  const data = JSON.parse(gunzipSync(readFileSync(join(import.meta.dirname, "../../data/clinc150/data_full.json.gz"))).toString()) as Record<string, [string, string][]>;
  const names = [...new Set(data.train.map(([, intent]) => intent))].sort().slice(0, INTENTS), intentOf = new Map(names.map((name, i) => [name, i]));
  const queries = (part: string): { words: string[]; intent: number }[] => data[part].filter(([, intent]) => intentOf.has(intent)).map(([text, intent]) => ({ words: text.toLowerCase().match(/[a-z0-9']+/g) ?? [], intent: intentOf.get(intent)! }));
  const counts = new Map<string, number>();
  for (const { words } of queries("train")) for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1);
  const wordOf = new Map([...counts].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1)).slice(0, WORDS).map(([word], i) => [word, i]));
  const make = (part: string, rows: number, seed: number): Pairs => {
    const given = queries(part), random = randomSource(seed), x = new Float32Array(rows * WORDS), all = new Float32Array(rows * INTENTS), one = new Float32Array(rows * INTENTS);
    for (let row = 0; row < rows; row++) {
      const a = given[random.integer(given.length)];
      let b = a;
      while (b.intent === a.intent) b = given[random.integer(given.length)];
      const known = new Set([...a.words, ...b.words].flatMap((word) => wordOf.get(word) ?? []));
      for (const word of known) x[row * WORDS + word] = 1 / Math.sqrt(known.size);
      for (const { intent } of [a, b]) all[row * INTENTS + intent] = 1;
      one[row * INTENTS + (random.integer(2) === 0 ? a : b).intent] = 1;
    }
    const rowsOf = (data_: Float32Array, width: number): Rows => new Tensor("float32", [rows, width], data_);
    return { x: rowsOf(x, WORDS), all: rowsOf(all, INTENTS), one: rowsOf(one, INTENTS) };
  };
  return { train: make("train", trainRows, 31), test: make("test", testRows, 32) };
}

function gradient(method: Method, logits: Rows, targets: Rows): Rows {
  const options = { reduction: "sum", upstream: [1 / logits.shape[0]] } as const;
  switch (method) {
    case "cross-entropy": return binaryCrossEntropy.withGrad(logits, targets, options).grad;
    case "asymmetric": return asymmetricLoss.withGrad(logits, targets, options).grad;
    case "asymmetric, official gradient": return asymmetricLoss.withGrad(logits, targets, { ...options, gradient: "official" }).grad;
    case "focal": return sigmoidFocalLoss.withGrad(logits, targets, options).grad;
    case "entropy maximisation": return entropyMaximizationLoss.withGrad(logits, targets, options).grad;
  }
}

/** Of each row: the average precision of its labels among all, and the F1 of the labels with a logit above 0. */
interface Scores {
  readonly precision: Float64Array;
  readonly f1: Float64Array;
}

function scores(logits: Rows, targets: Rows): Scores {
  const [rows, labels] = logits.shape, precision = new Float64Array(rows), f1 = new Float64Array(rows);
  for (let row = 0; row < rows; row++) {
    const z = logits.data.subarray(row * labels, (row + 1) * labels), t = targets.data.subarray(row * labels, (row + 1) * labels), order = Array.from(z.keys()).sort((i, j) => z[j] - z[i] || i - j);
    let hits = 0;
    order.forEach((i, rank) => {
      if (t[i] === 1) precision[row] += ++hits / (rank + 1) / 2;
    });
    const found = z.reduce((n, v) => n + (v > 0 ? 1 : 0), 0), right = z.reduce((n, v, i) => n + (v > 0 ? t[i] : 0), 0);
    f1[row] = (2 * right) / (found + 2);
  }
  return { precision, f1 };
}

/** The scores of every test row, one for each seed; the step size is chosen among `rates` by average precision on rows kept from training, with all labels. */
export function run(options: { readonly seeds: number; readonly epochs: number; readonly rows: number; readonly testRows: number; readonly rates: readonly number[] }): Record<Setting, Record<Method, { rate: number; scores: Scores[] }>> {
  const { seeds, epochs, rows, testRows, rates } = options, { train: given, test } = pairs(rows, testRows), held = Math.floor(rows / 5), range = (from: number, to: number): Int32Array => Int32Array.from({ length: to - from }, (_, i) => from + i), kept = range(held, rows), out = range(0, held);
  const fit = (x: Rows, t: Rows, method: Method, seed: number, rate: number): ReturnType<typeof train> => train(x, { widths: [WORDS, INTENTS], seed, epochs, batch: 50, rate: cosine(rate, epochs) }, (outputs, chosen) => gradient(method, outputs, taken(t, chosen)));
  const mean = (values: Float64Array): number => values.reduce((a, b) => a + b, 0) / values.length;
  return recordOf(SETTINGS, (setting) => {
    const t = setting === "all labels" ? given.all : given.one;
    return recordOf(METHODS, (method) => {
      const tried = rates.length === 1 ? [1] : rates.map((rate) => mean(scores(fit(taken(given.x, kept), taken(t, kept), method, 1, rate).outputs(taken(given.x, out)), taken(given.all, out)).precision)), rate = rates[tried.indexOf(Math.max(...tried))];
      return { rate, scores: Array.from({ length: seeds }, (_, s) => scores(fit(given.x, t, method, s + 2, rate).outputs(test.x), test.all)) };
    });
  });
}

if (process.argv[1] === import.meta.filename) {
  const results = run({ seeds: 3, epochs: 12, rows: 3000, testRows: 1500, rates: [3, 10] });
  const effect = (setting: Setting, method: Method, score: keyof Scores): object => roundedEffect(effectOf(results[setting][method].scores.map((s) => s[score]), results[setting]["cross-entropy"].scores.map((s) => s[score])));
  const result = {
    data: "clinc150: texts of two queries, 60 intents, 600 words; 3,000 to train on, 1,500 to test; a linear layer, 3 seeds",
    measure: "precision: average precision of the labels of a row; f1: F1 of a row, labels with a logit above 0",
    settings: SETTINGS.map((setting) => ({ setting, methods: METHODS.map((method) => ({ method, rate: results[setting][method].rate, precision: effect(setting, method, "precision"), f1: effect(setting, method, "f1") })) })),
    interval: "a: the method, b: cross-entropy; 95 %, bootstrap over test rows of the paired difference, mean over seeds. The step size of each method is the better of 3 and 10 on 600 rows kept from training, by average precision",
  };
  writeFileSync(join(import.meta.dirname, "../../docs/data/experiments/multi-label.json"), `${JSON.stringify(result, null, 2)}\n`);
  console.log(JSON.stringify(result, null, 1));
}
