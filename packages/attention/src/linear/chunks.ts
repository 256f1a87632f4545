import { matmul } from "@logits/core-wasm";
import { Tensor } from "@logits/tensor";
import { mapped, mappedGradient, type LinearProblem } from "./problem.ts";
import { emptyScale, rowScale, type RowScale } from "./rowScale.ts";
import { cutsOf, runsOf, type Decay, type Run } from "./runs.ts";

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

const made = (shape: readonly number[], data: Float32Array): Tensor<"float32"> => new Tensor("float32", shape, data);

/** The products of [count, m, k] and [count, k, n], one of them stored transposed, written to the beginning of `out`. */
function product(out: Float32Array, a: Float32Array, aShape: readonly number[], b: Float32Array, bShape: readonly number[], transposed: "a" | "b" | "" = ""): Float32Array {
  const shape = [aShape[0], aShape[transposed === "a" ? 2 : 1], bShape[transposed === "b" ? 1 : 2]], data = out.subarray(0, shape[0] * shape[1] * shape[2]);
  matmul(made(aShape, a), made(bShape, b), { transposeA: transposed === "a", transposeB: transposed === "b", out: made(shape, data) });
  return data;
}

function add<Numbers extends Float32Array | Float64Array>(to: Numbers, from: Float32Array | Float64Array): void {
  for (let i = 0; i < to.length; i++) to[i] += from[i];
}

/** Zeros above the diagonal of `count` squares. */
function lower(a: Float32Array, size: number, count: number): Float32Array {
  for (let c = 0; c < count; c++) for (let i = 0; i < size; i++) a.fill(0, (c * size + i) * size + i + 1, (c * size + i + 1) * size);
  return a;
}

/** Where the gradients of a group go: of its queries [R, T, D], keys [S, D], values [S, E] and log gates, and of the powers of all heads. */
export interface GroupGradients {
  readonly query: Float32Array;
  readonly key: Float32Array;
  readonly value: Float32Array;
  readonly gates: Float32Array | undefined;
  readonly powers: Float64Array | undefined;
}

/** What stands behind a chunk, and the gradients in it. */
interface Behind {
  readonly state: Float64Array;
  readonly keySum: Float64Array;
  readonly byState: Float64Array;
  readonly byKeySum: Float64Array;
}

/** A key head and the R query heads that read it. Its arrays, and those that it is given, are its own part of the call's. */
export class Group {
  readonly #p: LinearProblem;
  readonly #length: number;
  readonly #offset: number;
  /** Arguments [R T, D] and [S, D] without padding, and their features, the query's times `scale`. */
  readonly #queryRows: Tensor<"float32">;
  readonly #keyRows: Tensor<"float32">;
  readonly #query: Float32Array;
  readonly #key: Float32Array;
  readonly #value: Float32Array;
  readonly #decay: Decay | undefined;
  readonly #runs: readonly Run[];
  /** First of the group's query heads. */
  readonly #head: number;
  readonly #heads: number;
  readonly #start: LinearState;
  /** Of each run: the products before each chunk, and the key sums behind its first gate; kept for the gradients. */
  readonly #products: Float32Array[] = [];
  readonly #keySums: Float64Array[] = [];
  /** Memory for what a step makes and uses up: scores, their gradients, fresh products, and summands. */
  readonly #spaces = new Map<string, Float32Array>();

  constructor(p: LinearProblem, batch: number, group: number, start: LinearState) {
    const { keys, size, width, heads, groups, queries, lengths, gates, map, scale, where } = p, index = batch * groups + group;
    this.#p = p;
    this.#length = lengths[batch];
    this.#offset = keys - queries;
    this.#heads = heads / groups;
    this.#head = group * this.#heads;
    this.#start = start;
    this.#queryRows = made([this.#heads * queries, size], p.query.subarray(index * this.#heads * queries * size, (index + 1) * this.#heads * queries * size));
    this.#keyRows = made([this.#length, size], p.key.subarray(index * keys * size, (index * keys + this.#length) * size));
    this.#query = mapped(where, map, this.#queryRows, p.features);
    if (scale !== 1) this.#query = this.#query.map((x) => x * scale);
    this.#key = mapped(where, map, this.#keyRows, p.features);
    this.#value = p.value.subarray(index * keys * width, (index + 1) * keys * width);
    const cuts = gates && cutsOf(gates.data.subarray(index * keys * gates.width, (index * keys + this.#length) * gates.width), gates.width, p.chunkSize, this.#offset);
    this.#decay = cuts?.decay;
    this.#runs = runsOf(p, this.#length, cuts?.starts);
  }

  #space(name: "scores" | "byScores" | "fresh" | "summand", size: number): Float32Array {
    let space = this.#spaces.get(name);
    if (space === undefined || space.length < size) this.#spaces.set(name, (space = new Float32Array(size)));
    return space;
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
    return lower(product(this.#space("scores", count * size * size), query, [count, size, features], key, [count, size, features], "b"), size, count);
  }

  /** Raw sums of scores times values and of scores, into `raw` [R, T, E] and `sums` [R, T]; `state` goes from the start to the end of the keys. */
  forward(state: LinearState, raw: Float32Array, sums: Float64Array, keep: boolean): void {
    const { features, width, queries } = this.#p, square = features * width, { products, keySum } = state;
    for (const run of this.#runs) {
      const { key, query, size, count } = run, hasKeys = key >= 0, inside = hasKeys ? count : 1, rows = size * count;
      const keys = hasKeys ? this.#decayed(this.#key.subarray(key * features, (key + rows) * features), key, true) : undefined, values = this.#value.subarray(key * width, (key + rows) * width);
      const before = new Float32Array(inside * square), keySums = new Float64Array(inside * features), entering = this.#decay && hasKeys ? new Float32Array(before.length) : before;
      if (keys) this.#advance(run, state, keys, product(this.#space("fresh", count * square), keys, [count, size, features], values, [count, size, width], "a"), before, entering, keySums);
      else {
        before.set(products);
        keySums.set(keySum);
      }
      if (keep) {
        this.#products.push(before);
        this.#keySums.push(keySums);
      }
      if (query < 0) continue;
      for (let head = 0; head < this.#heads; head++) {
        const q = this.#decayed(this.#rows(this.#query, head, run, features), key, false), out = this.#rows(raw, head, run, width);
        product(out, q, [inside, rows / inside, features], entering, [inside, features, width]);
        const scores = keys && this.#scores(q, keys, run);
        if (scores) add(out, product(this.#space("summand", rows * width), scores, [count, size, size], values, [count, size, width]));
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
    if (this.#p.normalize === "magnitude") for (let at = 0, j = 0; j < this.#length; j++) for (let e = 0; e < width; e++) valueSum[e] += this.#value[at++];
    state.count += this.#length;
  }

  /** The state through the chunks of a run: what stood before each, that behind its first gate, and the key sums there. */
  #advance({ key, size, count }: Run, { products, keySum }: LinearState, keys: Float32Array, fresh: Float32Array, before: Float32Array, entering: Float32Array, keySums: Float64Array): void {
    const { features, width } = this.#p, square = features * width, added = new Float64Array(features);
    for (let c = 0; c < count; c++) {
      before.set(products, c * square);
      added.fill(0);
      for (let j = c * size * features; j < (c + 1) * size * features; ) for (let f = 0; f < features; f++) added[f] += keys[j++];
      if (!this.#decay) {
        keySums.set(keySum, c * features);
        for (let f = 0; f < features; f++) keySum[f] += added[f];
        for (let e = 0, at = c * square; e < square; e++, at++) products[e] += fresh[at];
        continue;
      }
      for (let f = 0, at = c * square; f < features; f++) {
        const first = this.#gate("factor", key + c * size, f), end = this.#gate("product", key + (c + 1) * size - 1, f);
        for (let e = f * width; e < f * width + width; e++, at++) {
          const passed = first === 0 ? 0 : products[e] * first;
          entering[at] = passed;
          products[e] = (passed + fresh[at]) * end;
        }
        const passed = (keySums[c * features + f] = first === 0 ? 0 : keySum[f] * first);
        keySum[f] = (passed + added[f]) * end;
      }
    }
  }

  /** For each query of each head, from the first on: its scale, and the sum of the values that it sees. */
  *#scaled(sums: Float64Array): Generator<{ readonly row: number; readonly head: number; readonly live: boolean; readonly scale: RowScale; readonly values: Float64Array }> {
    const { queries, normalize, powers, width } = this.#p, values = new Float64Array(this.#start.valueSum), scale = emptyScale();
    for (let i = 0, j = 0; i < queries; i++) {
      const count = this.#visible(i);
      if (normalize === "magnitude") for (; j < count - this.#start.count; j++) for (let e = 0; e < width; e++) values[e] += this.#value[j * width + e];
      for (let head = 0; head < this.#heads; head++) {
        const row = head * queries + i;
        const live = rowScale(normalize, sums[row], count, powers ? powers[this.#head + head] : 0, scale);
        yield { row, head: this.#head + head, live, scale, values };
      }
    }
  }

  /** Raw sums to results, in place. */
  normalize(raw: Float32Array, sums: Float64Array): void {
    const { width, normalize } = this.#p;
    if (normalize === "none") return;
    for (const { row, live, scale: { beta, gamma }, values } of this.#scaled(sums)) {
      const from = row * width;
      if (!live) raw.fill(0, from, from + width);
      else if (gamma === 0) for (let at = from; at < from + width; at++) raw[at] *= beta;
      else for (let e = 0; e < width; e++) raw[from + e] = raw[from + e] * beta - gamma * values[e];
    }
  }

  /** Gradients from the raw sums and the gradient in the results [R, T, E]: the runs backwards, from the gradient in the state behind each to that in the state before it. */
  backward(end: LinearState, raw: Float32Array, sums: Float64Array, upstream: Float32Array, grads: GroupGradients): void {
    const p = this.#p, { features, width, queries, map, scale, where } = p, square = features * width, queryGrad = new Float32Array(this.#query.length), keyGrad = new Float32Array(this.#key.length);
    const { byRaw, bySums } = this.#rawGradients(raw, sums, upstream, grads), behind: Behind = { state: new Float64Array(end.products), keySum: new Float64Array(end.keySum), byState: new Float64Array(square), byKeySum: new Float64Array(features) };
    for (let r = this.#runs.length - 1; r >= 0; r--) {
      const run = this.#runs[r], { key, query, size, count } = run, hasKeys = key >= 0, rows = size * count, inside = hasKeys ? count : 1, before = this.#products[r], keySums = this.#keySums[r];
      const keys = hasKeys ? this.#decayed(this.#key.subarray(key * features, (key + rows) * features), key, true) : undefined, values = this.#value.subarray(key * width, (key + rows) * width), byValue = grads.value.subarray(key * width, (key + rows) * width);
      const entering = this.#decay && hasKeys ? this.#entering(before, run) : before, byKey = new Float32Array(hasKeys ? rows * features : 0), byEntering = new Float32Array(inside * square), byKeySums = new Float64Array(inside * features);
      // q dq - k dk of each token and feature, which the gates' gradients are sums of.
      const shares = this.#decay && hasKeys ? new Float64Array(rows * features) : undefined;
      for (let head = 0, heads = query < 0 ? 0 : this.#heads; head < heads; head++) {
        const q = this.#decayed(this.#rows(this.#query, head, run, features), key, false), up = this.#rows(byRaw, head, run, width), upSums = bySums.subarray(head * queries + query, head * queries + query + rows);
        const byQuery = product(new Float32Array(rows * features), up, [inside, rows / inside, width], entering, [inside, features, width], "b");
        for (let i = 0; i < rows; i++) {
          const c = hasKeys ? Math.floor(i / size) : 0, by = upSums[i];
          if (by === 0) continue;
          for (let f = 0; f < features; f++) {
            byQuery[i * features + f] += by * keySums[c * features + f];
            byKeySums[c * features + f] += by * q[i * features + f];
          }
        }
        add(byEntering, product(this.#space("summand", inside * square), q, [inside, rows / inside, features], up, [inside, rows / inside, width], "a"));
        if (keys) {
          const scores = this.#scores(q, keys, run), byScores = product(this.#space("byScores", count * size * size), up, [count, size, width], values, [count, size, width], "b");
          for (let i = 0; i < rows; i++) if (upSums[i] !== 0) for (let j = i * size; j <= i * size + (i % size); j++) byScores[j] += upSums[i];
          lower(byScores, size, count);
          add(byQuery, product(this.#space("summand", rows * features), byScores, [count, size, size], keys, [count, size, features]));
          add(byKey, product(this.#space("summand", rows * features), byScores, [count, size, size], q, [count, size, features], "a"));
          add(byValue, product(this.#space("summand", rows * width), scores, [count, size, size], up, [count, size, width], "a"));
        }
        if (shares) for (let at = 0; at < shares.length; at++) shares[at] += q[at] * byQuery[at];
        this.#rows(queryGrad, head, run, features).set(this.#decayed(byQuery, key, false));
      }
      if (!keys) {
        add(behind.byState, byEntering);
        add(behind.byKeySum, byKeySums);
        continue;
      }
      const leaving = new Float32Array(inside * square), keysLeaving = new Float32Array(inside * features), { starts, ends } = this.#retreat(run, behind, { before, entering, keySums, byEntering, byKeySums }, leaving, keysLeaving);
      add(byKey, product(this.#space("summand", rows * features), values, [count, size, width], leaving, [count, features, width], "b"));
      for (let c = 0, at = 0; c < count; c++) for (let j = 0; j < size; j++) for (let f = c * features; f < (c + 1) * features; f++) byKey[at++] += keysLeaving[f];
      add(byValue, product(this.#space("summand", rows * width), keys, [count, size, features], leaving, [count, features, width]));
      if (shares && grads.gates) {
        for (let at = 0; at < shares.length; at++) shares[at] -= keys[at] * byKey[at];
        this.#gateGrads(run, shares, starts, ends, grads.gates);
      }
      keyGrad.set(this.#decayed(byKey, key, true), key * features);
    }
    if (scale !== 1) for (let at = 0; at < queryGrad.length; at++) queryGrad[at] *= scale;
    grads.query.set(mappedGradient(where, map, this.#queryRows, made([this.#queryRows.shape[0], features], queryGrad)));
    grads.key.set(mappedGradient(where, map, this.#keyRows, made([this.#length, features], keyGrad)));
  }

  /** Gradients in the raw sums of scores times values and of scores; adds those of the powers, and MALA's of the values. */
  #rawGradients(raw: Float32Array, sums: Float64Array, upstream: Float32Array, { powers, value }: GroupGradients): { readonly byRaw: Float32Array; readonly bySums: Float64Array } {
    const { width, normalize } = this.#p, byRaw = new Float32Array(upstream.length), bySums = new Float64Array(sums.length), gammas = normalize === "magnitude" ? new Float64Array(sums.length) : undefined;
    for (const { row, head, live, scale, values } of this.#scaled(sums)) {
      // Nothing of such a row counts, whatever its values.
      if (!live) continue;
      let beta = 0, gamma = 0;
      for (let at = row * width, e = 0; e < width; e++, at++) {
        byRaw[at] = scale.beta * upstream[at];
        beta += upstream[at] * raw[at];
        gamma -= upstream[at] * values[e];
      }
      if (scale.betaBySum !== 0) bySums[row] = beta * scale.betaBySum;
      if (scale.gammaBySum !== 0) bySums[row] += gamma * scale.gammaBySum;
      if (powers && scale.betaByPower !== 0) powers[head] += beta * scale.betaByPower;
      if (gammas) gammas[row] = scale.gamma;
    }
    if (gammas) this.#valueSums(gammas, upstream, value);
    return { byRaw, bySums };
  }

  /**
   * From the last chunk of a run to the first: `behind` comes to stand before the run. `leaving` becomes, for each chunk, the gradient in what its keys leave, on the scale of its first token; the sums of state times gradient
   * are those that leave (`ends`) and enter (`starts`) each chunk, which the gates' gradients start from.
   */
  #retreat({ key, size, count }: Run, behind: Behind, run: { before: Float32Array; entering: Float32Array; keySums: Float64Array; byEntering: Float32Array; byKeySums: Float64Array }, leaving: Float32Array, keysLeaving: Float32Array): { readonly starts: Float64Array; readonly ends: Float64Array } {
    const { features, width } = this.#p, { state, keySum, byState, byKeySum } = behind, { before, entering, keySums, byEntering, byKeySums } = run, starts = new Float64Array(count * features), ends = new Float64Array(count * features);
    for (let c = count - 1; c >= 0; c--) {
      for (let f = 0, at = c * features * width; f < features; f++) {
        const own = c * features + f, last = this.#gate("product", key + (c + 1) * size - 1, f), first = this.#gate("factor", key + c * size, f);
        let out = keySum[f] * byKeySum[f], into = 0;
        for (let e = f * width; e < f * width + width; e++, at++) {
          out += state[e] * byState[e];
          leaving[at] = byState[e] * last;
          const by = byState[e] * last + byEntering[at];
          into += entering[at] * by;
          byState[e] = first === 0 ? 0 : by * first;
          state[e] = before[at];
        }
        keysLeaving[own] = byKeySum[f] * last;
        const by = byKeySum[f] * last + byKeySums[own];
        starts[own] = into + keySums[own] * by;
        ends[own] = out;
        byKeySum[f] = first === 0 ? 0 : by * first;
        keySum[f] = first === 0 ? 0 : keySums[own] / first;
      }
    }
    return { starts, ends };
  }

  /** The products behind the first gate of each chunk, as `forward` had them. */
  #entering(before: Float32Array, { key, size }: Run): Float32Array {
    const { features, width } = this.#p;
    return before.map((x, at) => {
      const row = Math.floor(at / width), gate = this.#gate("factor", key + Math.floor(row / features) * size, row % features);
      return gate === 0 ? 0 : x * gate;
    });
  }

  /**
   * A log gate at token j scales all that passes from before j to j and behind: its gradient is the sum over i >= j of q_i dq_i - k_i dk_i. Summed inside each chunk alone, from what leaves the chunk
   * back to its second token; the first token's gate scales what enters, exactly. So rounding does not add up along the sequence, and a gate of 0 has a gradient of 0 exactly.
   */
  #gateGrads({ key, size, count }: Run, shares: Float64Array, starts: Float64Array, ends: Float64Array, out: Float32Array): void {
    const { features } = this.#p, { width } = this.#decay!;
    for (let c = 0; c < count; c++) {
      const sums = ends.subarray(c * features, (c + 1) * features);
      for (let i = size - 1; i >= 0; i--) {
        const token = key + c * size + i;
        let total = 0;
        for (let f = 0; f < features; f++) {
          sums[f] += shares[(c * size + i) * features + f];
          const by = i === 0 ? starts[c * features + f] : sums[f];
          total += by;
          if (width > 1) out[token * width + f] = by;
        }
        if (width === 1) out[token] = total;
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
      for (let head = 0; head < this.#heads; head++) for (let e = 0, row = head * queries + i; e < width; e++) sum[e] -= gammas[row] * upstream[row * width + e];
    }
    until(0);
  }
}
