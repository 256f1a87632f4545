import { Tensor } from "@logits/tensor";
import { messageOf } from "@logits/testkit";
import { expect, it } from "vitest";
import { LinearAttentionState, hiddenAttention, linearAttention, selectiveScan, softmaxFreeAttention, type LinearAttentionOptions } from "./index.ts";

const of = (...shape: number[]): Tensor<"float32"> => new Tensor("float32", shape, new Float32Array(shape.reduce((a, b) => a * b, 1)));

it("names what does not fit in linearAttention", () => {
  const said: string[] = [], call = (options: LinearAttentionOptions): void => void said.push(messageOf(() => linearAttention(of(2, 4, 3, 8), of(2, 2, 5, 8), of(2, 2, 5, 6), options)));
  for (const shapes of [[[3], [5, 8], [5, 8]], [[3, 0], [5, 0], [5, 8]], [[4, 3, 8], [3, 5, 8], [3, 5, 8]], [[3, 8], [5, 8], [4, 8]]]) said.push(messageOf(() => linearAttention(of(...shapes[0]), of(...shapes[1]), of(...shapes[2]))));
  call({ featureMap: "softmax" as "elu" });
  call({ featureMap: { name: "flat", apply: () => of(3), gradient: (x) => x } });
  call({ featureMap: { name: "odd", apply: ({ shape: [rows] }) => of(rows, rows === 1 ? 2 : 3), gradient: (x) => x } });
  call({ featureMap: { name: "relu", apply: (x) => x, gradient: (_, upstream) => upstream } });
  call({ normalize: "softmax" as "sum" });
  call({ countPower: 1 });
  call({ normalize: "count", countPower: [1] });
  call({ normalize: "count", countPower: NaN });
  call({ normalize: "count", countPower: [1, 1, Infinity, 1] });
  call({ scale: NaN });
  call({ chunkSize: 0 });
  call({ logGates: of(2, 4, 5) });
  call({ logGates: new Tensor("float32", [2, 2, 5], new Float32Array(20).fill(0.5)) });
  call({ logGates: of(2, 2, 5), causal: false });
  call({ logGates: of(2, 2, 5), normalize: "magnitude" });
  call({ lengths: [1] });
  call({ lengths: [1, 6] });
  said.push(messageOf(() => linearAttention.withGrad(of(3, 8), of(5, 8), of(5, 6), { upstream: of(3, 8) })));
  said.push(messageOf(() => linearAttention.withGrad(of(3, 8), of(5, 8), of(5, 6), { upstream: of(3, 6), featureMap: { name: "short", apply: (x) => x, gradient: () => of(3, 7) } })));
  said.push(messageOf(() => hiddenAttention(of(3, 8), of(5, 7))));
  said.push(messageOf(() => hiddenAttention(of(3, 8), of(5, 0))));
  expect(said.join("\n")).toMatchInlineSnapshot(`
    "RangeError: linearAttention: expected \`query\` of shape [T, D], [H, T, D] or [B, H, T, D], got [3]
    RangeError: linearAttention: expected \`query\` with D >= 1, got [3, 0]
    RangeError: linearAttention: expected \`key\` of shape [1, Hkv, S, 8] ([B, Hkv, S, D]) with Hkv a divisor of 4, got [3, 5, 8]
    RangeError: linearAttention: expected \`value\` of shape [1, 1, 5, E] ([B, Hkv, S, E]), got [4, 8]
    RangeError: linearAttention: expected \`featureMap\` "elu" or "relu" or "exp" or "cosine" or "identity" or an object, got softmax
    RangeError: linearAttention: expected \`featureMap\` that gives [1, F], F >= 1, from [1, 8], got [3] from "flat"
    RangeError: linearAttention: expected \`featureMap\` that gives [6, 2] from [6, 8], got [6, 3] from "odd"
    RangeError: linearAttention: expected \`featureMap\` with a name of its own, got "relu"
    RangeError: linearAttention: expected \`normalize\` "sum" or "none" or "count" or "magnitude", got softmax
    RangeError: linearAttention: expected \`countPower\` with normalize "count", got "sum"
    RangeError: linearAttention: expected \`countPower\` of shape [4] ([H]), got [1]
    RangeError: linearAttention: expected \`countPower\` finite, got NaN
    RangeError: linearAttention: expected \`countPower\` finite, got Infinity at index 2
    RangeError: linearAttention: expected \`scale\` finite, got NaN
    RangeError: linearAttention: expected \`chunkSize\` an integer in [1, 1024], got 0
    RangeError: linearAttention: expected \`logGates\` of shape [2, 2, 5] or [2, 2, 5, 8] ([B, Hkv, S] or [B, Hkv, S, F]), got [2, 4, 5]
    RangeError: linearAttention: expected \`logGates\` at most 0, got 0.5 at index 0. Gates are factors in [0, 1]: give their logarithms
    RangeError: linearAttention: expected \`causal\` true with \`logGates\`: a recurrence runs forward, got false
    RangeError: linearAttention: expected \`normalize\` "sum" or "none" with \`logGates\`, got "magnitude"
    RangeError: linearAttention: expected \`lengths\` of shape [2] ([B]), got [1]
    RangeError: linearAttention: expected \`lengths\` in [0, 5], got 6 at index 1
    RangeError: linearAttention.withGrad: expected \`upstream\` of shape [3, 6], got [3, 8]
    RangeError: linearAttention.withGrad: expected \`featureMap\` with a gradient of shape [3, 8], got [3, 7] from "short"
    RangeError: hiddenAttention: expected \`key\` of shape [1, Hkv, S, 8] ([B, Hkv, S, D]) with Hkv a divisor of 1, got [5, 7]
    RangeError: hiddenAttention: expected \`key\` of shape [1, Hkv, S, 8] ([B, Hkv, S, D]) with Hkv a divisor of 1, got [5, 0]"
  `);
});

it("names what does not fit in a LinearAttentionState", () => {
  const state = new LinearAttentionState({ heads: 2, features: 3 }), json = state.toJSON(), own = { name: "own", apply: (x: Tensor<"float32">) => x, gradient: (x: Tensor<"float32">) => x };
  const broken = new LinearAttentionState({ heads: 1, features: 1 });
  broken.append([[1]], [[NaN]]);
  expect(
    [
      () => new LinearAttentionState({ heads: 0, features: 3 }), () => new LinearAttentionState({ heads: 1, features: 3, featureMap: "tanh" as "elu" }), () => new LinearAttentionState({ heads: 1, features: 3, countPower: 2 }), () => new LinearAttentionState({ heads: 1, features: 3, scale: Infinity }),
      () => state.append(of(2, 4), of(2, 3)), () => state.append(of(2, 5, 3), of(2, 4, 3)), () => state.append(of(2, 3), of(2, 1, 3)), () => state.append(of(2, 3), of(2, 3), { logGates: of(3) }), () => state.append(of(2, 3), of(2, 3), { logGates: [1, 0] }),
      () => new LinearAttentionState({ heads: 2, features: 3, normalize: "count" }).append(of(2, 3), of(2, 3), { logGates: of(2) }), () => state.attend(of(2, 5, 3)), () => state.attend(of(3, 3)), () => state.extend(of(2, 3), of(2, 3), of(2, 3)), () => state.extend(of(2, 4, 3), of(2, 5, 3), of(2, 5, 3)),
      () => broken.toJSON(), () => LinearAttentionState.fromJSON({ ...json, version: 2 }), () => LinearAttentionState.fromJSON({ ...json, normalize: "softmax" }), () => LinearAttentionState.fromJSON({ ...json, featureMap: "own" }), () => LinearAttentionState.fromJSON(json, { featureMap: own }),
      () => LinearAttentionState.fromJSON({ ...json, features: 4 }), () => LinearAttentionState.fromJSON({ ...json, keySum: json.valueSum, valueSum: { ...json.valueSum, shape: [1, 12] } }), () => LinearAttentionState.fromJSON({ ...json, products: { ...json.products, shape: [2, 9, 2, 1] } }),
      () => LinearAttentionState.fromJSON({ ...json, products: { dtype: "int32", shape: [4, 9, 1], data: json.products.data } }), () => LinearAttentionState.fromJSON({ ...json, length: -1 }), () => LinearAttentionState.fromJSON({ ...json, countPower: [1, null] }), () => new LinearAttentionState({ heads: 1, features: 3, normalize: "count", countPower: [1, 2] }).attend(of(3, 3)),
      () => new LinearAttentionState({ heads: 2, features: 3, normalize: "count", countPower: [1, 2, 3] }), () => LinearAttentionState.fromJSON({ ...json, countPower: 2 }), () => LinearAttentionState.fromJSON({ ...json, normalize: "count", countPower: [] }), () => LinearAttentionState.fromJSON({ ...json, normalize: "count", countPower: [1] }),
    ].map(messageOf).join("\n"),
  ).toMatchInlineSnapshot(`
    "RangeError: LinearAttentionState: expected \`heads\` an integer in [1, 65536], got 0
    RangeError: LinearAttentionState: expected \`featureMap\` "elu" or "relu" or "exp" or "cosine" or "identity" or an object, got tanh
    RangeError: LinearAttentionState: expected \`countPower\` with normalize "count", got "sum"
    RangeError: LinearAttentionState: expected \`scale\` finite, got Infinity
    RangeError: LinearAttentionState.append: expected \`key\` of shape [2, n, 3] ([Hkv, n, D]), got [2, 4]
    RangeError: LinearAttentionState.append: expected \`value\` of shape [2, 5, 3] ([Hkv, n, E]), got [2, 4, 3]
    RangeError: LinearAttentionState.append: expected \`value\` of shape [2, 3] ([Hkv, E]), got [2, 1, 3]
    RangeError: LinearAttentionState.append: expected \`logGates\` of shape [2] or [2, 3] ([Hkv] or [Hkv, F]), got [3]
    RangeError: LinearAttentionState.append: expected \`logGates\` at most 0, got 1 at index 0. Gates are factors in [0, 1]: give their logarithms
    RangeError: LinearAttentionState.append: expected \`logGates\` with normalize "sum" or "none", got "count"
    RangeError: LinearAttentionState.attend: expected \`query\` of shape [H, 3] ([H, D]), H a multiple of 2, got [2, 5, 3]. Several tokens go through \`extend\`
    RangeError: LinearAttentionState.attend: expected \`query\` of shape [H, 3] ([H, D]), H a multiple of 2, got [3, 3]
    RangeError: LinearAttentionState.extend: expected \`key\` of shape [2, n, 3] ([Hkv, n, D]), got [2, 3]
    RangeError: LinearAttentionState.extend: expected \`query\` of shape [H, 5, 3] ([H, n, D]), got [2, 4, 3]
    RangeError: LinearAttentionState.toJSON: expected \`this\` with finite sums, got NaN in head 0
    FormatError: LinearAttentionState.fromJSON: expected \`version\` 1, got 2. Upgrade @logits/attention to read it
    FormatError: LinearAttentionState.fromJSON: expected \`normalize\` "sum" or "none" or "count" or "magnitude", got "softmax"
    FormatError: LinearAttentionState.fromJSON: expected \`featureMap\` "elu" or "relu" or "exp" or "cosine" or "identity", got "own". Give your own map as \`featureMap\`
    FormatError: LinearAttentionState.fromJSON: expected \`featureMap\` "own", the map that was given, got "elu"
    FormatError: LinearAttentionState.fromJSON: expected \`products\` with F = 4, as "elu" makes of 4, got 3
    FormatError: LinearAttentionState.fromJSON: expected \`valueSum\` of shape [2, 6], got [1, 12]
    FormatError: LinearAttentionState.fromJSON: expected \`products\` a tensor of int32 and rank 3, got shape [2,9,2,1]
    FormatError: LinearAttentionState.fromJSON: expected \`products\` of shape [Hkv, F, 2 E], got [4, 9, 1]
    FormatError: LinearAttentionState.fromJSON: expected \`length\` an integer in [0, 9007199254740991], got -1
    FormatError: LinearAttentionState.fromJSON: expected \`countPower\` a finite number or a list of them, got [1,null]
    RangeError: LinearAttentionState.attend: expected \`query\` of 2 heads, as \`countPower\`, got 3
    RangeError: LinearAttentionState: expected \`countPower\` of shape [H], H a multiple of 2, got [3]
    FormatError: LinearAttentionState.fromJSON: expected \`countPower\` 1 with normalize "sum", got 2
    FormatError: LinearAttentionState.fromJSON: expected \`countPower\` a multiple of 2 numbers, got 0
    FormatError: LinearAttentionState.fromJSON: expected \`countPower\` a multiple of 2 numbers, got 1"
  `);
});

it("names what does not fit in selectiveScan and softmaxFreeAttention", () => {
  const scan = (over: Record<string, unknown>): void => {
    const all = { u: of(1, 4, 2), delta: of(1, 4, 2), A: of(2, 3), B: of(1, 4, 3), C: of(1, 4, 3), ...over } as Record<string, Tensor>;
    selectiveScan.withGrad(all.u, all.delta, all.A, all.B, all.C, { upstream: of(1, 4, 2), ...(over as object) });
  };
  const soft = softmaxFreeAttention;
  expect(
    [
      () => scan({ u: of(4, 2) }), () => scan({ A: of(3, 3) }), () => scan({ A: of(2, 0) }), () => scan({ delta: of(1, 4, 1) }), () => scan({ B: of(1, 4, 2) }), () => scan({ C: of(1, 3, 3) }), () => scan({ D: of(3) }), () => scan({ state: of(1, 3, 2) }), () => scan({ upstream: of(1, 4, 3) }), () => scan({ upstreamState: of(2, 3) }),
      () => soft(of(3), of(3), of(3)), () => soft(of(4, 2), of(3, 2), of(2, 2)), () => soft(of(4, 2), of(4, 2), of(0, 2)), () => soft(of(4, 2), of(4, 2), of(2, 3)), () => soft(of(4, 2), of(4, 2), of(2, 2), { iterations: 0 }), () => soft(of(4, 2), of(4, 2), of(2, 2), { ridge: -1 }),
      () => soft.withGrad(of(4, 2), of(4, 3), of(2, 2), { upstream: of(4, 2) }),
    ].map(messageOf).join("\n"),
  ).toMatchInlineSnapshot(`
    "RangeError: selectiveScan.withGrad: expected \`input\` of shape [B, T, C], got [4, 2]
    RangeError: selectiveScan.withGrad: expected \`A\` of shape [2, N] ([C, N]), got [3, 3]
    RangeError: selectiveScan.withGrad: expected \`A\` of shape [2, N] ([C, N]), got [2, 0]
    RangeError: selectiveScan.withGrad: expected \`delta\` of shape [1, 4, 2] ([B, T, C]), got [1, 4, 1]
    RangeError: selectiveScan.withGrad: expected \`B\` of shape [1, 4, 3] ([B, T, N]), got [1, 4, 2]
    RangeError: selectiveScan.withGrad: expected \`C\` of shape [1, 4, 3] ([B, T, N]), got [1, 3, 3]
    RangeError: selectiveScan.withGrad: expected \`D\` of shape [2] ([C]), got [3]
    RangeError: selectiveScan.withGrad: expected \`state\` of shape [1, 2, 3] ([B, C, N]), got [1, 3, 2]
    RangeError: selectiveScan.withGrad: expected \`upstream\` of shape [1, 4, 2] ([B, T, C]), got [1, 4, 3]
    RangeError: selectiveScan.withGrad: expected \`upstreamState\` of shape [1, 2, 3] ([B, C, N]), got [2, 3]
    RangeError: softmaxFreeAttention: expected \`tokens\` of shape [T, D], [H, T, D] or [B, H, T, D], D >= 1, got [3]
    RangeError: softmaxFreeAttention: expected \`value\` of shape [4, E], got [3, 2]
    RangeError: softmaxFreeAttention: expected \`landmarks\` of shape [M, 2], M >= 1, got [0, 2]
    RangeError: softmaxFreeAttention: expected \`landmarks\` of shape [M, 2], M >= 1, got [2, 3]
    RangeError: softmaxFreeAttention: expected \`iterations\` an integer in [1, 1000], got 0
    RangeError: softmaxFreeAttention: expected \`ridge\` a finite number from 0 on, got -1
    RangeError: softmaxFreeAttention.withGrad: expected \`upstream\` of shape [4, 3], got [4, 2]"
  `);
});
