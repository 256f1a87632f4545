import { matmul } from "@logits/core-wasm";
import { exp } from "@logits/statistics";
import { Tensor } from "@logits/tensor";
import type { LinearProblem } from "./problem.ts";
import { rowScale, type RowScale } from "./rowScale.ts";

/** What the keys so far have left: sum of exp(gates) phi(k) v [F, E], of phi(k) [F], of v [E], and how many there were. */
export interface LinearState {
  readonly products: Float64Array;
  readonly keySum: Float64Array;
  readonly valueSum: Float64Array;
  count: number;
}

export function emptyState(features: number, width: number): LinearState {
  return { products: new Float64Array(features * width), keySum: new Float64Array(features), valueSum: new Float64Array(width), count: 0 };
}

/**
 * A chunk ends where the gates since its start have fallen below this. Inside a chunk exp(G_i - G_j) is the product of exp(G_i) <= 1 and exp(-G_j) <= 2^60, both within float32, and each product that counts is at most 1:
 * the smallest chunk is one token, which is the recurrence itself. A gate of 0 starts a chunk, so that nothing is divided by it.
 */
const FLOOR = 2 ** -60;
/** Tokens whose chunks are multiplied together. */
const BLOCK = 4096;
/** Tokens of a chunk without pairs: keys that no query stands at, queries that stand behind all keys. */
const LONG = 1024;

/** `count` chunks of `size` tokens: keys from `key`, queries from `query`; -1 where the chunk has none. */
interface Run {
  readonly key: number;
  readonly query: number;
  readonly size: number;
  readonly count: number;
}

/** Gates of one group of heads: `product[p]` from the second token of p's chunk to p, `factor[p]` of p alone. */
interface Decay {
  readonly width: number;
  readonly factor: Float64Array;
  readonly product: Float64Array;
}

const made = (shape: readonly number[], data: Float32Array): Tensor<"float32"> => new Tensor("float32", shape, data);
const product = (a: Float32Array, aShape: readonly number[], b: Float32Array, bShape: readonly number[], transposed: "a" | "b" | "" = ""): Float32Array =>
  matmul(made(aShape, a), made(bShape, b), { transposeA: transposed === "a", transposeB: transposed === "b" }).data;

function add(to: Float32Array, from: Float32Array): void {
  for (let i = 0; i < to.length; i++) to[i] += from[i];
}

/** Zeros above the diagonal of `count` squares. */
function lower(a: Float32Array, size: number, count: number): Float32Array {
  for (let c = 0; c < count; c++) for (let i = 0; i < size; i++) a.fill(0, (c * size + i) * size + i + 1, (c * size + i + 1) * size);
  return a;
}

/** One group of query heads and the key head that they share. */
export class Group {
  readonly #p: LinearProblem;
  readonly #item: number;
  readonly #length: number;
  readonly #offset: number;
  readonly #key: Float32Array;
  readonly #value: Float32Array;
  readonly #decay: Decay | undefined;
  readonly #runs: readonly Run[];
  /** First of the group's query heads, over the batch. */
  readonly #head: number;
  readonly #heads: number;
  readonly #start: LinearState;
  /** Of each run: the products before each chunk, and the key sums behind its first gate; kept for the gradients. */
  readonly #products: Float32Array[] = [];
  readonly #keySums: Float64Array[] = [];

  constructor(p: LinearProblem, batch: number, group: number, start: LinearState) {
    const { keys, features, width, heads, groups, queries, lengths, causal, gates } = p, index = batch * groups + group;
    this.#p = p;
    this.#item = index;
    this.#length = lengths[batch];
    this.#offset = keys - queries;
    this.#key = p.key.subarray(index * keys * features, (index + 1) * keys * features);
    this.#value = p.value.subarray(index * keys * width, (index + 1) * keys * width);
    this.#heads = heads / groups;
    this.#head = index * this.#heads;
    this.#start = start;
    const length = this.#length, cuts = new Set<number>();
    if (gates) {
      const own = gates.data.subarray(index * keys * gates.width, (index + 1) * keys * gates.width), factor = new Float64Array(length * gates.width), running = new Float64Array(factor.length), { width: n } = gates;
      for (let at = 0; at < factor.length; at++) factor[at] = exp(own[at]);
      for (let token = 0, since = 0; token < length; token++, since++) {
        let low = 1;
        for (let f = token * n; f < token * n + n; f++) low = Math.min(low, (running[f] = since === 0 ? 1 : running[f - n] * factor[f])); // NaN stays
        if (since > 0 && (since === p.chunkSize || token === this.#offset || !(low >= FLOOR))) {
          running.fill(1, token * n, token * n + n);
          since = 0;
        }
        if (since === 0) cuts.add(token);
      }
      this.#decay = { width: n, factor, product: running };
    }
    const from = Math.max(0, this.#offset), runs: Run[] = [], keysOnly = causal ? Math.min(from, length) : length;
    const cut = (key: number, query: number, tokens: number, size: number): void => {
      for (let done = 0; done < tokens; ) {
        let n = Math.min(size, tokens - done);
        if (this.#decay && key >= 0) for (n = 1; done + n < tokens && !cuts.has(key + done + n); n++);
        const last = runs[runs.length - 1], at = key < 0 ? -1 : key + done, row = query < 0 ? -1 : query + done;
        if (last && last.size === n && (last.count + 1) * n <= BLOCK && last.key < 0 === key < 0 && last.query < 0 === query < 0) runs[runs.length - 1] = { ...last, count: last.count + 1 };
        else runs.push({ key: at, query: row, size: n, count: 1 });
        done += n;
      }
    };
    cut(0, -1, keysOnly, Math.max(LONG, p.chunkSize));
    if (causal && length > from) cut(from, from - this.#offset, length - from, p.chunkSize);
    const rest = causal ? Math.max(length, from) - this.#offset : 0;
    if (rest < queries) cut(-1, rest, queries - rest, BLOCK);
    this.#runs = runs;
  }

  /** Keys that query `i` sees, those before the first included. */
  #visible(i: number): number {
    return this.#start.count + Math.min(this.#length, this.#p.causal ? Math.max(0, i + this.#offset + 1) : this.#length);
  }

  /** Rows times or divided by the gates' products; the rows themselves where there are no gates. */
  #decayed(rows: Float32Array, key: number, divide: boolean): Float32Array {
    const decay = this.#decay, { features } = this.#p;
    if (!decay || key < 0) return rows;
    const out = new Float32Array(rows.length), { width, product: p } = decay;
    for (let at = 0, token = key * width; at < out.length; token += width) {
      for (let f = 0; f < features; f++, at++) out[at] = divide ? rows[at] / p[width === 1 ? token : token + f] : rows[at] * p[width === 1 ? token : token + f];
    }
    return out;
  }

  /** exp(log gate) of feature f: of token `at` alone, or of all tokens of a chunk up to its last, the first left out. */
  #gate(which: "factor" | "product", at: number, f: number): number {
    return this.#decay ? this.#decay[which][this.#decay.width === 1 ? at : at * this.#decay.width + f] : 1;
  }

  #rows(x: Float32Array, head: number, { query, size, count }: Run, width: number): Float32Array {
    const from = (head * this.#p.queries + query) * width;
    return x.subarray(from, from + size * count * width);
  }

  /** Scores inside the chunks of a run. */
  #scores(query: Float32Array, key: Float32Array, { size, count }: Run): Float32Array {
    const { features } = this.#p;
    return lower(product(query, [count, size, features], key, [count, size, features], "b"), size, count);
  }

  /** Raw sums of scores times values and of scores, into `raw` [B, H, T, E] and `sums` [B, H, T]; `state` goes from the start to the end of the keys. */
  forward(state: LinearState, raw: Float32Array, sums: Float64Array, keep: boolean): void {
    const { features, width, queries } = this.#p, square = features * width, { products, keySum } = state, added = new Float64Array(features);
    for (const run of this.#runs) {
      const { key, query, size, count } = run, hasKeys = key >= 0, inside = hasKeys ? count : 1, rows = size * count;
      const keys = hasKeys ? this.#decayed(this.#key.subarray(key * features, (key + rows) * features), key, true) : undefined, values = this.#value.subarray(key * width, (key + rows) * width);
      const fresh = keys && product(keys, [count, size, features], values, [count, size, width], "a");
      const before = new Float32Array(inside * square), keySums = new Float64Array(inside * features), decayed = this.#decay && hasKeys ? new Float32Array(before.length) : before;
      for (let c = 0; c < inside; c++) {
        const at = c * square, last = key + (c + 1) * size - 1;
        before.set(products, at);
        added.fill(0);
        if (keys) for (let j = c * size * features; j < (c + 1) * size * features; ) for (let f = 0; f < features; f++) added[f] += keys[j++];
        for (let f = 0; f < features; f++) {
          if (keys === undefined || fresh === undefined) {
            keySums[f] = keySum[f];
            continue;
          }
          const first = this.#gate("factor", key + c * size, f), end = this.#gate("product", last, f);
          for (let e = f * width; e < f * width + width; e++) {
            const entering = first === 0 ? 0 : products[e] * first;
            decayed[at + e] = entering;
            products[e] = (entering + fresh[at + e]) * end;
          }
          const entering = (keySums[c * features + f] = first === 0 ? 0 : keySum[f] * first);
          keySum[f] = (entering + added[f]) * end;
        }
      }
      if (keep) {
        this.#products.push(before);
        this.#keySums.push(keySums);
      }
      if (query < 0) continue;
      for (let head = this.#head; head < this.#head + this.#heads; head++) {
        const q = this.#decayed(this.#rows(this.#p.query, head, run, features), key, false), out = this.#rows(raw, head, run, width);
        out.set(product(q, [inside, rows / inside, features], decayed, [inside, features, width]));
        const scores = keys && this.#scores(q, keys, run);
        if (scores) add(out, product(scores, [count, size, size], values, [count, size, width]));
        for (let i = 0, row = head * queries + query; i < rows; i++) {
          const inChunk = hasKeys ? i % size : 0, from = hasKeys ? ((i - inChunk) / size) * features : 0;
          let sum = 0;
          for (let f = 0, at = i * features; f < features; f++) sum += q[at + f] * keySums[from + f];
          if (scores) for (let j = i * size, end = j + inChunk; j <= end; j++) sum += scores[j];
          sums[row + i] = sum;
        }
      }
    }
    const { valueSum } = state;
    if (this.#p.normalize === "magnitude") for (let at = 0; at < this.#length * width; at++) valueSum[at % width] += this.#value[at];
    state.count += this.#length;
  }

  /** For each query of each head, from the first on: its scale, and the sum of the values that it sees. */
  *#scaled(sums: Float64Array): Generator<{ readonly row: number; readonly head: number; readonly scale: RowScale; readonly values: Float64Array }> {
    const { queries, normalize, powers, width, heads } = this.#p, values = new Float64Array(this.#start.valueSum), scale: RowScale = { beta: 0, gamma: 0, betaBySum: 0, gammaBySum: 0, betaByPower: 0 };
    for (let i = 0, j = 0; i < queries; i++) {
      const count = this.#visible(i);
      if (normalize === "magnitude") for (; j < count - this.#start.count; j++) for (let e = 0; e < width; e++) values[e] += this.#value[j * width + e];
      for (let head = this.#head; head < this.#head + this.#heads; head++) {
        const row = head * queries + i;
        rowScale(normalize, sums[row], count, powers ? powers[head % heads] : 0, scale);
        yield { row, head, scale, values };
      }
    }
  }

  /** Raw sums to results, in place. */
  normalize(raw: Float32Array, sums: Float64Array): void {
    const { width, normalize } = this.#p;
    if (normalize === "none") return;
    for (const { row, scale: { beta, gamma }, values } of this.#scaled(sums)) {
      const from = row * width;
      if (beta === 0) raw.fill(0, from, from + width);
      else if (gamma === 0) for (let at = from; at < from + width; at++) raw[at] *= beta;
      else for (let e = 0; e < width; e++) raw[from + e] = raw[from + e] * beta - gamma * values[e];
    }
  }

  /** Gradients of queries [B, H, T, F] and of this group's keys, values and log gates, from the raw sums. */
  backward(end: LinearState, raw: Float32Array, sums: Float64Array, upstream: Float32Array, grads: { query: Float32Array; key: Float32Array; value: Float32Array; gates: Float32Array | undefined; powers: Float64Array | undefined }): void {
    const p = this.#p, { features, width, queries, keys: length, heads } = p, square = features * width, group = this.#item;
    const bySums = new Float32Array(upstream.length), byTotals = new Float64Array(sums.length), valueGrad = grads.value.subarray(group * length * width, (group + 1) * length * width), keyGrad = grads.key.subarray(group * length * features, (group + 1) * length * features);
    const gammas = p.normalize === "magnitude" ? new Float64Array(sums.length) : undefined;
    for (const { row, head, scale, values } of this.#scaled(sums)) {
      let beta = 0, gamma = 0;
      for (let at = row * width, e = 0; e < width; e++, at++) {
        bySums[at] = scale.beta * upstream[at];
        beta += upstream[at] * raw[at];
        gamma -= upstream[at] * values[e];
      }
      // Where a row has no scale, nothing of it counts, whatever its values.
      byTotals[row] = (scale.betaBySum === 0 ? 0 : beta * scale.betaBySum) + (scale.gammaBySum === 0 ? 0 : gamma * scale.gammaBySum);
      if (grads.powers && scale.betaByPower !== 0) grads.powers[head % heads] += beta * scale.betaByPower;
      if (gammas) gammas[row] = scale.gamma;
    }
    if (gammas) this.#valueSums(gammas, upstream, valueGrad);
    const state = new Float64Array(square), keyState = new Float64Array(features), after = new Float64Array(end.products), keysAfter = new Float64Array(end.keySum);
    for (let r = this.#runs.length - 1; r >= 0; r--) {
      const run = this.#runs[r], { key, query, size, count } = run, hasKeys = key >= 0, rows = size * count, inside = hasKeys ? count : 1, before = this.#products[r], keySums = this.#keySums[r];
      const keys = hasKeys ? this.#decayed(this.#key.subarray(key * features, (key + rows) * features), key, true) : undefined, values = this.#value.subarray(key * width, (key + rows) * width);
      const entering = this.#decay && hasKeys ? this.#entering(before, run) : before, byKey = new Float32Array(hasKeys ? rows * features : 0), byState = new Float32Array(inside * square), byKeyState = new Float64Array(inside * features);
      // Sum over features of the gates' share: q dq - k dk of each token.
      const shares = this.#decay && hasKeys ? new Float64Array(rows * features) : undefined;
      if (query >= 0) {
        for (let head = this.#head; head < this.#head + this.#heads; head++) {
          const q = this.#decayed(this.#rows(p.query, head, run, features), key, false), up = this.#rows(bySums, head, run, width), upTotals = byTotals.subarray(head * queries + query, head * queries + query + rows);
          const byQuery = product(up, [inside, rows / inside, width], entering, [inside, features, width], "b");
          for (let i = 0; i < rows; i++) {
            const c = hasKeys ? Math.floor(i / size) : 0, by = upTotals[i];
            if (by === 0) continue;
            for (let f = 0; f < features; f++) {
              byQuery[i * features + f] += by * keySums[c * features + f];
              byKeyState[c * features + f] += by * q[i * features + f];
            }
          }
          add(byState, product(q, [inside, rows / inside, features], up, [inside, rows / inside, width], "a"));
          if (keys) {
            const scores = this.#scores(q, keys, run), byScores = product(up, [count, size, width], values, [count, size, width], "b");
            for (let i = 0; i < rows; i++) if (upTotals[i] !== 0) for (let j = i * size; j <= i * size + (i % size); j++) byScores[j] += upTotals[i];
            lower(byScores, size, count);
            add(byQuery, product(byScores, [count, size, size], keys, [count, size, features]));
            add(byKey, product(byScores, [count, size, size], q, [count, size, features], "a"));
            add(valueGrad.subarray(key * width, (key + rows) * width), product(scores, [count, size, size], up, [count, size, width], "a"));
          }
          if (shares) for (let at = 0; at < shares.length; at++) shares[at] += q[at] * byQuery[at];
          this.#rows(grads.query, head, run, features).set(this.#decayed(byQuery, key, false));
        }
      }
      if (!keys) {
        for (let at = 0; at < square; at++) state[at] += byState[at];
        for (let f = 0; f < features; f++) keyState[f] += byKeyState[f];
        continue;
      }
      // From the last chunk to the first: the gradient in the state behind it, `leaving`, and in the sum of keys.
      const leaving = new Float32Array(inside * square), keysLeaving = new Float32Array(inside * features), ends = shares && new Float64Array(inside * features), starts = shares && new Float64Array(inside * features);
      for (let c = inside - 1; c >= 0; c--) {
        const at = c * square;
        for (let f = 0; f < features; f++) {
          const last = this.#gate("product", key + (c + 1) * size - 1, f), first = this.#gate("factor", key + c * size, f);
          let out = keysAfter[f] * keyState[f], into = 0;
          for (let e = f * width; e < f * width + width; e++) {
            if (ends) out += after[e] * state[e];
            leaving[at + e] = state[e] * last;
            const by = state[e] * last + byState[at + e];
            if (starts) into += entering[at + e] * by;
            state[e] = first === 0 ? 0 : by * first;
            after[e] = before[at + e];
          }
          keysLeaving[c * features + f] = keyState[f] * last;
          const by = keyState[f] * last + byKeyState[c * features + f];
          into += keySums[c * features + f] * by;
          keyState[f] = first === 0 ? 0 : by * first;
          keysAfter[f] = first === 0 ? 0 : keySums[c * features + f] / first;
          if (ends && starts) {
            ends[c * features + f] = out;
            starts[c * features + f] = into;
          }
        }
      }
      add(byKey, product(values, [count, size, width], leaving, [count, features, width], "b"));
      for (let at = 0; at < byKey.length; at++) byKey[at] += keysLeaving[Math.floor(at / (size * features)) * features + (at % features)];
      add(valueGrad.subarray(key * width, (key + rows) * width), product(keys, [count, size, features], leaving, [count, features, width]));
      if (shares && ends && starts && grads.gates) {
        for (let at = 0; at < shares.length; at++) shares[at] -= keys[at] * byKey[at];
        this.#gateGrads(run, shares, starts, ends, grads.gates);
      }
      keyGrad.set(this.#decayed(byKey, key, true), key * features);
    }
  }

  /** The products behind the first gate of each chunk, as `forward` had them. */
  #entering(before: Float32Array, { key, size, count }: Run): Float32Array {
    const { features, width } = this.#p;
    return before.map((x, at) => {
      const row = Math.floor(at / width), gate = this.#gate("factor", key + Math.floor(row / features) * size, row % features);
      return count === 0 || gate === 0 ? 0 : x * gate;
    });
  }

  /**
   * A log gate at token j scales all that passes from before j to j and behind: its gradient is the sum over i >= j of q_i dq_i - k_i dk_i. Summed inside each chunk alone, from what leaves the chunk
   * back to its second token; the first token's gate scales what enters, exactly. So rounding does not add up along the sequence, and a gate of 0 has a gradient of 0 exactly.
   */
  #gateGrads({ key, size, count }: Run, shares: Float64Array, starts: Float64Array, ends: Float64Array, out: Float32Array): void {
    const { features, keys } = this.#p, { width } = this.#decay!, base = this.#item * keys * width;
    for (let c = 0; c < count; c++) {
      const sums = ends.subarray(c * features, (c + 1) * features);
      for (let i = size - 1; i >= 0; i--) {
        const token = key + c * size + i;
        let total = 0;
        for (let f = 0; f < features; f++) {
          sums[f] += shares[(c * size + i) * features + f];
          const by = i === 0 ? starts[c * features + f] : sums[f];
          total += by;
          if (width > 1) out[base + token * width + f] = by;
        }
        if (width === 1) out[base + token] = total;
      }
    }
  }

  /** Adds, for each key, minus the sum of gamma_i upstream_i over the queries that see it. */
  #valueSums(gammas: Float64Array, upstream: Float32Array, valueGrad: Float32Array): void {
    const { queries, width } = this.#p, sum = new Float64Array(width);
    let j = this.#length - 1;
    const until = (count: number): void => {
      for (; j >= count; j--) for (let e = 0; e < width; e++) valueGrad[j * width + e] += sum[e];
    };
    for (let i = queries - 1; i >= 0; i--) {
      until(this.#visible(i) - this.#start.count);
      for (let head = this.#head; head < this.#head + this.#heads; head++) for (let e = 0, row = head * queries + i; e < width; e++) sum[e] -= gammas[row] * upstream[row * width + e];
    }
    until(0);
  }
}
