import { Tensor } from "@logits/tensor";
import { expectClose, expectExact, finiteDifferenceGradient, messageOf, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import fixture from "./fixtures/positions.json" with { type: "json" };
import { KeyValueCache, RotaryEmbedding, alibi, alibiSlopes, attention, kerple, logCpb, receptiveField, t5Bias, type LogCpbParameters, type PositionBias, type RotaryScaling } from "./index.ts";
import { sinCos } from "./sinCos.ts";

type Rows = Tensor<"float32">;
const random = (shape: readonly number[], seed: number): Rows => {
  const { normal } = testRandom(seed);
  return new Tensor("float32", [...shape], Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => normal()));
};
const dot = (a: ArrayLike<number>, b: ArrayLike<number>): number => Array.prototype.reduce.call(a, (sum, x, i) => (sum as number) + (x as number) * b[i], 0) as number;

describe("sinCos", () => {
  it("is within 3e-16 of sine and cosine up to 2^25", () => {
    const { uniform } = testRandom(1), out = new Float64Array(2);
    let worst = 0;
    for (let i = 0; i < 20000; i++) {
      const angle = (2 * uniform() - 1) * 2 ** ((i % 60) / 2 - 5);
      sinCos(angle, out);
      worst = Math.max(worst, Math.abs(out[0] - Math.sin(angle)), Math.abs(out[1] - Math.cos(angle)));
    }
    // Math itself is right to 1 ULP, 1.1e-16.
    expect(worst).toBeLessThan(4e-16);
    for (const angle of [0, Math.PI / 4, Math.PI / 2, Math.PI, -Math.PI / 2, 33554431.5]) {
      sinCos(angle, out);
      expectClose(out, [Math.sin(angle), Math.cos(angle)], { atol: 3e-16 });
    }
  });
});

describe("RotaryEmbedding", () => {
  // float64, the formula as it stands.
  function definition(x: Rows, positions: readonly number[], dimensions: number, base: number, interleaved: boolean): number[] {
    const out = Array.from(x.data), width = x.shape[x.shape.length - 1], half = dimensions / 2;
    for (let row = 0; row < x.size / width; row++) {
      for (let i = 0; i < half; i++) {
        const angle = positions[row % positions.length] / base ** (i / half), a = row * width + (interleaved ? 2 * i : i), b = interleaved ? a + 1 : a + half, [u, v] = [x.data[a], x.data[b]];
        out[a] = u * Math.cos(angle) - v * Math.sin(angle);
        out[b] = u * Math.sin(angle) + v * Math.cos(angle);
      }
    }
    return out;
  }
  /** Sines in float32 (6e-8) times features of up to 4, two of them; the last rounding. */
  const CLOSE = { atol: 5e-7 };

  it.each([[false, 64], [true, 64], [false, 20], [true, 2]])("agrees with the definition, interleaved %s, %i dimensions, at positions up to 131,072 and beyond", (interleaved, dimensions) => {
    const positions = [0, 1, 2, 100, 4096, 131071, 131072, 1000003, -17, 0.5, -1234.25], x = random([2, 3, positions.length, 64], dimensions);
    expectClose(new RotaryEmbedding(positions, { dimensions, interleaved, base: 500000 }).rotate(x).data, definition(x, positions, dimensions, 500000, interleaved), CLOSE);
  });

  it("is within 1.2e-7 of the length of a pair, far out as near; angles in float32 are 0.003 off at 131,071", () => {
    const positions = [1, 777, 131071, 131072, 9999999, 16777216], x = random([64, positions.length, 128], 21), got = new RotaryEmbedding(positions, { dimensions: 128, base: 500000 }).rotate(x).data, want = definition(x, positions, 128, 500000, false);
    let worst = 0, single = 0;
    for (let row = 0; row < got.length; row += 128) for (let i = 0; i < 64; i++) worst = Math.max(worst, Math.hypot(got[row + i] - want[row + i], got[row + i + 64] - want[row + i + 64]) / Math.hypot(x.data[row + i], x.data[row + i + 64]));
    expect(worst).toBeLessThan(1.2e-7);
    for (let i = 0; i < 64; i++) single = Math.max(single, Math.abs(Math.fround(131071 * Math.fround(500000 ** (-i / 64))) - 131071 * 500000 ** (-i / 64)));
    expect(single.toFixed(3)).toBe("0.003");
  });

  it("takes two axes and more, and positions that differ in the batch", () => {
    const x = random([2, 3, 4, 8], 1), options = { dimensions: 8 }, positions = [[0, 1, 2, 3], [5, 0, 9, 2]], got = new RotaryEmbedding(positions, options).rotate(x), part = (b: number): Rows => new Tensor("float32", [3, 4, 8], x.data.slice(96 * b, 96 * b + 96));
    for (const b of [0, 1]) expectExact(got.data.subarray(96 * b, 96 * b + 96), new RotaryEmbedding(positions[b], options).rotate(part(b)).data);
    const two = new Tensor("float32", [4, 8], x.data.slice(0, 32));
    expectExact(new RotaryEmbedding(positions[0], options).rotate(two).data, got.data.subarray(0, 32));
    expectExact(new RotaryEmbedding(Int32Array.of(0, 1, 2, 3), options).rotate(two).data, got.data.subarray(0, 32));
  });

  it("makes q . k depend on the difference of positions alone, wherever the text begins", () => {
    for (const interleaved of [false, true]) {
      const q = random([1, 64], 2), k = random([1, 64], 3), at = (p: number, x: Rows): Float32Array => new RotaryEmbedding([p], { dimensions: 64, interleaved }).rotate(x).data;
      for (const distance of [0, 1, 17, 900]) {
        const here = dot(at(distance, q), at(0, k));
        // 64 products of rounded features near 1.
        for (const start of [1, 50, 4096, 131072 - 900, 1e6]) expect(Math.abs(dot(at(start + distance, q), at(start, k)) - here)).toBeLessThan(1e-5);
      }
    }
  });

  it("keeps lengths, and leaves position 0 and the features behind R as they are", () => {
    const x = random([5, 12], 4), y = new RotaryEmbedding([0, 3, 77, 131072, -4], { dimensions: 8 }).rotate(x);
    expectExact(y.row(0).data, x.row(0).data);
    for (let t = 0; t < 5; t++) {
      expectExact(y.row(t).data.subarray(8), x.row(t).data.subarray(8));
      for (let i = 0; i < 4; i++) expectClose(Math.hypot(y.at(t, i), y.at(t, i + 4)), Math.hypot(x.at(t, i), x.at(t, i + 4)), { rtol: 3e-7 });
    }
  });

  it("the gradient is the transpose: the rotation back, times the attention factor", () => {
    const options = { dimensions: 8, scaling: { type: "yarn", factor: 4, originalLength: 64 } } as const, rotary = new RotaryEmbedding([3, 200], options), x = random([2, 10], 5), upstream = random([2, 10], 6);
    // Linear in x: differences of float32 results over a step of 1.
    const want = finiteDifferenceGradient((at) => dot(rotary.rotate(new Tensor("float32", [2, 10], Float32Array.from(at))).data, upstream.data), x.data, { step: 1 });
    expectClose(rotary.gradient(upstream).data, want, { atol: 3e-6 });
    const plain = new RotaryEmbedding([3, 200], { dimensions: 8, interleaved: true });
    expectClose(plain.gradient(plain.rotate(x)).data, x.data, { atol: 1e-6 });
  });

  it("agrees with complex and half-split rotations in PyTorch, at position 131,071 too", () => {
    const { positions, shape, x, interleaved, half, base, dimensions } = fixture.cases[0] as unknown as { positions: number[]; shape: number[]; x: number[]; interleaved: number[]; half: number[]; base: number; dimensions: number };
    const given = new Tensor("float32", shape, Float32Array.from(x));
    expectClose(new RotaryEmbedding(positions, { base, dimensions, interleaved: true }).rotate(given).data, interleaved, CLOSE);
    expectClose(new RotaryEmbedding(positions, { base, dimensions }).rotate(given).data, half, CLOSE);
  });

  it("scales frequencies as Transformers does: linear, NTK-aware, YaRN, Llama 3", () => {
    const cases = fixture.cases.filter(({ name }) => name === "frequencies") as unknown as { base: number; dimensions: number; scaling: RotaryScaling; values: number[]; attentionFactor: number }[];
    expect(cases.length).toBe(6);
    for (const { base, dimensions, scaling, values, attentionFactor } of cases) {
      const rotary = new RotaryEmbedding([0], { base, dimensions, scaling });
      expectClose(rotary.frequencies, values, { rtol: 1e-12 });
      expectClose(rotary.attentionFactor, attentionFactor, { rtol: 1e-12 });
    }
    // Every pair turns often over so long a text: none is divided, though YaRN's last index lies before its first.
    const { frequencies: fast } = new RotaryEmbedding([0], { base: 2, dimensions: 4, scaling: { type: "yarn", factor: 4, originalLength: 100_000 } });
    expectClose(fast, [1, Math.SQRT1_2], { rtol: 1e-15 });
    // Linear scaling is division of positions.
    const x = random([3, 16], 8);
    expectClose(new RotaryEmbedding([4, 8, 100], { dimensions: 16, scaling: { type: "linear", factor: 4 } }).rotate(x).data, new RotaryEmbedding([1, 2, 25], { dimensions: 16 }).rotate(x).data, { atol: 1e-6 });
    // The fastest stays, the slowest is divided by the factor.
    const { frequencies } = new RotaryEmbedding([0], { dimensions: 64, scaling: { type: "ntk", factor: 8 } }), plain = new RotaryEmbedding([0], { dimensions: 64 }).frequencies;
    expectClose([frequencies[0], frequencies[31]], [1, plain[31] / 8], { rtol: 1e-12 });
    for (const type of ["linear", "ntk", "yarn", "llama3"] as const) {
      const scaling = { type, factor: 1, originalLength: 4096 } as RotaryScaling;
      expectClose(new RotaryEmbedding([0], { dimensions: 64, scaling }).frequencies, plain, { rtol: 1e-15 });
    }
  });

  it("decodes from a cache of turned keys what the whole prompt gives", () => {
    const [q, k, v] = [11, 12, 13].map((seed) => random([2, 6, 8], seed)), whole = new RotaryEmbedding([0, 1, 2, 3, 4, 5], { dimensions: 8 }), want = attention(whole.rotate(q), whole.rotate(k), v, { causal: true }).output, cache = new KeyValueCache({ heads: 2, features: 8 });
    const token = (x: Rows, t: number): Rows => new Tensor("float32", [2, 1, 8], Float32Array.from({ length: 16 }, (_, i) => x.data[(Math.floor(i / 8) * 6 + t) * 8 + (i % 8)]));
    for (let t = 0; t < 6; t++) {
      const rotary = new RotaryEmbedding([t], { dimensions: 8 });
      cache.append(rotary.rotate(token(k, t)), token(v, t));
      expectClose(cache.attend(rotary.rotate(token(q, t))).output.data, token(want, t).data, { atol: 3e-6 });
    }
    cache.dispose();
  });

  it("takes no positions, and keeps NaN in its pair", () => {
    expect(new RotaryEmbedding([], { dimensions: 4 }).rotate(new Tensor("float32", [2, 0, 4], new Float32Array(0))).shape).toEqual([2, 0, 4]);
    const y = new RotaryEmbedding([5], { dimensions: 4 }).rotate([[NaN, 1, 2, 3]]).data;
    expect(Array.from(y, Number.isNaN)).toEqual([true, false, true, false]);
    expectExact(new RotaryEmbedding([1], { dimensions: 4 }).rotate([[Infinity, 0, 2, 0]]).data, [Infinity, 0, Infinity, 0]);
    expectExact(new RotaryEmbedding([0], { dimensions: 4 }).rotate([[Infinity, 0, 2, 0]]).data, [Infinity, 0, NaN, 0]);
  });
});

describe("logCpb [paper:transnext-robust-foveal-visual-perception-for-vision-transformers]", () => {
  const of = (name: string) => fixture.cases.find((one) => one.name === name) as unknown as { queries: number[][]; keys: number[][]; bound: number | null; shape: number[]; bias: number[]; upstream: number[]; parameters: LogCpbParameters; gradients: Record<string, number[]> };

  it.each(["swin", "pooled"])("agrees with the network in PyTorch and its gradients: %s", (name) => {
    const { queries, keys, bound, shape, bias, upstream, parameters, gradients } = of(name), made = logCpb(parameters, queries, keys, bound === null ? {} : { bound });
    expect(made.bias.shape).toEqual(shape);
    // Float32 weights and sums over 6 units, values of up to 9; gradients are sums over 144 pairs.
    expectClose(made.bias.data, bias, { atol: 3e-6 });
    const got = made.gradient(new Tensor("float32", shape, Float32Array.from(upstream)));
    expect(Object.keys(got)).toEqual(Object.keys(gradients));
    for (const [key, want] of Object.entries(gradients)) expectClose(got[key as keyof typeof got]!.data, want, { atol: 5e-5, rtol: 1e-5 });
  });

  it("agrees with differences through attention", () => {
    const places = [[0, 0], [0, 1], [1, 0], [1, 2]], [q, k, v, upstream] = [1, 2, 3, 4].map((seed) => random([2, 4, 3], seed)), hidden = random([5, 2], 15), b1 = random([5], 16), w2 = random([2, 5], 7);
    const loss = (weights: Rows): number => dot(attention(q, k, v, { bias: logCpb({ hiddenWeights: weights, hiddenBias: b1, outputWeights: w2 }, places, places).bias }).output.data, upstream.data);
    const cpb = logCpb({ hiddenWeights: hidden, hiddenBias: b1, outputWeights: w2 }, places, places), { grads } = attention.withGrad(q, k, v, { bias: cpb.bias, upstream });
    const want = finiteDifferenceGradient((at) => loss(new Tensor("float32", [5, 2], Float32Array.from(at))), hidden.data, { step: 0.01 });
    // Differences of float32 results: 1e-7 over a step of 0.02 beside the curvature times its square.
    expectClose(cpb.gradient(grads.bias!).hiddenWeights.data, want, { atol: 3e-4, rtol: 1e-3 });
  });

  it("runs at another resolution: an extent says what the training spanned; the sign says which side", () => {
    const line = (n: number, by = 1): number[][] => Array.from({ length: n }, (_, i) => [i * by]), parameters = { hiddenWeights: [[1], [-1]], hiddenBias: [0, 0], outputWeights: [[1, 0], [0, 1]] };
    const small = logCpb(parameters, line(3), line(3)).bias, large = logCpb(parameters, line(5), line(5), { extent: [2] }).bias, finer = logCpb(parameters, line(5, 0.5), line(5, 0.5)).bias;
    for (let i = 0; i < 3; i++) {
      for (let j = 0; j < 3; j++) {
        const x = Math.log2(1 + 4 * Math.abs(i - j)) / 3;
        expectClose([small.at(0, i, j), small.at(1, i, j)], [i > j ? x : 0, i < j ? x : 0], { atol: 1e-6 });
        expectExact([large.at(0, i, j), finer.at(0, 2 * i, 2 * j)], [small.at(0, i, j), small.at(0, i, j)]);
      }
    }
  });

  it("is empty for no queries or keys", () => {
    const parameters = { hiddenWeights: [[1, 2]], hiddenBias: [0], outputWeights: [[1]], outputBias: [3] }, none = new Tensor("float32", [0, 2], new Float32Array(0));
    const made = logCpb(parameters, none, [[1, 2]]), grads = made.gradient(made.bias);
    expect(made.bias.shape).toEqual([1, 0, 1]);
    expectExact([...grads.hiddenWeights.data, ...grads.hiddenBias.data, ...grads.outputWeights.data, ...grads.outputBias!.data], [0, 0, 0, 0, 0]);
    expect(logCpb(parameters, [[1, 2]], none).bias.shape).toEqual([1, 1, 0]);
    // More differences than an engine takes arguments.
    const line = (count: number, step: number): Rows => new Tensor("float32", [count, 1], Float32Array.from({ length: count }, (_, i) => i * step));
    expect(logCpb({ hiddenWeights: [[1]], hiddenBias: [0], outputWeights: [[1]] }, line(500, 500), line(500, 1)).bias.shape).toEqual([1, 500, 500]);
    // One place: the difference is 0, whatever the extent.
    expectExact(logCpb(parameters, [[4, 5]], [[4, 5]]).bias.data, [3]);
  });
});

describe("receptiveField [paper:exploring-transformer-extrapolation]", () => {
  it("has the closed forms of powers and of ALiBi", () => {
    const powers = receptiveField(kerple("logarithmic", [2, 4, 3], [1, 1, 1]));
    // Zeta at 2, 4 and 3; the continuation is exact but for the curvature of one octave, 2^-16 of the last.
    expectClose(powers.total, [Math.PI ** 2 / 6, Math.PI ** 4 / 90, 1.2020569031595942], { rtol: 1e-9 });
    expectClose(powers.octaveRatio, [1 / 2, 1 / 8, 1 / 4], { rtol: 1e-4 });
    const slopes = [0.5, 0.0625, 1], falling = receptiveField(alibi(slopes), { share: 0.99 });
    expectClose(falling.total, slopes.map((m) => 1 / (1 - Math.exp(-m))), { rtol: 1e-12 });
    // 1 - exp(-m n) >= share.
    expectExact(falling.field, slopes.map((m) => Math.ceil(-Math.log(0.01) / m)));
  });

  it("counts the nearest keys that have the share: brute force, and larger for a larger share", () => {
    const bias = kerple("power", [0.5], [0.5]), weights = Array.from({ length: 65536 }, (_, d) => Math.exp(-0.5 * Math.sqrt(d))), total = weights.reduce((a, b) => a + b);
    let before = 0;
    for (const share of [0.1, 0.5, 0.9, 0.99, 0.999]) {
      let n = 0;
      for (let sum = 0; sum < share * total; n++) sum += weights[n];
      expect(receptiveField(bias, { share }).field[0]).toBe(n);
      expect(n).toBeGreaterThan(before);
      before = n;
    }
  });

  it("tells biases whose sum diverges, and those whose field is longer than what is summed", () => {
    const { field, total, octaveRatio } = receptiveField(kerple("logarithmic", [1, 0.5, 1.2], [1, 1, 1]), { length: 4096 });
    expect([total[0], total[1], field[0], field[1], field[2]]).toEqual([Infinity, Infinity, Infinity, Infinity, Infinity]);
    expect(total[2]).toBeLessThan(10);
    expect(octaveRatio[0]).toBeGreaterThanOrEqual(1);
    expect(receptiveField(t5Bias([[0.5], [0.25], [0], [-1]], { bidirectional: false, maxDistance: 8 })).octaveRatio[0]).toBeCloseTo(2, 9);
    // 1 / (k log(k)^2), which converges slowly, and 1 / k, which does not: the two cases of the paper's table that lie at the border.
    const own = (weight: (k: number) => number): PositionBias => ({ heads: 1, parameters: new Tensor("float32", [0], new Float32Array(0)), value: (_, d) => Math.log(weight(d + 2)), addGradient: () => undefined });
    expect(receptiveField(own((k) => 1 / (k * Math.log(k) ** 2))).octaveRatio[0]).toBeLessThan(0.9);
    expect(receptiveField(own((k) => 1 / k)).octaveRatio[0]).toBeGreaterThan(0.9999);
    expect(receptiveField(own(() => NaN)).total[0]).toBeNaN();
    expect(receptiveField(alibi(alibiSlopes(8))).field.every(Number.isFinite)).toBe(true);
  });
});

describe("messages of the position helpers", () => {
  it("name what does not fit", () => {
    const rotary = (options: object, positions: readonly number[] | readonly number[][] = [0, 1]): (() => unknown) => () => new RotaryEmbedding(positions, { dimensions: 4, ...options }), parameters = { hiddenWeights: [[1, 2]], hiddenBias: [0], outputWeights: [[1]] };
    const fourRows = new Tensor("float32", [2, 4], new Float32Array(8)), cpb = (changed: object, options: object = {}, queries: readonly number[][] = [[0, 0]]): (() => unknown) => () => logCpb({ ...parameters, ...changed }, queries, [[0, 0]], options);
    expect(
      [
        () => new RotaryEmbedding([0], undefined as never), () => new RotaryEmbedding([0], null as never), rotary({ dimensions: 3 }), rotary({ dimensions: 0 }), rotary({ base: 1 }), rotary({}, [0, NaN]), rotary({}, [0, 2 ** 25]), rotary({}, [[[0]] as unknown as number[]]), rotary({ scaling: { type: "linear", factor: 0.5 } }),
        rotary({ dimensions: 2, scaling: { type: "ntk", factor: 2 } }), rotary({ scaling: { type: "yarn", factor: 2, originalLength: 0 } }), rotary({ scaling: { type: "yarn", factor: 2, originalLength: 8, betaFast: 1, betaSlow: 2 } }),
        rotary({ scaling: { type: "yarn", factor: 2, originalLength: 8, attentionFactor: 0 } }), rotary({ scaling: { type: "llama3", factor: 2, originalLength: 8, lowFrequencyFactor: 4 } }), rotary({ scaling: { type: "dynamic", factor: 2 } }),
        () => new RotaryEmbedding([0], { dimensions: 4 }).rotate(fourRows), () => new RotaryEmbedding([0, 1], { dimensions: 6 }).gradient(fourRows), () => new RotaryEmbedding([[0, 1]], { dimensions: 4 }).rotate(fourRows),
        cpb({ hiddenWeights: [[1]] }), cpb({ hiddenBias: [1, 2] }), cpb({ outputWeights: [[1, 2]] }), cpb({ outputBias: [1, 2] }), cpb({}, { extent: [1] }), cpb({}, { extent: [1, 0] }), cpb({}, { bound: 0 }), cpb({}, {}, [[0]]), cpb({}, {}, [[0, Infinity]]),
        () => logCpb(parameters, [[0, 0]], [[0, 0]]).gradient([[1]]), () => receptiveField(alibi([1]), { share: 1 }), () => receptiveField(alibi([1]), { length: 3 }),
      ].map(messageOf).join("\n"),
    ).toMatchInlineSnapshot(`
      "TypeError: RotaryEmbedding: expected \`options\` an object such as { dimensions }, got undefined
      TypeError: RotaryEmbedding: expected \`options\` an object such as { dimensions }, got null
      RangeError: RotaryEmbedding: expected \`dimensions\` even, got 3
      RangeError: RotaryEmbedding: expected \`dimensions\` an integer in [2, 65536], got 0
      RangeError: RotaryEmbedding: expected \`base\` above 1, got 1
      RangeError: RotaryEmbedding: expected \`positions\` in [-16777216, 16777216], got NaN at index 1
      RangeError: RotaryEmbedding: expected \`positions\` in [-16777216, 16777216], got 33554432 at index 1
      RangeError: RotaryEmbedding: expected \`positions\` of shape [T] or [B, T], got [1, 1, 1]
      RangeError: RotaryEmbedding: expected \`scaling.factor\` at least 1, got 0.5
      RangeError: RotaryEmbedding: expected \`dimensions\` at least 4 with "ntk", got 2
      RangeError: RotaryEmbedding: expected \`scaling.originalLength\` a finite number > 0, got 0
      RangeError: RotaryEmbedding: expected \`scaling.betaFast\` at least betaSlow, 2, got 1
      RangeError: RotaryEmbedding: expected \`scaling.attentionFactor\` a finite number > 0, got 0
      RangeError: RotaryEmbedding: expected \`scaling.highFrequencyFactor\` above lowFrequencyFactor, 4, got 4
      RangeError: RotaryEmbedding: expected \`scaling.type\` "linear", "ntk", "yarn" or "llama3", got dynamic
      RangeError: RotaryEmbedding.rotate: expected \`x\` of shape [..., 1, D] ([T, D], [H, T, D] or [B, H, T, D]), D >= 4, got [2, 4]
      RangeError: RotaryEmbedding.gradient: expected \`upstream\` of shape [..., 2, D] ([T, D], [H, T, D] or [B, H, T, D]), D >= 6, got [2, 4]
      RangeError: RotaryEmbedding.rotate: expected \`x\` of shape [1, H, 2, D] ([B, H, T, D]), D >= 4, got [2, 4]
      RangeError: logCpb: expected \`hiddenWeights\` of shape [F, 2], got [1, 1]
      RangeError: logCpb: expected \`hiddenBias\` of shape [1], got [2]
      RangeError: logCpb: expected \`outputWeights\` of shape [H, 1], got [1, 2]
      RangeError: logCpb: expected \`outputBias\` of shape [1], got [2]
      RangeError: logCpb: expected \`extent\` of 2 numbers, got 1
      RangeError: logCpb: expected \`extent\` a finite number > 0, got 0
      RangeError: logCpb: expected \`bound\` a finite number > 0, got 0
      RangeError: logCpb: expected \`keys\` of shape [S, 1], got [1, 2]
      RangeError: logCpb: expected \`queries\` finite, got Infinity at index 1
      RangeError: logCpb: expected \`upstream\` of shape [1, 1, 1], got [1, 1]
      RangeError: receptiveField: expected \`share\` in (0, 1), got 1
      RangeError: receptiveField: expected \`length\` an integer in [4, 16777216], got 3"
    `);
  });
});
