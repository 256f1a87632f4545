import { exp } from "@logits/statistics";
import { NEAR_ZERO, expNearZero } from "./expNearZero.ts";
import type { LinearProblem } from "./problem.ts";

/**
 * A chunk ends where the gates since its start have fallen below this. Inside a chunk exp(G_i - G_j) is the product of exp(G_i) <= 1 and exp(-G_j) <= 2^60, both within float32, and each product that counts is at most 1:
 * the smallest chunk is one token, which is the recurrence itself. A gate of 0 starts a chunk, so that nothing is divided by it.
 */
const FLOOR = 2 ** -60;
/** Tokens whose chunks are multiplied together, and of a chunk without pairs (keys that no query stands at, queries that stand behind all keys): what they make stays in a core's cache. */
const BLOCK = 1024;

/** `count` chunks of `size` tokens: keys from `key`, queries from `query`; -1 where the chunk has none. */
export interface Run {
  readonly key: number;
  readonly query: number;
  readonly size: number;
  readonly count: number;
}

/** Gates of one group of heads: `product[p]` from the second token of p's chunk to p, `factor[p]` of p alone. */
export interface Decay {
  readonly width: number;
  readonly factor: Float64Array;
  readonly product: Float64Array;
}

/** The decay of log gates [S] or [S, F] (`width` F), and the tokens at which chunks start: the first, the one where the first query stands (`offset`), after `chunkSize` tokens, and where the gates have fallen too far. */
export function cutsOf(logGates: Float32Array, width: number, chunkSize: number, offset: number): { readonly decay: Decay; readonly starts: ReadonlySet<number> } {
  const factor = new Float64Array(logGates.length), product = new Float64Array(logGates.length), starts = new Set<number>();
  for (let at = 0; at < factor.length; at++) factor[at] = logGates[at] > -NEAR_ZERO ? expNearZero(logGates[at]) : exp(logGates[at]);
  for (let token = 0, since = 0; token * width < factor.length; token++, since++) {
    let low = 1;
    for (let at = token * width; at < token * width + width; at++) low = Math.min(low, (product[at] = since === 0 ? 1 : product[at - width] * factor[at])); // NaN stays
    if (since > 0 && (since === chunkSize || token === offset || !(low >= FLOOR))) {
      product.fill(1, token * width, token * width + width);
      since = 0;
    }
    if (since === 0) starts.add(token);
  }
  return { decay: { width, factor, product }, starts };
}

/** Keys that no query stands at, then chunks of keys with the queries that stand at them, then queries behind all keys; without `causal` all keys, then all queries. */
export function runsOf({ keys, queries, causal, chunkSize }: LinearProblem, length: number, starts: ReadonlySet<number> | undefined): Run[] {
  const offset = keys - queries, from = Math.max(0, offset), runs: Run[] = [];
  const cut = (key: number, query: number, tokens: number, size: number): void => {
    for (let done = 0; done < tokens; ) {
      let n = Math.min(size, tokens - done);
      if (starts && key >= 0) for (n = 1; done + n < tokens && !starts.has(key + done + n); n++);
      const last = runs[runs.length - 1], at = key < 0 ? -1 : key + done, row = query < 0 ? -1 : query + done;
      if (last && last.size === n && (last.count + 1) * n <= BLOCK && last.key < 0 === key < 0 && last.query < 0 === query < 0) runs[runs.length - 1] = { ...last, count: last.count + 1 };
      else runs.push({ key: at, query: row, size: n, count: 1 });
      done += n;
    }
  };
  cut(0, -1, causal ? Math.min(from, length) : length, Math.max(BLOCK, chunkSize));
  if (causal && length > from) cut(from, from - offset, length - from, chunkSize);
  const rest = causal ? Math.max(length, from) - offset : 0;
  if (rest < queries) cut(-1, rest, queries - rest, BLOCK);
  return runs;
}
