import { Tensor } from "@logits/tensor";
import { messageOf } from "@logits/testkit";
import { expect, it } from "vitest";
import { alibi, alibiSlopes, attention, kerple, mergeAttention, t5Bias, type AttentionOptions } from "./index.ts";

const of = (...shape: number[]): Tensor<"float32"> => new Tensor("float32", shape, new Float32Array(shape.reduce((a, b) => a * b, 1)));

it("names what does not fit", () => {
  const said: string[] = [], call = (options: AttentionOptions): void => void said.push(messageOf(() => attention(of(2, 4, 3, 8), of(2, 2, 5, 8), of(2, 2, 5, 6), options)));
  for (const shapes of [[[3], [5, 8], [5, 8]], [[3, 0], [5, 0], [5, 8]], [[4, 3, 8], [3, 5, 8], [3, 5, 8]], [[3, 8], [5, 7], [5, 7]], [[3, 8], [5, 8], [4, 8]]]) said.push(messageOf(() => attention(of(...shapes[0]), of(...shapes[1]), of(...shapes[2]))));
  call({ scale: Infinity });
  call({ softCap: 0 });
  call({ normalizer: "relu" as "softmax" });
  call({ normalizer: "sigmoid", softmaxOne: true });
  call({ normalizer: "sigmoid", sinks: [1, 1, 1, 1] });
  call({ sigmoidBias: 1 });
  call({ sinks: [1, 1, 1, 1], softmaxOne: true });
  call({ sinks: [1] });
  call({ windowSize: 0 });
  call({ queryOffset: 0.5 });
  call({ lengths: [1] });
  call({ lengths: [1, 6] });
  call({ documents: [1, 1, 2, 2, 1] });
  call({ documents: [1, 1, 2, 2] });
  call({ documents: [1, 1, 2, 2, 2], queryOffset: 3 });
  call({ ranges: { from: [0, 0], to: [1, 1, 1] } });
  call({ mask: new Tensor("uint8", [3, 4], new Uint8Array(12)) });
  call({ mask: [[2, 1, 1, 1, 1]] });
  call({ bias: of(2, 3, 5) });
  call({ positionBias: alibi(alibiSlopes(2)) });
  said.push(messageOf(() => attention.withGrad(of(3, 8), of(5, 8), of(5, 6), { upstream: of(3, 8) })));
  said.push(messageOf(() => attention.withGrad(of(3, 8), of(5, 8), of(5, 6), { upstream: of(3, 6), upstreamLogSumExp: of(3), normalizer: "sigmoid" })));
  expect(said.join("\n")).toMatchInlineSnapshot(`
    "RangeError: attention: expected \`query\` of shape [T, D], [H, T, D] or [B, H, T, D], got [3]
    RangeError: attention: expected \`query\` with D >= 1, got [3, 0]
    RangeError: attention: expected \`key\` of shape [1, Hkv, S, 8] ([B, Hkv, S, D]) with Hkv a divisor of 4, got [3, 5, 8]
    RangeError: attention: expected \`key\` of shape [1, Hkv, S, 8] ([B, Hkv, S, D]) with Hkv a divisor of 1, got [5, 7]
    RangeError: attention: expected \`value\` of shape [1, 1, 5, E] ([B, Hkv, S, E]), got [4, 8]
    RangeError: attention: expected \`scale\` finite, got Infinity
    RangeError: attention: expected \`softCap\` a finite number > 0, got 0
    RangeError: attention: expected \`normalizer\` "softmax", "sigmoid" or one of @logits/attention/normalizers, got relu
    RangeError: attention: expected \`softmaxOne\` with a softmax, got a sigmoid. A sigmoid's rows are not normalised
    RangeError: attention: expected \`sinks\` with a softmax, got a sigmoid. A sigmoid's rows are not normalised
    RangeError: attention: expected \`sigmoidBias\` with normalizer "sigmoid", got softmax
    RangeError: attention: expected \`softmaxOne\` or \`sinks\`, got both
    RangeError: attention: expected \`sinks\` of shape [4] ([H]), got [1]
    RangeError: attention: expected \`windowSize\` an integer in [1, 2147483647], got 0
    RangeError: attention: expected \`queryOffset\` an integer in [-2147483648, 2147483647], got 0.5
    RangeError: attention: expected \`lengths\` of shape [2] ([B]), got [1]
    RangeError: attention: expected \`lengths\` in [0, 5], got 6 at index 1
    RangeError: attention: expected \`documents\` with each document in one piece, got document 1 again at key 4. Give a \`mask\` instead
    RangeError: attention: expected \`documents\` of shape [5] or [2, 5] ([S] or [B, S]), got [4]
    RangeError: attention: expected \`documents\` with every query at the position of a key, got queries at [3, 6) of 5 keys
    RangeError: attention: expected \`ranges.from\` of shape [3] or [2, 3] ([T] or [B, T]), got [2]
    RangeError: attention: expected \`mask\` of shape [2, 4, 3, 5] ([B, H, T, S]), leading axes left out or 1, got [3, 4]
    RangeError: attention: expected \`mask\` of 0 and 1, got 2 at index 0
    RangeError: attention: expected \`bias\` of shape [2, 4, 3, 5] ([B, H, T, S]), leading axes left out or 1, got [2, 3, 5]
    RangeError: attention: expected \`positionBias\` of 4 heads, got 2
    RangeError: attention.withGrad: expected \`upstream\` of shape [3, 6], got [3, 8]
    RangeError: attention.withGrad: expected \`upstreamLogSumExp\` with normalizer "softmax", got a sigmoid"
  `);
});

it("names what is wrong with a bias or with parts", () => {
  const part = (rows: number) => ({ output: of(rows, 2), logSumExp: of(rows) });
  expect(
    [
      () => alibiSlopes(0), () => alibi([[1]]), () => alibi([NaN]), () => kerple("log" as "power", [1], [1]), () => kerple("power", [1, 2], [1]), () => kerple("power", [0], [1]), () => kerple("power", [1], [3]), () => kerple("logarithmic", [1], [0]),
      () => t5Bias(of(7, 1)), () => t5Bias(of(8, 1), { maxDistance: 2 }), () => t5Bias(of(8, 1), { maxDistance: NaN }), () => mergeAttention([]), () => mergeAttention([part(1), part(2)]), () => mergeAttention([{ output: of(2, 2), logSumExp: of(1) }]),
    ].map(messageOf).join("\n"),
  ).toMatchInlineSnapshot(`
    "RangeError: alibiSlopes: expected \`heads\` an integer in [1, 4096], got 0
    RangeError: alibi: expected \`slopes\` of shape [H], H >= 1, got [1, 1]
    RangeError: alibi: expected \`slopes\` finite, got NaN at index 0
    RangeError: kerple: expected \`kind\` "logarithmic" or "power", got log
    RangeError: kerple: expected \`rates\` of shape [2] as scales, got [1]
    RangeError: kerple: expected \`scales\` above 0, got 0 at index 0
    RangeError: kerple: expected \`rates\` in (0, 2], got 3 at index 0
    RangeError: kerple: expected \`rates\` above 0, got 0 at index 0
    RangeError: t5Bias: expected \`table\` of shape [buckets, H], buckets even and at least 4, got [7, 1]
    RangeError: t5Bias: expected \`maxDistance\` above 2, the buckets of one distance, got 2
    RangeError: t5Bias: expected \`maxDistance\` a finite number > 0, got NaN
    RangeError: mergeAttention: expected \`parts\` of at least one, got none
    RangeError: mergeAttention: expected \`output\` of shape [1, 2] as in part 0, got [2, 2] in part 1
    RangeError: mergeAttention: expected \`logSumExp\` of shape [2], got [1] in part 0"
  `);
});
