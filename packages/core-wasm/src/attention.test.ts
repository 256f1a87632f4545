import { Tensor } from "@logits/tensor";
import { expectClose, expectExact, finiteDifferenceGradient, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { attentionRef } from "./attention.ref.ts";
import { attentionForward, attentionGradient, blockEnd, runsOf, type AttentionProblem } from "./families/attention.ts";
import { attentionDecode, cacheFormat } from "./families/decode.ts";
import { core } from "./index.ts";

interface Shape { readonly batch?: number; readonly heads?: number; readonly groups?: number; readonly queries: number; readonly keys: number; readonly features?: number; readonly width?: number }
interface Settings {
  readonly cap?: number; readonly sigmoid?: boolean; readonly sinks?: boolean; readonly relative?: boolean; readonly bias?: "full" | "heads" | "keys"; readonly mask?: "full" | "keys"; readonly causal?: boolean; readonly window?: number;
  readonly spread?: number; readonly perBatch?: boolean;
}

function make({ batch = 1, heads = 1, groups = heads, queries, keys, features = 8, width = features }: Shape, settings: Settings = {}) {
  const random = testRandom(1000 * queries + 10 * keys + features), { spread = 1 } = settings;
  const normal = (n: number): Float32Array => Float32Array.from({ length: n }, () => spread * random.normal());
  const ofBatch = settings.perBatch ? batch : 1, from = new Int32Array(ofBatch * queries), to = new Int32Array(ofBatch * queries);
  for (let b = 0; b < ofBatch; b++) {
    for (let i = 0; i < queries; i++) {
      const at = i + keys - queries;
      from[b * queries + i] = settings.window === undefined ? 0 : Math.max(0, at - settings.window + 1);
      to[b * queries + i] = Math.max(0, Math.min(keys - b, settings.causal ? at + 1 : settings.window === undefined ? keys : at + settings.window));
    }
  }
  const biasRows = settings.bias === "full" ? batch * heads * queries : settings.bias === "heads" ? heads * queries : 1;
  const problem: AttentionProblem = {
    sizes: { batch, heads, groups, queries, keys, features, width },
    query: new Tensor("float32", [batch, heads, queries, features], normal(batch * heads * queries * features)),
    key: new Tensor("float32", [batch, groups, keys, features], normal(batch * groups * keys * features)),
    value: new Tensor("float32", [batch, groups, keys, width], normal(batch * groups * keys * width)),
    scale: 1 / Math.sqrt(features), softCap: settings.cap ?? 0, from, to,
    shifts: settings.sigmoid ? Float32Array.from({ length: heads }, (_, h) => h - 1) : undefined, sinks: settings.sinks ? Float32Array.from({ length: heads }, (_, h) => h - 0.5) : undefined,
    relative: settings.relative ? normal(heads * (queries + keys - 1)) : undefined,
    bias: settings.bias && { data: normal(biasRows * keys), strides: settings.bias === "full" ? [heads * queries * keys, queries * keys, keys] : settings.bias === "heads" ? [0, queries * keys, keys] : [0, 0, 0] },
    mask: settings.mask && {
      data: Uint8Array.from({ length: settings.mask === "full" ? batch * heads * queries * keys : batch * keys }, () => Number(random.uniform() < 0.7)),
      strides: settings.mask === "full" ? [heads * queries * keys, queries * keys, keys] : [keys, 0, 0],
    },
  };
  return problem;
}

const rowOf = (x: ArrayLike<number>, at: number, count: number): number[] => Array.prototype.slice.call(x, at, at + count) as number[];

/** The parts of a problem that have a gradient, as float64. */
function partsOf({ query, key, value, relative, bias, shifts, sinks }: AttentionProblem) {
  const doubles = (x: ArrayLike<number> | undefined): Float64Array => Float64Array.from(x ?? []);
  return { query: doubles(query.data), key: doubles(key.data), value: doubles(value.data), relative: doubles(relative), bias: doubles(bias?.data), shifts: doubles(shifts), sinks: doubles(sinks) };
}

function definition(problem: AttentionProblem, parts = partsOf(problem)): { output: Float64Array; logSumExp: Float64Array } {
  const [batch, heads, queries, features] = problem.query.shape, [, groups, keys] = problem.key.shape, width = problem.value.shape[3], { softCap } = problem;
  const output: number[] = [], logSumExp: number[] = [];
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      const group = b * groups + Math.floor((h * groups) / heads);
      const value = Array.from({ length: keys }, (_, j) => rowOf(parts.value, (group * keys + j) * width, width));
      for (let i = 0; i < queries; i++) {
        const range = problem.from.length > queries ? b * queries + i : i;
        const scores = Array.from({ length: keys }, (_, j) => {
          const { strides: m = [0, 0, 0], data: mask } = problem.mask ?? {}, { strides: a = [0, 0, 0] } = problem.bias ?? {};
          if (j < problem.from[range] || j >= problem.to[range] || (mask && mask[b * m[0] + h * m[1] + i * m[2] + j] === 0)) return -Infinity;
          let s = 0;
          for (let f = 0; f < features; f++) s += problem.scale * parts.query[((b * heads + h) * queries + i) * features + f] * parts.key[(group * keys + j) * features + f];
          if (softCap > 0) s = softCap * Math.tanh(s / softCap);
          if (problem.relative) s += parts.relative[h * (queries + keys - 1) + i - j + keys - 1];
          if (problem.bias) s += parts.bias[b * a[0] + h * a[1] + i * a[2] + j];
          return s + (problem.shifts ? parts.shifts[h] : 0);
        });
        const row = attentionRef(scores, value, problem.shifts ? "sigmoid" : "softmax", problem.sinks ? parts.sinks[h] : -Infinity);
        output.push(...(keys === 0 ? new Array<number>(width).fill(0) : row.output));
        logSumExp.push(row.logSumExp);
      }
    }
  }
  return { output: Float64Array.from(output), logSumExp: Float64Array.from(logSumExp) };
}

/** Scores of unit normal vectors of 8 to 64 features lie within a few units: rounding of products (features 2^-24) and of the exponential gives up to 2e-6. */
const CLOSE = { atol: 3e-6, rtol: 3e-6 };
/** Sums of up to 400 sigmoids times values that nothing divides: 100 times 2^-24, and their products' part. */
const SUMMED = { atol: 1e-5, rtol: 3e-6 };

const VARIANTS: [string, Settings][] = [
  ["plain", {}], ["causal", { causal: true }], ["sliding window", { causal: true, window: 5 }], ["window on both sides", { window: 9 }], ["lengths", { perBatch: true }], ["soft cap", { cap: 1.5 }],
  ["bias by position", { relative: true, causal: true }], ["full bias", { bias: "full" }], ["bias of heads", { bias: "heads", causal: true }], ["bias of keys", { bias: "keys" }], ["mask", { mask: "full" }], ["mask of keys", { mask: "keys" }],
  ["sinks", { sinks: true, causal: true }], ["sigmoid", { sigmoid: true }], ["sigmoid with all", { sigmoid: true, relative: true, mask: "full", cap: 2, causal: true }],
  ["all at once", { cap: 2, relative: true, bias: "full", mask: "full", causal: true, window: 40, sinks: true, perBatch: true }],
];

describe("attentionForward", () => {
  for (const [name, settings] of VARIANTS) {
    it(`agrees with the definition: ${name}`, () => {
      for (const shape of [{ batch: 2, heads: 4, groups: 2, queries: 7, keys: 7 }, { batch: 2, heads: 2, queries: 13, keys: 211, features: 5, width: 3 }, { queries: 131, keys: 401, features: 16, width: 10 }]) {
        const problem = make(shape, settings), want = definition(problem), got = attentionForward("test", problem);
        expectClose(got.output, want.output, { ...(settings.sigmoid ? SUMMED : CLOSE), label: "output" });
        expectClose(got.logSumExp, want.logSumExp, { ...CLOSE, label: "logSumExp" });
      }
    });
  }

  it("agrees for every small number of queries, keys, features and values", () => {
    for (let n = 1; n <= 18; n++) {
      for (const shape of [{ queries: n, keys: 9 }, { queries: 3, keys: n }, { queries: 5, keys: 7, features: n, width: 3 }, { queries: 9, keys: 7, features: 3, width: n }]) {
        const problem = make(shape), want = definition(problem), got = attentionForward("test", problem);
        expectClose(got.output, want.output, CLOSE);
      }
    }
  });

  it("has the same bits for a part of the queries as for all of them", () => {
    const problem = make({ heads: 2, queries: 150, keys: 500, features: 16 }, { causal: true, window: 300 }), whole = attentionForward("test", problem);
    for (const [first, count] of [[0, 1], [1, 63], [64, 86]]) {
      const take = (h: number): Float32Array => problem.query.data.subarray((h * 150 + first) * 16, (h * 150 + first + count) * 16);
      const query = new Tensor("float32", [1, 2, count, 16], Float32Array.of(...take(0), ...take(1)));
      const part = attentionForward("test", { ...problem, sizes: { ...problem.sizes, queries: count }, query, from: problem.from.subarray(first, first + count), to: problem.to.subarray(first, first + count) });
      for (let h = 0; h < 2; h++) expectExact(part.output.subarray(h * count * 16, (h + 1) * count * 16), whole.output.subarray((h * 150 + first) * 16, (h * 150 + first + count) * 16));
    }
  });

  it("has the same bits from resident tensors", () => {
    const problem = make({ heads: 4, groups: 2, queries: 30, keys: 200 }), held = [problem.query, problem.key, problem.value].map((x) => {
      const made = core.alloc(x.shape);
      made.data.set(x.data);
      return made;
    });
    const got = attentionForward("test", { ...problem, query: held[0], key: held[1], value: held[2] });
    for (const x of held) x.dispose();
    expectExact(got.output, attentionForward("test", problem).output);
  });

  it("gives 0 and -Infinity, or the sink's score, for a query that sees no key", () => {
    const problem = { ...make({ heads: 2, queries: 3, keys: 5 }), from: Int32Array.of(0, 2, 4), to: Int32Array.of(5, 2, 3) };
    const { output, logSumExp } = attentionForward("test", problem);
    expectExact(output.subarray(8, 24), new Float32Array(16));
    expectExact(logSumExp.subarray(1, 3), [-Infinity, -Infinity]);
    const masked = attentionForward("test", { ...make({ heads: 2, queries: 3, keys: 5 }), mask: { data: new Uint8Array(5), strides: [0, 0, 0] }, sinks: Float32Array.of(0.5, -Infinity) });
    expectExact(masked.output, new Float32Array(48));
    expectExact(masked.logSumExp, [0.5, 0.5, 0.5, -Infinity, -Infinity, -Infinity]);
    const { query, key, value } = attentionGradient("test", problem, new Float32Array(48).fill(1));
    expectExact(query.subarray(8, 24), new Float32Array(16));
    for (const x of [key, value]) expect(x.every(Number.isFinite)).toBe(true);
  });

  it("takes no queries, no keys and no batch", () => {
    expect(attentionForward("test", make({ queries: 0, keys: 5 })).output).toHaveLength(0);
    const { output, logSumExp } = attentionForward("test", make({ heads: 2, queries: 2, keys: 0 }, { sinks: true }));
    expectExact(output, new Float32Array(32));
    expectExact(logSumExp, [-0.5, -0.5, 0.5, 0.5]);
    expect(attentionForward("test", make({ batch: 0, queries: 2, keys: 3 })).output).toHaveLength(0);
    expect(attentionGradient("test", make({ queries: 2, keys: 0 }), new Float32Array(16)).query).toHaveLength(16);
  });

  it("gives NaN for a query with NaN or an infinite score, and for no other", () => {
    const problem = make({ queries: 20, keys: 30 });
    problem.query.data[3 * 8] = NaN;
    problem.query.data[5 * 8] = Infinity;
    const { output } = attentionForward("test", problem);
    for (let i = 0; i < 20; i++) expect(Number.isNaN(output[i * 8])).toBe(i === 3 || i === 5);
  });

  it("stays finite and right where scores are large", () => {
    const problem = make({ queries: 20, keys: 300 }, { spread: 12, causal: true }), want = definition(problem), got = attentionForward("test", problem);
    // A score of 1,000 has an ulp of 6e-5; the weights move by that.
    expectClose(got.output, want.output, { atol: 3e-3, rtol: 3e-4 });
  });
});

describe("attentionGradient", () => {
  for (const [name, settings] of VARIANTS) {
    it(`agrees with central differences of the definition: ${name}`, () => {
      const problem = make({ batch: 2, heads: 4, groups: 2, queries: 5, keys: 7, features: 3, width: 2 }, settings), random = testRandom(5), parts = partsOf(problem);
      const upstream = Float32Array.from({ length: 2 * 4 * 5 * 2 }, () => random.normal()), totals = settings.sigmoid ? undefined : Float32Array.from({ length: 40 }, () => random.normal());
      const value = (changed: Partial<typeof parts>): number => {
        const { output, logSumExp } = definition(problem, { ...parts, ...changed });
        return output.reduce((sum, y, i) => sum + upstream[i] * y, 0) + (totals ? logSumExp.reduce((sum, y, i) => sum + (y === -Infinity ? 0 : totals[i] * y), 0) : 0);
      };
      const got = attentionGradient("test", problem, upstream, totals);
      for (const part of ["query", "key", "value", "relative", "bias", "shifts"] as const) {
        expectClose(got[part], finiteDifferenceGradient((x) => value({ [part]: x }), parts[part]), { atol: 1e-5, rtol: 1e-5, label: part });
      }
      if (problem.sinks) {
        const sinks = Array.from(problem.sinks, (sink, h) => got.delta.reduce((sum, d, at) => (Math.floor(at / 5) % 4 === h ? sum - Math.exp(sink - got.logSumExp[at]) * d : sum), 0));
        expectClose(sinks, finiteDifferenceGradient((x) => value({ sinks: x }), parts.sinks), { atol: 1e-5, rtol: 1e-5, label: "sinks" });
      }
    });
  }

  it("agrees over several blocks and tiles with the definition's gradient", () => {
    const problem = make({ heads: 2, groups: 1, queries: 141, keys: 397, features: 10, width: 11 }, { causal: true, window: 150, relative: true }), random = testRandom(7), parts = partsOf(problem);
    const upstream = Float32Array.from({ length: 2 * 141 * 11 }, () => random.normal()), got = attentionGradient("test", problem, upstream);
    const value = (changed: Partial<typeof parts>): number => definition(problem, { ...parts, ...changed }).output.reduce((sum, y, i) => sum + upstream[i] * y, 0);
    for (const part of ["query", "key", "value", "relative"] as const) {
      const direction = Float64Array.from(parts[part], () => random.normal()), h = 1e-5, along = (t: number): Float64Array => parts[part].map((x, i) => x + t * direction[i]);
      const want = (value({ [part]: along(h) }) - value({ [part]: along(-h) })) / (2 * h);
      const sum = (got[part] as Float32Array).reduce((total: number, g: number, i: number) => total + g * direction[i], 0);
      // The sum over some thousand elements of float32 gradients.
      expectClose(sum, want, { rtol: 1e-4, atol: 1e-3, label: part });
    }
  });
});

describe("lists of keys for blocks of queries", () => {
  /** Runs of keys drawn at random, some of them empty, for blocks of `size` queries that stand `offset` into the lists; and the mask that says the same. */
  function listed(problem: AttentionProblem, size: number, offset: number, perHead: boolean): AttentionProblem {
    const { queries, keys, heads } = problem.sizes, random = testRandom(size + offset), blocks = Math.floor((queries - 1 + offset) / size) + 1;
    const lists = Array.from({ length: perHead ? heads : 1 }, () => {
      const offsets = [0], from: number[] = [], to: number[] = [];
      for (let n = 0; n < blocks; n++) {
        for (let at = random.integer(40); at < keys; ) {
          const end = Math.min(keys, at + random.integer(60));
          from.push(at);
          to.push(end);
          at = end + random.integer(90);
        }
        offsets.push(from.length);
      }
      return { offsets: Int32Array.from(offsets), from: Int32Array.from(from), to: Int32Array.from(to) };
    });
    return { ...problem, blocks: { size, offset, lists } };
  }
  /** The same as a mask. */
  function masked(problem: AttentionProblem): AttentionProblem {
    const { heads, queries, keys } = problem.sizes, { size, offset, lists } = problem.blocks!, data = new Uint8Array(heads * queries * keys);
    for (let h = 0; h < heads; h++) {
      const { offsets, from, to } = lists[lists.length > 1 ? h : 0];
      for (let i = 0; i < queries; i++) {
        const n = Math.floor((i + offset) / size);
        for (let r = offsets[n]; r < offsets[n + 1]; r++) data.fill(1, (h * queries + i) * keys + from[r], (h * queries + i) * keys + to[r]);
      }
    }
    return { ...problem, blocks: undefined, mask: { data, strides: [0, queries * keys, keys] } };
  }
  const CASES: [string, Settings][] = [["plain", {}], ["causal", { causal: true }], ["sigmoid", { sigmoid: true }], ["with all but a mask", { cap: 2, relative: true, bias: "full", causal: true, window: 150, sinks: true, perBatch: true }]];

  for (const [name, settings] of CASES) {
    it(`agree with the mask that says the same, forward and backward: ${name}`, () => {
      for (const [size, offset] of [[1, 0], [5, 3], [16, 0], [64, 7], [100, 0], [1000, 0]]) {
        const problem = listed(make({ batch: 2, heads: 2, groups: 1, queries: size === 1 ? 9 : 140, keys: 397, features: 6, width: 5 }, settings), size, offset, size !== 16), random = testRandom(3);
        const upstream = Float32Array.from({ length: problem.query.size / 6 * 5 }, () => random.normal()), want = attentionGradient("test", masked(problem), upstream), got = attentionGradient("test", problem, upstream);
        for (const part of ["output", "logSumExp"] as const) expectClose(got[part], want[part], { ...(settings.sigmoid ? SUMMED : CLOSE), label: part });
        // Sums of up to 280 products of float32 in another order.
        for (const part of ["query", "key", "value", "relative", "bias", "shifts"] as const) expectClose(got[part], want[part], { atol: 2e-5, rtol: 1e-5, label: part });
      }
    });
  }

  it("have the same bits for a part of the queries as for all of them", () => {
    const problem = listed(make({ queries: 150, keys: 500, features: 16 }, { causal: true }), 32, 0, false), whole = attentionForward("test", problem).output;
    for (const [first, count] of [[0, 1], [1, 63], [64, 86]]) {
      const query = new Tensor("float32", [1, 1, count, 16], problem.query.data.slice(first * 16, (first + count) * 16));
      const part = { ...problem, sizes: { ...problem.sizes, queries: count }, query, from: problem.from.subarray(first, first + count), to: problem.to.subarray(first, first + count), blocks: { ...problem.blocks!, offset: first } };
      expectExact(attentionForward("test", part).output, whole.subarray(first * 16, (first + count) * 16));
    }
  });

  it("are all that is worked on: the pairs that are visited are those listed, and what is in no list is not read", () => {
    const problem = listed(make({ heads: 2, queries: 300, keys: 900, features: 8 }), 48, 0, true), { lists, size } = problem.blocks!;
    let visited = 0, wanted = 0;
    for (const [h, { offsets, from, to }] of lists.entries()) {
      for (let first = 0; first < 300; first = blockEnd(problem, first)) for (const [low, high] of runsOf(problem, h, first)) visited += (blockEnd(problem, first) - first) * (high - low);
      for (let i = 0; i < 300; i++) for (let r = offsets[Math.floor(i / size)]; r < offsets[Math.floor(i / size) + 1]; r++) wanted += to[r] - from[r];
    }
    expect(visited).toBe(wanted);
    // Products are made for six keys at a time: what is further from every list may be anything.
    for (let h = 0; h < 2; h++) {
      const near = new Uint8Array(900);
      for (let r = 0; r < lists[h].from.length; r++) near.fill(1, Math.max(0, lists[h].from[r] - 6), lists[h].to[r] + 6);
      for (let j = 0; j < 900; j++) {
        if (near[j]) continue;
        problem.key.data.fill(NaN, (h * 900 + j) * 8, (h * 900 + j + 1) * 8);
        problem.value.data.fill(NaN, (h * 900 + j) * 8, (h * 900 + j + 1) * 8);
      }
    }
    const few = { ...problem, blocks: { ...problem.blocks!, lists: lists.map(({ offsets, from, to }) => ({ offsets: offsets.map((r) => Math.min(r, offsets[1])), from, to })) } };
    for (const given of [problem, few]) {
      const got = attentionGradient("test", given, new Float32Array(2 * 300 * 8).fill(1));
      for (const part of ["output", "query", "key", "value"] as const) expect(got[part].every(Number.isFinite)).toBe(true);
    }
  });
});

describe("attentionDecode", () => {
  for (const [name, settings] of VARIANTS.filter(([, { mask, bias, perBatch, window }]) => !mask && !bias && !perBatch && window === undefined)) {
    it(`agrees with the definition for one query: ${name}`, () => {
      for (const [heads, groups, keys, features, width] of [[4, 2, 150, 8, 8], [6, 2, 65, 5, 9], [5, 1, 64, 7, 3], [2, 2, 1, 4, 4], [8, 1, 131, 16, 12]]) {
        const problem = make({ heads, groups, queries: 1, keys, features, width }, settings), want = definition(problem), pageSize = 64, pages = Math.ceil(keys / pageSize);
        const format = cacheFormat("float32", { groups, features, width, pageSize }), held = Array.from({ length: pages }, () => core.alloc([format.pageBytes / 4]));
        held.forEach((page, i) => format.write("test", page.pointer, 0, Math.min(pageSize, keys - i * pageSize), problem.key.data, problem.value.data, i * pageSize, keys));
        // The element of distance d of `relative` stands at keys - 1 + d, where the query stands at the first key; here it stands at the last.
        const relative = problem.relative && Float32Array.from({ length: heads * keys }, (_, at) => problem.relative![Math.floor(at / keys) * keys + (at % keys)]);
        const got = attentionDecode({
          heads, queries: 1, format, query: problem.query.data, scale: problem.scale, softCap: problem.softCap, shifts: problem.shifts, sinks: problem.sinks, from: Int32Array.of(0), to: Int32Array.of(keys), relative, page: (index) => held[index].pointer,
        });
        for (const page of held) page.dispose();
        expectClose(got.output, want.output, { ...(settings.sigmoid ? SUMMED : CLOSE), label: "output" });
        expectClose(got.logSumExp, want.logSumExp, { ...CLOSE, label: "logSumExp" });
      }
    });
  }
});
