import { logitStatistics, topK } from "@logits/core-wasm";
import { Tensor, randomSource } from "@logits/tensor";
import { describe, expect, it } from "vitest";
import { DecisionHead, type Decision, type GpuLogits } from "./index.ts";

// A backend whose GPU is this memory: it counts what is read and what is not given back. The real one is in tools/webgpu.

let bytesRead = 0, alive = 0;

class FakeGpuTensor implements GpuLogits {
  readonly location = "gpu-buffer";
  readonly held: Tensor;
  constructor(held: Tensor) {
    this.held = held;
    alive++;
  }
  get shape(): readonly number[] {
    return this.held.shape;
  }
  get gpu(): GpuLogits["gpu"] {
    return {
      async read(tensors: object): Promise<object> {
        return Object.fromEntries(Object.entries(tensors as Record<string, FakeGpuTensor>).map(([name, { held }]) => {
          bytesRead += 4 * held.size;
          return [name, held];
        }));
      },
    };
  }
  get operations(): GpuLogits["operations"] {
    const wrapped = (results: object): object => Object.fromEntries(Object.entries(results as Record<string, Tensor>).map(([name, tensor]) => [name, new FakeGpuTensor(tensor)]));
    return {
      logitStatistics: (x, options) => wrapped(logitStatistics((x as FakeGpuTensor).held, options)),
      // As on a GPU a row with NaN is told by its indices.
      topK(x, k) {
        const { shape, data } = (x as FakeGpuTensor).held, width = shape[1], bad = Array.from({ length: shape[0] }, (_, r) => data.subarray(r * width, (r + 1) * width).findIndex(Number.isNaN));
        const { values, indices } = topK(new Tensor("float32", shape, Float32Array.from(data, (v) => (Number.isNaN(v) ? 0 : v))), k);
        bad.forEach((column, r) => column >= 0 && indices.data.fill(-1 - column, r * k, (r + 1) * k));
        return wrapped({ values, indices });
      },
    };
  }
  reshape(shape: readonly number[]): FakeGpuTensor {
    return new FakeGpuTensor(new Tensor("float32", shape, this.held.data as Float32Array));
  }
  row(i: number): FakeGpuTensor {
    return new FakeGpuTensor(this.held.row(i));
  }
  dispose(): void {
    alive--;
  }
}

function world(rows: number, classes: number, seed: number) {
  const random = randomSource(seed), data = Float32Array.from({ length: rows * classes }, () => 8 * (random.uniform() - 0.5)), labels = Int32Array.from({ length: rows }, () => random.integer(classes));
  labels.forEach((label, n) => (data[n * classes + (random.uniform() < 0.1 ? random.integer(classes) : label)] += 6 * random.uniform() + 3));
  return { logits: new Tensor("float32", [rows, classes], data), labels };
}

const names = (n: number): string[] => Array.from({ length: n }, (_, c) => `c${c}`);
const sure = (d: Decision): unknown => (d.kind === "unknown" ? [d.kind, d.nearest] : d.kind === "invalid" ? [d.kind, d.why] : [d.kind, d.set]);

describe("decideAsync", () => {
  for (const [label, options] of [["LAC and energy", { detector: "energy" }], ["MSP", { detector: "msp" }], ["margin sets", { method: "margin" }], ["APS", { method: "aps" }], ["RAPS", { method: "raps", detector: "entropy" }], ["accepted rows", { guarantee: "accepted" }], ["folds", { crossFit: 3, detector: "maxLogit" }]] as const) {
    it(`decides as in memory, from the few largest logits and statistics: ${label}`, async () => {
      const head = DecisionHead.fit({ ...world(500, 60, 1), classes: names(60) }, { maxFalsePositiveRate: 0.1, ...options }), { logits } = world(120, 60, 2);
      logits.data[5] = NaN;
      logits.data[61] = Infinity;
      logits.data.fill(-Infinity, 120, 180);
      logits.data.fill(-Infinity, 180, 235);
      logits.data.fill(1, 240, 300);
      const want = head.decideAll(logits), x = new FakeGpuTensor(logits), before = alive;
      expect((await head.decideAllAsync(x)).map(sure)).toEqual(want.map(sure));
      for (const n of [0, 3, 10, 11, 12, 13]) {
        bytesRead = 0;
        const one = await head.decideAsync(new FakeGpuTensor(logits.row(n)), { ids: [n] });
        expect(sure(one)).toEqual(sure(want[n]));
        if (!("set" in one) || one.set.length < 4) expect(bytesRead).toBeLessThan(64);
      }
      expect(alive - before).toBe(6);
    });
  }

  it("reads short rows whole, and decides them bit for bit", async () => {
    const head = DecisionHead.fit({ ...world(300, 15, 1), classes: names(15) }, { detector: "gen" }), { logits } = world(50, 15, 2);
    bytesRead = 0;
    expect(await head.decideAllAsync(new FakeGpuTensor(logits))).toEqual(head.decideAll(logits));
    expect(bytesRead).toBe(50 * 60);
  });

  it("takes rows in memory, and features from memory", async () => {
    const { logits, labels } = world(300, 20, 1), features = new Tensor("float32", [300, 4], logits.data.slice(0, 1200));
    const head = DecisionHead.fit({ logits, features, labels, classes: names(20) }, { detector: "mahalanobis" });
    expect(await head.decideAllAsync({ logits, features })).toEqual(head.decideAll({ logits, features }));
    expect((await head.decideAllAsync({ logits: new FakeGpuTensor(logits), features })).map(sure)).toEqual(head.decideAll({ logits, features }).map(sure));
    await expect(head.decideAllAsync(new FakeGpuTensor(logits))).rejects.toThrow("`features` dense features, which the detector");
  });
});
