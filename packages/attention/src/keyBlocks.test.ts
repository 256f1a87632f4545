import { Tensor, type TensorLike } from "@logits/tensor";
import { expectClose, expectExact, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { alibi, attention, blockList, fixedBlocks, haloBlocks, stridedBlocks, type KeyBlocks } from "./index.ts";

const random = (shape: readonly number[], seed: number): Tensor<"float32"> => {
  const { normal } = testRandom(seed);
  return new Tensor("float32", [...shape], Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => normal()));
};
const ints = (x: TensorLike): number[] => Array.from((x as Tensor<"int32">).data);
/** 1 where a query sees a key, [T, S]. */
function seen({ size, offsets, from, to }: KeyBlocks, queries: number, keys: number, causal = true): Uint8Array {
  const [o, f, t] = [offsets, from, to].map(ints), out = new Uint8Array(queries * keys);
  for (let i = 0; i < queries; i++) for (let n = Math.floor(i / size), r = o[n]; r < o[n + 1]; r++) for (let j = f[r]; j < Math.min(keys, t[r]); j++) out[i * keys + j] = Number(!causal || j <= i);
  return out;
}
const sees = (length: number, pattern: (i: number, j: number) => boolean): Uint8Array => Uint8Array.from({ length: length * length }, (_, at) => Number(at % length <= Math.floor(at / length) && pattern(Math.floor(at / length), at % length)));

/** Float32 products in another order of tiles. */
const CLOSE = { atol: 3e-6, rtol: 3e-6 };

describe("sparse transformers [paper:generating-long-sequences-with-sparse-transformers]", () => {
  const strided = { local: (l: number) => (i: number, j: number) => i - j <= l, far: (l: number) => (i: number, j: number) => (i - j) % l === 0 };
  const fixed = { local: (l: number) => (i: number, j: number) => Math.floor(i / l) === Math.floor(j / l), far: (l: number, c: number) => (_i: number, j: number) => j % l >= l - c };

  it("has the paper's sets of keys, the strided ones token by token", () => {
    for (const [length, l, c] of [[37, 6, 2], [40, 8, 3], [16, 4, 4], [9, 3, 1], [5, 12, 7], [0, 3, 1]]) {
      expectExact(seen(stridedBlocks(length, l, { size: 1, part: "local" }), length, length), sees(length, strided.local(l)));
      expectExact(seen(stridedBlocks(length, l, { size: 1, part: "far" }), length, length), sees(length, strided.far(l)));
      expectExact(seen(stridedBlocks(length, l, { size: 1 }), length, length), sees(length, (i, j) => strided.local(l)(i, j) || strided.far(l)(i, j)));
      expectExact(seen(fixedBlocks(length, l, c, { part: "local" }), length, length), sees(length, fixed.local(l)));
      expectExact(seen(fixedBlocks(length, l, c, { part: "far" }), length, length), sees(length, fixed.far(l, c)));
      expectExact(seen(fixedBlocks(length, l, c), length, length), sees(length, (i, j) => fixed.local(l)(i, j) || fixed.far(l, c)(i, j)));
    }
    // Larger blocks: those in which the tokens of the strided pattern of blocks lie.
    expectExact(seen(stridedBlocks(40, 8, { size: 4 }), 40, 40), sees(40, (i, j) => Math.floor(i / 4) - Math.floor(j / 4) <= 2 || (Math.floor(i / 4) - Math.floor(j / 4)) % 2 === 0));
  });

  it("reaches every earlier token in two steps, also in heads of their own, and is dense where the stride is the length", () => {
    const length = 48, reach = (a: Uint8Array, b: Uint8Array): boolean => {
      for (let i = 0; i < length; i++) for (let j = 0; j <= i; j++) if (!Array.from({ length }, (_, m) => a[i * length + m] && b[m * length + j]).some(Boolean)) return false;
      return true;
    };
    for (const size of [1, 4]) {
      const [local, far, both] = (["local", "far", "both"] as const).map((part) => seen(stridedBlocks(length, 8, { size, part }), length, length));
      expect(reach(both, both)).toBe(true);
      expect(reach(local, far)).toBe(true);
    }
    const merged = seen(fixedBlocks(length, 8, 3), length, length);
    expect(reach(merged, merged)).toBe(true);
    for (const blocks of [stridedBlocks(length, length), fixedBlocks(length, length, 1)]) expectExact(seen(blocks, length, length), sees(length, () => true));
  });

  it("is sparse with the sizes that it chooses", () => {
    const share = (list: KeyBlocks): number => seen(list, 1024, 1024).reduce((sum, x) => sum + x, 0) / (512 * 1025);
    // About twice the stride, or the stride, for the local part, and one key in eight, or in four, of the rest.
    expect(share(stridedBlocks(1024, 64))).toBeLessThan(0.3);
    expect(share(fixedBlocks(1024, 128, 32))).toBeLessThan(0.45);
    expect([stridedBlocks(10, 64).size, stridedBlocks(10, 7).size, stridedBlocks(10, 640).size, stridedBlocks(10, 24, { part: "far" }).size, fixedBlocks(10, 128, 32).size]).toEqual([8, 1, 64, 3, 128]);
  });

  it("gives what dense attention with the same mask gives, forward and backward, for all heads or for each its own", () => {
    const n = 150, [q, k, v, u] = [1, 2, 3, 4].map((seed) => random([1, 2, n, 6], seed)), options = { causal: true, positionBias: alibi([0.1, 0.01]) };
    const lists = [stridedBlocks(n, 12, { size: 6, part: "local" }), stridedBlocks(n, 12, { size: 6, part: "far" })], one = fixedBlocks(n, 20, 5);
    for (const [blocks, mask] of [[one, [seen(one, n, n), seen(one, n, n)]], [lists, lists.map((list) => seen(list, n, n))]] as const) {
      const got = attention.withGrad(q, k, v, { ...options, blocks, upstream: u }), want = attention.withGrad(q, k, v, { ...options, mask: new Tensor("uint8", [2, n, n], Uint8Array.of(...mask[0], ...mask[1])), upstream: u });
      expectClose(got.output.data, want.output.data, CLOSE);
      expectClose(got.logSumExp.data, want.logSumExp.data, CLOSE);
      // Sums of up to 150 products in another order.
      for (const part of ["query", "key", "value"] as const) expectClose(got.grads[part].data, want.grads[part].data, { atol: 1e-5, rtol: 1e-5, label: part });
      expectClose(got.grads.positionBias!.data, want.grads.positionBias!.data, { atol: 2e-4, rtol: 1e-5 });
    }
    // The last queries alone stand at the end: the same blocks, the same bits.
    const last = new Tensor("float32", [1, 2, 30, 6], Float32Array.of(...q.data.subarray(120 * 6, 150 * 6), ...q.data.subarray(270 * 6, 300 * 6))), whole = attention(q, k, v, { causal: true, blocks: one }).output.data;
    expectExact(attention(last, k, v, { causal: true, blocks: one }).output.data, Float32Array.of(...whole.subarray(120 * 6, 150 * 6), ...whole.subarray(270 * 6, 300 * 6)));
  });

  it("the far part is causal attention within classes of remainders", () => {
    const n = 22, l = 5, order = Array.from({ length: n }, (_, i) => i).sort((a, b) => a % l - b % l || a - b), [q, k, v] = [1, 2, 3].map((seed) => random([n, 4], seed));
    const sorted = (t: Tensor): Tensor<"float32"> => new Tensor("float32", [n, 4], Float32Array.from(order.flatMap((i) => Array.from(t.row(i).data as Float32Array))));
    const got = attention(sorted(q), sorted(k), sorted(v), { causal: true, documents: Int32Array.from(order, (i) => i % l) }).output, want = attention(q, k, v, { causal: true, blocks: stridedBlocks(n, l, { size: 1, part: "far" }) }).output;
    for (const [at, i] of order.entries()) expectClose(got.row(at).data, want.row(i).data, CLOSE);
  });

  it("lists blocks, and joins those next to each other", () => {
    const list = blockList(4, [0, 1, 4, 4], [0, 0, 1, 3]);
    expect([list.offsets, list.from, list.to].map(ints)).toEqual([[0, 1, 3, 3], [0, 0, 12], [4, 8, 16]]);
    const [q, k, v] = [1, 2, 3].map((seed) => random([11, 3], seed)), mask = new Tensor("uint8", [11, 11], seen(list, 11, 11, false));
    const { output, logSumExp } = attention(q, k, v, { blocks: list });
    expectClose(output.data, attention(q, k, v, { mask }).output.data, CLOSE);
    // The third block sees nothing.
    expectExact(output.data.subarray(24), new Float32Array(9));
    expectExact(logSumExp.data.subarray(8), [-Infinity, -Infinity, -Infinity]);
    expect(attention(random([0, 3], 1), k, v, { blocks: stridedBlocks(0, 4) }).output.shape).toEqual([0, 3]);
    expectExact(attention(q, new Tensor("float32", [0, 3], new Float32Array(0)), new Tensor("float32", [0, 3], new Float32Array(0)), { blocks: list, queryOffset: 0 }).output.data, new Float32Array(33));
  });
});

describe("blocks with a halo [paper:scaling-local-self-attention-for-parameter-efficient-visual-backbones]", () => {
  const [height, width, d] = [6, 9, 4], n = height * width, [q, k, v] = [1, 2, 3].map((seed) => random([2, n, d], seed));
  const near = (block: number, halo: number) => new Tensor("uint8", [n, n], Uint8Array.from({ length: n * n }, (_, at) => {
    const [i, j] = [Math.floor(at / n), at % n], [y, x] = [Math.floor(i / width), i % width].map((p) => Math.floor(p / block) * block), [ky, kx] = [Math.floor(j / width), j % width];
    return Number(ky >= y - halo && ky < y + block + halo && kx >= x - halo && kx < x + block + halo);
  }));
  const rows = (t: Tensor, order: readonly number[]): Tensor<"float32"> => new Tensor("float32", [2, n, d], Float32Array.from([0, 1].flatMap((h) => order.flatMap((i) => Array.from(t.data.subarray((h * n + i) * d, (h * n + i + 1) * d))))));

  it("on a grid sees what the mask of neighbourhoods sees; a halo over all is global attention", () => {
    for (const [block, halo] of [[3, 0], [3, 1], [3, 2], [1, 1], [3, 9]]) {
      const { order, blocks } = haloBlocks(height, width, block, halo), placed = ints(order), back = placed.map((_, i) => placed.indexOf(i));
      expectClose(rows(attention(rows(q, placed), k, v, { blocks }).output, back).data, attention(q, k, v, { mask: near(block, halo) }).output.data, CLOSE);
      if (halo === 9) expectClose(attention(rows(q, placed), k, v, { blocks }).output.data, rows(attention(q, k, v).output, placed).data, CLOSE);
    }
  });

  it("serves fewer queries than keys: every second row and column of a block", () => {
    const { order, blocks } = haloBlocks(4, 4, 2, 1), kept = ints(order).filter((_, at) => at % 4 === 0), take = (t: Tensor<"float32">): Tensor<"float32"> => new Tensor("float32", [4, d], Float32Array.from(kept.flatMap((i) => Array.from(t.data.subarray(i * d, (i + 1) * d)))));
    const [x, y] = [random([16, d], 5), random([16, d], 6)], mask = new Tensor("uint8", [4, 16], Uint8Array.from({ length: 64 }, (_, at) => {
      const [i, j] = [kept[Math.floor(at / 16)], at % 16], [top, left] = [Math.floor(i / 4), i % 4];
      return Number(Math.abs(Math.floor(j / 4) - top - 0.5) < 2 && Math.abs((j % 4) - left - 0.5) < 2);
    }));
    expectClose(attention(take(x), y, y, { blocks: { ...blocks, size: 1 }, queryOffset: 0 }).output.data, attention(take(x), y, y, { mask }).output.data, CLOSE);
  });

  it("lists as many keys as the neighbourhoods have", () => {
    const { blocks } = haloBlocks(64, 64, 8, 3), [offsets, from, to] = [blocks.offsets, blocks.from, blocks.to].map(ints), counts = Array.from({ length: 64 }, (_, b) => from.slice(offsets[b], offsets[b + 1]).reduce((sum, at, r) => sum + to[offsets[b] + r] - at, 0));
    expect(ints(haloBlocks(6, 4, 2, 3).blocks.from)).toEqual([0, 0, 0, 0, 4, 4]);
    // Corners, edges and the inside.
    expect([counts[0], counts[1], counts[9]]).toEqual([11 * 11, 11 * 14, 14 * 14]);
  });

  it("on a line is an interval for each query", () => {
    const from = Int32Array.from({ length: n }, (_, i) => Math.floor(i / 6) * 6 - 2), to = from.map((at) => at + 10), mask = Uint8Array.from({ length: n * n }, (_, at) => Number(at % n >= from[Math.floor(at / n)] && at % n < to[Math.floor(at / n)]));
    expectClose(attention(q, k, v, { ranges: { from, to } }).output.data, attention(q, k, v, { mask: new Tensor("uint8", [n, n], mask) }).output.data, CLOSE);
  });
});
