import { expectExact } from "@logits/testkit";
import { beforeEach, describe, expect, it } from "vitest";
import { FakeTensorFlowTensor, fakeHead } from "./fixtures/runtimes.ts";
import { collect, guard, outputs } from "./tensorflow.ts";

const matrix = (rows: readonly (readonly number[])[]): FakeTensorFlowTensor => new FakeTensorFlowTensor(rows.flat(), [rows.length, rows[0].length]);

/** The numbers that a tensor was made from. */
const inside = new WeakMap<FakeTensorFlowTensor, readonly number[]>();

function feed(inputs: readonly number[]): FakeTensorFlowTensor {
  const made = matrix(inputs.map((x) => [x]));
  inside.set(made, inputs);
  return made;
}

const scores = (x: FakeTensorFlowTensor): FakeTensorFlowTensor => matrix(inside.get(x)!.map((a) => [a, -a]));
const hidden = (x: FakeTensorFlowTensor): FakeTensorFlowTensor => matrix(inside.get(x)!.map((a) => [10 * a]));

const plain = { predict: scores };
const graph = {
  outputNodes: ["Identity"],
  predict: scores,
  execute: (x: FakeTensorFlowTensor, names: readonly string[]) => names.map((name) => (name === "Identity" ? scores(x) : hidden(x))),
};
const layers = {
  outputs: [{ name: "scores/out", sourceLayer: { name: "scores" } }],
  layers: [{ name: "hidden", output: { name: "hidden/out" } }, { name: "scores", output: { name: "scores/out" } }],
  predict: scores,
  execute: (x: FakeTensorFlowTensor, names: readonly string[]) => names.map((name) => (name === "scores/out" ? scores(x) : hidden(x))),
};

const head = fakeHead(["up", "down"]);

beforeEach(() => {
  FakeTensorFlowTensor.alive = 0;
});

describe("guard", () => {
  it.each([["anything with predict", plain], ["a GraphModel", graph], ["a LayersModel", layers]])("takes what %s takes, leaves it alone and disposes what comes back", async (_, model) => {
    const input = feed([1, -1]);
    expect(await guard(model, head)(input)).toEqual([{ label: "up", logits: [1, -1] }, { label: "down", logits: [-1, 1] }]);
    expect([FakeTensorFlowTensor.alive, input.isDisposed]).toEqual([1, false]);
  });

  it("makes and disposes the input of a batch", async () => {
    const decide = guard(plain, head, { feed, batchSize: 2 });
    expect(await decide(3)).toEqual({ label: "up", logits: [3, -3] });
    expect(await decide([1, -1, 2])).toHaveLength(3);
    expect(FakeTensorFlowTensor.alive).toBe(0);
  });

  it.each([["a GraphModel's node", graph], ["a LayersModel's layer", layers]])("reads features at %s", async (_, model) => {
    expect(await guard(model, head, { feed, features: "hidden" })(1)).toEqual({ label: "up", logits: [1, -1], features: [10] });
    expect(FakeTensorFlowTensor.alive).toBe(0);
  });

  it.each([
    ["an array", (x: FakeTensorFlowTensor) => [scores(x), hidden(x)], { logits: "0", features: "1" }],
    ["names", (x: FakeTensorFlowTensor) => ({ scores: scores(x), hidden: hidden(x) }), { features: "hidden" }],
    ["a promise", async (x: FakeTensorFlowTensor) => [scores(x), hidden(x)], { features: "1" }],
  ])("reads outputs from %s", async (_, predict, options) => {
    expect(await guard({ predict }, head, { feed, ...options })(1)).toEqual({ label: "up", logits: [1, -1], features: [10] });
    expect(FakeTensorFlowTensor.alive).toBe(0);
  });

  it("takes the only output of a model without classes for features where it is named so", async () => {
    const embed = { outputNodes: ["hidden"], predict: hidden, execute: (x: FakeTensorFlowTensor, names: readonly string[]) => names.map(() => hidden(x)) };
    expect(await guard(embed, fakeHead(["a", "b", "c"], ["features"]), { feed, features: "hidden" })(1)).toEqual({ label: "", features: [10] });
    expectExact((await outputs(embed, [1, 2], { feed, features: "hidden" })).features!, { shape: [2, 1], data: [10, 20] });
    expect(FakeTensorFlowTensor.alive).toBe(0);
  });

  it("disposes everything after an error too", async () => {
    await expect(guard(plain, fakeHead(["a"]), { feed })(1)).rejects.toThrow("classes");
    await expect(guard(plain, head, { feed: () => feed([1, 2]) })(1)).rejects.toThrow("rows");
    await expect(guard({ predict: () => { throw new Error("no memory"); } }, head, { feed })(1)).rejects.toThrow("no memory");
    await expect(guard({ predict: (x: FakeTensorFlowTensor) => [scores(x), hidden(x)] }, head, { feed })(1)).rejects.toThrow("output");
    expect(FakeTensorFlowTensor.alive).toBe(0);
  });

  it("disposes every part of an input that is a list or has names", async () => {
    const model = { predict: (x: readonly FakeTensorFlowTensor[] | { readonly a: FakeTensorFlowTensor }) => scores(Array.isArray(x) ? (x as FakeTensorFlowTensor[])[0] : (x as { a: FakeTensorFlowTensor }).a) };
    await guard(model, head, { feed: (inputs: readonly number[]) => [feed(inputs), feed(inputs)] })(1);
    await guard(model, head, { feed: (inputs: readonly number[]) => ({ a: feed(inputs) }) })(1);
    expect(FakeTensorFlowTensor.alive).toBe(0);
  });

  it("says what it refuses", async () => {
    expect(() => guard(undefined as never, head)).toThrowErrorMatchingInlineSnapshot(`[TypeError: guard: expected \`model\` a TensorFlow.js model, got undefined. Await it: await tf.loadLayersModel(url)]`);
    expect(() => guard(plain, JSON.stringify(head) as never)).toThrowErrorMatchingInlineSnapshot(`[TypeError: guard: expected \`head\` a DecisionHead, or what has \`classes\` and \`decideAll\`, got String. Read it: DecisionHead.fromJSON(JSON.parse(text))]`);
    await expect(guard({ predict: (x: FakeTensorFlowTensor) => hidden(x) }, head, { feed })(1)).rejects.toThrowErrorMatchingInlineSnapshot(`[RangeError: guard: expected \`logits\` of 2 classes on the last axis, got shape [1, 1]. One score for two classes becomes two columns inside the model: [0, z] for a logit z, [1 - p, p] for a probability p]`);
    expect(() => guard(layers, head, { features: "dense" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: guard: expected \`features\` the name of a layer with one output, got "dense". The last layers are "hidden", "scores"]`);
    expect(() => guard(layers, head, { features: "hidden", logits: "dense" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: guard: expected \`logits\` the name of a layer with one output, got "dense". The last layers are "hidden", "scores"]`);
    expect(() => guard(plain, fakeHead(["up", "down"], ["logits", "features"]))).toThrowErrorMatchingInlineSnapshot(`[RangeError: guard: expected \`features\` the name of a layer or node, as the head needs features, got none]`);
    expect(() => guard(Object.assign({}, graph, { outputNodes: ["a", "b"] }), head, { features: "hidden" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: guard: expected \`logits\` the name of an output, got none. The model has "a", "b"]`);
    await expect(guard(plain, head, { feed, features: "hidden" })(1)).rejects.toThrowErrorMatchingInlineSnapshot(`[RangeError: guard: expected \`features\` an output of the model ("0"), got "hidden"]`);
    await expect(guard({ predict: (x: FakeTensorFlowTensor) => [scores(x), hidden(x)] }, head, { feed })(1)).rejects.toThrowErrorMatchingInlineSnapshot(`[RangeError: guard: expected \`logits\` the name of an output, got none. The model has "0", "1"]`);
    await expect(guard({ predict: () => undefined }, head, { feed })(1)).rejects.toThrowErrorMatchingInlineSnapshot(`[TypeError: guard: expected \`model\` that returns tensors, got undefined]`);
  });
});

describe("collect", () => {
  it("returns what a fit takes", async () => {
    const data = await collect(graph, [1, 2, 3], ["down", "up", "up"], { classes: ["up", "down"], feed, features: "hidden", batchSize: 2 });
    expectExact(data.logits, { shape: [3, 2], data: [1, -1, 2, -2, 3, -3] });
    expectExact(data.labels, { shape: [3], data: [1, 0, 0] });
    expectExact(data.features!, { shape: [3, 1], data: [10, 20, 30] });
    expect(FakeTensorFlowTensor.alive).toBe(0);
  });

  it("says what it refuses", async () => {
    await expect(collect(plain, [1], [0], { feed } as never)).rejects.toThrowErrorMatchingInlineSnapshot(`[TypeError: collect: expected \`classes\` an array of names, in the order of the logits, got undefined. A TensorFlow.js model does not name its classes]`);
    await expect(collect(plain, [1], [0], { classes: ["a", "b"] } as never)).rejects.toThrowErrorMatchingInlineSnapshot(`[TypeError: collect: expected \`feed\` a function from inputs to the model's input, got undefined]`);
  });
});

describe("outputs", () => {
  it("returns what the model says", async () => {
    const { logits, features } = await outputs(layers, [1, 2, 3], { feed, features: "hidden", batchSize: 2 });
    expectExact(logits, { shape: [3, 2], data: [1, -1, 2, -2, 3, -3] });
    expectExact(features!, { shape: [3, 1], data: [10, 20, 30] });
    expect(FakeTensorFlowTensor.alive).toBe(0);
    await expect(outputs(plain, [1], {} as never)).rejects.toThrowErrorMatchingInlineSnapshot(`[TypeError: outputs: expected \`feed\` a function from inputs to the model's input, got undefined]`);
  });
});
