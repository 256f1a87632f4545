import { Tensor } from "@logits/tensor";
import { messageOf } from "@logits/testkit";
import { expect, it } from "vitest";
import { attentionPooling, hopfieldRetrieve, hopfieldStep, slotAttention } from "./index.ts";

const of = (...shape: number[]): Tensor<"float32"> => new Tensor("float32", shape, new Float32Array(shape.reduce((a, b) => a * b, 1)));

it("names what does not fit", () => {
  const x = of(4, 3), net = { hidden: of(2, 3), score: of(2) };
  expect(
    [
      () => attentionPooling(of(3), net), () => attentionPooling(of(4, 0), net), () => attentionPooling(x, { ...net, hidden: of(2, 4) }), () => attentionPooling(x, { ...net, score: of(3) }), () => attentionPooling(x, { ...net, hiddenBias: of(3) }), () => attentionPooling(x, { ...net, gate: of(3, 3) }), () => attentionPooling(x, { ...net, gateBias: of(2) }),
      () => attentionPooling(x, net, { mask: [1] }), () => attentionPooling(of(2, 4, 3), net, { mask: [[1, 1, 1, 1]] }), () => attentionPooling.withGrad(x, net, { upstream: of(4) }),
      () => slotAttention(of(3), x, x), () => slotAttention(of(2, 0), x, x), () => slotAttention(of(2, 3), of(4, 2), x), () => slotAttention(of(2, 3), x, of(5, 3)), () => slotAttention(of(2, 3), x, x, { scale: NaN }), () => slotAttention(of(2, 3), x, x, { epsilon: -1 }), () => slotAttention.withGrad(of(2, 3), x, x, { upstream: x }),
      () => hopfieldStep(x, x, { beta: 0 }), () => hopfieldStep(of(3), x), () => hopfieldStep(x, of(4, 2)), () => hopfieldStep(of(3, 4, 3), of(2, 4, 3)), () => hopfieldRetrieve(of(2, 1, 4, 3), of(3, 1, 4, 3)), () => hopfieldRetrieve(x, x, { tolerance: 0 }), () => hopfieldRetrieve(x, x, { maxSteps: 0 }), () => hopfieldRetrieve([[1]], [[4]], { maxSteps: 1 }),
    ].map(messageOf).join("\n"),
  ).toMatchInlineSnapshot(`
    "RangeError: attentionPooling: expected \`features\` of shape [N, F] or [B, N, F], F >= 1, got [3]
    RangeError: attentionPooling: expected \`features\` of shape [N, F] or [B, N, F], F >= 1, got [4, 0]
    RangeError: attentionPooling: expected \`hidden\` of shape [A, 3] ([A, F]), got [2, 4]
    RangeError: attentionPooling: expected \`score\` of shape [2] as hidden, got [3]
    RangeError: attentionPooling: expected \`hiddenBias\` of shape [2] as hidden, got [3]
    RangeError: attentionPooling: expected \`gate\` of shape [2, 3] as hidden, got [3, 3]
    RangeError: attentionPooling: expected \`gateBias\` with a \`gate\`, got one without
    RangeError: attentionPooling: expected \`mask\` of shape [4] or [1, 4] ([N] or [B, N]), got [1]
    RangeError: attentionPooling: expected \`mask\` of shape [4] or [2, 4] ([N] or [B, N]), got [1, 4]
    RangeError: attentionPooling.withGrad: expected \`upstream\` of shape [3], got [4]
    RangeError: slotAttention: expected \`slots\` of shape [..., K, D], D >= 1, got [3]
    RangeError: slotAttention: expected \`slots\` of shape [..., K, D], D >= 1, got [2, 0]
    RangeError: slotAttention: expected \`keys\` of shape [N, 3] ([..., N, D]), got [4, 2]
    RangeError: slotAttention: expected \`values\` of shape [4, E] ([..., N, E]), got [5, 3]
    RangeError: slotAttention: expected \`scale\` finite, got NaN
    RangeError: slotAttention: expected \`epsilon\` a finite number >= 0, got -1
    RangeError: slotAttention.withGrad: expected \`upstream\` of shape [2, 3], got [4, 3]
    RangeError: hopfieldStep: expected \`beta\` a finite number > 0, got 0
    RangeError: hopfieldStep: expected \`states\` of shape [T, D], [H, T, D] or [B, H, T, D], D >= 1, got [3]
    RangeError: hopfieldStep: expected \`patterns\` of shape [1, Hkv, S, 3] ([B, Hkv, S, D]) with Hkv a divisor of 1, got [4, 2]
    RangeError: hopfieldStep: expected \`patterns\` of shape [1, Hkv, S, 3] ([B, Hkv, S, D]) with Hkv a divisor of 3, got [2, 4, 3]
    RangeError: hopfieldRetrieve: expected \`patterns\` of shape [2, Hkv, S, 3] ([B, Hkv, S, D]) with Hkv a divisor of 1, got [3, 1, 4, 3]
    RangeError: hopfieldRetrieve: expected \`tolerance\` a finite number > 0, got 0
    RangeError: hopfieldRetrieve: expected \`maxSteps\` an integer in [1, 2147483647], got 0
    ConvergenceError: hopfieldRetrieve: expected a fixed point within 1 steps (\`maxSteps\`), got a move of 3"
  `);
});
