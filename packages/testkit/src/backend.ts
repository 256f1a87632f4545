import { AssertionError, expectClose, expectExact, type Closeness } from "./compare.ts";
import { testRandom } from "./random.ts";

/** What the battery reads of a result. */
interface Values {
  readonly shape: readonly number[];
  readonly data: ArrayLike<number>;
}

/** Float32 values with a shape. */
interface Input {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** A backend: where tensors are made, how they are read, and its operations under their names. */
export interface BackendLike {
  readonly name: string;
  /** An input of the operations. */
  tensor(x: Input): unknown;
  /** Waits for a result, and throws where the operation refuses its input. */
  read(y: unknown): Promise<Values>;
  /** Gives the memory of a tensor back. */
  dispose?(y: unknown): void;
  /** The names of core-wasm. */
  readonly operations: Readonly<Record<string, (...args: never[]) => unknown>>;
}

/** One named assertion that waits. */
export interface BackendCheck {
  /** A sentence, for `it`. */
  readonly name: string;
  /** Rejects if the assertion does not hold. */
  run(): Promise<void>;
}

/** What a row is made of by the definition, in float64. */
interface Definition {
  /** Of one row, and of the upstream's row or number where there is one. */
  of(row: Float64Array, upstream: Float64Array, temperature: number): number | Float64Array;
  readonly bound: (row: Float64Array, upstream: Float64Array, temperature: number) => Closeness;
  /** What the second argument is. */
  readonly upstream?: "row" | "one";
  /** What the first argument is. Default scores. */
  readonly input?: "probabilities" | "logProbabilities";
  /** Takes a temperature. Default true. */
  readonly temperature?: false;
  /** Works along one axis only, the last. */
  readonly lastAxis?: true;
  readonly name?: string;
  /** Which part of the result. */
  readonly part?: string;
}

const total = (x: Float64Array): number => x.reduce((a, b) => a + b, 0);
const largest = (x: Float64Array): number => x.reduce((a, b) => (a > b ? a : b), -Infinity);
/** The weights exp(z) and z = (x - max) / T. */
const scaled = (row: Float64Array, t: number): Float64Array => {
  const top = largest(row);
  return row.map((v) => (v - top) / t);
};
const weights = (row: Float64Array, t: number): Float64Array => scaled(row, t).map(Math.exp);
const logZ = (row: Float64Array, t: number): number => largest(row) / t + Math.log(total(weights(row, t)));
const softmaxOf = (row: Float64Array, t: number): Float64Array => {
  const e = weights(row, t), z = total(e);
  return e.map((w) => w / z);
};
const dot = (p: Float64Array, u: Float64Array): number => p.reduce((sum, v, c) => (v === 0 ? sum : sum + v * u[c]), 0);
const mean = (row: Float64Array, t: number): number => dot(softmaxOf(row, t), scaled(row, t));
const others = (row: Float64Array, t: number): number => total(weights(row, t).sort().slice(0, -1));
const entropyOf = (row: Float64Array, t: number): number => Math.log1p(others(row, t)) - mean(row, t);

/**
 * 2^-24 is half a unit of float32. A distance to the maximum is rounded up to three times, |z| <= 88 of it counts; a sum over n columns keeps 16 + n / 4096 + 10 of them in a lane and a tree.
 */
const U = 2 ** -24;
const sumError = (n: number): number => (30 + n / 4096) * U;
const spread = (row: Float64Array, t: number): number => Math.min(88, -scaled(row, t).reduce((a, b) => (b > -Infinity && b < a ? b : a), 0));
const relative = (row: Float64Array, t: number): number => 3 * spread(row, t) * U + sumError(row.length);
const TINY = 2 ** -125;
const minus = (x: Float64Array, by: number): Float64Array => x.map((v) => v - by);
/** p x by; nothing where p is 0, whatever x is. */
const times = (p: Float64Array, x: Float64Array, by: number): Float64Array => p.map((v, c) => (v === 0 ? 0 : v * x[c] * by));
const logSoftmaxGradOf = (y: Float64Array, u: Float64Array, t: number): Float64Array => {
  const sum = total(u);
  return u.map((v, c) => (v - Math.exp(y[c]) * sum) / t);
};
const size = (x: Float64Array): number => total(x.map(Math.abs));

const DEFINITIONS: Readonly<Record<string, Definition>> = {
  softmax: { of: (row, _, t) => softmaxOf(row, t), bound: (row, _, t) => ({ rtol: relative(row, t), atol: TINY }) },
  logSoftmax: { of: (row, _, t) => minus(scaled(row, t), Math.log(total(weights(row, t)))), bound: (row) => ({ rtol: 4 * U, atol: sumError(row.length) + 4 * U * Math.log(row.length + 1) }) },
  logSumExp: { of: (row, _, t) => logZ(row, t), bound: (row, _, t) => ({ rtol: 3 * U, atol: sumError(row.length) + 3 * U * Math.abs(largest(row) / t) }) },
  entropy: { of: (row, _, t) => entropyOf(row, t), bound: () => ({ rtol: 2e-5, atol: TINY }) },
  max: { of: (row) => largest(row), bound: () => ({ atol: 0 }), temperature: false },
  argmax: { of: (row) => row.indexOf(largest(row)), bound: () => ({ atol: 0 }), temperature: false },
  softmaxGrad: {
    of: (p, u, t) => times(p, minus(u, dot(p, u)), 1 / t), upstream: "row", input: "probabilities",
    bound: (p, u, t) => ({ rtol: 4 * U, atol: (sumError(p.length) * size(u)) / t }),
  },
  logSoftmaxGrad: {
    of: (y, u, t) => logSoftmaxGradOf(y, u, t), upstream: "row", input: "logProbabilities",
    bound: (y, u, t) => ({ rtol: 4 * U, atol: ((sumError(y.length) + 8 * U) * size(u)) / t }),
  },
  logSumExpGrad: { of: (row, u, t) => softmaxOf(row, t).map((p) => (u[0] * p) / t), upstream: "one", bound: (row, _, t) => ({ rtol: relative(row, t) + 4 * U, atol: TINY }) },
  entropyGrad: {
    of: (row, u, t) => times(softmaxOf(row, t), minus(scaled(row, t), mean(row, t)), -u[0] / t), upstream: "one",
    bound: (row, u, t) => ({ rtol: relative(row, t), atol: (2e-5 * Math.abs(u[0])) / t }),
  },
  ...Object.fromEntries(
    (
      [
        ["maxProbability", (row, t) => 1 / (1 + others(row, t)), (row, t) => ({ rtol: relative(row, t) })],
        ["otherProbability", (row, t) => others(row, t) / (1 + others(row, t)), (row, t) => ({ rtol: relative(row, t), atol: row.length * TINY })],
        ["maxLogit", (row) => largest(row), () => ({ atol: 0 })],
        ["energy", (row, t) => -t * logZ(row, t), (row, t) => ({ rtol: 3 * U, atol: t * sumError(row.length) + 3 * U * Math.abs(largest(row)) })],
        ["entropy", entropyOf, (row) => ({ rtol: 2e-5, atol: row.length * 2 ** -119 })],
        ["margin", (row) => largest(row) - largest(row.slice().sort().slice(0, -1)), () => ({ ulp: 0.5 })],
        ["argmax", (row) => row.indexOf(largest(row)), () => ({ atol: 0 })],
      ] as [string, (row: Float64Array, t: number) => number, (row: Float64Array, t: number) => Closeness][]
    ).map(([part, of, bound]): [string, Definition] => [`logitStatistics ${part}`, { name: "logitStatistics", part, of: (row, _, t) => of(row, t), bound: (row, _, t) => bound(row, t), lastAxis: true }]),
  ),
};

const INF = Infinity;
/** Rows whose answers are part of the contract, T = 1: those of operations without upstream. */
const SPECIAL: Readonly<Record<string, readonly (readonly [row: readonly number[], want: number | readonly number[] | "refused"])[]>> = {
  softmax: [[[3], [1]], [[-INF, 2, -INF], [0, 1, 0]], [[1, NaN], [NaN, NaN]], [[0, INF, 1], [NaN, NaN, NaN]], [[-INF, -INF], [NaN, NaN]], [[3e38, -3e38], [1, 0]], [[5, 5, 5, 5], [0.25, 0.25, 0.25, 0.25]]],
  logSoftmax: [[[3], [0]], [[-INF, 2, -INF], [-INF, 0, -INF]], [[1, NaN], [NaN, NaN]], [[0, INF], [NaN, NaN]], [[-INF, -INF], [NaN, NaN]], [[3e38, -3e38], [0, -INF]]],
  logSumExp: [[[3], 3], [[-INF, 2], 2], [[1, NaN, INF], NaN], [[0, INF, -INF], INF], [[-INF, -INF], -INF], [[3e38, 3e38], Math.fround(3e38)]],
  entropy: [[[3], 0], [[-INF, 2, -INF], 0], [[1, NaN], NaN], [[0, INF], NaN], [[-INF, -INF], NaN], [[0, -200], 0]],
  max: [[[3], 3], [[-INF, -INF], -INF], [[1, NaN, 2], NaN], [[0, INF], INF], [[-0, 0], 0], [[-0, -0], -0], [[-1e-40, -1], Math.fround(-1e-40)]],
  argmax: [[[3], 0], [[-INF, -INF], 0], [[1, NaN, 2], "refused"], [[0, INF, INF], 1], [[-0, 0], 0], [[1, 2, 2], 1]],
  "logitStatistics maxProbability": [[[3], 1], [[-INF, 3, -INF], 1], [[0, INF], NaN], [[-INF, -INF], NaN], [[1, NaN], NaN]],
  "logitStatistics otherProbability": [[[3], 0], [[-INF, 3, -INF], 0], [[-INF, 1, 1], 0.5], [[0, INF], NaN], [[1, NaN], NaN]],
  "logitStatistics maxLogit": [[[3], 3], [[-0], 0], [[-0, 0], 0], [[0, INF], INF], [[-INF, -INF], -INF], [[1, NaN], NaN]],
  "logitStatistics energy": [[[3], -3], [[-0], 0], [[3e38, -3e38], -Math.fround(3e38)], [[0, INF], -INF], [[-INF, -INF], INF], [[1, NaN], NaN]],
  "logitStatistics entropy": [[[3], 0], [[0, -3e38], 0], [[0, INF], NaN], [[-INF, -INF], NaN], [[1, NaN], NaN]],
  "logitStatistics margin": [[[3], INF], [[-INF, 3], INF], [[4, 3, 4], 0], [[3e38, -3e38], INF], [[0, -3e38], Math.fround(3e38)], [[0, INF], INF], [[INF, 0, INF], NaN], [[-INF, -INF], NaN], [[1, NaN], NaN]],
  "logitStatistics argmax": [[[3], 0], [[-0, 0], 0], [[0, INF, INF], 1], [[-INF, -INF], 0], [[1, NaN], "refused"]],
};

/**
 * The battery of a backend, as named assertions: each operation against its definition in float64 within the bounds of one table (integers equal), its special rows, every axis, wide rows,
 * top-k against a sort, products against sums. The same for all backends.
 *
 * @example for (const { name, run } of backendChecks(backend)) it(name, run);
 */
export function backendChecks(backend: BackendLike): BackendCheck[] {
  const { operations } = backend;
  const checks: BackendCheck[] = [];

  const call = async (name: string, inputs: readonly Input[], rest: readonly unknown[], part?: string): Promise<Values> => {
    const tensors = inputs.map((x) => backend.tensor(x));
    const operation = operations[name] as ((...args: unknown[]) => unknown) | undefined;
    if (!operation) throw new AssertionError(`${backend.name} has no ${name}`);
    const y = operation(...tensors, ...rest);
    const parts = part === undefined ? [y] : Object.values(y as object);
    const wanted = part === undefined ? y : (y as Record<string, unknown>)[part];
    try {
      const { shape, data } = await backend.read(wanted);
      return { shape, data: Float64Array.from(data) };
    } finally {
      for (const x of [...tensors, ...parts]) backend.dispose?.(x);
    }
  };

  /** Shapes around the widths where kernels change; one of them with another axis. */
  const shapes: readonly (readonly [shape: readonly number[], axis: number])[] = [
    ...[1, 2, 3, 5, 8, 15, 16, 17, 31, 33, 64, 65, 255, 256, 257, 1000, 4097].map((c) => [[c > 300 ? 3 : 7, c], -1] as const), [[1, 7], -1], [[300, 3], -1], [[70], -1], [[2, 3, 4], -1], [[3, 20, 5], 1], [[40, 6], 0],
  ];

  for (const [key, { of, bound, upstream, input, temperature: tempered, lastAxis, name = key, part }] of Object.entries(DEFINITIONS)) {
    checks.push({
      name: `${key} agrees with the definition`,
      run: async () => {
        for (const [shape, axis] of shapes) {
          if (lastAxis && axis !== -1) continue;
          for (const temperature of tempered === false ? [1] : [1, 0.5, 3]) {
            const index = axis < 0 ? shape.length - 1 : axis, cols = shape[index];
            const elements = shape.reduce((a, b) => a * b, 1), inner = shape.slice(index + 1).reduce((a, b) => a * b, 1), rows = elements / cols;
            const random = testRandom(elements + cols);
            const at = (r: number, c: number): number => Math.floor(r / inner) * cols * inner + (r % inner) + c * inner;
            const data = Float32Array.from({ length: elements }, () => (cols > 2 && random.uniform() < 0.05 ? -INF : 4 * random.normal()));
            for (let r = 0; r < rows; r++) {
              data[at(r, r % cols)] = random.normal(); // a possible class in each row
              if (!input) continue;
              const p = softmaxOf(Float64Array.from({ length: cols }, (_, c) => data[at(r, c)]), 1);
              for (let c = 0; c < cols; c++) data[at(r, c)] = input === "probabilities" ? p[c] : Math.log(p[c]);
            }
            const above = Float32Array.from({ length: upstream === "row" ? elements : rows }, () => random.normal());
            const rest = shape.filter((_, i) => i !== index);
            const label = `${backend.name} ${key} [${shape.join(", ")}] axis ${axis} T ${temperature}`;
            const inputs = [{ shape, data: data.slice() }, ...(upstream ? [{ shape: upstream === "row" ? shape : rest, data: above }] : [])];
            const options = { ...(lastAxis ? {} : { axis }), ...(tempered === false ? {} : { temperature }) };
            const got = await call(name, inputs, [options], part);
            expectExact(inputs[0].data, data, `${label}: its input`);
            for (let r = 0; r < rows; r++) {
              const row = Float64Array.from({ length: cols }, (_, c) => data[at(r, c)]);
              const u = upstream === "row" ? Float64Array.from({ length: cols }, (_, c) => above[at(r, c)]) : Float64Array.of(above[r]);
              const want = of(row, u, temperature);
              const wide = typeof want !== "number";
              if (r === 0 && `${got.shape}` !== `${wide ? shape : rest}`) throw new AssertionError(`${label}: shape [${got.shape.join(", ")}]`);
              expectClose(wide ? Float64Array.from({ length: cols }, (_, c) => got.data[at(r, c)]) : got.data[r], want, { ...bound(row, u, temperature), label: `${label} row ${r}` });
            }
          }
        }
      },
    });
    for (const [row, want] of SPECIAL[key] ?? []) {
      checks.push({
        name: `${key} of ${JSON.stringify(row.map(String))} is ${String(want)}`,
        run: async () => {
          // Between ordinary rows, which keep their values.
          for (const place of [0, 1, 2]) {
            const cols = row.length, data = Float32Array.from({ length: 3 * cols }, (_, i) => (Math.floor(i / cols) === place ? row[i % cols] : (i % cols) / 2));
            const label = `${backend.name} ${key} of ${row.join(", ")} in row ${place}`;
            let got: Values | undefined, refusal: unknown;
            try {
              got = await call(name, [{ shape: [3, cols], data }], [part === undefined ? {} : { select: [part] }], part);
            } catch (error) {
              refusal = error;
            }
            if (want === "refused") {
              if (!(refusal instanceof RangeError && refusal.message.includes(`NaN in row ${place}`))) throw new AssertionError(`${label}: expected a RangeError that names row ${place}, got ${String(refusal ?? "none")}`);
              continue;
            }
            if (refusal !== undefined) throw refusal;
            const width = got!.data.length / 3;
            expectExact(Array.prototype.slice.call(got!.data, place * width, (place + 1) * width), typeof want === "number" ? [want] : [...want], label);
            const next = (place + 1) % 3;
            if (Array.prototype.slice.call(got!.data, next * width, (next + 1) * width).some((v: number) => Number.isNaN(v))) throw new AssertionError(`${label}: NaN in row ${next}`);
          }
        },
      });
    }
  }

  checks.push({
    name: "topK agrees with a stable sort, ties, signed zeros and infinities included, in both orders",
    run: async () => {
      const random = testRandom(11);
      const kinds: readonly (() => number)[] = [() => random.normal(), () => Math.round(2 * random.normal()), () => (random.uniform() < 0.5 ? -0 : 0), () => (random.uniform() < 0.3 ? -INF : random.uniform() < 0.05 ? INF : random.normal()), () => 7, () => random.normal() * 1e-41];
      for (const cols of [1, 2, 5, 33, 255, 256, 257, 300, 1000, 5003]) {
        const data = Float32Array.from({ length: kinds.length * cols }, (_, i) => kinds[Math.floor(i / cols)]());
        for (const k of new Set([1, Math.min(2, cols), Math.min(40, cols), cols <= 300 ? cols : 257])) {
          for (const sorted of [true, false]) {
            const label = `${backend.name} topK ${k} of ${cols}`;
            const indices = await call("topK", [{ shape: [kinds.length, cols], data }], [k, { sorted }], "indices");
            const values = await call("topK", [{ shape: [kinds.length, cols], data }], [k, { sorted }], "values");
            for (let r = 0; r < kinds.length; r++) {
              const row = data.subarray(r * cols, (r + 1) * cols);
              const want = [...row.keys()].sort((a, b) => (row[a] === row[b] ? a - b : row[a] < row[b] ? 1 : -1)).slice(0, k);
              if (!sorted) want.sort((a, b) => a - b);
              expectExact(Array.prototype.slice.call(indices.data, r * k, (r + 1) * k), want, `${label}, sorted ${sorted}, row ${r}`);
              expectExact(Array.prototype.slice.call(values.data, r * k, (r + 1) * k), want.map((c) => row[c]), `${label}, sorted ${sorted}, values of row ${r}`);
            }
          }
        }
      }
    },
  });
  checks.push({
    name: "topK refuses NaN and names row and column",
    run: async () => {
      for (const cols of [3, 300]) {
        const data = new Float32Array(2 * cols).fill(1);
        data[cols + 2] = NaN;
        const refusal: unknown = await call("topK", [{ shape: [2, cols], data }], [2], "indices").then(() => "none", (error: unknown) => error);
        if (!(refusal instanceof RangeError && refusal.message.endsWith("NaN in row 1, column 2"))) throw new AssertionError(`${backend.name} topK: expected a RangeError that names row 1, column 2, got ${String(refusal)}`);
      }
    },
  });
  checks.push({
    name: "matmul agrees with sums in float64, with transposes, batches and special values",
    run: async () => {
      const cases: readonly (readonly [batch: number, m: number, n: number, k: number, shared: "a" | "b" | "none"])[] = [[1, 1, 1, 1, "none"], [1, 3, 5, 7, "none"], [1, 64, 64, 16, "none"], [1, 65, 67, 33, "none"], [1, 2, 3, 600, "none"], [3, 5, 4, 20, "none"], [3, 5, 4, 20, "a"], [3, 70, 4, 20, "b"], [1, 1, 200, 64, "none"]];
      for (const [batch, m, n, k, shared] of cases) {
        for (const [transposeA, transposeB] of [[false, false], [true, false], [false, true], [true, true]]) {
          for (const special of [false, true]) {
            const random = testRandom(batch + m + n + k);
            const draw = (length: number): Float32Array => Float32Array.from({ length }, () => (special && random.uniform() < 0.03 ? [NaN, INF, -INF, 0][random.integer(4)] : random.normal()));
            const itemsA = shared === "a" ? 1 : batch, itemsB = shared === "b" ? 1 : batch;
            const a = draw(itemsA * m * k), b = draw(itemsB * k * n);
            const lead = (own: boolean): number[] => (own && batch > 1 ? [batch] : []);
            const inputs = [{ shape: [...lead(shared !== "a"), ...(transposeA ? [k, m] : [m, k])], data: a }, { shape: [...lead(shared !== "b"), ...(transposeB ? [n, k] : [k, n])], data: b }];
            const label = `${backend.name} matmul [${inputs.map(({ shape }) => shape.join(", ")).join("] x [")}] ${transposeA} ${transposeB} ${special}`;
            const got = await call("matmul", inputs, [{ transposeA, transposeB }]);
            if (`${got.shape}` !== `${[...lead(true), m, n]}`) throw new AssertionError(`${label}: shape [${got.shape.join(", ")}]`);
            for (let item = 0; item < batch; item++) {
              for (let i = 0; i < m; i++) {
                for (let j = 0; j < n; j++) {
                  let want = 0, magnitude = 0;
                  for (let p = 0; p < k; p++) {
                    const x = a[(shared === "a" ? 0 : item * m * k) + (transposeA ? p * m + i : i * k + p)] * b[(shared === "b" ? 0 : item * k * n) + (transposeB ? j * k + p : p * n + j)];
                    want += x;
                    magnitude += Math.abs(x);
                  }
                  expectClose(got.data[(item * m + i) * n + j], want, { atol: Number.isFinite(magnitude) ? (Math.min(k, 256) + k / 256 + 1) * U * magnitude : 0, rtol: U, label: `${label} [${item}, ${i}, ${j}]` });
                }
              }
            }
          }
        }
      }
    },
  });
  checks.push({
    name: "operations take no rows",
    run: async () => {
      for (const [key, { name = key, upstream, part }] of Object.entries(DEFINITIONS)) {
        const inputs = [{ shape: [0, 3], data: new Float32Array(0) }, ...(upstream ? [{ shape: upstream === "row" ? [0, 3] : [0], data: new Float32Array(0) }] : [])];
        const got = await call(name, inputs, [{}], part);
        if (got.data.length !== 0 || got.shape[0] !== 0) throw new AssertionError(`${backend.name} ${key} of no rows has shape [${got.shape.join(", ")}]`);
      }
    },
  });
  return checks;
}

/** Runs the whole battery of {@link backendChecks}; the first assertion that fails is named. */
export async function checkBackend(backend: BackendLike): Promise<void> {
  for (const { name, run } of backendChecks(backend)) {
    try {
      await run();
    } catch (cause) {
      throw new AssertionError(`${backend.name}: ${name}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    }
  }
}
