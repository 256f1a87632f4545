import { nearestNeighbors as cpu } from "@logits/core-wasm";
import { testRandom, expectExact } from "@logits/testkit";
import { webgpu } from "@logits/webgpu";
import { nearestNeighbors } from "../../packages/webgpu/src/nearestNeighbors.ts";
import { mahalanobis } from "../../packages/webgpu/src/mahalanobis.ts";
import { expect, it } from "vitest";
import { dawn } from "./adapter.ts";
it("x", async () => {
  const errors: string[] = [];
  for (const bindingBytes of [2 ** 27, 65536]) {
    const gpu = await webgpu({ gpu: dawn, bindingBytes });
    (gpu.device as never as { onuncapturederror: unknown }).onuncapturederror = (e: { error: Error }) => errors.push(e.error.message);
    for (const [n, m, f, k] of [[5, 40, 3, 7], [30, 700, 20, 10], [3, 20000, 5, 300], [1, 1, 1, 1], [0, 3, 2, 2]]) {
      const r = testRandom(n + m);
      const q = { shape: [n, f], data: Float32Array.from({ length: n * f }, () => Math.round(2 * r.normal())) }, b = { shape: [m, f], data: Float32Array.from({ length: m * f }, () => (r.uniform() < 0.01 ? NaN : Math.round(2 * r.normal()))) };
      if (n > 2) q.data[f + 1] = NaN;
      const t = Date.now();
      const { distances, indices } = nearestNeighbors(gpu.tensor(q), gpu.tensor(b), k), want = cpu(q, b, k);
      expectExact((await distances.read()), want.distances);
      expectExact((await indices.read()), want.indices);
      console.log(bindingBytes, n, m, Date.now() - t);
    }
    const one = gpu.tensor([[1, 0], [0, 1]]), zero = gpu.tensor([0, 0]);
    console.log(await mahalanobis(gpu.tensor([[3, 4], [NaN, 1], [Infinity, 0], [1e30, 0]]), { mean: gpu.tensor([1, 1]), whitening: one, means: zero.reshape([1, 2]) }).read());
  }
  expect(errors).toEqual([]);
});
