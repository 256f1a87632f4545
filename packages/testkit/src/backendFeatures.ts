import type { BackendCheck, BackendLike } from "./backend.ts";
import { AssertionError, expectClose, expectExact } from "./compare.ts";
import { finiteDifferenceGradient } from "./differences.ts";
import { testRandom } from "./random.ts";

/** Float32 values with a shape. */
interface Input {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** Numbers, and how far a backend may be from each. */
interface Bounded {
  readonly want: Float64Array;
  readonly bound: Float64Array;
}

/** 2^-24 is half a unit of float32. */
const U = 2 ** -24;
/** Units of the sum of magnitudes that a product of `k` terms may be off: blocks of 256, their sum, two more roundings. */
const sum = (k: number): number => (Math.min(k, 256) + k / 256 + 2) * U;
/** Of a sum of exponentials of `n` scores, and of what is made of it: 16 + n / 4096 + 10 in a lane and a tree, an exponential, a product and a quotient. */
const share = (n: number, spread: number): number => (60 + n / 4096 + 3 * Math.min(88, spread)) * U;
const INF = Infinity;
const count = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
const bounded = (length: number): Bounded => ({ want: new Float64Array(length), bound: new Float64Array(length) });
const normals = (seed: number, ...shape: number[]): Input => {
  const random = testRandom(seed);
  return { shape, data: Float32Array.from({ length: count(shape) }, () => random.normal()) };
};

/** A linear layer and the cross-entropy of its rows, in float64: one loss, log Z and coefficient for each row. */
function linearDefinition(x: ArrayLike<number>, w: ArrayLike<number>, labels: readonly number[], size: number, c: readonly number[], { bias, softCap = 0, zLoss = 0, labelSmoothing = 0 }: { bias?: ArrayLike<number> | undefined; softCap?: number; zLoss?: number; labelSmoothing?: number }) {
  const rows = labels.length, words = w.length / size, losses = bounded(rows), logs = bounded(rows), hidden = bounded(x.length), weights = bounded(w.length), biases = bounded(words);
  for (let b = 0; b < rows; b++) {
    const z = new Float64Array(words);
    let magnitude = 0, highest = 0;
    for (let v = 0; v < words; v++) {
      let terms = 0;
      for (let d = 0; d < size; d++) {
        z[v] += x[b * size + d] * w[v * size + d];
        terms += Math.abs(x[b * size + d] * w[v * size + d]);
      }
      if (bias) z[v] += bias[v];
      if (softCap && z[v] > -INF) z[v] = softCap * Math.tanh(z[v] / softCap);
      if (z[v] > -INF) [magnitude, highest] = [Math.max(magnitude, terms), Math.max(highest, Math.abs(z[v]))];
    }
    const top = Math.max(...z), L = top + Math.log(z.reduce((a, v) => a + Math.exp(v - top), 0)), lowest = z.reduce((a, v) => (v > -INF ? Math.min(a, v) : a), top);
    // Error of a logit, and of a probability beside that.
    const e = sum(size) * magnitude + 4 * U * highest, s = share(words, top - lowest), y = labels[b], over = 1 + 2 * zLoss * Math.abs(L);
    logs.want[b] = L;
    logs.bound[b] = e + s + 3 * U * Math.abs(L);
    const possible = z.filter((v) => v > -INF), even = labelSmoothing / possible.length;
    losses.want[b] = L - (1 - labelSmoothing) * z[y] - even * possible.reduce((a, v) => a + v, 0) + zLoss * L * L;
    // The mean of the logits is a sum of all of them.
    losses.bound[b] = 2 * e * over + s * over + 4 * U * (Math.abs(L) + zLoss * L * L) + (labelSmoothing > 0 ? sum(words) * highest : 0);
    for (let v = 0; v < words; v++) {
      const p = Math.exp(z[v] - L), own = (v === y ? 1 - labelSmoothing : 0) + (z[v] > -INF ? even : 0), slope = softCap && z[v] > -INF ? 1 - (z[v] / softCap) ** 2 : 1, size1 = Math.abs(c[b]) * (over * p + own);
      const g = c[b] * ((1 + 2 * zLoss * L) * p - own) * slope, error = size1 * (s + (softCap ? (2 * e) / softCap : 0)) + 4 * e * Math.abs(c[b]) * over * p;
      for (let d = 0; d < size; d++) {
        const i = b * size + d, j = v * size + d;
        hidden.want[i] += g * w[j];
        hidden.bound[i] += Math.abs(w[j]) * (error + sum(words) * size1);
        weights.want[j] += g * x[i];
        weights.bound[j] += Math.abs(x[i]) * (error + sum(rows) * size1);
      }
      biases.want[v] += g;
      biases.bound[v] += error + sum(rows) * size1;
    }
  }
  return { losses, logs, hidden, weights, bias: biases };
}

interface AttentionCase {
  /** B, H, Hkv, T, S, D, E. */
  readonly sizes: readonly [number, number, number, number, number, number, number];
  readonly scale?: number;
  readonly causal?: boolean;
  readonly windowSize?: number;
  readonly queryOffset?: number;
  readonly lengths?: readonly number[];
  readonly softCap?: number;
  readonly sinks?: readonly number[];
  readonly softmaxOne?: boolean;
}

/** Attention and its gradients in float64, from the formulas, score by score. */
function attentionDefinition({ sizes: [B, H, G, T, S, D, E], ...o }: AttentionCase, q: ArrayLike<number>, k: ArrayLike<number>, v: ArrayLike<number>, sinks: ArrayLike<number> | undefined, up?: ArrayLike<number>, upLog?: ArrayLike<number>) {
  const output = bounded(B * H * T * E), logSumExp = bounded(B * H * T), query = bounded(q.length), key = bounded(k.length), value = bounded(v.length), sink = bounded(H);
  const scale = o.scale ?? 1 / Math.sqrt(D), offset = o.queryOffset ?? S - T;
  for (let r = 0; r < B * H * T; r++) {
    const t = r % T, h = Math.floor(r / T) % H, b = Math.floor(r / T / H), p = t + offset, item = b * G + Math.floor((h * G) / H);
    const seen = Array.from({ length: S }, (_, j) => j).filter((j) => (!o.causal || j <= p) && (o.windowSize === undefined || Math.abs(p - j) < o.windowSize) && (!o.lengths || j < o.lengths[b]));
    const none = o.softmaxOne ? 0 : (sinks?.[h] ?? -INF), s = new Float64Array(S);
    let magnitude = 0, highest = none > -INF ? Math.abs(none) : 0;
    for (const j of seen) {
      let terms = 0;
      for (let d = 0; d < D; d++) {
        const term = scale * q[r * D + d] * k[(item * S + j) * D + d];
        s[j] += term;
        terms += Math.abs(term);
      }
      if (o.softCap) s[j] = o.softCap * Math.tanh(s[j] / o.softCap);
      [magnitude, highest] = [Math.max(magnitude, terms), Math.max(highest, Math.abs(s[j]))];
    }
    const top = seen.reduce((a, j) => Math.max(a, s[j]), none);
    if (top === -INF) {
      logSumExp.want[r] = -INF;
      continue;
    }
    const L = top + Math.log(seen.reduce((a, j) => a + Math.exp(s[j] - top), Math.exp(none - top))), low = seen.reduce((a, j) => Math.min(a, s[j]), top);
    const e = sum(D) * magnitude + 5 * U * highest, relative = 2 * e + share(seen.length, top - low);
    logSumExp.want[r] = L;
    logSumExp.bound[r] = e + share(seen.length, 0) + 3 * U * Math.abs(L);
    const slope = new Float64Array(S), slopeSize = new Float64Array(S);
    let mean = upLog ? -upLog[r] : 0, meanSize = Math.abs(mean);
    for (const j of seen) {
      const P = Math.exp(s[j] - L);
      for (let i = 0; i < E; i++) {
        const at = (item * S + j) * E + i, above = up ? up[r * E + i] : 0;
        output.want[r * E + i] += P * v[at];
        output.bound[r * E + i] += P * Math.abs(v[at]) * (relative + sum(seen.length));
        value.want[at] += P * above;
        value.bound[at] += P * Math.abs(above) * (relative + sum((T * H) / G));
        slope[j] += above * v[at];
        slopeSize[j] += Math.abs(above * v[at]);
      }
      mean += P * slope[j];
      meanSize += P * slopeSize[j];
    }
    for (const j of seen) {
      const P = Math.exp(s[j] - L), bend = o.softCap ? 1 - (s[j] / o.softCap) ** 2 : 1, g = scale * P * (slope[j] - mean) * bend, size = Math.abs(scale) * P * (slopeSize[j] + meanSize);
      const error = size * (2 * relative + sum(E) + (o.softCap ? (4 * e) / o.softCap : 0));
      for (let d = 0; d < D; d++) {
        const at = (item * S + j) * D + d;
        query.want[r * D + d] += g * k[at];
        query.bound[r * D + d] += Math.abs(k[at]) * (error + size * sum(seen.length));
        key.want[at] += g * q[r * D + d];
        key.bound[at] += Math.abs(q[r * D + d]) * (error + size * sum((T * H) / G));
      }
    }
    if (none > -INF) {
      const P = Math.exp(none - L);
      sink.want[h] -= P * mean;
      sink.bound[h] += P * meanSize * (2 * relative + sum(E) + sum(T) + B * U);
    }
  }
  return { output, logSumExp, grads: { query, key, value, sinks: sink } };
}

/**
 * The battery of the operations that belong to features, as named assertions: nearest neighbours, Mahalanobis scores, cross-entropy of a linear layer and attention, both with their gradients, against definitions in
 * float64 within bounds that follow from the number of roundings; gradients of the definitions against differences. `operations` has `nearestNeighbors` of core-wasm, `mahalanobis(features, { mean, whitening, means })`,
 * `linearCrossEntropy` of losses and `attention` of attention. The same for all backends.
 *
 * @example for (const { name, run } of featureChecks(backend)) it(name, run);
 */
export function featureChecks(backend: BackendLike): BackendCheck[] {
  const checks: BackendCheck[] = [];
  type Results = { readonly [name: string]: { readonly shape: readonly number[]; readonly data: Float64Array } };

  /** Calls an operation, or its `withGrad`, and reads the results under their names, those of inner objects too. */
  const call = async (name: string, gradient: boolean, inputs: readonly Input[], rest: readonly unknown[] = []): Promise<Results> => {
    const operation = backend.operations[name] as unknown as { (...args: unknown[]): unknown; withGrad(...args: unknown[]): unknown } | undefined;
    if (!operation) throw new AssertionError(`${backend.name} has no ${name}`);
    const before = inputs.map(({ data }) => data.slice()), tensors = inputs.map((x) => backend.tensor(x)), made: unknown[] = [], results: Record<string, Results[string]> = {};
    const collect = async (prefix: string, y: unknown): Promise<void> => {
      if (typeof y !== "object" || y === null) return;
      if ("shape" in y) {
        made.push(y);
        const { shape, data } = await backend.read(y);
        results[prefix] = { shape, data: Float64Array.from(data) };
      } else for (const [part, inner] of Object.entries(y)) await collect(part, inner);
    };
    try {
      await collect("result", gradient ? operation.withGrad(...tensors, ...rest) : operation(...tensors, ...rest));
    } finally {
      for (const x of [...tensors, ...made]) backend.dispose?.(x);
    }
    inputs.forEach((x, i) => expectExact(x.data, before[i], `${backend.name} ${name}: its argument ${i}`));
    return results;
  };
  const within = (label: string, got: Results[string] | undefined, shape: readonly number[], { want, bound }: Bounded): void => {
    if (`${got?.shape}` !== `${shape}`) throw new AssertionError(`${label}: expected shape [${shape.join(", ")}], got [${got?.shape.join(", ")}]`);
    want.forEach((value, i) => expectClose(got!.data[i], value, { atol: bound[i] + 2 ** -120, label: `${label} [${i}]` }));
  };

  checks.push({
    name: "nearestNeighbors of whole numbers agrees with a stable sort: ties, rows that are nobody's neighbours, queries with NaN",
    run: async () => {
      for (const [n, m, f, k] of [[1, 1, 1, 1], [5, 40, 3, 7], [9, 300, 20, 40], [2, 5000, 4, 300], [3, 4, 2, 4], [0, 3, 2, 2]]) {
        const random = testRandom(n + m), whole = (rows: number): Input => ({ shape: [rows, f], data: Float32Array.from({ length: rows * f }, () => Math.round(2 * random.normal())) }), queries = whole(n), bank = whole(m);
        if (m > 3) [bank.data[0], bank.data[f], bank.data[2 * f]] = [NaN, INF, 3e38];
        if (n > 2) queries.data[f + 1] = NaN;
        const { distances, indices } = await call("nearestNeighbors", false, [queries, bank], [k]);
        if (`${distances.shape}` !== `${[n, k]}` || `${indices.shape}` !== `${[n, k]}`) throw new AssertionError(`${backend.name} nearestNeighbors: shapes [${distances.shape.join(", ")}], [${indices.shape.join(", ")}]`);
        for (let i = 0; i < n; i++) {
          const query = queries.data.subarray(i * f, (i + 1) * f), nan = query.some((v) => v !== v);
          const sorted = Array.from({ length: m }, (_, row) => ({ row, d: query.reduce((total, v, j) => total + (v - bank.data[row * f + j]) ** 2, 0) })).filter(({ d }) => d < 3.4e38).sort((a, b) => a.d - b.d || a.row - b.row).slice(0, k);
          while (sorted.length < k) sorted.push({ row: -1, d: nan ? NaN : INF });
          const label = `${backend.name} nearestNeighbors [${n}, ${f}] [${m}, ${f}] ${k}, query ${i}`;
          expectExact(distances.data.subarray(i * k, (i + 1) * k), sorted.map(({ d }) => d), label);
          expectExact(indices.data.subarray(i * k, (i + 1) * k), sorted.map(({ row }) => row), `${label}, indices`);
        }
      }
    },
  });
  checks.push({
    name: "nearestNeighbors keeps the digits of distances, and leaves out nobody who is nearer",
    run: async () => {
      for (const [n, m, f, k] of [[7, 60, 1, 3], [20, 500, 33, 10], [3, 70, 600, 5]]) {
        // Far from 0, near each other: what |q|^2 + |b|^2 - 2 q . b would lose.
        const queries = normals(n, n, f), bank = normals(m, m, f), bound = (sum(f) + 6 * U) * 1.01;
        for (const x of [queries, bank]) for (let i = 0; i < x.data.length; i++) x.data[i] += 1000;
        const { distances, indices } = await call("nearestNeighbors", false, [queries, bank], [k]);
        for (let i = 0; i < n; i++) {
          const exact = Array.from({ length: m }, (_, row) => queries.data.subarray(i * f, (i + 1) * f).reduce((total, v, j) => total + (v - bank.data[row * f + j]) ** 2, 0)), mine = [...indices.data.subarray(i * k, (i + 1) * k)];
          const label = `${backend.name} nearestNeighbors F ${f}, query ${i}`;
          mine.forEach((row, j) => expectClose(distances.data[i * k + j], exact[row], { rtol: bound, label }));
          const farthest = distances.data[i * k + k - 1];
          if (new Set(mine).size !== k || exact.some((d, row) => !mine.includes(row) && d < farthest * (1 - 2 * bound))) throw new AssertionError(`${label}: rows ${mine.join(", ")} are not the nearest`);
        }
      }
    },
  });
  checks.push({
    name: "mahalanobis agrees with the definition; a row with NaN is NaN, with an infinity or too far Infinity",
    run: async () => {
      for (const [shape, f, classes] of [[[1], 1, 1], [[40], 5, 3], [[3, 5], 33, 10], [[0], 4, 2], [[], 3, 2]] as const) {
        const rows = count(shape), features = { ...normals(f, rows, f), shape: [...shape, f] }, mean = normals(f + 1, f), w = normals(f + 2, f, f), means = normals(f + 3, classes, f);
        for (let i = 0; i < f; i++) for (let j = i; j < f; j++) w.data[i * f + j] = i === j ? Math.abs(w.data[i * f + j]) + 0.1 : 0;
        for (const x of [features, mean]) for (let i = 0; i < x.data.length; i++) x.data[i] += 3;
        if (rows > 12) [features.data[f], features.data[2 * f + 1], features.data[3 * f]] = [NaN, -INF, 3e38];
        const state = { mean: backend.tensor(mean), whitening: backend.tensor(w), means: backend.tensor(means) }, { result } = await call("mahalanobis", false, [features], [state]);
        for (const x of Object.values(state)) backend.dispose?.(x);
        const scores = bounded(rows);
        for (let r = 0; r < rows; r++) {
          const x = features.data.subarray(r * f, (r + 1) * f), all = Array.from({ length: classes }, () => 0), errors = Array.from({ length: classes }, () => 0);
          for (let i = 0; i < f; i++) {
            let y = 0, magnitude = 0;
            for (let j = 0; j <= i; j++) {
              y += w.data[i * f + j] * (x[j] - mean.data[j]);
              magnitude += Math.abs(w.data[i * f + j] * (x[j] - mean.data[j]));
            }
            for (let c = 0; c < classes; c++) {
              const d = y - means.data[c * f + i], e = (sum(f) + 2 * U) * magnitude;
              all[c] += d * d;
              errors[c] += 2 * Math.abs(d) * e + e * e;
            }
          }
          const best = Math.min(...all), of = all.indexOf(best);
          scores.want[r] = x.some((v) => v !== v) ? NaN : best < 3.4e38 ? best : INF;
          scores.bound[r] = best < 3.4e38 ? errors[of] + (sum(f) + 6 * U) * best : 0;
        }
        within(`${backend.name} mahalanobis [${features.shape.join(", ")}]`, result, shape, scores);
      }
    },
  });

  const linearCases = [
    { sizes: [4, 9, 3] }, { sizes: [1, 1, 1] }, { sizes: [70, 40, 20], softCap: 3, zLoss: 0.1, reduction: "none" }, { sizes: [30, 700, 5], bias: true, weighted: true }, { sizes: [6, 300, 300], bias: true, softCap: 5, reduction: "sum" },
    { sizes: [9, 12, 4], weighted: true, bias: true, reduction: "none", zLoss: 0.01 }, { sizes: [0, 5, 2] },
    { sizes: [5, 8, 2], labelSmoothing: 0.25 }, { sizes: [7, 900, 6], labelSmoothing: 0.1, bias: true, softCap: 4, zLoss: 0.01, reduction: "none" },
  ] as const;
  for (const { sizes: [rows, words, size], ...o } of linearCases) {
    const { softCap, zLoss, labelSmoothing, reduction = "mean", bias: withBias = false, weighted = false } = o as { softCap?: number; zLoss?: number; labelSmoothing?: number; reduction?: string; bias?: boolean; weighted?: boolean };
    const label = `linearCrossEntropy [${rows}, ${size}] [${words}, ${size}] ${JSON.stringify(o)}`;
    checks.push({
      name: `${label} and its gradients agree with the definition`,
      run: async () => {
        const random = testRandom(rows + words), x = normals(rows + 1, rows, size), w = normals(words + 2, words, size), bias = withBias ? normals(3, words).data : undefined, labels = Array.from({ length: rows }, () => random.integer(words));
        // Logits of the size of 1: what is asked is then a small part of every result.
        x.data.forEach((value, i) => (x.data[i] = value / Math.sqrt(size)));
        // Impossible words, but for the labels.
        for (let v = 0; v < words; v += 5) if (bias && !labels.includes(v)) bias[v] = -INF;
        // Rows that take no part, whatever stands in them.
        const weight = labels.map((_, i) => (weighted ? (i % 3 === 1 ? 0 : 1 + i) : 1)), mass = reduction === "mean" ? weight.reduce((a, b) => a + b, 0) || 1 : 1;
        const upstream = reduction === "none" ? labels.map(() => Math.fround(random.normal())) : [2], given = { ...x, data: x.data.slice() };
        weight.forEach((a, i) => a === 0 && given.data.fill(NaN, i * size, (i + 1) * size));
        const c = weight.map((a, i) => (a / mass) * upstream[reduction === "none" ? i : 0]), terms = { bias, ...(softCap && { softCap }), ...(zLoss && { zLoss }), ...(labelSmoothing && { labelSmoothing }) };
        const { losses, logs, ...grads } = linearDefinition(x.data, w.data, labels, size, c, terms);
        if (count([rows, size]) + words * size < 100) {
          const value = (theta: Float64Array): number => linearDefinition(theta.subarray(0, rows * size), theta.subarray(rows * size), labels, size, c, terms).losses.want.reduce((total, loss, i) => total + c[i] * loss, 0);
          expectClose([...grads.hidden.want, ...grads.weights.want], finiteDifferenceGradient(value, [...x.data, ...w.data]), { atol: 1e-8 * (1 + Math.max(0, ...c.map(Math.abs))), label: `the gradient of the definition of ${label}` });
        }
        const options = { reduction, ...(softCap && { softCap }), ...(zLoss && { zLoss }), ...(labelSmoothing && { labelSmoothing }), ...(weighted && { weight }), ...(bias && { bias }) };
        const got = await call("linearCrossEntropy", true, [given, w], [labels, { ...options, upstream: { shape: reduction === "none" ? [rows] : [], data: Float32Array.from(upstream) } }]), alone = await call("linearCrossEntropy", false, [given, w], [labels, options]);
        const each = { want: losses.want.map((loss, i) => (weight[i] === 0 ? 0 : (weight[i] / mass) * loss)), bound: losses.bound.map((e, i) => (weight[i] / mass) * (e + 2 * U * Math.abs(losses.want[i]))) };
        const totalOf = (values: Float64Array): number => values.reduce((a, b) => a + b, 0);
        const loss = reduction === "none" ? each : { want: Float64Array.of(totalOf(each.want)), bound: Float64Array.of(totalOf(each.bound) + sum(rows) * totalOf(each.want.map(Math.abs))) };
        within(`${backend.name} ${label}: loss`, got.loss, reduction === "none" ? [rows] : [], loss);
        expectExact(alone.result.data, got.loss.data, `${backend.name} ${label}: without gradients`);
        within(`${backend.name} ${label}: logSumExp`, got.logSumExp, [rows], { want: logs.want.map((L, i) => (weight[i] === 0 ? 0 : L)), bound: logs.bound });
        // Coefficients are rounded once, or twice.
        for (const [part, shape] of [["hidden", [rows, size]], ["weights", [words, size]], ...(bias ? [["bias", [words]]] : [])] as [keyof typeof grads, number[]][]) within(`${backend.name} ${label}: gradient of ${part}`, got[part], shape, grads[part]);
        if (!bias && got.bias) throw new AssertionError(`${backend.name} ${label}: a gradient of no bias`);
      },
    });
  }
  checks.push({
    name: "linearCrossEntropy of impossible labels, rows without a word, NaN and infinities",
    run: async () => {
      for (const [x, w, bias, loss, logZ] of [
        [[1, 2], [1, 1, 1, 0.5], [-INF, 1], INF, 3], [[1, 2], [1, 1, 1, 0.5], [-INF, -INF], NaN, -INF], [[1, NaN], [1, 0, 0, 1], undefined, NaN, NaN], [[1, INF], [1, 1, 1, 2], undefined, NaN, NaN],
        [[1, -INF], [1, 1, 1, 0.5], undefined, NaN, -INF], [[1, 2], [1, 1, 1, 0.5], [2, -INF], 0, 5], [[3e38, 3e38], [1, 0, 0, -1], undefined, 0, Math.fround(3e38)],
      ] as const) {
        const options = { reduction: "none", ...(bias && { bias: Float32Array.from(bias) }) }, got = await call("linearCrossEntropy", true, [{ shape: [1, 2], data: Float32Array.from(x) }, { shape: [2, 2], data: Float32Array.from(w) }], [[0], options]);
        expectExact([got.loss.data[0], got.logSumExp.data[0]], [loss, logZ], `${backend.name} linearCrossEntropy of ${x.join(", ")} bias ${bias?.join(", ")}`);
      }
    },
  });

  const attentionCases: readonly AttentionCase[] = [
    { sizes: [1, 1, 1, 3, 5, 4, 2] }, { sizes: [2, 4, 2, 3, 5, 3, 2], causal: true, lengths: [2, 5] }, { sizes: [1, 2, 1, 4, 4, 2, 3], windowSize: 2, sinks: [0.5, -1], softCap: 1.5, scale: 1.25 }, { sizes: [2, 2, 2, 9, 7, 3, 3], windowSize: 3, softmaxOne: true, lengths: [0, 7] },
    { sizes: [1, 1, 1, 5, 9, 3, 3], queryOffset: -2, causal: true }, { sizes: [1, 4, 1, 40, 300, 8, 6], causal: true, windowSize: 100, sinks: [1, 0, -1, 2] }, { sizes: [2, 2, 1, 70, 33, 40, 20], softCap: 4, causal: true },
    { sizes: [2, 2, 1, 3, 0, 3, 2], sinks: [1, -INF] }, { sizes: [2, 2, 1, 0, 3, 3, 2], sinks: [1, 2] }, { sizes: [0, 2, 1, 4, 3, 3, 2] }, { sizes: [1, 1, 1, 3, 4, 2, 2], scale: -0.5, causal: true, queryOffset: 0 },
  ];
  for (const given of attentionCases) {
    const { sizes: [B, H, G, T, S, D, E], sinks, ...o } = given, label = `attention ${JSON.stringify(given)}`;
    checks.push({
      name: `${label} and its gradients agree with the definition`,
      run: async () => {
        const q = normals(1 + T, B, H, T, D), k = normals(2 + S, B, G, S, D), v = normals(3 + S, B, G, S, E), up = normals(4 + T, B, H, T, E), upLog = S % 2 === 1 ? normals(5 + T, B, H, T) : undefined;
        const want = attentionDefinition(given, q.data, k.data, v.data, sinks, up.data, upLog?.data);
        if (T * S > 0 && T * S < 25 && B > 0 && o.queryOffset === undefined) {
          const starts = [0, q.data.length, q.data.length + k.data.length, q.data.length + k.data.length + v.data.length], cut = (theta: Float64Array, i: number): Float64Array => theta.subarray(starts[i], starts[i + 1]);
          const value = (theta: Float64Array): number => {
            const { output, logSumExp } = attentionDefinition(given, cut(theta, 0), cut(theta, 1), cut(theta, 2), sinks && theta.subarray(starts[3]));
            return output.want.reduce((total, y, i) => total + y * up.data[i], 0) + (upLog ? logSumExp.want.reduce((total, L, i) => total + L * upLog.data[i], 0) : 0);
          };
          const { query, key, value: values, sinks: ofSinks } = want.grads;
          expectClose([...query.want, ...key.want, ...values.want, ...(sinks ? ofSinks.want : [])], finiteDifferenceGradient(value, [...q.data, ...k.data, ...v.data, ...(sinks ?? [])]), { atol: 1e-8, label: `the gradient of the definition of ${label}` });
        }
        const options = { ...o, ...(sinks && { sinks: Float32Array.from(sinks) }) }, upstream = [backend.tensor(up), upLog && backend.tensor(upLog)];
        const got = await call("attention", true, [q, k, v], [{ ...options, upstream: upstream[0], ...(upLog && { upstreamLogSumExp: upstream[1] }) }]), alone = await call("attention", false, [q, k, v], [options]);
        for (const x of upstream) if (x) backend.dispose?.(x);
        within(`${backend.name} ${label}: output`, got.output, [B, H, T, E], want.output);
        within(`${backend.name} ${label}: logSumExp`, got.logSumExp, [B, H, T], want.logSumExp);
        for (const part of ["output", "logSumExp"]) expectExact(alone[part].data, got[part].data, `${backend.name} ${label}: ${part} without gradients`);
        for (const [part, shape] of [["query", q.shape], ["key", k.shape], ["value", v.shape], ...(sinks ? [["sinks", [H]]] : [])] as [keyof typeof want.grads, number[]][]) within(`${backend.name} ${label}: gradient of ${part}`, got[part], shape, want.grads[part]);
      },
    });
  }
  checks.push({
    name: "attention of NaN, infinities and few axes",
    run: async () => {
      for (const [q, k, v, options, output, logSumExp] of [
        [[1, NaN], [1, 0, 0, 1], [1, 2], {}, NaN, NaN], [[1, INF], [1, 1, 1, 2], [1, 2], {}, NaN, NaN], [[1, -INF], [1, 1, 1, 0.5], [1, 2], {}, 0, -INF], [[1, -INF], [1, 1, 1, -0.5], [1, 2], {}, NaN, NaN], [[1, -INF], [1, 1, 1, 0.5], [1, 2], { scale: 0 }, NaN, NaN],
        [[3e38, 1], [1, 1, -1, 0.5], [1, 7], { scale: 1 }, 1, Math.fround(3e38)], [[1, 1], [1, 1, 1, 1], [1, 7], { causal: true, queryOffset: -1 }, 0, -INF], [[1, 1], [0, 0, 0, 0], [1, 7], { causal: true, queryOffset: 0 }, 1, 0], [[1, 1], [0, 0, 0, 0], [1, 7], { sinks: [NaN] }, NaN, NaN],
      ] as const) {
        const got = await call("attention", false, [{ shape: [1, 2], data: Float32Array.from(q) }, { shape: [2, 2], data: Float32Array.from(k) }, { shape: [2, 1], data: Float32Array.from(v) }], [options]);
        const label = `${backend.name} attention of ${q.join(", ")} ${JSON.stringify(options)}`;
        expectExact(got.output, { shape: [1, 1], data: [output] }, label);
        expectExact(got.logSumExp, { shape: [1], data: [logSumExp] }, label);
      }
    },
  });
  return checks;
}
