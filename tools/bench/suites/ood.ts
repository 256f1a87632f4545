import { reader } from "../bandwidth.ts";
import { logits } from "../inputs.ts";
import * as plain from "./plainOod.ts";
import type { Case, Context, Suite } from "./suite.ts";
import { versus } from "./versus.ts";

const detectors = (): Promise<typeof import("@logits/ood")> => import("@logits/ood");

/** A product whose rate the others are held against: [1024, 768] x [768, 1024], in WASM memory. */
function product({ library: { core, matmul }, seed }: Context): { run: () => void; gflops: (ms: number) => number } {
  const a = core.alloc([1024, 768]), b = core.alloc([768, 1024]), out = core.alloc([1024, 1024]);
  a.data.set(logits(a.size, seed + 8));
  b.data.set(logits(b.size, seed + 9));
  return { run: () => void matmul(a, b, { out }), gflops: (ms) => (2 * 1024 * 768 * 1024) / ms / 1e6 };
}

/** Class c's rows lie around a mean of their own, so that centring has work to do. */
function labelled(rows: number, width: number, classes: number, seed: number): { x: Float32Array; labels: Int32Array } {
  const x = logits(rows * width, seed, 1), means = logits(classes * width, seed + 1, 2), labels = Int32Array.from({ length: rows }, (_, n) => (n * 7919) % classes);
  for (let n = 0; n < rows; n++) for (let j = 0; j < width; j++) x[n * width + j] += means[labels[n] * width + j];
  return { x, labels };
}

const CASES: readonly Case[] = [
  versus("covariance 50000x512", "scikit-learn and OpenOOD, 50,000 x 2,048: 35 s; torch's product alone 4.1 s", async (context) => {
    const { FeatureStatistics } = await detectors(), { addGram } = await import("@logits/core-wasm/linalg");
    const rows = 50_000, width = 512, classes = 100, few = 2048, { x, labels } = labelled(rows, width, classes, context.seed), { run, gflops } = product(context);
    const statistics = (n: number): Float64Array =>
      new FeatureStatistics({ classes, features: width }).update({ features: { data: x.subarray(0, n * width), shape: [n, width] }, labels: labels.subarray(0, n) }).finish().scatter;
    const lower = (full: Float64Array): Float64Array => full.filter((_, at) => at % width <= Math.floor(at / width)), gram = new Float64Array(width * width), work = rows * width * width;
    return {
      // Both run on 2,048 rows. `all` is ours on all of them, `gram` the products without centring, fingerprints and checks.
      ours: () => lower(statistics(few)),
      loops: () => lower(plain.scatter(x.subarray(0, few * width), labels.subarray(0, few), classes, width)),
      // Sums of 2,048 products of about 1: float32 within blocks of 256 rows.
      tolerance: 1e-6,
      absolute: 2e-3,
      beside: { all: () => void statistics(rows), gram: () => addGram(gram.fill(0), { data: x, shape: [rows, width] }), matmul: run },
      figures: (median) => {
        const rate = gflops(median("matmul"));
        return { matmulGflops: rate, gflops: work / median("all") / 1e6, ofMatmul: work / median("all") / 1e6 / rate, gramOfMatmul: work / median("gram") / 1e6 / rate };
      },
    };
  }),
  versus("nearest 1 of 50000x512", "faiss flat on one thread: 4.2 to 5.7 ms", async ({ library: { core, nearestNeighbors, Int8Bank }, seed }) => {
    const rows = 50_000, width = 512, k = 50, { x } = labelled(rows, width, 100, seed), bank = core.alloc([rows, width]), query = { data: labelled(1, width, 100, seed + 2).x, shape: [1, width] };
    bank.data.set(x);
    const bytes = Int8Bank.of(bank), read = reader(core.memory, bank.pointer, 4 * bank.size), exact = nearestNeighbors(query, bank, k), certified = bytes.nearest(query, k);
    for (let i = 0; i < k; i++) if (!Object.is(exact.distances.data[i], certified.distances.data[i]) || exact.indices.data[i] !== certified.indices.data[i]) throw new Error(`nearest: neighbour ${i} of the int8 bank is another one`);
    return {
      ours: () => nearestNeighbors(query, bank, k).distances.data,
      loops: () => plain.nearest(query.data, x, k),
      tolerance: 1e-5,
      beside: { read: () => void read(), int8: () => void bytes.nearest(query, k) },
      figures: (median) => ({
        readGBs: (4 * bank.size) / median("read") / 1e6, gBs: (4 * bank.size) / median("ours") / 1e6, ofBandwidth: median("read") / median("ours"), int8Ms: median("int8"), int8Times: median("ours") / median("int8"),
      }),
    };
  }),
  versus("logit scores 50000x1000", "torch: six passes, 1 s and more", async ({ library: { core, logitStatistics, softmax }, seed }) => {
    const rows = 50_000, cols = 1000, data = logits(rows * cols, seed), x = core.alloc([rows, cols]), out = core.alloc([rows, cols]), room = new Float64Array(7 * rows);
    x.data.set(data);
    const names = ["maxProbability", "otherProbability", "maxLogit", "energy", "entropy", "margin", "argmax"] as const;
    return {
      ours: () => {
        const scores = logitStatistics(x);
        names.forEach((name, s) => scores[name].data.forEach((value, row) => (room[7 * row + s] = value)));
        return room.slice();
      },
      loops: () => plain.logitScores(data, cols, room),
      tolerance: 1e-4,
      beside: { pass: () => void softmax(x, { out }), alone: () => void logitStatistics(x), scores: () => void logitStatistics(x, { select: names.slice(0, 6) }), gen: () => void logitStatistics(x, { select: ["energy", "maxLogit", "generalizedEntropy"] }) },
      figures: (median) => ({ softmaxPassMs: median("pass"), scoresMs: median("scores"), softmaxPasses: median("scores") / median("pass"), withArgmaxPasses: median("alone") / median("pass"), withGenPasses: median("gen") / median("pass"), microsecondsPerRow: (1e3 * median("scores")) / rows }),
    };
  }),
  versus("Mahalanobis K1000 d768", "OpenOOD's formula, d 2,048: 260 ms a row", async (context) => {
    const { FeatureStatistics, MahalanobisDetector } = await detectors();
    const rows = 4096, width = 768, classes = 1000, few = 64, { x, labels } = labelled(8192, width, classes, context.seed), { run, gflops } = product(context);
    const detector = MahalanobisDetector.from(new FeatureStatistics({ classes, features: width }).update({ features: { data: x, shape: [8192, width] }, labels })), json = detector.toJSON();
    const [centre, lower, means] = [json.mean, json.whitening, json.means].map((part) => Float64Array.from(new Float32Array(Uint8Array.from(Buffer.from(part.data, "base64")).buffer)));
    const scores = (n: number): ArrayLike<number> => detector.score({ features: { data: x.subarray(0, n * width), shape: [n, width] } }).data, work = 2 * rows * (width * width + classes * width);
    return {
      // Both run on 64 rows; `all` is ours on 4,096.
      ours: () => scores(few),
      loops: () => plain.mahalanobis(x.subarray(0, few * width), width, centre, lower, means),
      tolerance: 2e-4,
      beside: { all: () => void scores(rows), matmul: run },
      // Counted: one product with the whole of W and one with all means. W is a triangle: half of the first need not be done.
      figures: (median) => ({ matmulGflops: gflops(median("matmul")), ofMatmul: work / median("all") / 1e6 / gflops(median("matmul")), microsecondsPerRow: (1e3 * median("all")) / rows }),
    };
  }),
];

export const ood: Suite = {
  name: "ood",
  about: "statistics and scores of detectors beside the same algorithms in plain JavaScript; rates as shares of matmul's, of the read bandwidth and of a softmax pass in the same rounds",
  cases: CASES,
};
