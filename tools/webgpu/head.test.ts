import { DecisionHead, type Decision } from "@logits/head";
import { KLMatchingDetector } from "@logits/ood";
import { randomSource, Tensor } from "@logits/tensor";
import { webgpu } from "@logits/webgpu";
import { afterAll, describe, expect, it } from "vitest";
import { dawn, missing } from "./adapter.ts";

// Decisions on logits that stay on the GPU, against the same head's decisions on the same logits in memory.

/** Scores whose labels come from softmax(z / 2): the model is overconfident. */
function world(rows: number, classes: number, seed: number, spread = 4): { logits: Tensor<"float32">; features: Tensor<"float32">; labels: Int32Array } {
  const random = randomSource(seed), data = new Float32Array(rows * classes), labels = new Int32Array(rows);
  const normal = (): number => Math.sqrt(-2 * Math.log(random.uniform())) * Math.cos(2 * Math.PI * random.uniform());
  for (let n = 0; n < rows; n++) {
    const row = data.subarray(n * classes, (n + 1) * classes);
    for (let c = 0; c < classes; c++) row[c] = spread * normal();
    row[random.integer(classes)] += 2.5 * spread + 1.5 * Math.log(classes);
    let u = random.uniform() * row.reduce((sum, z) => sum + Math.exp(z / 2), 0);
    labels[n] = Math.max(0, row.findIndex((z) => (u -= Math.exp(z / 2)) < 0));
  }
  return { logits: new Tensor("float32", [rows, classes], data), features: new Tensor("float32", [rows, 5], Float32Array.from({ length: 5 * rows }, normal)), labels };
}

const plain = ({ logits, labels }: ReturnType<typeof world>): { logits: Tensor<"float32">; labels: Int32Array } => ({ logits, labels });
const names = (n: number): string[] => Array.from({ length: n }, (_, c) => `c${c}`);
/** What must be equal; probabilities apart. */
const sure = (d: Decision): unknown => (d.kind === "unknown" ? [d.kind, d.nearest, d.why.code, d.why.detector] : d.kind === "invalid" ? [d.kind, d.why.code] : [d.kind, d.set]);
const numbers = (d: Decision): number[] => (d.kind === "label" ? [d.probability] : d.kind === "ambiguous" ? [...d.probabilities] : d.kind === "unknown" ? [d.why.score] : []);

if (!missing) {
  const gpu = await webgpu({ gpu: dawn });
  afterAll(() => gpu.dispose());

  describe("decisions on logits of a GPU", () => {
    for (const [label, classes, options] of [
      ["three classes", 3, { detector: "energy" }],
      ["15 classes, read whole", 15, { detector: "gen" }],
      ["16 classes", 16, { detector: "energy" }],
      ["100 classes, LAC, MSP", 100, { detector: "msp" }],
      ["1000 classes, entropy", 1000, { detector: "entropy" }],
      ["100 classes, margin detector", 100, { detector: "margin" }],
      ["100 classes, largest logit", 100, { detector: "maxLogit" }],
      ["100 classes, no detector", 100, {}],
      ["100 classes, margin sets", 100, { method: "margin", detector: "energy" }],
      ["100 classes, APS", 100, { method: "aps" }],
      ["100 classes, RAPS", 100, { method: "raps", detector: "energy" }],
      ["100 classes, top-k sets", 100, { method: "topk" }],
      ["100 classes, accepted", 100, { detector: "energy", guarantee: "accepted" }],
      ["50 classes, cross-fitted", 50, { detector: "energy", crossFit: 3 }],
    ] as const) {
      it(`are those of the CPU: ${label}`, async () => {
        const head = DecisionHead.fit({ ...plain(world(800, classes, 1)), classes: names(classes) }, { alpha: 0.1, maxFalsePositiveRate: 0.1, ...(options as object) });
        const { logits } = world(300, classes, 2, 3.5), bad = logits.data;
        bad.fill(-Infinity, 0, classes - 1);
        bad[classes] = NaN;
        bad[2 * classes + 1] = Infinity;
        bad.fill(-Infinity, 3 * classes, 4 * classes);
        bad.fill(0, 4 * classes, 5 * classes);
        const want = head.decideAll(logits), x = gpu.tensor(logits);
        const before = gpu.bytesRead, got = await head.decideAllAsync(x), bytes = gpu.bytesRead - before;
        expect(got.map(sure)).toEqual(want.map(sure));
        expect(new Set(want.map(({ kind }) => kind)).has("invalid")).toBe(true);
        // Bounds of the backend: (3 z + 30) 2^-24 of a probability, z up to 40 here; of an energy 3 units of its size and 30 of 2^-24.
        want.forEach((d, n) => numbers(got[n]).forEach((value, i) => expect(Math.abs(value - numbers(d)[i])).toBeLessThan(1e-5 * (1 + Math.abs(numbers(d)[i])))));
        const longest = Math.max(...want.map((d) => ("set" in d ? d.set.length : 0)));
        console.log(`${label}: ${bytes / 300} bytes a row, sets of up to ${longest}, of one class ${want.filter((d) => d.kind === "label").length}, unknown ${want.filter((d) => d.kind === "unknown").length}`);
        if (classes <= 15) expect(got).toEqual(want);
        for (const n of [0, 1, 3, 50]) {
          const start = gpu.bytesRead, row = gpu.tensor(logits.row(n)), ids = Int32Array.of(n);
          const one = await head.decideAsync(row, { ids });
          expect(sure(one)).toEqual(sure(want[n]));
          if (!("set" in one) || one.set.length < 5) expect(gpu.bytesRead - start).toBeLessThan(64);
          row.dispose();
        }
        x.dispose();
      });
    }

    it("take features from memory", async () => {
      const head = DecisionHead.fit({ ...world(800, 40, 1), classes: names(40) }, { detector: "mahalanobis", maxFalsePositiveRate: 0.1 });
      const { logits, features } = world(200, 40, 2), before = gpu.bytesRead;
      features.data[7] = NaN;
      const got = await head.decideAllAsync({ logits: gpu.tensor(logits), features });
      expect(got.map(sure)).toEqual(head.decideAll({ logits, features }).map(sure));
      expect((gpu.bytesRead - before) / 200).toBeLessThan(64);
    });

    it("give their buffers back, and their backend's errors", async () => {
      const head = DecisionHead.fit({ ...plain(world(400, 30, 1)), classes: names(30) }, { detector: "energy" });
      const x = gpu.tensor(world(10, 30, 3).logits);
      await head.decideAllAsync(x);
      const { idleBytes, bytes } = gpu.memory;
      for (let i = 0; i < 20; i++) await head.decideAllAsync(x);
      expect(gpu.memory).toMatchObject({ idleBytes, bytes });
      const wide = await head.decideAllAsync(x, { alpha: 0.0001 });
      expect(wide.every((d) => d.kind === "unknown" || (d.kind === "ambiguous" && d.set.length === 30))).toBe(true);
      x.dispose();
      await expect(head.decideAllAsync(x)).rejects.toThrowErrorMatchingInlineSnapshot(`[DisposedError: GpuTensor: expected a live tensor, got one after dispose()]`);
    });

    it("say what is wrong, and the synchronous forms name them", async () => {
      const { logits, labels } = world(400, 30, 1), classes = names(30);
      const head = DecisionHead.fit({ logits, labels, classes }), x = gpu.tensor(logits), row = gpu.tensor(logits.row(0));
      expect(() => head.decide(row as never)).toThrowErrorMatchingInlineSnapshot(`[TypeError: DecisionHead.decide: expected \`logits\` in memory, got a tensor on the GPU. Use await head.decideAsync(logits), or read it: await logits.read()]`);
      expect(() => head.decideAll({ logits: x } as never)).toThrowErrorMatchingInlineSnapshot(`[TypeError: DecisionHead.decideAll: expected \`logits\` in memory, got a tensor on the GPU. Use await head.decideAllAsync(logits), or read it: await logits.read()]`);
      await expect(head.decideAsync(x)).rejects.toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.decideAsync: expected \`logits\` of shape [C], got [400, 30]. For a batch use decideAllAsync]`);
      await expect(head.decideAllAsync(row)).rejects.toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.decideAllAsync: expected \`logits\` of shape [N, C], got [30]]`);
      await expect(head.decideAsync(gpu.tensor([1, 2]))).rejects.toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.decideAsync: expected \`logits\` of 30 classes on the last axis, got shape [2]]`);
      await expect(head.decideAsync({ location: "gpu-buffer", dims: [30], type: "float32" } as never)).rejects.toThrowErrorMatchingInlineSnapshot(`[TypeError: DecisionHead.decideAsync: expected \`logits\` a tensor that brings its operations, got a GPU tensor of another library. Adopt it: gpu.tensor(logits) with gpu = await webgpu({ device }) of @logits/webgpu]`);
      const gen = DecisionHead.fit({ logits, labels, classes }, { detector: "gen" });
      await expect(gen.decideAllAsync(x)).rejects.toThrowErrorMatchingInlineSnapshot(`[UnsupportedKernelError: logitStatistics: expected \`select\` of maxProbability, otherProbability, maxLogit, energy, entropy, margin, argmax on the GPU, got generalizedEntropy. Use logitStatistics of @logits/core-wasm on await logits.read()]`);
      const matching = DecisionHead.fit({ logits, labels, classes }, { detector: ({ logits: z }) => KLMatchingDetector.fit(z!) });
      await expect(matching.decideAllAsync(x)).rejects.toThrowErrorMatchingInlineSnapshot(`[UnsupportedKernelError: DecisionHead.decideAllAsync: expected a detector that is one statistic of the logits, got "klMatching". Read the rows: head.decideAll(await logits.read())]`);
      const probable = DecisionHead.fit({ logits: logits.data.length ? new Tensor("float32", [400, 30], logits.data.map(() => 1 / 30)) : logits, labels, classes }, { input: "probabilities" });
      await expect(probable.decideAllAsync(x)).rejects.toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.decideAllAsync: expected \`logits\` in memory for a head of probabilities, got a tensor on the GPU. Read it: await logits.read()]`);
      const aps = DecisionHead.fit({ logits, labels, classes }, { method: "aps" });
      await expect(aps.decideAsync(row)).rejects.toThrowErrorMatchingInlineSnapshot(`[RangeError: DecisionHead.decideAsync: expected \`ids\` the id of the row, got none. Randomised sets draw by row id: pass one that no other row has]`);
      expect(await head.decideAsync(logits.row(3))).toEqual(head.decide(logits.row(3)));
      expect(await head.decideAllAsync(logits)).toEqual(head.decideAll(logits));
    });
  });
}
