import { Tensor } from "@logits/tensor";
import { messageOf } from "@logits/testkit";
import { expect, it } from "vitest";
import { alibi } from "../index.ts";
import { attentionEntropy, attentionReceived, attentionRelevance, attentionRollout, attentionSink, keepTokens, linearRelevance, matmulRelevance, mergeTokens, softmaxRelevance, type AttentionEntropyOptions, type AttentionRelevanceOptions } from "./index.ts";

const of = (...shape: number[]): Tensor<"float32"> => new Tensor("float32", shape, new Float32Array(shape.reduce((a, b) => a * b, 1)));

it("names what does not fit: kept and merged tokens", () => {
  const nan = Float32Array.of(0, 0, NaN, 0);
  expect(
    [
      () => keepTokens([1], [1], { count: 1 }), () => keepTokens(of(4, 2), of(3), { count: 1 }), () => keepTokens(of(4, 2), of(4), { count: 5 }), () => keepTokens(of(4, 2), nan, { count: 1 }), () => keepTokens(of(4, 2), of(4), { count: 1, always: [1, 1, 0, 0] }),
      () => keepTokens(of(4, 2), of(4), { count: 1, always: [1] }), () => keepTokens.withGrad(of(4, 2), of(4), { count: 1, upstream: of(2) }),
      () => mergeTokens([1], { count: 1 }), () => mergeTokens(of(5, 2), { count: 4 }), () => mergeTokens(of(2, 5, 2), { count: 3, protect: [[0, 0, 0, 0, 0], [1, 0, 0, 0, 0]] }), () => mergeTokens(of(5, 2), { count: -1 }), () => mergeTokens(of(5, 2), { count: 1, metric: of(4, 2) }),
      () => mergeTokens([[NaN], [1]], { count: 1 }), () => mergeTokens(of(2, 1), { count: 1, metric: [[1], [Infinity]] }), () => mergeTokens(of(2, 1), { count: 1, sizes: [1, 0] }), () => mergeTokens(of(2, 1), { count: 1, protect: [1] }), () => mergeTokens(of(3, 1), { count: 1 }).merge(of(2, 1)),
      () => mergeTokens(of(3, 1), { count: 1 }).unmerge(of(3, 1)), () => mergeTokens.withGrad(of(3, 1), { count: 1, upstream: of(3, 1) }),
    ].map(messageOf).join("\n"),
  ).toMatchInlineSnapshot(`
    "RangeError: keepTokens: expected \`tokens\` of shape [..., S, F], got [1]
    RangeError: keepTokens: expected \`scores\` of shape [4] ([..., S]), got [3]
    RangeError: keepTokens: expected \`count\` an integer in [0, 4], got 5
    RangeError: keepTokens: expected \`scores\` without NaN, got NaN in row 0, column 2
    RangeError: keepTokens: expected \`always\` of at most 1 tokens (\`count\`), got 2 in row 0
    RangeError: keepTokens: expected \`always\` of shape [4] ([S]), got [1]
    RangeError: keepTokens.withGrad: expected \`upstream\` of shape [1, 2], got [2]
    RangeError: mergeTokens: expected \`tokens\` of shape [..., S, F], got [1]
    RangeError: mergeTokens: expected \`count\` at most 3, the tokens at even places that may go into one at an odd place, got 4. Merge again what was merged
    RangeError: mergeTokens: expected \`count\` at most 2, the tokens at even places that may go into one at an odd place, got 3 in row 1. Merge again what was merged
    RangeError: mergeTokens: expected \`count\` an integer in [0, 5], got -1
    RangeError: mergeTokens: expected \`metric\` of shape [5, M], got [4, 2]
    RangeError: mergeTokens: expected \`tokens\` finite, got NaN in row 0
    RangeError: mergeTokens: expected \`metric\` finite, got Infinity in row 1
    RangeError: mergeTokens: expected \`sizes\` finite and above 0, got 0 at index 1
    RangeError: mergeTokens: expected \`protect\` of shape [2] ([S]), got [1]
    RangeError: mergeTokens: expected \`features\` of shape [3, G], got [2, 1]
    RangeError: mergeTokens: expected \`features\` of shape [2, G], got [3, 1]
    RangeError: mergeTokens.withGrad: expected \`upstream\` of shape [2, 1], got [3, 1]"
  `);
});

it("names what does not fit: diagnostics", () => {
  const x = of(3, 2);
  expect(
    [
      () => attentionReceived(x, of(2)), () => attentionReceived(x, of(4, 3)), () => attentionReceived(x, x, { weights: of(2) }), () => attentionReceived(x, x, { mask: [[1, 0], [0, 1]] }),
      () => attentionRollout([], { start: of() }), () => attentionRollout([], { start: of(2), residual: 2 }), () => attentionRollout([{ query: of(1, 3, 2), key: of(1, 2, 2) }], { start: of(3) }), () => attentionRollout([{ query: x, key: x }], { start: of(3) }),
      () => attentionRollout([{ query: of(1, 3, 2), key: of(1, 3, 1) }], { start: of(3) }), () => attentionRollout([{ query: of(1, 3, 2), key: of(1, 3, 2), options: { scale: NaN } }], { start: of(3) }),
      () => attentionEntropy(x, x, { positionBias: alibi([1]), softmaxOne: true }), () => attentionEntropy(x, x, { normalizer: "sigmoid" } as AttentionEntropyOptions), () => attentionEntropy.withGrad(x, x, { upstream: of(2) }),
      () => attentionEntropy(x, of(4, 3)), () => attentionEntropy(x, of(4, 3), { softCap: 1 }), () => attentionEntropy.withGrad(x, of(4, 3), { upstream: of(3) }), () => attentionEntropy.withGrad(x, of(4, 3), { softCap: 1, upstream: of(3) }),
      () => attentionSink(x, x, x, { sink: 3 }), () => attentionSink(x, x, x, { threshold: 2 }), () => attentionSink(x, x, x, { normalizer: "sigmoid" }), () => attentionSink(x, x, of(2, 2)), () => attentionSink(x, of(4, 3), of(4, 3)), () => attentionSink(x, x, x, { lengths: [4] }),
    ].map(messageOf).join("\n"),
  ).toMatchInlineSnapshot(`
    "RangeError: attentionReceived: expected \`key\` of shape [S, D], [Hkv, S, D] or [B, Hkv, S, D], got [2]
    RangeError: attentionReceived: expected \`key\` of shape [1, Hkv, S, 2] ([B, Hkv, S, D]) with Hkv a divisor of 1, got [4, 3]
    RangeError: attentionReceived: expected \`weights\` of shape [3], got [2]
    RangeError: attentionReceived: expected \`mask\` of shape [1, 1, 3, 3] ([B, H, T, S]), leading axes left out or 1, got [2, 2]
    RangeError: attentionRollout: expected \`start\` of shape [T] or [R, T], got []
    RangeError: attentionRollout: expected \`residual\` in [0, 1], got 2
    RangeError: attentionRollout: expected \`layers[0].key\` of shape [Hkv, 3, D], got [1, 2, 2]
    RangeError: attentionRollout: expected \`layers[0].query\` of shape [H, 3, D], got [3, 2]
    RangeError: attentionRollout: in \`layers[0]\`: expected \`key\` of shape [1, Hkv, S, 2] ([B, Hkv, S, D]) with Hkv a divisor of 1, got [1, 3, 1]
    RangeError: attentionRollout: in \`layers[0]\`: expected \`scale\` finite, got NaN
    RangeError: attentionEntropy: expected \`softmaxOne\` without \`bias\`, \`positionBias\` and \`softCap\`, got with one
    RangeError: attentionEntropy: expected \`normalizer\` left out, got one. Entropy is that of a softmax
    RangeError: attentionEntropy.withGrad: expected \`upstream\` of shape [3], got [2]
    RangeError: attentionEntropy: expected \`key\` of shape [1, Hkv, S, 2] ([B, Hkv, S, D]) with Hkv a divisor of 1, got [4, 3]
    RangeError: attentionEntropy: expected \`key\` of shape [1, Hkv, S, 2] ([B, Hkv, S, D]) with Hkv a divisor of 1, got [4, 3]
    RangeError: attentionEntropy.withGrad: expected \`key\` of shape [1, Hkv, S, 2] ([B, Hkv, S, D]) with Hkv a divisor of 1, got [4, 3]
    RangeError: attentionEntropy.withGrad: expected \`key\` of shape [1, Hkv, S, 2] ([B, Hkv, S, D]) with Hkv a divisor of 1, got [4, 3]
    RangeError: attentionSink: expected \`sink\` an integer in [0, 2], got 3
    RangeError: attentionSink: expected \`threshold\` in [0, 1], got 2
    RangeError: attentionSink: expected \`normalizer\` "softmax", got sigmoid
    RangeError: attentionSink: expected \`value\` of shape [3, E], got [2, 2]
    RangeError: attentionSink: expected \`key\` of shape [1, Hkv, S, 2] ([B, Hkv, S, D]) with Hkv a divisor of 1, got [4, 3]
    RangeError: attentionSink: expected \`lengths\` in [0, 3], got 4 at index 0"
  `);
});

it("names what does not fit: relevance", () => {
  const x = of(3, 2), relevance = of(3, 2);
  expect(
    [
      () => softmaxRelevance(x, of(2)), () => softmaxRelevance(of(3, 0), of(3, 0)), () => matmulRelevance(of(2), of(2), of(1)), () => matmulRelevance(x, of(3, 2), relevance), () => matmulRelevance(x, of(1, 2, 2), relevance), () => matmulRelevance(x, of(2, 2), of(1)), () => matmulRelevance(x, of(2, 2), relevance, { epsilon: -1 }), () => linearRelevance(x, of(2), relevance), () => linearRelevance(x, of(2, 3), relevance),
      () => linearRelevance(x, of(2, 2), relevance, { bias: of(3) }), () => linearRelevance(x, of(2, 2), of(3)), () => linearRelevance(x, of(2, 2), relevance, { epsilon: NaN }), () => attentionRelevance(x, x, x, { relevance: of(3) }), () => attentionRelevance(x, x, x, { relevance, epsilon: Infinity }),
      () => attentionRelevance(x, x, x, { relevance, softCap: 3 } as AttentionRelevanceOptions), () => attentionRelevance(x, of(4, 3), x, { relevance }),
    ].map(messageOf).join("\n"),
  ).toMatchInlineSnapshot(`
    "RangeError: softmaxRelevance: expected \`relevance\` of shape [3, 2], got [2]
    RangeError: softmaxRelevance: expected \`scores\` of shape [..., C], C >= 1, got [3, 0]
    RangeError: matmulRelevance: expected \`a\` of shape [..., M, K], got [2]
    RangeError: matmulRelevance: expected \`b\` of shape [2, N] ([..., K, N]), with the batch axes of a, got [3, 2]
    RangeError: matmulRelevance: expected \`b\` of shape [2, N] ([..., K, N]), with the batch axes of a, got [1, 2, 2]
    RangeError: matmulRelevance: expected \`relevance\` of shape [3, 2], got [1]
    RangeError: matmulRelevance: expected \`epsilon\` a finite number >= 0, got -1
    RangeError: linearRelevance: expected \`weight\` of shape [N, K], got [2]
    RangeError: linearRelevance: expected \`x\` of shape [..., 3] ([..., K]), got [3, 2]
    RangeError: linearRelevance: expected \`bias\` of shape [2] ([N]), got [3]
    RangeError: linearRelevance: expected \`relevance\` of shape [3, 2], got [3]
    RangeError: linearRelevance: expected \`epsilon\` a finite number >= 0, got NaN
    RangeError: attentionRelevance: expected \`relevance\` of shape [3, 2], got [3]
    RangeError: attentionRelevance: expected \`epsilon\` a finite number >= 0, got Infinity
    RangeError: attentionRelevance: expected \`softCap\` left out, got one. The rules are those of a softmax of scores
    RangeError: attentionRelevance: expected \`key\` of shape [1, Hkv, S, 2] ([B, Hkv, S, D]) with Hkv a divisor of 1, got [4, 3]"
  `);
});
