/**
 * Whether losses do on data what their papers say. `npx -y pnpm@12 experiments classification` writes docs/data/experiments/classification-*.json.
 *
 *   noise: 40 % of the training labels of clothes are replaced by another class, evenly; generalised cross-entropy and early-learning regularisation against cross-entropy.
 *   tail: letters with 500 rows of the most frequent class down to 5 of the rarest; logit adjustment and LDAM against cross-entropy, by the mean accuracy of the classes.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { crossEntropy, earlyLearningLoss, generalizedCrossEntropyLoss, ldamLoss, ldamMargins, logitAdjustedLoss, TemporalEnsemble } from "@logits/losses/classification";
import { Tensor, randomSource } from "@logits/tensor";
import { clothes, letters } from "./data.ts";
import { cosine, effectOf, predictions, taken, train, type Effect, type Rows } from "./mlp.ts";

/** How long and on how much. */
export interface Size {
  readonly seeds: number;
  readonly epochs: number;
  readonly rows: number;
}

/** Accuracies on the test rows beside cross-entropy's: `a` the method, `b` cross-entropy. */
export interface Result {
  readonly experiment: string;
  readonly measure: string;
  readonly seeds: number;
  readonly epochs: number;
  readonly rows: number;
  readonly effects: Readonly<Record<string, Effect>>;
}

type Gradient = (z: Rows, y: Int32Array, rows: Int32Array) => Tensor<"float32">;

const at = (y: Int32Array, rows: Int32Array): Int32Array => Int32Array.from(rows, (i) => y[i]);
const hits = (logits: Rows, y: Int32Array): Float64Array => Float64Array.from(predictions(logits), (p, i) => (p === y[i] ? 1 : 0));

/** Labels of which a share is replaced by another class, evenly. */
export function noisy(y: Int32Array, classes: number, share: number, seed: number): Int32Array {
  const random = randomSource(seed, 5);
  return y.map((label) => (random.uniform() < share ? (label + 1 + random.integer(classes - 1)) % classes : label));
}

/** 40 % of the labels are wrong. */
export function noise({ seeds, epochs, rows }: Size): Result {
  const data = clothes("train", rows), test = clothes("test"), widths = [196, 128, 10];
  const methods: Record<string, () => Gradient> = {
    crossEntropy: () => (z, y) => crossEntropy.withGrad(z, y).grad,
    "generalizedCrossEntropyLoss, q 0.7": () => (z, y) => generalizedCrossEntropyLoss.withGrad(z, y).grad,
    "earlyLearningLoss, lambda 3": () => {
      const ensemble = new TemporalEnsemble(rows, 10);
      return (z, y, chosen) => earlyLearningLoss.withGrad(z, y, ensemble.update(chosen, z)).grad;
    },
  };
  const scores: Record<string, Float64Array[]> = {};
  for (let seed = 1; seed <= seeds; seed++) {
    const labels = noisy(data.y, 10, 0.4, seed);
    for (const [name, make] of Object.entries(methods)) {
      const gradient = make(), network = train(data.x, { widths, seed, epochs, batch: 50, rate: cosine(0.1, epochs) }, (z, chosen) => gradient(z, at(labels, chosen), chosen));
      (scores[name] ??= []).push(hits(network.outputs(test.x), test.y));
    }
  }
  return { experiment: "40 % of the labels of clothes replaced", measure: "accuracy on 2,500 test images with their true labels", seeds, epochs, rows, effects: against(scores, "crossEntropy") };
}

/** Rows of letters such that class c has `most` (least / most)^(c / 25) of them, in an order of classes by seed. */
export function longTail(y: Int32Array, most: number, least: number, seed: number): { rows: number[]; counts: number[] } {
  const order = randomSource(seed, 9).permutation(26), counts = Array.from({ length: 26 }, () => 0), wanted = Array.from({ length: 26 }, () => 0), rows: number[] = [];
  order.forEach((c, rank) => (wanted[c] = Math.round(most * (least / most) ** (rank / 25))));
  y.forEach((c, i) => {
    if (counts[c] === wanted[c]) return;
    counts[c]++;
    rows.push(i);
  });
  return { rows, counts };
}

/** Few rows of most classes. */
export function tail({ seeds, epochs, rows: most }: Size): Result {
  const all = letters("train"), test = letters("test"), widths = [16, 128, 26], scores: Record<string, Float64Array[]> = {};
  const frequency = new Float64Array(26);
  test.y.forEach((c) => frequency[c]++);
  for (let seed = 1; seed <= seeds; seed++) {
    const { rows, counts } = longTail(all.y, most, Math.max(2, most / 100), seed), x = taken(all.x, rows), y = Int32Array.from(rows, (i) => all.y[i]), margins = ldamMargins(counts);
    const methods: Record<string, Gradient> = {
      crossEntropy: (z, labels) => crossEntropy.withGrad(z, labels).grad,
      "logitAdjustedLoss, tau 1": (z, labels) => logitAdjustedLoss.withGrad(z, labels, { prior: counts }).grad,
      // The network's outputs are no cosines: scale 1, margins up to 0.5 times the 30 of the paper's scale.
      "ldamLoss, margins to 0.5, scale 30": (z, labels) => ldamLoss.withGrad(scaled(z, 1 / 30), labels, { margins }).grad,
    };
    for (const [name, gradient] of Object.entries(methods)) {
      const network = train(x, { widths, seed, epochs, batch: 50, rate: cosine(0.1, epochs), decay: 1e-4 }, (z, chosen) => {
        const g = gradient(z, at(y, chosen), chosen);
        return name.startsWith("ldam") ? scaled(g, 1 / 30) : g;
      });
      // Weighted so that the mean over rows is the mean of the classes' accuracies.
      (scores[name] ??= []).push(hits(network.outputs(test.x), test.y).map((hit, i) => (hit * test.y.length) / 26 / frequency[test.y[i]]));
    }
  }
  return { experiment: `letters, ${most} rows of the most frequent class to ${Math.max(2, most / 100)} of the rarest`, measure: "mean of the 26 classes' accuracies on 4,000 test rows", seeds, epochs, rows: most, effects: against(scores, "crossEntropy") };
}

const scaled = (x: Rows, by: number): Rows => new Tensor("float32", x.shape, x.data.map((v) => v * by));

function against(scores: Readonly<Record<string, Float64Array[]>>, base: string): Record<string, Effect> {
  return Object.fromEntries(Object.keys(scores).filter((name) => name !== base).map((name) => [name, effectOf(scores[name], scores[base])]));
}

if (process.argv[1] === import.meta.filename) {
  const only = process.argv[2], folder = join(import.meta.dirname, "../../docs/data/experiments");
  for (const [name, result] of [["noise", () => noise({ seeds: 3, epochs: 40, rows: 5000 })], ["tail", () => tail({ seeds: 5, epochs: 40, rows: 500 })]] as const) {
    if (only !== undefined && only !== name) continue;
    const start = performance.now(), found = result();
    console.log(name, `${((performance.now() - start) / 1000).toFixed(0)} s`, found);
    writeFileSync(join(folder, `classification-${name}.json`), `${JSON.stringify(found, (_, value: unknown) => (typeof value === "number" ? Number(value.toFixed(4)) : value), 2)}\n`);
  }
}
