import { distributionChecks, expectClose, expectExact, finiteDifferenceGradient, lossChecks, testRandom, type DistributionCase } from "@logits/testkit";
import { randomSource, Tensor, type TensorLike } from "@logits/tensor";
import { describe, expect, it } from "vitest";
import { LinearChain } from "../linearChain.ts";
import { SemiMarkov, segmentLabels, segmentsOf, semiMarkovLoss } from "./index.ts";

const random = testRandom(81);
const floats = (shape: readonly number[], scale = 1, impossible = 0): Tensor<"float32"> => new Tensor("float32", [...shape], Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => (random.uniform() < impossible ? -Infinity : Math.fround(scale * random.normal()))));

interface Shape { readonly T: number; readonly C: number; readonly D: number; readonly scale?: number; readonly impossible?: number; readonly boundary?: boolean; readonly generic?: boolean; readonly tail?: boolean; readonly allowed?: readonly number[][] }
interface Parameters { readonly shape: Shape; readonly content: Tensor<"float32">; readonly durations: Tensor<"float32">; readonly A: Tensor<"float32">; readonly start: Tensor<"float32">; readonly end: Tensor<"float32">; readonly tail?: Tensor<"float32">; readonly starts?: Tensor<"float32">; readonly ends?: Tensor<"float32">; readonly segmentScores?: Tensor<"float32"> }

function parameters(shape: Shape, impossible = shape.impossible ?? 0): Parameters {
  const { T, C, D, scale = 1, boundary, generic, tail } = shape;
  return {
    shape, content: floats([T, C], scale, impossible / 2), durations: floats([D, C], scale, impossible), A: floats([C, C], scale, impossible), start: floats([C], scale), end: floats([C], scale),
    ...(tail && { tail: floats([C], scale) }), ...(boundary && { starts: floats([T, C], scale), ends: floats([T, C], scale) }), ...(generic && { segmentScores: floats([T, D, C], scale, impossible) }),
  };
}

function made({ shape: { allowed }, content, durations, A, start, end, tail, starts, ends, segmentScores }: Parameters): SemiMarkov {
  return new SemiMarkov(SemiMarkov.compile(A, durations, { start, end, ...(tail && { tail }), ...(allowed && { allowed }) }), content, { ...(starts && { starts }), ...(ends && { ends }), ...(segmentScores && { segmentScores }) });
}

/** The definition, segment by segment. */
function scoreOf({ shape: { T, D, allowed }, content, durations, A, start, end, tail, starts, ends, segmentScores }: Parameters, labels: readonly number[]): number {
  let total = 0, previous = -1;
  for (const { start: s, end: t, label: c } of segmentsOf(Int32Array.from(labels))) {
    const length = t - s;
    if (length > D && !tail) return -Infinity;
    if (allowed && allowed[Math.min(length, D) - 1][c] === 0) return -Infinity;
    total += durations.at(Math.min(length, D) - 1, c) + (length > D ? (length - D) * tail!.at(c) : 0) + (segmentScores?.at(t - 1, length - 1, c) ?? 0) + (starts?.at(s, c) ?? 0) + (ends?.at(t - 1, c) ?? 0);
    for (let u = s; u < t; u++) total += content.at(u, c);
    total += (s === 0 ? start.at(c) : A.at(previous, c)) + (t === T ? end.at(c) : 0);
    previous = c;
  }
  return total;
}

/** Every sequence of labels of segments, a first position always with one. */
const segmentations = (T: number, C: number): number[][] => (T === 0 ? [[]] : segmentations(T - 1, C).flatMap((y) => Array.from({ length: C + 1 }, (_, j) => [...y, j - 1]))).filter((y) => y.length === 0 || y[0] >= 0);

function caseOf(name: string, p: Parameters, q: Parameters): DistributionCase<TensorLike, SemiMarkov> {
  const { T, C, D, tail } = p.shape, per = T * C;
  return {
    name, make: () => made(p), other: () => made(q),
    structures: segmentations(T, C).map((labels) => ({ labels, score: scoreOf(p, labels), other: scoreOf(q, labels) })),
    structure: (labels) => ({ data: Int32Array.from(labels), shape: [T], dtype: "int32" }),
    marginals: (d) => {
      // With and without single segments the sums are made in different ways.
      const { unary, starts, ends } = d.marginals(), { segments, unary: same } = d.marginals({ segments: !tail });
      expectClose(same.data, unary.data, { atol: 3e-6 });
      return [...unary.data, ...starts.data, ...ends.data, ...(segments?.data ?? [])];
    },
    parts: (y) => segmentsOf(Int32Array.from(y)).flatMap(({ start: s, end: t, label: c }) => [
      ...Array.from({ length: t - s }, (_, i) => (s + i) * C + c), per + s * C + c, 2 * per + (t - 1) * C + c, ...(tail ? [] : [3 * per + ((t - 1) * D + t - s - 1) * C + c]),
    ]),
    logCount: (d) => d.logCount()[0],
  };
}

const shapes: Shape[] = [
  { T: 1, C: 1, D: 1 }, { T: 4, C: 2, D: 1 }, { T: 4, C: 3, D: 3 }, { T: 5, C: 2, D: 9 }, { T: 5, C: 2, D: 2, scale: 4 }, { T: 5, C: 2, D: 3, impossible: 0.3 }, { T: 4, C: 3, D: 4, impossible: 0.25, scale: 8 },
  { T: 5, C: 2, D: 3, boundary: true }, { T: 4, C: 3, D: 2, generic: true }, { T: 4, C: 2, D: 3, generic: true, boundary: true, impossible: 0.2, scale: 3 },
  { T: 5, C: 2, D: 1, tail: true }, { T: 6, C: 2, D: 3, tail: true, boundary: true }, { T: 5, C: 2, D: 2, tail: true, impossible: 0.2 }, { T: 6, C: 1, D: 4 }, { T: 5, C: 2, D: 3, allowed: [[1, 0], [0, 1], [1, 1]] }, { T: 3, C: 2, D: 2, impossible: 1 },
];
const cases = shapes.flatMap((shape, n) => Array.from({ length: 2 }, (_, i) => caseOf(`${n}.${i} ${JSON.stringify(shape)}`, parameters(shape), parameters(shape, 0))));

describe("SemiMarkov against enumeration [paper:improving-human-text-comprehension-through-semi-markov-crf-based]", () => {
  it.each(distributionChecks(cases))("$name", ({ run }) => run());

  it("has the gradient of the definition, by every parameter", () => {
    for (const shape of [{ T: 4, C: 2, D: 2, boundary: true, generic: true }, { T: 5, C: 2, D: 2, tail: true, boundary: true }, { T: 4, C: 3, D: 4 }] as Shape[]) {
      const p = parameters(shape), { T, C } = shape, y = made(p).sample(randomSource(3, 0), 1).row(0), all = segmentations(T, C);
      const logProb = (q: Parameters): number => {
        const scores = all.map((labels) => scoreOf(q, labels)), top = Math.max(...scores);
        return scoreOf(q, Array.from(y.data)) - top - Math.log(scores.reduce((sum, s) => sum + Math.exp(s - top), 0));
      };
      const { value, grads } = made(p).logProbWithGrad(y, { upstream: [0.7] });
      expectClose(value[0], logProb(p), { atol: 3e-6 });
      const names = { content: "content", durations: "durations", transitions: "A", start: "start", end: "end", tail: "tail", starts: "starts", ends: "ends", segmentScores: "segmentScores" } as const;
      for (const [name, own] of Object.entries(names)) {
        const given = p[own];
        if (given === undefined) continue;
        const want = finiteDifferenceGradient((x) => 0.7 * logProb({ ...p, [own]: { at: (...index: number[]) => x[index.reduce((k, i, axis) => k * given.shape[axis] + i, 0)] } }), Float64Array.from(given.data));
        // Segments that would begin before the sequence are not read.
        expectClose(grads[name].data, want, { atol: 3e-6, label: name });
      }
    }
  });

  it("gives likely segments in order, those of the marginals", () => {
    for (const shape of [{ T: 6, C: 2, D: 4 }, { T: 6, C: 2, D: 2, tail: true }, { T: 5, C: 2, D: 5, impossible: 0.1 }] as Shape[]) {
      const p = parameters(shape), d = made(p), scored = segmentations(shape.T, shape.C).map((labels) => ({ labels, score: scoreOf(p, labels) })), logZ = d.logPartition()[0], want = new Map<string, number>();
      for (const { labels, score } of scored) for (const { start, end, label } of segmentsOf(Int32Array.from(labels))) want.set(`${start},${label},${end}`, (want.get(`${start},${label},${end}`) ?? 0) + Math.exp(score - logZ));
      const found = [...d.probableSegments(0.05)], likely = [...want].filter(([, q]) => q >= 0.05);
      expect(found.map(({ start, end, label }) => `${start},${label},${end}`)).toEqual(likely.map(([key]) => key).sort());
      for (const { start, end, label, probability } of found) expectClose(probability, want.get(`${start},${label},${end}`)!, { atol: 3e-6 });
    }
  });
});

describe("SemiMarkov", () => {
  it("is the linear chain where every segment has length 1", () => {
    const p = parameters({ T: 40, C: 5, D: 1 }), d = made(p), chain = new LinearChain(LinearChain.compile(p.A, { start: p.start, end: p.end }), new Tensor("float32", [40, 5], p.content.data.map((v, k) => v + p.durations.data[k % 5])));
    expectClose(d.logPartition(), chain.logPartition(), { rtol: 1e-6 });
    expectClose(d.marginals().unary.data, chain.marginals().unary.data, { atol: 3e-6 });
    expectExact(d.argmax().labels.data, chain.argmax().labels.data);
    expectClose(d.entropy(), chain.entropy(), { rtol: 1e-5 });
  });

  it("reads batches by lengths and by offsets as single sequences, T = 0 among them", () => {
    const p = parameters({ T: 12, C: 3, D: 4, boundary: true }), model = SemiMarkov.compile(p.A, p.durations), spoiled = new Tensor("float32", [3, 4, 3], p.content.data.map((v, k) => ((Math.floor(k / 3) % 4) >= [4, 0, 2][Math.floor(k / 12)] ? NaN : v)));
    const padded = new SemiMarkov(model, spoiled, { lengths: [4, 0, 2] }), rows = [0, 1, 2, 3, 8, 9], some = new Tensor("float32", [6, 3], Float32Array.from(rows.flatMap((t) => Array.from(p.content.row(t).data))));
    const ragged = new SemiMarkov(model, some, { offsets: [0, 4, 4, 6] });
    expectExact(padded.logPartition(), ragged.logPartition());
    expect(padded.logPartition()[1]).toBe(0);
    expect(padded.entropy()[1]).toBe(0);
    const alone = new SemiMarkov(model, new Tensor("float32", [2, 3], some.data.slice(12)));
    expectExact(padded.logPartition()[2], alone.logPartition()[0]);
    expectExact(padded.marginals().unary.data.slice(24, 30), alone.marginals().unary.data);
    expectExact(padded.argmax().labels.data.slice(4, 8), Int32Array.of(-1, -1, -1, -1));
    expect(padded.sample(randomSource(1, 0), 3).shape).toEqual([3, 3, 4]);
    const empty = new SemiMarkov(model, new Tensor("float32", [0, 3], new Float32Array(0)));
    expectExact(empty.logPartition(), Float64Array.of(0));
    expectExact(empty.logProb(new Int32Array(0)), Float64Array.of(0));
    expect([...empty.probableSegments(0.5)]).toEqual([]);
  });

  it("takes segment scores alone", () => {
    const p = parameters({ T: 6, C: 2, D: 3, generic: true }), d = SemiMarkov.ofSegments(p.segmentScores!, p.A);
    const q = { ...p, content: floats([6, 2], 0), durations: floats([3, 2], 0), start: floats([2], 0), end: floats([2], 0) };
    expectClose(d.logPartition(), made(q).logPartition(), { rtol: 1e-12 });
    expectClose(d.logCount()[0], Math.log(segmentations(6, 2).filter((y) => segmentsOf(Int32Array.from(y)).every(({ start, end }) => end - start <= 3)).length), { atol: 1e-6 });
  });

  it("has marginals that sum to 1, over 3,000 positions with scores of any size", () => {
    for (const scale of [0.3, 10, 300]) {
      const d = made(parameters({ T: 3000, C: 4, D: 20, scale })), { unary } = d.marginals();
      for (let t = 0; t < 3000; t++) expectClose(unary.row(t).data.reduce((a, b) => a + b, 0), 1, { atol: 2e-4 * Math.max(1, scale / 10) });
      expect(d.logProb(d.argmax().labels)[0]).toBeLessThan(1e-3);
    }
  });

  it("finds a planted segmentation over 20,000 positions", () => {
    const T = 20000, C = 3, labels = new Int32Array(T).fill(-1), content = new Float32Array(T * C);
    for (let s = 0, c = 0; s < T; c = (c + 1 + random.integer(2)) % C) {
      const length = Math.min(T - s, 3 + random.integer(10));
      labels[s] = c;
      for (let t = s; t < s + length; t++) content[t * C + c] = 3;
      s += length;
    }
    const d = new SemiMarkov(SemiMarkov.compile(floats([C, C], 0), new Tensor("float32", [12, C], new Float32Array(36).fill(-1))), new Tensor("float32", [T, C], content));
    expectExact(d.argmax().labels.data, labels);
  });

  it.each(lossChecks({
    name: "semiMarkovLoss",
    loss: semiMarkovLoss,
    cases: [{ name: "5 positions, lengths to 3", arguments: [plain([3, 5, 2]), plain([3, 2]), plain([2, 2]), { dtype: "int32", shape: [3, 5], data: Int32Array.of(0, -1, 1, -1, -1, 1, 1, 1, 1, 1, 0, -1, -1, 0, 1) }] }],
    reference: ([content, durations, A, labels]) => {
      const table = (x: Float64Array, cols: number) => ({ at: (...index: number[]) => x[index.length === 1 ? index[0] : index[0] * cols + index[1]] }) as unknown as Tensor<"float32">, zero = table(new Float64Array(2), 2);
      const p: Parameters = { shape: { T: 5, C: 2, D: 3 }, content: table(content, 2), durations: table(durations, 2), A: table(A, 2), start: zero, end: zero }, scores = segmentations(5, 2).map((y) => scoreOf(p, y)), top = Math.max(...scores);
      return top + Math.log(scores.reduce((sum, s) => sum + Math.exp(s - top), 0)) - scoreOf(p, Array.from(labels));
    },
    shared: [1, 2],
    differentiable: [{ argument: 0, read: ({ grads }) => grads.content }, { argument: 1, read: ({ grads }) => grads.durations }, { argument: 2, read: ({ grads }) => grads.transitions }],
    bound: { rtol: 1e-6, atol: 3e-6 },
    gradientBound: { atol: 3e-6 },
  }))("$name", ({ run }) => run());

  it("is Infinity, without slope, for an impossible segmentation", () => {
    const { loss, grads } = semiMarkovLoss.withGrad(floats([1, 3, 2]), floats([1, 2]), floats([2, 2]), [[0, -1, 1]]);
    expect(loss.item()).toBe(Infinity);
    expectExact(grads.content.data, new Float32Array(6));
  });

  it("says what it refuses", () => {
    const model = SemiMarkov.compile([[0, 0], [0, 0]], [[0, 0]]), d = new SemiMarkov(model, [[0, 0], [0, 0]]);
    expect(() => SemiMarkov.compile([[0, 0]], [[0]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: SemiMarkov.compile: expected \`transitions\` of shape [C, C], got [1, 2]]`);
    expect(() => SemiMarkov.compile([[0]], [])).toThrowErrorMatchingInlineSnapshot(`[RangeError: SemiMarkov.compile: expected \`durations\` of shape [D, 1] with D at least 1, got [0]]`);
    expect(() => SemiMarkov.compile([[0]], [[NaN]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: SemiMarkov.compile: expected \`durations\` finite or -Infinity, got NaN at index 0]`);
    expect(() => SemiMarkov.compile([[0]], [[0]], { start: [0, 0] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: SemiMarkov.compile: expected \`start\` of shape [1], got [2]]`);
    expect(() => SemiMarkov.compile([[0]], [[0]], { allowed: [1] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: SemiMarkov.compile: expected \`allowed\` of shape [1, 1], got [1]]`);
    expect(() => new SemiMarkov(model, [[0, Infinity]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: SemiMarkov: expected \`content\` finite or -Infinity, got Infinity at index 1]`);
    expect(() => new SemiMarkov(SemiMarkov.compile([[0]], [[0]], { tail: [0] }), [[0]], { segmentScores: [[[0]]] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: SemiMarkov: expected \`segmentScores\` with a model without a tail, got a model with one]`);
    expect(() => new SemiMarkov(SemiMarkov.compile([[0]], [[0]], { tail: [0] }), [[0]]).marginals({ segments: true })).toThrowErrorMatchingInlineSnapshot(`[RangeError: SemiMarkov.marginals: expected \`segments\` false for a model with a tail, got true. Use probableSegments]`);
    expect(() => d.score([-1, 0])).toThrowErrorMatchingInlineSnapshot(`[RangeError: SemiMarkov.score: expected \`labels\` in [0, 2), got -1 at position 0 of batch item 0]`);
    expect(() => d.score([0, 2])).toThrowErrorMatchingInlineSnapshot(`[RangeError: SemiMarkov.score: expected \`labels\` in [-1, 2), got 2 at position 1 of batch item 0]`);
    expect(() => d.crossEntropy(new SemiMarkov(model, [[0, 0]]))).toThrowErrorMatchingInlineSnapshot(`[RangeError: SemiMarkov.crossEntropy: expected \`other\` over 2 labels and lengths to 1, for sequences of the same lengths, got one over 2 labels and lengths to 1, for sequences of other lengths]`);
    expect(() => d.logProbWithGrad([0, 0], { upstream: [1, 1] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: SemiMarkov.logProbWithGrad: expected \`upstream\` of shape [1], got [2]]`);
    expect(() => [...d.probableSegments(0)]).toThrowErrorMatchingInlineSnapshot(`[RangeError: SemiMarkov.probableSegments: expected \`threshold\` in (0, 1], got 0]`);
    expect(() => new SemiMarkov(SemiMarkov.compile([[-Infinity]], [[0]]), [[0], [0]]).entropy()).toThrowErrorMatchingInlineSnapshot(`[RangeError: SemiMarkov.entropy: expected \`content\` with a segmentation that has a finite score, got none in batch item 0]`);
    expect(() => SemiMarkov.ofSegments([[0]], [[0]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: SemiMarkov.ofSegments: expected \`segmentScores\` of shape [T, D, C] or [B, T, D, C], got [1, 1]]`);
    expect(() => semiMarkovLoss([[0]], [[0]], [[0]], [[0]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: semiMarkovLoss: expected \`content\` of shape [B, T, C], got [1, 1]]`);
    expect(() => semiMarkovLoss([[[0]]], [[0]], [[0]], [[0, 0]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: semiMarkovLoss: expected \`labels\` of shape [1, 1], got [1, 2]]`);
    expect(() => semiMarkovLoss([[[0]]], [[0]], [[0]], [[0]], { lengths: [1, 1] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: semiMarkovLoss: expected \`lengths\` of shape [1], got [2]]`);
    expect(() => segmentsOf([-1, 0])).toThrowErrorMatchingInlineSnapshot(`[RangeError: segmentsOf: expected \`labels\` with a segment that begins at position 0, got -1]`);
    expect(() => segmentsOf([[0]])).toThrowErrorMatchingInlineSnapshot(`[RangeError: segmentsOf: expected \`labels\` of shape [T], got [1, 1]]`);
    expect(() => segmentLabels([{ start: 0, end: 2, label: 0 }, { start: 3, end: 4, label: 0 }])).toThrowErrorMatchingInlineSnapshot(`[RangeError: segmentLabels: expected \`segments[1]\` from 2 to a later boundary, got [3, 4)]`);
  });

  it("turns segments into labels and back", () => {
    const segments = [{ start: 0, end: 3, label: 2 }, { start: 3, end: 4, label: 0 }];
    expectExact(segmentLabels(segments).data, Int32Array.of(2, -1, -1, 0));
    expect(segmentsOf(segmentLabels(segments))).toEqual(segments);
  });
});

function plain(shape: number[]): { dtype: "float32"; shape: number[]; data: Float32Array } {
  return { dtype: "float32", shape, data: floats(shape).data };
}
