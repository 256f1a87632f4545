import { exp, log } from "@logits/statistics";
import { rangeError } from "@logits/tensor";
import { projection, type Table } from "./elimination.ts";

/** How messages go round. */
export interface BeliefPropagationOptions {
  /** Messages of best scores instead of sums. Default false. */
  readonly best?: boolean;
  /** Sweeps over all factors there and back, at least 1. Default 200. */
  readonly maxIterations?: number;
  /** Stops when no element of a message, as a share, changes by more. Default 1e-10. */
  readonly tolerance?: number;
  /** Share of the former message that is kept, in [0, 1): helps where messages swing. Default 0. */
  readonly damping?: number;
}

/** What messages say. Exact on graphs without loops; an approximation without a bound on others, whether or not it converged. */
export interface Beliefs {
  /** Whether the messages came to rest. */
  readonly converged: boolean;
  readonly iterations: number;
  /** The largest change in the last sweep. */
  readonly residual: number;
  /** Beliefs of each variable: probabilities; with `best`, max-marginals less the highest. */
  readonly variables: readonly Float64Array[];
  /** Beliefs of each factor, likewise. */
  readonly factors: readonly Float64Array[];
  /** The Bethe approximation of log Z; NaN with `best`. */
  readonly logPartition: number;
  /** The value with the highest belief of each variable, the smallest among equals, int32 [n]. */
  readonly labels: Int32Array;
}

/** Messages over a factor graph, in float64 and logarithms. */
export function propagateBeliefs(where: string, cardinalities: Int32Array, factors: readonly Table[], { best = false, maxIterations = 200, tolerance = 1e-10, damping = 0 }: BeliefPropagationOptions): Beliefs {
  const n = cardinalities.length;
  const of = Array.from({ length: n }, (): { f: number; a: number }[] => []);
  factors.forEach(({ variables }, f) => variables.forEach((v, a) => of[v].push({ f, a })));
  // messages[f][a]: from factor f to its a-th variable; incoming[v]: their sum over factors is formed anew where it is needed, so that -Infinity is never subtracted.
  const messages = factors.map(({ variables }) => variables.map((v) => normalised(new Float64Array(cardinalities[v]), best)));
  const maps = factors.map(({ variables }) => variables.map((v) => projection(cardinalities, variables, [v])));
  const order = sweep(cardinalities.length, factors, of);
  const incoming = (v: number, without: number): Float64Array => {
    const sum = new Float64Array(cardinalities[v]);
    for (const { f, a } of of[v]) if (f !== without) for (let x = 0; x < sum.length; x++) sum[x] += messages[f][a][x];
    return sum;
  };
  let residual = 0;
  const update = (f: number): void => {
    const { variables, scores } = factors[f], into = variables.map((v) => incoming(v, f));
    variables.forEach((v, a) => {
      const joint = scores.slice();
      variables.forEach((_, b) => { if (b !== a) for (let e = 0; e < joint.length; e++) joint[e] += into[b][maps[f][b][e]]; });
      const fresh = normalised(reduced(joint, maps[f][a], cardinalities[v], best), best), former = messages[f][a];
      if (fresh[0] !== fresh[0]) throw rangeError(where, "factors", "with an assignment that has a finite score", "none");
      for (let x = 0; x < fresh.length; x++) {
        if (damping > 0 && fresh[x] > -Infinity && former[x] > -Infinity) fresh[x] = (1 - damping) * fresh[x] + damping * former[x];
        residual = Math.max(residual, Math.abs(exp(fresh[x]) - exp(former[x])));
      }
      messages[f][a] = damping > 0 ? normalised(fresh, best) : fresh;
    });
  };
  let iterations = 0;
  do {
    residual = 0;
    for (let k = order.length - 1; k >= 0; k--) update(order[k]);
    for (const f of order) update(f);
    iterations++;
  } while (residual > tolerance && iterations < maxIterations);

  const belief = (x: Float64Array): Float64Array => {
    const b = normalised(x, best);
    if (b.length > 0 && b[0] !== b[0]) throw rangeError(where, "factors", "with an assignment that has a finite score", "none");
    return best ? b : b.map((v) => exp(v));
  };
  const variables = of.map((_, v) => belief(incoming(v, -1)));
  const joint = factors.map(({ variables: scope, scores }, f) => {
    const sum = scores.slice();
    scope.forEach((v, a) => { const into = incoming(v, f); for (let e = 0; e < sum.length; e++) sum[e] += into[maps[f][a][e]]; });
    return belief(sum);
  });
  const entropy = (p: Float64Array): number => p.reduce((h, v) => (v > 0 ? h - v * log(v) : h), 0);
  let logPartition = best ? NaN : 0;
  if (!best) {
    joint.forEach((b, f) => (logPartition += entropy(b) + b.reduce((sum, v, e) => (v > 0 ? sum + v * factors[f].scores[e] : sum), 0)));
    variables.forEach((b, v) => (logPartition -= (of[v].length - 1) * entropy(b)));
  }
  return { converged: residual <= tolerance, iterations, residual, variables, factors: joint, logPartition, labels: Int32Array.from(variables, (b) => b.reduce((at, v, x) => (v > b[at] ? x : at), 0)) };
}

/** Factors, those next to one another close together: on a tree one sweep from the last to the first and back brings every message everywhere. */
function sweep(n: number, factors: readonly Table[], of: readonly (readonly { f: number }[])[]): number[] {
  const seen = new Uint8Array(factors.length), reached = new Uint8Array(n), order: number[] = [];
  for (let root = 0; root < n; root++) {
    if (reached[root]) continue;
    reached[root] = 1;
    const queue = [root];
    for (let k = 0; k < queue.length; k++) {
      for (const { f } of of[queue[k]]) {
        if (seen[f]) continue;
        seen[f] = 1;
        order.push(f);
        for (const v of factors[f].variables) {
          if (reached[v]) continue;
          reached[v] = 1;
          queue.push(v);
        }
      }
    }
  }
  return order;
}

/** Sum or maximum of the elements that belong to each value. */
function reduced(x: Float64Array, map: Int32Array, size: number, best: boolean): Float64Array {
  const top = new Float64Array(size).fill(-Infinity);
  for (let e = 0; e < x.length; e++) if (x[e] > top[map[e]]) top[map[e]] = x[e];
  if (best) return top;
  const sum = new Float64Array(size);
  for (let e = 0; e < x.length; e++) if (x[e] > -Infinity) sum[map[e]] += exp(x[e] - top[map[e]]);
  return top.map((t, v) => (t === -Infinity ? t : t + log(sum[v])));
}

/** Less the log sum, or less the maximum; NaN where all are -Infinity. */
function normalised(x: Float64Array, best: boolean): Float64Array {
  const total = reduced(x, new Int32Array(x.length), 1, best)[0];
  return x.map((v) => v - total);
}
