/** A small network for experiments: hidden layers with ReLU and a linear last layer, trained by stochastic gradient descent on whatever gradient a loss gives. The same bits in every run with the same binaries. */
import { matmul } from "@logits/core-wasm";
import { bootstrap, percentileInterval } from "@logits/statistics";
import { Tensor, randomSource } from "@logits/tensor";

/** Rows of numbers. */
export type Rows = Tensor<"float32">;

/** How a network is made and trained. */
export interface Training {
  /** Inputs, hidden layers, outputs. */
  readonly widths: readonly number[];
  readonly seed: number;
  readonly epochs: number;
  /** Rows of a step; what is left of an epoch is left out. */
  readonly batch: number;
  /** Step size, or that of each epoch. */
  readonly rate: number | ((epoch: number) => number);
  /** Default 0.9. */
  readonly momentum?: number;
  /** Weight of half the sum of the squared weights, default 0. */
  readonly decay?: number;
}

/** d loss / d outputs [batch, outputs] of a step; `rows` says which rows of the data they are. */
export type StepGradient = (outputs: Rows, rows: Int32Array, epoch: number) => Rows;

/** A network: its layers, and what it makes of rows. */
export interface Mlp {
  /** Weights [inputs, outputs] and biases of each layer. */
  readonly layers: readonly { readonly weights: Rows; readonly bias: Float32Array }[];
  /** The outputs of rows [N, inputs]. */
  outputs(x: Rows): Rows;
  /** What goes into the last layer. */
  features(x: Rows): Rows;
}

/** The given rows of x. */
export function taken(x: Rows, rows: ArrayLike<number>): Rows {
  const width = x.shape[1], out = new Float32Array(rows.length * width);
  for (let i = 0; i < rows.length; i++) out.set(x.data.subarray(rows[i] * width, (rows[i] + 1) * width), i * width);
  return new Tensor("float32", [rows.length, width], out);
}

/** One step of gradient descent with momentum, for parameters in place: v <- momentum v + g + decay w, w <- w - rate v. */
export function descend(w: Float32Array, v: Float32Array, g: ArrayLike<number>, rate: number, momentum: number, decay: number): void {
  for (let i = 0; i < w.length; i++) {
    v[i] = momentum * v[i] + g[i] + decay * w[i];
    w[i] -= rate * v[i];
  }
}

/** A network that is not trained yet: weights uniform with the variance 2 / inputs (He et al., "Delving deep into rectifiers", ICCV 2015), biases 0. */
export function mlp(widths: readonly number[], seed: number): Mlp {
  const random = randomSource(seed);
  const layers = widths.slice(1).map((width, l) => ({
    weights: new Tensor("float32", [widths[l], width], Float32Array.from({ length: widths[l] * width }, () => (2 * random.uniform() - 1) * Math.sqrt(6 / widths[l]))),
    bias: new Float32Array(width),
  }));
  return { layers, outputs: (x) => forward(layers, x)[layers.length], features: (x) => forward(layers, x)[layers.length - 1] };
}

/** What goes into each layer, and the outputs behind the last. */
function forward(layers: Mlp["layers"], x: Rows): Rows[] {
  const rows = [x];
  layers.forEach(({ weights, bias }, l) => {
    const out = matmul(rows[l], weights), { data } = out, width = bias.length, last = l === layers.length - 1;
    for (let i = 0; i < data.length; i += width) for (let j = 0; j < width; j++) data[i + j] = last ? data[i + j] + bias[j] : Math.max(0, data[i + j] + bias[j]);
    rows.push(out);
  });
  return rows;
}

/** Trains a network on rows x [N, inputs]; the gradient of a step is all it knows of the loss. `each` is called after every epoch. */
export function train(x: Rows, options: Training, gradient: StepGradient, each?: (network: Mlp, epoch: number) => void): Mlp {
  const { widths, seed, epochs, batch, rate, momentum = 0.9, decay = 0 } = options;
  const network = mlp(widths, seed), { layers } = network, random = randomSource(seed, 1), speed = layers.map(({ weights, bias }) => [new Float32Array(weights.size), new Float32Array(bias.length)]);
  for (let epoch = 0; epoch < epochs; epoch++) {
    const order = random.permutation(x.shape[0]), step = typeof rate === "number" ? rate : rate(epoch);
    for (let from = 0; from + batch <= order.length; from += batch) {
      const chosen = order.slice(from, from + batch), rows = forward(layers, taken(x, chosen));
      let g = gradient(rows[layers.length], chosen, epoch);
      for (let l = layers.length - 1; l >= 0; l--) {
        const { weights, bias } = layers[l], width = bias.length, ofWeights = matmul(rows[l], g, { transposeA: true }).data, ofBias = new Float64Array(width);
        for (let i = 0; i < g.size; i += width) for (let j = 0; j < width; j++) ofBias[j] += g.data[i + j];
        if (l > 0) {
          g = matmul(g, weights, { transposeB: true });
          for (let i = 0; i < g.size; i++) if (rows[l].data[i] === 0) g.data[i] = 0;
        }
        descend(weights.data, speed[l][0], ofWeights, step, momentum, decay);
        descend(bias, speed[l][1], ofBias, step, momentum, 0);
      }
    }
    each?.(network, epoch);
  }
  return network;
}

/** A step size that falls from `first` to 0 as half a cosine. */
export const cosine = (first: number, epochs: number) => (epoch: number): number => (first / 2) * (1 + Math.cos((Math.PI * epoch) / epochs));

/** The most probable class of each row. */
export function predictions(logits: Rows): Int32Array {
  const classes = logits.shape[1];
  return Int32Array.from({ length: logits.shape[0] }, (_, i) => {
    let best = 0;
    for (let c = 1; c < classes; c++) if (logits.data[i * classes + c] > logits.data[i * classes + best]) best = c;
    return best;
  });
}

/** An effect: the mean of a number per test row (averaged over seeds) under `a` less that under `b`, with a 95 % bootstrap interval over rows. */
export interface Effect {
  readonly a: number;
  readonly b: number;
  readonly difference: number;
  readonly low: number;
  readonly high: number;
}

/** The paired difference of two methods, each with a number per test row for every seed. `score` turns sums over a sample of rows into the figure; default the mean over rows. */
export function effectOf(a: readonly ArrayLike<number>[], b: readonly ArrayLike<number>[], options: { readonly seed?: number; readonly repetitions?: number; readonly score?: (values: Float64Array, rows: ArrayLike<number>) => number } = {}): Effect {
  const { seed = 1, repetitions = 2000, score = (values, rows) => Array.prototype.reduce.call(rows, (sum, i) => (sum as number) + values[i as number], 0) as number / rows.length } = options;
  const n = a[0].length, mean = (all: readonly ArrayLike<number>[]): Float64Array => Float64Array.from({ length: n }, (_, i) => all.reduce((sum, values) => sum + values[i], 0) / all.length);
  const [x, y] = [mean(a), mean(b)], all = Int32Array.from({ length: n }, (_, i) => i);
  const [low, high] = percentileInterval(bootstrap(n, (rows) => score(x, rows) - score(y, rows), { random: randomSource(seed), repetitions }), 0.95);
  return { a: score(x, all), b: score(y, all), difference: score(x, all) - score(y, all), low, high };
}

/** With four digits behind the point, as the files have it. */
export function roundedEffect({ a, b, difference, low, high }: Effect): Effect {
  const round = (x: number): number => Number(x.toFixed(4));
  return { a: round(a), b: round(b), difference: round(difference), low: round(low), high: round(high) };
}

/** What `make` gives for each of some names. */
export function recordOf<Name extends string, Value>(names: readonly Name[], make: (name: Name) => Value): Record<Name, Value> {
  return Object.fromEntries(names.map((name) => [name, make(name)])) as Record<Name, Value>;
}
