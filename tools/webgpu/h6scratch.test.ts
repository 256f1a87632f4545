import { attention as cpu } from "@logits/attention";
import { testRandom, expectClose } from "@logits/testkit";
import { webgpu } from "@logits/webgpu";
import { attention } from "../../packages/webgpu/src/attention.ts";
import { expect, it } from "vitest";
import { dawn } from "./adapter.ts";
it("x", async () => {
  const errors: string[] = [];
  for (const bindingBytes of [2 ** 27, 65536]) {
    const gpu = await webgpu({ gpu: dawn, bindingBytes });
    (gpu.device as never as { onuncapturederror: unknown }).onuncapturederror = (e: { error: Error }) => errors.push(e.error.message);
    for (const [B, H, G, T, S, D, E, o] of [[1, 1, 1, 3, 5, 4, 2, {}], [2, 4, 2, 37, 50, 8, 6, { causal: true, lengths: [20, 50] }], [1, 2, 1, 200, 150, 4, 3, { windowSize: 9, causal: true, softCap: 2, sinks: [0.5, -1] }], [2, 2, 2, 9, 7, 3, 3, { windowSize: 3, softmaxOne: true, lengths: [0, 7] }], [2, 2, 1, 3, 0, 3, 3, { sinks: [1, -Infinity] }], [2, 2, 1, 0, 3, 3, 3, {}], [1, 1, 1, 5, 9, 3, 3, { queryOffset: -2, causal: true }], [0, 2, 1, 4, 3, 3, 3, {sinks: [1, 2]}]] as const) {
      const r = testRandom(S + T);
      const of = (...shape: number[]) => ({ shape, data: Float32Array.from({ length: shape.reduce((a, b) => a * b) }, () => r.normal()) });
      const q = of(B, H, T, D), k = of(B, G, S, D), v = of(B, G, S, E), upstream = of(B, H, T, E), upstreamLogSumExp = of(B, H, T);
      const t = Date.now();
      const full = { ...o, upstream, ...(S % 2 && { upstreamLogSumExp }) } as never;
      const got = attention.withGrad(gpu.tensor(q), gpu.tensor(k), gpu.tensor(v), full), want = cpu.withGrad(q, k, v, full);
      const alone = attention(gpu.tensor(q), gpu.tensor(k), gpu.tensor(v), o as never);
      expect((await got.output.read()).data).toEqual((await alone.output.read()).data);
      expect((await got.logSumExp.read()).data).toEqual((await alone.logSumExp.read()).data);
      const b = { rtol: 1e-5, atol: 1e-5 };
      expectClose(await got.output.read(), want.output, b);
      expectClose(await got.logSumExp.read(), want.logSumExp, b);
      expect(Object.keys(got.grads)).toEqual(Object.keys(want.grads));
      for (const k of ["query", "key", "value", "sinks"] as const) if (want.grads[k]) { const y = await got.grads[k]!.read(); expect(y.shape).toEqual(want.grads[k].shape); expectClose(y, want.grads[k], { ...b, label: k }); }
      console.log(bindingBytes, B, T, S, Date.now() - t);
    }
    for (const [q, k, v, o] of [[[[1, NaN]], [[1, 0], [0, 1]], [[1], [2]], {}], [[[1, 1], [Infinity, 1]], [[1, 0], [0.5, 1]], [[1], [2]], {}], [[[1, Infinity]], [[1, 1], [1, 2]], [[1], [2]], {softCap: 2}], [[[1, -Infinity]], [[1, 1], [1, 0.5]], [[1], [2]], {softCap: 2}], [[[1, -Infinity]], [[1, 1], [1, 0.5]], [[1], [2]], {}], [[[1, -Infinity]], [[1, 1], [1, -0.5]], [[1], [2]], {}],[[[1, -Infinity]], [[1, 1], [1, 0.5]], [[1], [2]], {scale: -1}], [[[1, -Infinity]], [[1, 1], [1, 0.5]], [[1], [2]], {scale: 0}], [[[1, 1]], [[1, 1], [1, 0.5]], [[1], [NaN]], {}], [[[3e38, 1]], [[1, 1], [-1, 0.5]], [[1], [7]], {scale: 1}], [[[1, 1]], [[1, 1], [-1, 0.5]], [[1], [7]], {softmaxOne: true}], [[[1, 1]], [[1, 1], [-1, 0.5]], [[1], [7]], {sinks: [NaN]}], [[[1, 1]], [[1, 1], [-1, 0.5]], [[1], [7]], {sinks: [Infinity]}]] as const) {
      const show = async (r: any) => (await Promise.all([r.output, r.logSumExp, ...Object.values(r.grads)].map(async (t: any) => [...(t.read ? await t.read() : t).data].map((x) => +x.toPrecision(5))))).join(" | ");
      const o2 = { ...o, upstream: q.map(() => [1]) } as never;
      const got = attention.withGrad(gpu.tensor(q as never), gpu.tensor(k as never), gpu.tensor(v as never), o2), want = cpu.withGrad(q as never, k as never, v as never, o2);
      const [a, b] = [await show(got), await show(want)];
      console.log(JSON.stringify([q, k, v, o]), a === b, "\n", a, "\n", b);
    }
  }
  expect(errors).toEqual([]);
});
