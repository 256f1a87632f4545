import * as tf from "@tensorflow/tfjs";
import { DecisionHead, LinearHead } from "@logits/head";
import { collect, guard, outputs } from "@logits/interop/tensorflow";
import { expectClose, expectExact } from "@logits/testkit";
import { beforeAll, describe, expect, it } from "vitest";
import { FLOWERS, FLOWER_WEIGHTS, flowers } from "./models.ts";

const weights = (): tf.Tensor[] => [tf.tensor2d(FLOWER_WEIGHTS, [4, 3])];

function layersModel(softmax = false): tf.LayersModel {
  const model = tf.sequential({
    layers: [
      tf.layers.activation({ activation: "relu", name: "hidden", inputShape: [4] }),
      tf.layers.dense({ units: 3, name: "scores", useBias: false, activation: softmax ? "softmax" : undefined }),
    ],
  });
  tf.tidy(() => model.getLayer("scores").setWeights(weights()));
  return model;
}

/** The same as a GraphModel, made from a graph that the test writes. */
async function graphModel(): Promise<tf.GraphModel> {
  const float = { dtype: { type: "DT_FLOAT" } };
  const shape = (...sizes: number[]) => ({ shape: { shape: { dim: sizes.map((size) => ({ size: `${size}` })) } } });
  return tf.loadGraphModel(tf.io.fromMemory({
    modelTopology: {
      node: [
        { name: "input", op: "Placeholder", attr: { ...float, ...shape(-1, 4) } },
        { name: "weights", op: "Const", attr: { ...float, value: { tensor: { dtype: "DT_FLOAT", tensorShape: { dim: [{ size: "4" }, { size: "3" }] } } } } },
        { name: "hidden", op: "Relu", input: ["input"], attr: { T: { type: "DT_FLOAT" } } },
        { name: "scores", op: "MatMul", input: ["hidden", "weights"], attr: { T: { type: "DT_FLOAT" }, transpose_a: { b: false }, transpose_b: { b: false } } },
      ],
      library: {}, versions: {},
    },
    weightSpecs: [{ name: "weights", shape: [4, 3], dtype: "float32" }],
    weightData: Float32Array.from(FLOWER_WEIGHTS).buffer,
    format: "graph-model",
  }));
}

const { rows, labels } = flowers(120, 1);
const want = rows.map((row) => Array.from({ length: 3 }, (_, c) => row.reduce((sum, x, i) => sum + Math.max(0, x) * FLOWER_WEIGHTS[3 * i + c], 0)));
const feed = (batch: readonly number[][]): tf.Tensor2D => tf.tensor2d([...batch]);

beforeAll(async () => {
  await tf.setBackend("cpu");
});

/** The same by tf.model, with names of its outputs. */
async function functionalModel(): Promise<tf.LayersModel> {
  const input = tf.input({ shape: [4] });
  const hidden = tf.layers.activation({ activation: "relu", name: "hidden" }).apply(input) as tf.SymbolicTensor;
  const scores = tf.layers.dense({ units: 3, name: "scores", useBias: false });
  const model = tf.model({ inputs: input, outputs: scores.apply(hidden) as tf.SymbolicTensor });
  tf.tidy(() => scores.setWeights(weights()));
  return model;
}

describe.each([["a sequential model", async () => layersModel()], ["a LayersModel", functionalModel], ["a GraphModel", graphModel]] as const)("%s", (_, make) => {
  it("gives its scores", async () => {
    const data = await collect(await make(), rows, labels, { classes: FLOWERS, feed, batchSize: 50 });
    expectClose(data.logits, { shape: [120, 3], data: want.flat() }, { rtol: 1e-5, atol: 1e-6 }); // float32 sums of four products
    expectExact(data.labels, labels.map((name) => FLOWERS.indexOf(name)));
    expect(data.classes).toBe(FLOWERS);
    expect("features" in data).toBe(false);
  });

  it("gives any layer's or node's values as features", async () => {
    const { logits, features } = await collect(await make(), rows, labels, { classes: FLOWERS, feed, features: "hidden" });
    expectClose(logits, { shape: [120, 3], data: want.flat() }, { rtol: 1e-5, atol: 1e-6 }); // as above
    expectExact(features!, { shape: [120, 4], data: rows.flat().map((x) => Math.fround(Math.max(0, x))) });
  });

  it("gives the head's decisions, one by one as in a batch and on a tensor", async () => {
    const model = await make();
    const data = await collect(model, rows, labels, { classes: FLOWERS, feed });
    const head = DecisionHead.fit(data);
    const decide = guard(model, head, { feed });
    const all = await decide(rows.slice(0, 10));
    expect(all).toEqual(head.decideAll(data.logits).slice(0, 10));
    for (const [i, row] of rows.slice(0, 10).entries()) expect(await decide([row])).toEqual([all[i]]);
    const input = feed(rows.slice(0, 10));
    expect(await guard(model, head)(input)).toEqual(all);
    expect(input.isDisposed).toBe(false);
    input.dispose();
  });

  it("leaks no tensor, and takes none of the caller's", async () => {
    const model = await make();
    const head = DecisionHead.fit(await collect(model, rows, labels, { classes: FLOWERS, feed }));
    const input = feed(rows.slice(0, 3));
    await guard(model, head)(input);
    const before = tf.memory().numTensors;
    await collect(model, rows.slice(0, 20), labels.slice(0, 20), { classes: FLOWERS, feed, features: "hidden" });
    await guard(model, head, { feed })(rows.slice(0, 5));
    await guard(model, head)(input);
    await expect(guard(model, head, { feed: () => tf.zeros([1, 4]) })(rows.slice(0, 2) as unknown as number[][][])).resolves.toHaveLength(2);
    await expect(guard(model, head, { feed: () => tf.zeros([1, 5]) })([[1]])).rejects.toThrow();
    await expect(guard(model, head, { feed: () => tf.zeros([2, 4]) })([[1]])).rejects.toThrow("a row for each of the 1 inputs");
    expect(tf.memory().numTensors).toBe(before);
    expect(input.isDisposed).toBe(false);
  });
});

it("a model whose last layer is a softmax gives probabilities, for a head that takes them", async () => {
  const model = layersModel(true);
  const data = await collect(model, rows, labels, { classes: FLOWERS, feed });
  const { logits } = data;
  const head = DecisionHead.fit(data, { input: "probabilities" });
  const same = DecisionHead.fit(await collect(layersModel(), rows, labels, { classes: FLOWERS, feed }));
  expectClose(head.calibrator.transform([[0, 1, 2]]), same.calibrator.transform([[0, 1, 2]]), { rtol: 1e-4 }); // a temperature from logits that went through a float32 softmax
  expect((await guard(model, head, { feed })(rows)).map(({ kind }) => kind)).toEqual((await guard(layersModel(), same, { feed })(rows)).map(({ kind }) => kind));
  for (let row = 0; row < 120; row++) expectClose([...logits.row(row).data].reduce((a, b) => a + b), 1, { atol: 1e-6 }); // three float32 values
});

it("a model with two outputs needs no name but that of the features", async () => {
  const model = await functionalModel();
  const both = tf.model({ inputs: model.inputs, outputs: [model.getLayer("hidden").output as tf.SymbolicTensor, model.outputs[0]] });
  const { logits, features } = await collect(both, rows, labels, { classes: FLOWERS, feed, features: "hidden" });
  expectClose(logits, { shape: [120, 3], data: want.flat() }, { rtol: 1e-5, atol: 1e-6 }); // as above
  expect(features!.shape).toEqual([120, 4]);
  await expect(collect(both, rows, labels, { classes: FLOWERS, feed })).rejects.toThrowErrorMatchingInlineSnapshot(`[RangeError: collect: expected \`logits\` the name of an output, got none. The model has "hidden", "scores"]`);
});

it("a model that needs executeAsync is wrapped", async () => {
  const model = await graphModel();
  const { logits } = await collect({ predict: (x: tf.Tensor) => model.predictAsync(x) }, rows.slice(0, 4), labels.slice(0, 4), { classes: FLOWERS, feed });
  expectClose(logits, { shape: [4, 3], data: want.slice(0, 4).flat() }, { rtol: 1e-5, atol: 1e-6 }); // as above
});

it("says which layers there are", () => {
  const head = DecisionHead.fit({ logits: want, labels: labels.map((name) => FLOWERS.indexOf(name)), classes: FLOWERS });
  expect(() => guard(layersModel(), head, { features: "dense_1" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: guard: expected \`features\` the name of a layer with one output, got "dense_1". The last layers are "hidden", "scores"]`);
});

it("one sigmoid output is two columns of probabilities, by a model around the model", async () => {
  const model = tf.sequential({ layers: [tf.layers.dense({ units: 1, activation: "sigmoid", useBias: false, inputShape: [4] })] });
  tf.tidy(() => model.layers[0].setWeights([tf.tensor2d([4, -4, 0, 0], [4, 1])]));
  const two = { predict: (x: tf.Tensor) => tf.tidy(() => { const p = model.predict(x) as tf.Tensor; return tf.concat([tf.sub(1, p), p], 1); }) };
  const options = { classes: ["no", "yes"] as const, feed };
  const answers = rows.map(([a, b]) => (a > b ? "yes" : "no"));
  const before = tf.memory().numTensors;
  const head = DecisionHead.fit(await collect(two, rows, answers, options), { input: "probabilities" });
  expect(await guard(two, head, { feed })([[2, 0, 0, 0], [0, 2, 0, 0]])).toMatchObject([{ kind: "label", label: "yes" }, { kind: "label", label: "no" }]);
  expect(tf.memory().numTensors).toBe(before);
  await expect(collect(model, rows, answers, options)).rejects.toThrow("One score for two classes");
});

it("a model without classes gives features to a head that scores them itself", async () => {
  const embed = tf.sequential({ layers: [tf.layers.activation({ activation: "relu", name: "hidden", inputShape: [4] })] });
  const indices = labels.map((name) => FLOWERS.indexOf(name));
  const { features } = await outputs(embed, rows, { feed, features: "hidden" });
  const scorer = LinearHead.fit(Array.from({ length: 60 }, (_, i) => [...features!.row(i).data]), indices.slice(0, 60));
  const head = DecisionHead.fit({ scorer, features: Array.from({ length: 60 }, (_, i) => [...features!.row(60 + i).data]), labels: indices.slice(60), classes: FLOWERS });
  expect(await guard(embed, head, { feed, features: "hidden" })(rows)).toEqual(head.decideAll({ features: features! }));
});
