import { Tensor } from "@logits/tensor";
import { messageOf } from "@logits/testkit";
import { expect, it } from "vitest";
import { KeyValueCache, attention, blockList, fixedBlocks, haloBlocks, stridedBlocks, toeplitz, type AttentionOptions, type KeyBlocks } from "./index.ts";
import { reweightedSoftplus, rowNormalizer, softmax, sparsemax, type RowNormalizerDefinition } from "./normalizers/index.ts";

const of = (...shape: number[]): Tensor<"float32"> => new Tensor("float32", shape, new Float32Array(shape.reduce((a, b) => a * b, 1)));

it("names what does not fit a normaliser of rows", () => {
  const call = (options: AttentionOptions) => (): unknown => attention(of(2, 3, 8), of(2, 5, 8), of(2, 5, 6), options), cache = new KeyValueCache({ heads: 1, features: 2 });
  cache.append(of(1, 1, 2), of(1, 1, 2));
  expect([
    call({ normalizer: { name: "mine" } as typeof softmax }), call({ normalizer: sparsemax, softmaxOne: true }), call({ normalizer: sparsemax, sinks: [0, 0] }), call({ normalizer: sparsemax, sigmoidBias: 1 }), call({ positionWeights: toeplitz([[1], [1]]) }),
    call({ normalizer: softmax, positionWeights: toeplitz([[1]]) }), () => attention.withGrad(of(3, 8), of(5, 8), of(5, 6), { upstream: of(3, 6), upstreamLogSumExp: of(3), normalizer: softmax }), () => toeplitz([[1, 1]]), () => toeplitz([1]),
    () => reweightedSoftplus({ power: 0 }), () => rowNormalizer({ name: "mine" } as RowNormalizerDefinition), () => cache.attend(of(1, 2), { normalizer: softmax as unknown as "softmax" }),
    call({ normalizer: rowNormalizer({ name: "first", weights: () => of(3), gradient: () => of(3) }) }), () => attention.withGrad(of(3, 8), of(5, 8), of(5, 6), { upstream: of(3, 6), normalizer: rowNormalizer({ name: "second", weights: (scores) => scores, gradient: () => of(5, 3) }) }),
  ].map(messageOf).join("\n")).toMatchInlineSnapshot(`
    "RangeError: attention: expected \`normalizer\` "softmax", "sigmoid" or one of @logits/attention/normalizers, got mine
    RangeError: attention: expected \`softmaxOne\` with normalizer "softmax", got the row normaliser sparsemax
    RangeError: attention: expected \`sinks\` with normalizer "softmax", got the row normaliser sparsemax
    RangeError: attention: expected \`sigmoidBias\` with normalizer "sigmoid", got sparsemax
    RangeError: attention: expected \`positionWeights\` with a normaliser of @logits/attention/normalizers, got "softmax"
    RangeError: attention: expected \`positionWeights\` of 2 heads, got 1
    RangeError: attention.withGrad: expected \`upstreamLogSumExp\` with normalizer "softmax", got the row normaliser softmax
    RangeError: toeplitz: expected \`table\` of shape [H, 2R + 1], H >= 1, got [1, 2]
    RangeError: toeplitz: expected \`table\` of shape [H, 2R + 1], H >= 1, got [1]
    RangeError: reweightedSoftplus: expected \`power\` a finite number > 0, got 0
    TypeError: rowNormalizer: expected \`definition\` { name, weights, gradient }, got { name }
    RangeError: KeyValueCache.attend: expected \`normalizer\` "softmax" or "sigmoid", got softmax
    RangeError: attention: expected \`normalizer\` with weights of the shape of the scores, [3, 5] ([R, N]), got [3] from first
    RangeError: attention: expected \`normalizer\` with gradient of the shape of the scores, [3, 5] ([R, N]), got [5, 3] from second"
  `);
  cache.dispose();
});

it("names what does not fit a list of keys", () => {
  const call = (blocks: KeyBlocks | KeyBlocks[], options: AttentionOptions = {}) => (): unknown => attention(of(2, 3, 8), of(2, 5, 8), of(2, 5, 6), { blocks, ...options }), good = { size: 3, offsets: [0, 1, 2], from: [0, 0], to: [3, 5] };
  expect([
    call([good]), call([]), call({ ...good, size: 0 }), call([good, { ...good, size: 2 }]), call({ ...good, offsets: [[0, 1]] }), call([good, { ...good, to: [3] }]), call({ ...good, offsets: [0, 2, 1] }), call(good, { queryOffset: 4 }), call(good, { queryOffset: -1 }),
    call({ ...good, offsets: [0, 0, 2], to: [3, 3] }), call({ ...good, from: [-1, 0] }), call({ ...good, to: [3, -1] }), () => blockList(0, [0], []), () => blockList(2, [0, 2], [1]), () => blockList(2, [0, 2], [1, 1]), () => blockList(2, [0, 1], [-1]),
    () => stridedBlocks(-1, 2), () => stridedBlocks(8, 0), () => stridedBlocks(8, 4, { size: 3 }), () => stridedBlocks(8, 4, { part: "near" as "far" }), () => fixedBlocks(8, 4, 5), () => fixedBlocks(8, 4, 0), () => fixedBlocks(8, 0, 1), () => fixedBlocks(8, 4, 1, { part: "near" as "far" }),
    () => haloBlocks(4, 5, 2, 0), () => haloBlocks(4, 4, 0, 0), () => haloBlocks(4, 4, 2, -1),
  ].map(messageOf).join("\n")).toMatchInlineSnapshot(`
    "RangeError: attention: expected \`blocks\` one list, or 2 (H), got 1
    RangeError: attention: expected \`blocks\` one list, or 2 (H), got 0
    RangeError: attention: expected \`blocks.size\` an integer in [1, 2147483647], got 0
    RangeError: attention: expected \`blocks[1].size\` 3 as of the first list, got 2
    RangeError: attention: expected \`blocks.offsets\` of one axis, got shape [1, 2]
    RangeError: attention: expected \`blocks[1].to\` of shape [2] as from, got [1]
    RangeError: attention: expected \`blocks.offsets\` ascending from 0 to 2, the length of from, got [0, 2, 1]
    RangeError: attention: expected \`blocks.offsets\` for the blocks of all queries, at positions [4, 7), got 2 blocks of 3
    RangeError: attention: expected \`blocks.offsets\` for the blocks of all queries, at positions [-1, 2), got 2 blocks of 3
    RangeError: attention: expected \`blocks.from\` ascending and apart within a block of queries, got [0, 3) at index 1 after [0, 3)
    RangeError: attention: expected \`blocks.from\` ascending and apart within a block of queries, got [-1, 3) at index 0
    RangeError: attention: expected \`blocks.from\` ascending and apart within a block of queries, got [0, -1) at index 1
    RangeError: blockList: expected \`size\` an integer in [1, 2147483647], got 0
    RangeError: blockList: expected \`offsets\` ascending from 0 to 1, the length of keys, got [0, 2]
    RangeError: blockList: expected \`keys\` indices that ascend for each block of queries, got 1 at index 1
    RangeError: blockList: expected \`keys\` indices that ascend for each block of queries, got -1 at index 0
    RangeError: stridedBlocks: expected \`length\` an integer in [0, 2147483647], got -1
    RangeError: stridedBlocks: expected \`stride\` an integer in [1, 2147483647], got 0
    RangeError: stridedBlocks: expected \`size\` a divisor of the stride 4, got 3
    RangeError: stridedBlocks: expected \`part\` "both", "local" or "far", got near
    RangeError: fixedBlocks: expected \`summary\` an integer in [1, 4], got 5
    RangeError: fixedBlocks: expected \`summary\` an integer in [1, 4], got 0
    RangeError: fixedBlocks: expected \`stride\` an integer in [1, 2147483647], got 0
    RangeError: fixedBlocks: expected \`part\` "both", "local" or "far", got near
    RangeError: haloBlocks: expected \`width\` a multiple of the block 2, got 5
    RangeError: haloBlocks: expected \`block\` an integer in [1, 2147483647], got 0
    RangeError: haloBlocks: expected \`halo\` an integer in [0, 2147483647], got -1"
  `);
});
