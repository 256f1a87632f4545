import { core } from "@logits/core-wasm";
import { Tensor, randomSource } from "@logits/tensor";
import { expectExact, testRandom } from "@logits/testkit";
import { expect, it, vi } from "vitest";
import { ctcAlign, ctcGreedy, ctcLoss, expectedErrorLoss, monotonicMarginals, softDtwLoss, transducerLoss } from "./alignments/index.ts";
import { HiddenMarkovModel, LinearChain, crfLoss } from "./index.ts";
import { PlackettLuce, assignment, pointerLoss, pointerScores, sinkhorn } from "./rankings/index.ts";
import { IntervalCrf, SemiMarkov, semiMarkovLoss } from "./segments/index.ts";
import { SpanDecoder, mergeWindows } from "./spans/index.ts";

// The set-up of the tests has loaded the kernels: modules that are loaded are not mocked. Here memory grows at every operation, which leaves views that were taken before it empty.
vi.hoisted(() => vi.resetModules());
vi.mock("../../core-wasm/src/memory.ts", async (original) => {
  const memory = await original<typeof import("../../core-wasm/src/memory.ts")>();
  return { ...memory, scratch(size: number) {
    memory.wasmMemory().grow(0);
    return memory.scratch(size);
  } };
});

const { normal } = testRandom(5);
const floats = (...shape: number[]): Tensor => new Tensor("float32", shape, Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => normal()));
const labels = (shape: readonly number[], ...values: number[]): Tensor => new Tensor("int32", shape, Int32Array.from(values));

function resident(x: Tensor): Tensor {
  const held = core.alloc(x.shape, x.dtype);
  held.data.set(x.data as never);
  return held;
}

/** All numbers of a result, in order. */
function numbersOf(x: unknown): number[] {
  if (typeof x === "number") return [x];
  if (typeof x !== "object" || x === null) return [];
  if (ArrayBuffer.isView(x)) return Array.from(x as Float32Array);
  return "data" in x ? numbersOf(x.data) : Object.values(x).flatMap(numbersOf);
}

const rows = floats(4, 3), batch = floats(2, 3, 3), square = floats(3, 3), three = floats(3), upstream = floats(2), tags = labels([4], 0, 2, 1, 1), scores = floats(3, 3, 2);

const cases: Readonly<Record<string, (h: (x: Tensor) => Tensor) => unknown>> = {
  "LinearChain"(h) {
    const chain = new LinearChain(LinearChain.compile(h(square), { start: h(three), end: h(three) }), h(rows));
    return [chain.argmax(), chain.logProbWithGrad(h(tags)), chain.expectation({ emissions: h(rows), transitions: h(square) }), chain.marginals()];
  },
  "LinearChain.varying"(h) {
    const chain = LinearChain.varying(h(batch), h(floatsOf(2, 3, 3, 3)), { lengths: h(labels([2], 3, 2)) });
    return [chain.argmax(), chain.logProbWithGrad(h(labels([2, 3], 0, 1, 2, 2, 0, 1)), { upstream: h(upstream) })];
  },
  "crfLoss": (h) => crfLoss.withGrad(h(batch), h(square), h(labels([2, 3], 0, 1, 2, 2, 0, 1)), { start: h(three), end: h(three), weight: h(labels([2], 1, 2)) }),
  "ctcLoss": (h) => [ctcLoss.withGrad(h(batch), h(labels([2, 1], 1, 2))), ctcLoss.withGrad(h(batch), h(labels([2, 1], 1, 9)), { wildcard: 9 })],
  "ctcAlign": (h) => [ctcAlign(h(rows), h(labels([2], 1, 2)), { confidence: true }), ctcGreedy(h(rows))],
  "transducerLoss": (h) => transducerLoss.withGrad(h(floatsOf(1, 2, 3)), h(floatsOf(1, 2, 2))),
  "softDtwLoss": (h) => softDtwLoss.withGrad(h(batch), h(floatsOf(2, 4, 3))),
  "expectedErrorLoss": (h) => expectedErrorLoss.withGrad(h(square), h(floatsOf(3, 3))),
  "monotonicMarginals": (h) => monotonicMarginals(h(floatsOf(3, 4))),
  "HiddenMarkovModel": (h) => HiddenMarkovModel.fit(h(labels([8], 0, 1, 1, 0, 2, 2, 1, 0)), { states: 2, symbols: 3, tolerance: 0.1, random: randomSource(1) }).emissions,
  "HiddenMarkovModel.of"(h) {
    const share = (...shape: number[]): Tensor => new Tensor("float32", shape, new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(1 / shape.at(-1)!));
    const given = HiddenMarkovModel.of({ initial: h(share(2)), transitions: h(share(2, 2)), emissions: h(share(2, 4)) }).given(h(tags));
    return [given.argmax(), given.logPartition()];
  },
  "PlackettLuce": (h) => new PlackettLuce(h(batch.row(0))).logProbWithGrad(h(labels([3, 3], 0, 1, 2, 2, 1, 0, 1, 0, 2)), { upstream: h(three) }),
  "pointerScores": (h) => pointerScores(h(rows), h(square), { encoder: h(square), decoder: h(square), v: h(three) }),
  "pointerLoss": (h) => pointerLoss.withGrad(h(batch), h(labels([2, 3], 0, 1, 2, 2, 0, -1))),
  "sinkhorn": (h) => [sinkhorn(h(square)), assignment(h(square))],
  "IntervalCrf"(h) {
    const crf = new IntervalCrf(h(scores), { skip: h(floatsOf(2, 2)), from: h(labels([2], 0, 1)) });
    return [crf.logPartition(), crf.marginals(), crf.entropy(), crf.logProbWithGrad([[{ first: 0, last: 1 }], [{ first: 1, last: 2 }]], { upstream: h(upstream) }), IntervalCrf.innerProducts(h(rows), h(rows))];
  },
  "SemiMarkov"(h) {
    const model = SemiMarkov.compile(h(square), h(floatsOf(2, 3)), { start: h(three), end: h(three) }), x = new SemiMarkov(model, h(batch), { lengths: h(labels([2], 3, 2)), starts: h(batch) });
    return [x.logPartition(), x.argmax(), x.logProbWithGrad(h(labels([2, 3], 0, -1, 1, 2, 0, 0)), { upstream: h(upstream) })];
  },
  "semiMarkovLoss": (h) => semiMarkovLoss.withGrad(h(batch), h(floatsOf(2, 3)), h(square), h(labels([2, 3], 0, -1, 1, 2, 0, 0))),
  "SpanDecoder"(h) {
    const decoded = new SpanDecoder(["O", "B-a", "I-a"], { transitions: h(square), start: h(three), end: h(three) }).decode(h(rows), { offsets: h(labels([4, 2], 0, 1, 1, 2, 2, 3, 3, 4)), words: h(labels([4], 0, 1, 1, 2)) });
    return [decoded.above(0.01).map(({ from, to, probability }) => [from, to, probability]), mergeWindows([{ from: 0, logits: h(rows) }, { from: 2, logits: h(rows) }])];
  },
};

/** The same numbers at each call. */
function floatsOf(...shape: number[]): Tensor {
  return new Tensor("float32", shape, Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => ((7 * i) % 11) / 4 - 1));
}

it.each(Object.entries(cases))("%s of resident tensors, though memory grows", (_name, f) => {
  const want = numbersOf(f((x) => x));
  expect(want.length).toBeGreaterThan(0);
  expectExact(numbersOf(f(resident)), want);
});
