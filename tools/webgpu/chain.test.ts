import * as core from "@logits/core-wasm/chains";
import { SemiMarkov } from "@logits/structured-prediction/segments";
import { Tensor } from "@logits/tensor";
import { expectClose, expectExact, testRandom } from "@logits/testkit";
import { chainForwardBackward, chainViterbi, compileChain, segmentSums, segmentViterbi, webgpu, type GpuTensor } from "@logits/webgpu";
import { afterAll, describe, expect, it } from "vitest";
import { dawn, missing } from "./adapter.ts";

// Chains on the GPU against those of core-wasm, whose sums across rows are float64.

const INF = Infinity, U = 2 ** -24;

interface World { readonly transitions: Tensor<"float32">; readonly start: Float32Array; readonly end: Float32Array; readonly emissions: Tensor<"float32">; readonly offsets: Int32Array }

function world(states: number, lengths: readonly number[], seed: number, { spread = 2, holes = 0, shift = 0 } = {}): World {
  const random = testRandom(seed), rows = lengths.reduce((a, b) => a + b, 0);
  const draw = (length: number, by = 0): Float32Array => Float32Array.from({ length }, () => (random.uniform() < holes ? -INF : by + spread * random.normal()));
  const offsets = Int32Array.from([0, ...lengths]);
  for (let b = 1; b < offsets.length; b++) offsets[b] += offsets[b - 1];
  return { transitions: new Tensor("float32", [states, states], draw(states * states)), start: draw(states), end: draw(states), emissions: new Tensor("float32", [rows, states], draw(rows * states, shift)), offsets };
}

/** The largest finite score, and what the rows of a step may lie apart. */
const size = ({ transitions, start, end, emissions }: World): number => [transitions.data, start, end, emissions.data].reduce((most, data) => data.reduce((a, v) => (v === -INF ? a : Math.max(a, Math.abs(v))), most), 0);

if (!missing) {
  const gpu = await webgpu({ gpu: dawn }), faults: string[] = [];
  (gpu.device as unknown as { onuncapturederror: unknown }).onuncapturederror = (event: { error: Error }): void => void faults.push(event.error.message);
  afterAll(() => gpu.dispose());

  const on = ({ transitions, start, end }: World, backend = gpu) => compileChain(backend.tensor(transitions), { start, end });
  const compare = async (w: World, label: string, backend = gpu): Promise<void> => {
    const { transitions, start, end, emissions, offsets } = w, states = start.length, longest = Math.max(0, ...offsets.slice(1).map((to, b) => to - offsets[b]));
    const chain = core.compileChain(transitions, { start, end, structure: "dense" });
    const want = core.chainForwardBackward(chain, emissions, { offsets, marginals: true }), best = core.chainViterbi(chain, emissions, { offsets });
    const x = backend.tensor(emissions), there = on(w, backend);
    const sums = chainForwardBackward(there, x, { offsets, marginals: true }), paths = chainViterbi(there, x, { offsets });
    const [logPartition, marginals, found, scores] = await backend.read([sums.logPartition, sums.marginals, paths.states, paths.scores]);
    // The bound of the page: a step is within (C / 4 + 8 + 4 s) 2^-24, s twice the largest score here.
    const step = (states / 4 + 8 + 8 * size(w)) * U;
    expectClose(logPartition.data, Float32Array.from(want.logPartition), { atol: longest * step, rtol: 2 * U, label: `${label}: log Z` });
    expectClose(marginals.data, want.marginals!, { atol: 2 * longest * step, label: `${label}: marginals` });
    expectExact(found.data, best.states, `${label}: states`);
    expectClose(scores.data, Float32Array.from(best.scores), { atol: longest * 4 * size(w) * U, rtol: 2 * U, label: `${label}: scores` });
    const plain = chainForwardBackward(there, x, { offsets });
    expectExact((await plain.logPartition.read()).data, logPartition.data, `${label}: log Z alone`);
    for (const y of [x, sums.logPartition, sums.marginals, paths.states, paths.scores, plain.logPartition, there.transitions, there]) y.dispose();
    chain.dispose();
  };

  describe("chains on the GPU", () => {
    it("agree with core-wasm: partition sums, marginals, best paths", async () => {
      for (const [states, lengths] of [[1, [1, 5]], [2, [3, 0, 7, 1]], [3, [20]], [9, [40, 1, 2, 33, 0, 12]], [17, [25, 8]], [64, [30]], [300, [6, 3]]] as const) await compare(world(states, lengths, states), `${states} states`);
    }, 300_000);

    it("with impossible scores, where no path is possible, and far from 0", async () => {
      await compare(world(5, [8, 3, 1, 20, 2], 1, { holes: 0.3 }), "holes");
      await compare(world(3, [6, 2, 9, 4, 1, 1, 1], 2, { holes: 0.6 }), "many holes");
      await compare(world(4, [50], 3, { shift: 1000 }), "large");
      await compare(world(4, [50, 2], 4, { shift: -3000 }), "small");
      await compare(world(4, [30], 5, { spread: 60 }), "wide");
    });

    it("of many rows", async () => {
      await compare(world(5, [1000], 6), "1000 rows");
      await compare(world(3, Array.from({ length: 150 }, (_, b) => b % 7), 7), "150 sequences");
    });

    it("in parts, where a binding does not hold all", async () => {
      const small = await webgpu({ gpu: dawn, bindingBytes: 65536 });
      await compare(world(9, [700, 900, 0, 500, 30], 8), "parts", small);
      const { emissions } = world(9, [2000], 9);
      expect(() => chainViterbi(compileChain(small.tensor(new Tensor("float32", [9, 9], new Float32Array(81)))), small.tensor(emissions))).toThrowErrorMatchingInlineSnapshot(`[RangeError: chainViterbi: expected \`emissions\` of sequences with at most 1813 rows (bindingBytes of this backend), got 2000 in sequence 0]`);
      small.dispose();
    });

    it("take the path that is smallest read from its end among equals, as core-wasm does", async () => {
      const random = testRandom(4);
      for (let i = 0; i < 5; i++) {
        const w = world(4, [9, 4, 1, 7], i), whole = (data: Float32Array): void => void data.forEach((_, k) => (data[k] = random.integer(2)));
        for (const data of [w.transitions.data, w.start, w.end, w.emissions.data]) whole(data);
        await compare(w, `ties ${i}`);
      }
      const flat = chainViterbi(compileChain(gpu.tensor(new Tensor("float32", [3, 3], new Float32Array(9)))), gpu.tensor(new Tensor("float32", [4, 3], new Float32Array(12))));
      expectExact((await flat.states.read()).data, [0, 0, 0, 0]);
    });

    it("know rows that are no scores", async () => {
      for (const bad of [NaN, INF]) {
        const w = world(3, [4, 4, 4], 1);
        w.emissions.data[3 * 6 + 1] = bad;
        const x = gpu.tensor(w.emissions), { offsets } = w;
        const sums = chainForwardBackward(on(w), x, { offsets, marginals: true });
        const [logPartition, marginals] = await gpu.read([sums.logPartition, sums.marginals]);
        expect([...logPartition.data].map(Number.isNaN)).toEqual([false, true, false]);
        expect([...marginals.data].map(Number.isNaN)).toEqual(Array.from({ length: 36 }, (_, i) => i >= 12 && i < 24));
        const paths = chainViterbi(on(w), x, { offsets });
        await expect(paths.states.read()).rejects.toThrow("chainViterbi: expected `scores` that are finite or -Infinity, got NaN or +Infinity in row 6, or in the chain");
        expect([...(await paths.scores.read()).data].map(Number.isNaN)).toEqual([false, true, false]);
        w.emissions.data[19] = 0;
        w.transitions.data[1] = bad;
        expect([...(await chainForwardBackward(on(w), gpu.tensor(w.emissions), { offsets }).logPartition.read()).data].every(Number.isNaN)).toBe(true);
      }
      const none = chainForwardBackward(on(world(2, [1], 1)), gpu.tensor(new Tensor("float32", [0, 2], new Float32Array(0))), { marginals: true });
      expectExact((await none.logPartition.read()).data, [0]);
      expect((await none.marginals.read()).shape).toEqual([0, 2]);
    });

    it("of segments agree with SemiMarkov, and with every segmentation one by one", async () => {
      for (const [states, longest, lengths, holes] of [[2, 1, [3, 4], 0], [3, 4, [9, 0, 2, 5, 1], 0], [2, 3, [6, 4, 1], 0.3], [9, 12, [50, 20], 0.05], [40, 5, [20], 0], [3, 30, [300, 7], 0.1]] as const) {
        const w = world(states, lengths, states + longest, { holes: holes / 3 }), rows = w.emissions.shape[0], random = testRandom(longest);
        const segments = new Tensor("float32", [rows, longest, states], Float32Array.from({ length: rows * longest * states }, () => (random.uniform() < holes ? -INF : 2 * random.normal())));
        const chain = on(w), x = gpu.tensor(segments), { offsets } = w, label = `${states} states, up to ${longest} rows`;
        const sums = segmentSums(chain, x, { offsets }), paths = segmentViterbi(chain, x, { offsets });
        const [logPartition, found, scores] = await gpu.read([sums.logPartition, paths.states, paths.scores]);
        const model = SemiMarkov.compile(w.transitions, new Tensor("float32", [longest, states], new Float32Array(longest * states)), { start: w.start, end: w.end });
        const longestRow = Math.max(...lengths), step = (states / 4 + longest / 4 + 12 + 8 * size(w)) * U;
        for (let b = 0; b < lengths.length; b++) {
          const [from, to] = [offsets[b], offsets[b + 1]], T = to - from;
          if (T === 0) {
            expect([logPartition.data[b], scores.data[b]]).toEqual([0, 0]);
            continue;
          }
          const own = segments.data.subarray(from * longest * states, to * longest * states);
          const want = new SemiMarkov(model, new Tensor("float32", [T, states], new Float32Array(T * states)), { segmentScores: new Tensor("float32", [T, longest, states], own) });
          const logZ = want.logPartition()[0], best = want.argmax();
          expectClose(logPartition.data[b], logZ, { atol: longestRow * step, rtol: 2 * U, label: `${label}: log Z ${b}` });
          expectClose(scores.data[b], logZ === -INF ? -INF : want.score(best.labels)[0], { atol: longestRow * 8 * size(w) * U, rtol: 2 * U, label: `${label}: score ${b}` });
          expectExact(found.data.slice(from, to), best.labels.data, `${label}: states ${b}`);
          if (T > 6 || states > 3) continue;
          let total = 0;
          const go = (t: number, state: number, score: number): void => {
            if (t === T) total += Math.exp(score + w.end[state]);
            for (let d = 1; d <= Math.min(longest, T - t); d++) {
              for (let c = 0; c < states; c++) go(t + d, c, score + (t === 0 ? w.start[c] : w.transitions.at(state, c)) + own[((t + d - 1) * longest + d - 1) * states + c]);
            }
          };
          go(0, 0, 0);
          expectClose(logPartition.data[b], Math.log(total), { atol: longestRow * step, rtol: 2 * U, label: `${label}: enumeration ${b}` });
        }
        for (const y of [sums.logPartition, paths.states, paths.scores, x]) y.dispose();
      }
      const bad = gpu.tensor(new Tensor("float32", [2, 2, 1], Float32Array.of(1, 9, NaN, 1))), chain = compileChain(gpu.tensor([[0]]));
      expect((await segmentSums(chain, bad).logPartition.read()).item()).toBeNaN();
      await expect(segmentViterbi(chain, bad).states.read()).rejects.toThrowErrorMatchingInlineSnapshot(`[RangeError: segmentViterbi: expected \`scores\` that are finite or -Infinity, got NaN or +Infinity in row 1, or in the chain]`);
      expect(() => segmentSums(chain, gpu.tensor([[1], [2]]))).toThrowErrorMatchingInlineSnapshot(`[RangeError: segmentSums: expected \`segments\` of shape [N, D, 1], got [2, 1]]`);
      await gpu.finish();
      expect(faults).toEqual([]);
    }, 300_000);

    it("say what is wrong, and leave no buffer", async () => {
      const chain = on(world(3, [1], 1)), square = (n: number, m = n): GpuTensor => gpu.tensor(new Tensor("float32", [n, m], new Float32Array(n * m)));
      expect(() => compileChain(square(2, 3))).toThrowErrorMatchingInlineSnapshot(`[RangeError: compileChain: expected \`transitions\` of shape [C, C] with C from 1 to 1024, got [2, 3]]`);
      expect(() => compileChain(square(1025))).toThrowErrorMatchingInlineSnapshot(`[RangeError: compileChain: expected \`transitions\` of shape [C, C] with C from 1 to 1024, got [1025, 1025]]`);
      expect(() => compileChain(square(3), { start: [1, 2] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: compileChain: expected \`start\` of shape [3], got 2 elements]`);
      expect(() => chainForwardBackward(chain, square(4, 2))).toThrowErrorMatchingInlineSnapshot(`[RangeError: chainForwardBackward: expected \`emissions\` of shape [N, 3], got [4, 2]]`);
      expect(() => chainForwardBackward(chain, square(4, 3), { offsets: [0, 3] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: chainForwardBackward: expected \`offsets\` from 0 to 4, got 0 to 3]`);
      expect(() => chainViterbi(chain, square(4, 3), { offsets: [0, 3, 2, 4] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: chainViterbi: expected \`offsets\` not decreasing, got 2 after 3 at index 2]`);
      expect(() => chainViterbi(chain, new Tensor("float32", [1, 3], new Float32Array(3)) as never)).toThrowErrorMatchingInlineSnapshot(`[TypeError: chainViterbi: expected \`emissions\` a tensor of the WebGPU backend, got Tensor outside the GPU. Pass gpu.tensor(x)]`);
      const gone = on(world(3, [1], 2)), { bytes, idleBytes } = gpu.memory;
      gone.dispose();
      for (const run of [() => chainForwardBackward(gone, chain.transitions), () => chainViterbi(gone, chain.transitions)]) expect(run).toThrow("GpuTensor: expected a live tensor, got one after dispose()");
      // The two edges are back in the pool, and nothing else was taken.
      expect(gpu.memory.bytes - gpu.memory.idleBytes).toBe(bytes - idleBytes - 256);
      const x = square(5, 3), use = (): void => {
        const sums = chainForwardBackward(chain, x, { marginals: true }), paths = chainViterbi(chain, x);
        for (const y of [sums.logPartition, sums.marginals, paths.states, paths.scores]) y.dispose();
      };
      use();
      const { buffers } = gpu.memory;
      for (let i = 0; i < 50; i++) use();
      expect(gpu.memory.buffers).toBe(buffers);
      await gpu.finish();
      expect(faults).toEqual([]);
    });
  });
}
