import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { reader } from "../bandwidth.ts";
import { PLAN, RedCheckError, alternate, compare, gate, type Check } from "../harness.ts";
import { logits } from "../inputs.ts";
import { jaxAttention, loopsAttention, ortAttention, ortGroupedAttention, tfjsAttention, type AttentionCase } from "../peers/attention.ts";
import { peak, peakGflops } from "../peak.ts";
import type { Contender } from "../types.ts";
import type { Case, Context, Outcome, Suite } from "./suite.ts";

type Sizes = Pick<AttentionCase, "heads" | "groups" | "queries" | "keys" | "size" | "causal">;

const MATMUL = [1024, 768, 1024] as const;

/** Scores of a trained model lie within some units: standard normal vectors. */
export function inputs(sizes: Sizes, seed: number): AttentionCase {
  const { heads, groups, queries, keys, size } = sizes, unit = (n: number, at: number): Float32Array => logits(n, seed + at).map((x) => x / 2);
  return { ...sizes, q: unit(heads * queries * size, 0), k: unit(groups * keys * size, 1), v: unit(groups * keys * size, 2) };
}

/** One row of the definition in float64. */
function rowOf({ heads, groups, queries, keys, size, causal, q, k, v }: AttentionCase, row: number): Float64Array {
  const head = Math.floor(row / queries), group = Math.floor((head * groups) / heads) * keys, count = causal ? (row % queries) + keys - queries + 1 : keys, weights = new Float64Array(count), out = new Float64Array(size);
  let top = -Infinity, total = 0;
  for (let j = 0; j < count; j++) {
    let s = 0;
    for (let f = 0; f < size; f++) s += q[row * size + f] * k[(group + j) * size + f];
    weights[j] = s / Math.sqrt(size);
    top = Math.max(top, weights[j]);
  }
  for (let j = 0; j < count; j++) total += weights[j] = Math.exp(weights[j] - top);
  for (let j = 0; j < count; j++) for (let f = 0; f < size; f++) out[f] += (weights[j] / total) * v[(group + j) * size + f];
  return out;
}

/** Every 37th row against the definition; sums of up to 8,192 weights stay within 1e-5. */
export function checkOf(given: AttentionCase): Check {
  const rows = given.heads * given.queries, wanted = new Map(Array.from({ length: Math.ceil(rows / 37) }, (_, i) => [37 * i, rowOf(given, 37 * i)] as const));
  return ({ values }) => {
    if (values.length < rows * given.size) return { failure: `${values.length} numbers instead of ${rows * given.size}` };
    for (const [row, want] of wanted) for (let f = 0; f < given.size; f++) if (!(Math.abs(values[row * given.size + f] - want[f]) <= 1e-5)) return { failure: `${values[row * given.size + f]} instead of ${want[f]} in row ${row}` };
    return {};
  };
}

interface Entry {
  ours: Contender;
  peers: Map<string, Contender>;
  beside: Map<string, Contender>;
  check: Check;
  rounds: number;
  figures(median: (who: string) => number): Record<string, number>;
}

const beside = (run: () => unknown): Contender => ({ run: () => void run(), read: () => ({ values: [] }), dispose: () => {} });

function attentionCase(name: string, prepare: (context: Context) => Promise<Entry>): Case {
  return {
    name,
    async run(context): Promise<Outcome> {
      const entry = await prepare(context), label = `${name} (${context.variant})`;
      const { refused } = await gate(label, entry.ours, entry.peers, entry.check);
      for (const who of Object.keys(refused)) entry.peers.delete(who);
      const timings = await alternate(new Map([["ours", entry.ours], ...entry.peers, ...entry.beside]), { ...PLAN, clock: context.clock, rounds: entry.rounds });
      const after = entry.check(await entry.ours.read(), "ours");
      if (after.failure !== undefined) throw new RedCheckError(`${label}: our result went wrong while timing: ${after.failure}`);
      for (const contender of [entry.ours, ...entry.peers.values()]) contender.dispose();
      const own = timings.get("ours")!, median = (who: string): number => timings.get(who)?.median ?? Number.NaN;
      return {
        ours: own.median, peers: Object.fromEntries([...entry.peers.keys()].map((who) => [who, median(who)])), ...compare(own, new Map([...timings].filter(([who]) => entry.peers.has(who) && who !== "loops"))), refused, figures: entry.figures(median),
        rounds: own.samples.length,
      };
    },
  };
}

function matmulBeside(library: Context["library"], seed: number): Contender {
  const [m, k, n] = MATMUL, a = library.core.alloc([m, k]), b = library.core.alloc([k, n]), out = library.core.alloc([m, n]);
  a.data.set(logits(m * k, seed));
  b.data.set(logits(k * n, seed + 1));
  return beside(() => library.matmul(a, b, { out }));
}

const rate = (operations: number, ms: number): number => operations / ms / 1e6;
const matmulRate = (ms: number): number => rate(2 * MATMUL[0] * MATMUL[1] * MATMUL[2], ms);

/** A whole sequence: ours from arrays and to arrays, as the peers. */
function prefill(name: string, sizes: Sizes, { all = true, grouped = false, backward = false } = {}): Case {
  return attentionCase(name, async ({ library, variant, seed }) => {
    const { attention } = await import("@logits/attention"), given = inputs(sizes, seed), { heads, groups, queries, keys, size, causal } = sizes;
    const q = { data: given.q, shape: [heads, queries, size] }, k = { data: given.k, shape: [groups, keys, size] }, v = { data: given.v, shape: [groups, keys, size] }, upstream = { data: logits(given.q.length, seed + 9), shape: q.shape };
    const operations = 4 * heads * size * (causal ? (queries * (2 * keys - queries + 1)) / 2 : queries * keys), extra = new Map([["matmul", matmulBeside(library, seed)], ["peak", peak(variant)], ["sigmoid", beside(() => attention(q, k, v, { causal, normalizer: "sigmoid" }))]]);
    if (backward) extra.set("backward", beside(() => attention.withGrad(q, k, v, { causal, upstream })));
    let values: ArrayLike<number> = [];
    const peers = new Map<string, Contender>();
    peers.set("onnxruntime-web", await ortAttention(given));
    if (grouped) peers.set("onnxruntime-web, grouped", await ortGroupedAttention(given));
    if (all) {
      peers.set("tfjs-wasm", tfjsAttention(given));
      peers.set("jax-js", await jaxAttention(given));
      peers.set("loops", loopsAttention(given));
    }
    return {
      ours: { run: () => void (values = attention(q, k, v, { causal }).output.data), read: () => ({ values }), dispose: () => {} }, peers, beside: extra, check: checkOf(given), rounds: 7,
      figures(median) {
        const gflops = rate(operations, median("ours")), matmulGflops = matmulRate(median("matmul")), most = peakGflops(median("peak"));
        return {
          gflops, matmulGflops, peakGflops: most, ofMatmul: gflops / matmulGflops, ofPeak: gflops / most, sigmoidRatio: median("sigmoid") / median("ours"),
          ...(backward && { backwardGflops: rate(2.5 * operations, median("backward") - median("ours")), backwardOfMatmul: rate(2.5 * operations, median("backward") - median("ours")) / matmulGflops }),
        };
      },
    };
  });
}

/** One token against a cache; the peers read theirs as a whole. */
function decode(name: string, sizes: Sizes): Case {
  return attentionCase(name, async ({ library, seed }) => {
    const { KeyValueCache } = await import("@logits/attention"), given = inputs(sizes, seed), { heads, groups, keys, size } = sizes, caches = (["float32", "float16", "int8"] as const).map((dtype) => new KeyValueCache({ heads: groups, features: size, dtype })), [cache, halves, bytesOf] = caches, query = { data: given.q, shape: [heads, size] };
    for (const each of caches) each.append({ data: given.k, shape: [groups, keys, size] }, { data: given.v, shape: [groups, keys, size] });
    const bytes = 8 * groups * keys * size, block = library.core.alloc([bytes / 4]), read = reader(library.core.memory, block.pointer, bytes);
    block.data.fill(1);
    let values: ArrayLike<number> = [];
    return {
      ours: { run: () => void (values = cache.attend(query).output.data), read: () => ({ values }), dispose: () => caches.forEach((each) => each.dispose()) },
      peers: new Map([["onnxruntime-web", await ortAttention(given)], ["onnxruntime-web, grouped", await ortGroupedAttention(given)], ["tfjs-wasm", tfjsAttention(given)], ["jax-js", await jaxAttention(given)], ["loops", loopsAttention(given)]]),
      beside: new Map([["read", beside(read)], ["float16", beside(() => halves.attend(query))], ["int8", beside(() => bytesOf.attend(query))]]), check: checkOf(given), rounds: 9,
      figures: (median) => ({ gigabytesPerSecond: bytes / median("ours") / 1e6, readGigabytesPerSecond: bytes / median("read") / 1e6, ofBandwidth: median("read") / median("ours"), float16Times: median("ours") / median("float16"), int8Times: median("ours") / median("int8") }),
    };
  });
}

/** Sums over elu(q) + 1 and elu(k) + 1, as the recurrence that people write: a state in float64, from token to token. */
function linearLoops({ heads, queries, size, q, k, v }: AttentionCase): Contender {
  const out = new Float32Array(q.length), state = new Float64Array(size * size), sum = new Float64Array(size), row = new Float64Array(size), phi = (x: number): number => (x > 0 ? x + 1 : Math.exp(x));
  return {
    run(): void {
      for (let head = 0; head < heads; head++) {
        state.fill(0);
        sum.fill(0);
        for (let token = head * queries; token < (head + 1) * queries; token++) {
          let total = 0;
          row.fill(0);
          for (let f = 0, at = 0; f < size; f++) {
            const x = phi(k[token * size + f]), y = phi(q[token * size + f]);
            total += y * (sum[f] += x);
            for (let e = 0; e < size; e++, at++) row[e] += y * (state[at] += x * v[token * size + e]);
          }
          for (let e = 0; e < size; e++) out[token * size + e] = row[e] / total;
        }
      }
    },
    read: () => ({ values: out }),
    dispose: () => {},
  };
}

/** Linear attention in chunks, beside the recurrence in plain JavaScript, softmax attention and a matrix product. */
function linear(name: string, sizes: Sizes): Case {
  return attentionCase(name, async ({ library, seed }) => {
    const [{ linearAttention }, { attention }] = await Promise.all([import("@logits/attention/linear"), import("@logits/attention")]), given = inputs(sizes, seed), { heads, queries, size } = sizes, shape = [heads, queries, size], [q, k, v] = [given.q, given.k, given.v].map((data) => ({ data, shape }));
    const logGates = { data: logits(given.k.length, seed + 3).map((x) => -Math.abs(x) / 16), shape }, plain = { featureMap: "identity", normalize: "none" } as const, upstream = { data: logits(given.q.length, seed + 9), shape }, recurrence = linearLoops(given);
    recurrence.run();
    const wanted = Float32Array.from((await recurrence.read()).values), operations = heads * queries * 4 * size * (64 + size);
    let values: ArrayLike<number> = [];
    return {
      ours: { run: () => void (values = linearAttention(q, k, v, { causal: true }).output.data), read: () => ({ values }), dispose: () => {} }, peers: new Map([["recurrence in JavaScript", recurrence]]), rounds: 7,
      beside: new Map([
        ["matmul", matmulBeside(library, seed)], ["softmax", beside(() => attention(q, k, v, { causal: true }))], ["identity", beside(() => linearAttention(q, k, v, { ...plain, causal: true }))], ["gates", beside(() => linearAttention(q, k, v, { ...plain, logGates }))],
        ["backward", beside(() => linearAttention.withGrad(q, k, v, { causal: true, upstream }))],
      ]),
      check({ values: got }) {
        for (let at = 0; at < wanted.length; at++) if (!(Math.abs(got[at] - wanted[at]) <= 1e-5)) return { failure: `${got[at]} instead of ${wanted[at]} at ${at}` };
        return {};
      },
      figures: (median) => ({
        gflops: rate(operations, median("ours")), identityGflops: rate(operations, median("identity")), identityOfMatmul: rate(operations, median("identity")) / matmulRate(median("matmul")), gatesOfMatmul: rate(operations, median("gates")) / matmulRate(median("matmul")),
        timesSoftmax: median("softmax") / median("ours"), backwardRatio: median("backward") / median("ours"),
      }),
    };
  });
}

/** Most memory of one call, each length in a process of its own: what grows with T T would take 1 GiB for the scores of one head of 16,384. */
function memory(name: string): Case {
  return {
    name,
    async run({ variant, seed }): Promise<Outcome> {
      const measured = [4096, 8192, 16384].map((queries) => ({ queries, ...(JSON.parse(execFileSync(process.execPath, [join(import.meta.dirname, "..", "attentionMemory.ts"), variant, `${queries}`, `${seed}`], { encoding: "utf8" })) as { failure?: string; ms: number; wasm: number }) }));
      for (const { queries, failure } of measured) if (failure !== undefined) throw new RedCheckError(`${name}, T ${queries} (${variant}): our result is wrong: ${failure}`);
      const mebibytes = Object.fromEntries(measured.map(({ queries, wasm }) => [`wasmMiB${queries}`, wasm / 2 ** 20]));
      return { ours: measured[2].ms, peers: {}, ratio: null, fastest: null, pairedRatio: null, figures: { ...mebibytes, doubling: measured[2].wasm / measured[1].wasm }, rounds: 1 };
    },
  };
}

export const attention: Suite = {
  name: "attention",
  about: "prefill, decoding and gradients of one layer, from arrays to arrays (decoding: from a cache), beside a product and a read of the same memory",
  cases: [
    prefill("prefill T 512, heads 32/8, D 64, causal", { heads: 32, groups: 8, queries: 512, keys: 512, size: 64, causal: true }, { grouped: true }),
    prefill("prefill T 2048, heads 32/8, D 64, causal", { heads: 32, groups: 8, queries: 2048, keys: 2048, size: 64, causal: true }, { all: false }),
    prefill("encoder T 384, heads 12, D 64", { heads: 12, groups: 12, queries: 384, keys: 384, size: 64, causal: false }, { backward: true }),
    decode("decode S 2048, heads 32/8, D 64", { heads: 32, groups: 8, queries: 1, keys: 2048, size: 64, causal: false }),
    decode("decode S 8192, heads 32/8, D 64", { heads: 32, groups: 8, queries: 1, keys: 8192, size: 64, causal: false }),
    linear("linear T 2048, heads 16, D 64, causal", { heads: 16, groups: 16, queries: 2048, keys: 2048, size: 64, causal: true }),
    memory("memory T 16384, one head, D 64, causal"),
  ],
};
