import { PLAN, RedCheckError, alternate, compare, gate, type Check } from "../harness.ts";
import { logits } from "../inputs.ts";
import { peak, peakGflops } from "../peak.ts";
import { logSumExpOf } from "../reference.ts";
import type { Contender } from "../types.ts";
import type { Case, Outcome, Suite } from "./suite.ts";

const largeVocabulary = (): Promise<typeof import("@logits/losses/large-vocabulary")> => import("@logits/losses/large-vocabulary");

const RATE = "multiply-add rate";

/** Two runs as one. */
function both(first: Contender, second: Contender): Contender {
  return {
    async run() {
      for (const one of [first, second]) {
        const pending = one.run();
        if (pending !== undefined) await pending;
      }
    },
    read: () => first.read(),
    dispose() {
      first.dispose();
      second.dispose();
    },
  };
}

/** Cross-entropy of a linear layer against what a library without it does: the product, then a softmax of its result. Each is checked on the first rows. */
function linearCrossEntropyCase(rows: number, width: number, words: number): Case {
  const name = `linearCrossEntropy ${rows}x${width}x${words}`, few = 4;
  return {
    name,
    async run({ variant, library: { core, matmul, softmax }, peers, seed, clock }): Promise<Outcome> {
      const { linearCrossEntropy } = await largeVocabulary(), label = `${name} (${variant})`;
      const x = logits(rows * width, seed, 1), w = logits(words * width, seed + 1, 0.1), y = Int32Array.from({ length: rows }, (_, b) => (b * 7919) % words), columns = new Float32Array(w.length);
      for (let v = 0; v < words; v++) for (let f = 0; f < width; f++) columns[f * words + v] = w[v * width + f];
      const z = Array.from({ length: few }, (_, b) => Float32Array.from({ length: words }, (_, v) => {
        let sum = 0;
        for (let f = 0; f < width; f++) sum += x[b * width + f] * w[v * width + f];
        return sum;
      }));
      const want = z.map((row, b) => logSumExpOf(row) - row[y[b]]);
      const check: Check = ({ values }, whose) => {
        for (let b = 0; b < few; b++) {
          if (whose === "ours" && !(Math.abs(values[b] - want[b]) <= 2e-5 * Math.max(1, Math.abs(want[b])))) return { failure: `${values[b]} instead of ${want[b]} for row ${b}` };
          if (whose === "peer") for (let v = 0; v < words; v += 97) if (!(Math.abs(values[b * words + v] - z[b][v]) <= 1e-4)) return { failure: `${values[b * words + v]} instead of ${z[b][v]} at [${b}, ${v}]` };
        }
        return {};
      };
      const hidden = core.alloc([rows, width]), weights = core.alloc([words, width]);
      hidden.data.set(x);
      weights.data.set(w);
      const held = 4 * (x.length + w.length), wordsOf = { data: w, shape: [words, width] };
      let values: ArrayLike<number> = [], scratch = 0;
      const work = (run: () => ArrayLike<number> | void): Contender => ({ run: () => void (values = run() ?? values), read: () => ({ values }), dispose: () => {} });
      const ours = work(() => linearCrossEntropy(hidden, weights, y, { reduction: "none" }).data), others = new Map<string, Contender>();
      linearCrossEntropy.withGrad(hidden, weights, y);
      // Everything that is not one of the two operands: static data and scratch.
      scratch = core.bytesInUse - held;
      for (const peer of peers) {
        if (!peer.wasm || peer.name.includes("constant weights")) continue;
        const product = await peer.prepare({ op: "matmul", m: rows, k: width, n: words, a: x, b: columns }, "resident"), rest = await peer.prepare({ op: "softmax", rows, cols: words, x: logits(rows * words, seed + 2, 3) }, "resident");
        if (product !== undefined && rest !== undefined) others.set(peer.name, both(product, rest));
      }
      const { refused } = await gate(label, ours, others, check);
      for (const who of Object.keys(refused)) { others.get(who)?.dispose(); others.delete(who); }
      const out = core.alloc([rows, words]), peaked = { data: x.map((value) => 4 * value), shape: [rows, width] };
      const beside: Record<string, () => void> = {
        arrays: () => void linearCrossEntropy({ data: x, shape: [rows, width] }, wordsOf, y),
        gradient: () => void linearCrossEntropy.withGrad(hidden, weights, y),
        // Rows whose softmax is as peaked as that of a trained model: logits of standard deviation 11 instead of 3.
        skip: () => void linearCrossEntropy.withGrad(peaked, weights, y, { skip: 2 ** -12 }),
        product: () => void softmax(matmul(hidden, weights, { transposeB: true, out }), { out }),
      };
      const timings = await alternate(new Map([["ours", ours], ...others, ...Object.entries(beside).map(([who, run]) => [who, work(run)] as const), [RATE, peak(variant)] as const]), { ...PLAN, clock, rounds: 7 });
      const after = check(await (ours.run(), ours.read()), "ours");
      if (after.failure !== undefined) throw new RedCheckError(`${label}: our result went wrong while timing: ${after.failure}`);
      for (const one of others.values()) one.dispose();
      for (const tensor of [hidden, weights, out]) tensor.dispose();
      const own = timings.get("ours") as NonNullable<ReturnType<typeof timings.get>>, median = (who: string): number => timings.get(who)?.median ?? Number.NaN;
      const gflops = (2 * rows * width * words) / own.median / 1e6, rate = peakGflops(median(RATE));
      return {
        ours: own.median,
        peers: Object.fromEntries([...others.keys()].map((who) => [who, median(who)])),
        ...compare(own, new Map([...timings].filter(([who]) => others.has(who)))),
        refused,
        figures: {
          gflops, peakGflops: rate, fractionOfPeak: gflops / rate, scratchMiB: scratch / 1048576, fromArraysMs: median("arrays"), ownProductAndSoftmaxMs: median("product"),
          gradientMs: median("gradient"), gradientGflops: (8 * rows * width * words) / median("gradient") / 1e6, gradientSkipMs: median("skip"),
        },
        rounds: 7,
      };
    },
  };
}

/** One list, in the order of the table. */
const CASES: readonly Case[] = [linearCrossEntropyCase(128, 768, 32_000)];

export const losses: Suite = {
  name: "losses",
  about: "cross-entropy of a linear layer beside the peers' product and softmax, losses whose cost does not depend on the vocabulary",
  cases: CASES,
};
