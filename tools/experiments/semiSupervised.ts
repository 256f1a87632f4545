/**
 * Four labels a digit, the other 3,783 digits without: `npx -y pnpm@12 experiments semiSupervised` writes docs/data/experiments/semi-supervised.json.
 * A network of one hidden layer; the weak view is the image, the strong one is moved by up to one pixel, with a block of 3 x 3 blotted out and noise. The draw of the labels differs between seeds and is the same for all methods.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { crossEntropy } from "@logits/losses/classification";
import { FixMatchThreshold, FlexMatchThreshold, FreeMatchThreshold, SoftMatchThreshold, fairnessLoss, labelPropagation, pseudoLabelLoss, type Threshold } from "@logits/losses/semi-supervised";
import { Tensor, randomSource, type RandomSource } from "@logits/tensor";
import { digits } from "./data.ts";
import { cosine, effectOf, predictions, taken, train, type Effect, type Mlp, type Rows } from "./mlp.ts";

const PER_CLASS = 4, CLASSES = 10, HIDDEN = 128, REPEATED = 20;

/** A method: none for the labelled rows alone. */
type Method = "labels" | "fixmatch" | "flexmatch" | "freematch" | "softmatch";

/** An image moved, blotted out in one place, with noise. */
function strong(image: Float32Array, random: RandomSource): Float32Array {
  const [dx, dy, bx, by] = [random.integer(3) - 1, random.integer(3) - 1, random.integer(6), random.integer(6)];
  return Float32Array.from({ length: 64 }, (_, k) => {
    const x = k % 8, y = k >> 3, fromX = x - dx, fromY = y - dy, blotted = x >= bx && x < bx + 3 && y >= by && y < by + 3;
    const pixel = blotted || fromX < 0 || fromX > 7 || fromY < 0 || fromY > 7 ? 0 : image[8 * fromY + fromX];
    return Math.max(0, pixel + 0.1 * (2 * random.uniform() - 1));
  });
}

/** Four rows of each class. */
function labelledRows(y: Int32Array, seed: number): Int32Array {
  const left = new Array<number>(CLASSES).fill(PER_CLASS);
  return randomSource(seed, 7).permutation(y.length).filter((i) => left[y[i]]-- > 0);
}

/** The network of a method, and what it selected in the last epoch: how many rows, and how many of them rightly. */
function trained(method: Method, seed: number, epochs: number): { network: Mlp; selected: number; right: number } {
  const { x, y } = digits("train"), known = labelledRows(y, seed), N = x.shape[0], random = randomSource(seed, 8);
  const rules: Record<Exclude<Method, "labels">, () => Threshold> = {
    fixmatch: () => new FixMatchThreshold(),
    flexmatch: () => new FlexMatchThreshold({ classes: CLASSES, size: N }),
    // About 60 steps an epoch: running means over one epoch.
    freematch: () => new FreeMatchThreshold({ classes: CLASSES, momentum: 0.98 }),
    softmatch: () => new SoftMatchThreshold({ classes: CLASSES, momentum: 0.98 }),
  };
  const rule = method === "labels" ? undefined : rules[method](), labelled = Array.from({ length: REPEATED }, () => Array.from(known)).flat();
  // The labelled rows come again and again among the unlabelled ones: a fifth of each step.
  const all = Int32Array.from(rule === undefined ? labelled : [...labelled, ...y.keys()]), views = new Tensor("float32", [all.length, 64], new Float32Array(all.length * 64));
  const renew = (): void => all.forEach((row, k) => views.data.set(strong(x.data.subarray(64 * row, 64 * row + 64), random), 64 * k));
  renew();
  let network: Mlp | undefined, selected = 0, right = 0;
  const gradient = (outputs: Rows, steps: Int32Array, epoch: number): Rows => {
    const isKnown = steps.map((k) => Number(k < labelled.length)), labels = steps.map((k) => y[all[k]]), { grad } = crossEntropy.withGrad(outputs, labels, { where: Uint8Array.from(isKnown) });
    if (rule === undefined || network === undefined || epoch < 5) return grad;
    const own = Array.from(steps.keys()).filter((i) => isKnown[i] === 0), rows = Int32Array.from(own, (i) => all[steps[i]]), strongOutputs = taken(outputs, own);
    const chosen = rule.select(network.outputs(taken(x, rows)), { ids: rows }), others = pseudoLabelLoss.withGrad(strongOutputs, chosen.labels, chosen.weight).grad.data;
    if (rule instanceof FreeMatchThreshold) {
      const fair = fairnessLoss.withGrad(strongOutputs, { prediction: Float64Array.from(rule.prediction), histogram: Float64Array.from(rule.histogram), weight: chosen.weight, upstream: [0.05] }).grad.data;
      for (let k = 0; k < fair.length; k++) others[k] += fair[k];
    }
    own.forEach((i, j) => grad.data.set(others.subarray(CLASSES * j, CLASSES * (j + 1)), CLASSES * i));
    if (epoch === epochs - 1) rows.forEach((row, j) => { selected += chosen.weight.data[j]; if (chosen.labels.data[j] === y[row]) right += chosen.weight.data[j]; });
    return grad;
  };
  const batch = rule === undefined ? 80 : 76, options = { widths: [64, HIDDEN, CLASSES], seed, epochs: rule === undefined ? epochs * 6 : epochs, batch, decay: 5e-4 };
  const made = train(views, { ...options, rate: cosine(0.03, options.epochs) }, gradient, (now) => { network = now; renew(); });
  return { network: made, selected, right: selected === 0 ? 0 : right / selected };
}

/** What the page shows. */
interface Result {
  readonly seeds: number;
  readonly epochs: number;
  readonly accuracy: Record<string, number>;
  readonly selectedShare: Record<string, number>;
  readonly selectedRight: Record<string, number>;
  readonly effects: Record<string, Effect>;
  /** Label propagation over pixels: accuracy on the unlabelled training rows. */
  readonly propagation: number;
}

export function semiSupervised(seeds: number, epochs: number): Result {
  const test = digits("test"), trainSet = digits("train"), methods: Method[] = ["labels", "fixmatch", "flexmatch", "freematch", "softmatch"], hits: Record<string, Float64Array[]> = {}, share: Record<string, number> = {}, right: Record<string, number> = {};
  for (const method of methods) {
    const runs = Array.from({ length: seeds }, (_, seed) => trained(method, seed + 1, epochs));
    hits[method] = runs.map(({ network }) => Float64Array.from(predictions(network.outputs(test.x)), (label, i) => Number(label === test.y[i])));
    share[method] = runs.reduce((sum, { selected }) => sum + selected, 0) / seeds / trainSet.y.length;
    right[method] = runs.reduce((sum, run) => sum + run.right, 0) / seeds;
  }
  const mean = (all: Float64Array[]): number => all.reduce((sum, one) => sum + one.reduce((a, b) => a + b, 0) / one.length, 0) / all.length;
  let propagation = 0;
  for (let seed = 1; seed <= seeds; seed++) {
    const known = new Set(labelledRows(trainSet.y, seed)), { labels } = labelPropagation(trainSet.x, trainSet.y.map((label, i) => (known.has(i) ? label : -1)));
    let good = 0;
    trainSet.y.forEach((label, i) => { if (!known.has(i) && labels.data[i] === label) good++; });
    propagation += good / (trainSet.y.length - known.size) / seeds;
  }
  return {
    seeds,
    epochs,
    accuracy: Object.fromEntries(methods.map((method) => [method, mean(hits[method])])),
    selectedShare: share,
    selectedRight: right,
    effects: Object.fromEntries(methods.slice(1).map((method) => [`${method} - labels`, effectOf(hits[method], hits.labels)]).concat([["freematch - fixmatch", effectOf(hits.freematch, hits.fixmatch)]])),
    propagation,
  };
}

if (import.meta.main) {
  const result = semiSupervised(5, 40);
  console.log(JSON.stringify(result, null, 2));
  writeFileSync(join(import.meta.dirname, "../../docs/data/experiments/semi-supervised.json"), `${JSON.stringify(result, null, 2)}\n`);
}
