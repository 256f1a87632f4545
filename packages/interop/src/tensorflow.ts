import { describe, rangeError, typeError } from "@logits/tensor";
import { disposeTensor, isTensor, readTensor } from "./readTensor.ts";
import { checkClasses, checkHead, collectInputs, decider, guardInputs, needs, outputsOf, shown, type CollectOptions, type Collected, type Guarded, type Head, type Labels, type ModelRows } from "./rows.ts";

export { tensorflowLoss, type TensorFlowCore, type TrainableTensor } from "./tensorflowLoss.ts";
export type { CollectOptions, Collected, Guarded, Head, Labels, ModelRows } from "./rows.ts";

/** A TensorFlow.js model: a LayersModel, a GraphModel, or anything with `predict`. */
export interface Model<T> {
  predict(inputs: T): unknown;
}

/** Which outputs of a model are what. */
export interface ModelOutputs {
  /** Name of the output with the scores [N, C]: a layer's (LayersModel), a node's (GraphModel), a key or an index ("0") of what `predict` returns. Default: the only one that `features` leaves. */
  readonly logits?: string;
  /** Name of what holds features [N, F], for a head whose detector needs them: any layer of a LayersModel, any node of a GraphModel, or an output. Default: none. */
  readonly features?: string;
}

/** What `guard` takes where inputs are not tensors. */
export interface GuardModelOptions<I, T> extends ModelOutputs {
  /** The model's input for a batch of inputs, one row each. What it returns is disposed after the call. */
  readonly feed: (inputs: readonly I[]) => T | Promise<T>;
  /** Inputs that the model sees at once, an integer from 1 up. Default 1: a decision does not depend on its neighbours. */
  readonly batchSize?: number;
}

/** What `collect` takes. */
export interface CollectModelOptions<I, T, L extends string> extends ModelOutputs, CollectOptions {
  /** C different class names, in the order of the scores. */
  readonly classes: readonly L[];
  /** The model's input for a batch of inputs, one row each. What it returns is disposed after the call. */
  readonly feed: (inputs: readonly I[]) => T | Promise<T>;
}

/**
 * Puts a TensorFlow.js model under a head: inputs in, decisions out.
 *
 * With `feed` an input gives a decision and an array of inputs an array; the tensors that `feed` returns are disposed. Without, the guarded model takes what `predict` takes, leaves it alone,
 * and each row of the batch gives a decision. What the model returns is read with `await data()` and disposed. Where the last layer is a softmax, fit the head with `input: "probabilities"`.
 *
 * @param model - a LayersModel, a GraphModel, or anything with `predict` (it may return a promise)
 * @param head - `classes` in the order of the scores
 * @param options - `feed`, `logits`, `features`, `batchSize` (1)
 * @returns `(input) => Promise<decision>`, or `(tensor) => Promise<decisions>`; rejects where the model's output does not fit the head
 * @throws TypeError for no model
 * @example
 *   const decide = guard(model, head, { feed: (rows) => tf.tensor2d(rows) });
 *   const [decision] = await decide([row]);
 * Source: the interfaces of @tensorflow/tfjs 4.22.
 */
export function guard<T, D>(model: Model<T>, head: Head<D>, options?: ModelOutputs & { readonly feed?: undefined }): (inputs: T) => Promise<D[]>;
export function guard<I, T, D>(model: Model<T>, head: Head<D>, options: GuardModelOptions<I, T>): Guarded<I, D>;
export function guard<I, T, D>(model: Model<T>, head: Head<D>, options: ModelOutputs & Partial<GuardModelOptions<I, T>> = {}): Guarded<I, D> | ((inputs: T) => Promise<D[]>) {
  checkHead("guard", head);
  const run = runner("guard", model, options);
  if (options.features === undefined && needs(head, "features")) throw rangeError("guard", "features", "the name of a layer or node, as the head needs features", "none");
  const { feed } = options;
  if (feed === undefined) {
    const decided = decider("guard", head);
    return async (inputs: T) => [...(await decided(await run(inputs)))];
  }
  return guardInputs(head, options, (inputs) => fed(run, feed, inputs));
}

/**
 * Runs a model on labelled inputs and returns what `DecisionHead.fit` takes.
 *
 * The inputs must not have trained the model: the head's promises rest on these rows. `logits` holds what the model returns: probabilities where its last layer is a softmax, then
 * fit the head with `input: "probabilities"`.
 *
 * @param model - a LayersModel, a GraphModel, or anything with `predict`
 * @param inputs - N inputs, at least one
 * @param labels - N class names or indices in [0, C)
 * @param options - `classes`, `feed`, `logits`, `features`, `batchSize` (1), `signal`, `onProgress`
 * @returns `{ logits, labels, classes, features? }`: float32 [N, C], int32 [N], C names, float32 [N, F]
 * @throws TypeError for no model; RangeError for an output that it does not have, a label that is none, another number of labels
 * @example
 *   const head = DecisionHead.fit(await collect(model, rows, labels, { classes: ["cat", "dog", "bird"], feed: (rows) => tf.tensor2d(rows) }));
 * Source: the interfaces of @tensorflow/tfjs 4.22.
 */
export async function collect<I, T, const L extends string>(model: Model<T>, inputs: readonly I[], labels: Labels<NoInfer<L>>, options: CollectModelOptions<I, T, L>): Promise<Collected<L>> {
  const run = runner("collect", model, options);
  const { feed } = options;
  if (typeof feed !== "function") throw typeError("collect", "feed", "a function from inputs to the model's input", describe(feed));
  const classes = checkClasses("collect", options.classes, "A TensorFlow.js model does not name its classes");
  return collectInputs(inputs, labels as Labels<L>, classes, options, (batch) => fed(run, feed, batch));
}

/**
 * Runs a model on inputs without labels and returns what it says: outliers for `DecisionHead.fit`, rows to watch, features for a small head with classes of its own.
 *
 * @param model - a LayersModel, a GraphModel, or anything with `predict`
 * @param inputs - N inputs, at least one
 * @param options - `feed`, `logits`, `features`, `batchSize` (1), `signal`, `onProgress`
 * @returns `{ logits, features? }`: float32 [N, C] with the model's own C, float32 [N, F]
 * @throws TypeError for no model; RangeError for an output that it does not have
 * @example
 *   const { features } = await outputs(model, rows, { feed, features: "hidden" });
 * Source: the interfaces of @tensorflow/tfjs 4.22.
 */
export async function outputs<I, T>(model: Model<T>, inputs: readonly I[], options: Omit<CollectModelOptions<I, T, string>, "classes">): Promise<ModelRows> {
  const run = runner("outputs", model, options);
  const { feed } = options;
  if (typeof feed !== "function") throw typeError("outputs", "feed", "a function from inputs to the model's input", describe(feed));
  return outputsOf("outputs", inputs, options, (batch) => fed(run, feed, batch));
}

async function fed<I, T>(run: (inputs: T) => Promise<ModelRows>, feed: (inputs: readonly I[]) => T | Promise<T>, inputs: readonly I[]): Promise<ModelRows> {
  const made = await feed(inputs);
  try {
    return await run(made);
  } finally {
    disposeAll(made);
  }
}

/** What the two kinds of model have beside `predict`. */
interface AnyModel<T> extends Model<T> {
  /** Tensors in between, by name: of a GraphModel its nodes, of a LayersModel the outputs of its layers. */
  execute?(inputs: T, names: readonly string[]): unknown;
  /** GraphModel. */
  readonly outputNodes?: readonly string[];
  /** LayersModel: the tensors that it returns; a sequential one has no `outputNames`. */
  readonly outputs?: readonly { readonly name: string; readonly sourceLayer?: { readonly name: string } }[];
  readonly layers?: readonly { readonly name: string; readonly output?: { readonly name?: string } }[];
}

function runner<T>(where: string, model: Model<T>, options: ModelOutputs): (inputs: T) => Promise<ModelRows> {
  if (typeof model?.predict !== "function") throw typeError(where, "model", "a TensorFlow.js model", describe(model), "Await it: await tf.loadLayersModel(url)");
  const { layers, outputs, outputNodes, execute } = model as AnyModel<T>;
  const outputNames = outputNodes ?? outputs?.map(({ name, sourceLayer }) => sourceLayer?.name ?? name);
  const { features } = options;
  if (features === undefined || execute === undefined || outputNames === undefined) return async (inputs) => read(where, await model.predict(inputs), outputNames, options);
  const names = [options.logits ?? onlyOther(where, outputNames, features), features];
  const tensors = layers ? [layerOutput(where, "logits", layers, names[0]), layerOutput(where, "features", layers, names[1])] : names;
  return async (inputs) => read(where, await execute.call(model, inputs, [...new Set(tensors)]), [...new Set(names)], { logits: names[0], features });
}

/** Name of the tensor that a layer puts out. */
function layerOutput(where: string, argument: string, layers: NonNullable<AnyModel<unknown>["layers"]>, name: string): string {
  const found = layers.find((layer) => layer.name === name)?.output?.name;
  if (found === undefined) throw rangeError(where, argument, "the name of a layer with one output", JSON.stringify(name), `The last layers are ${shown(layers.slice(-5).map((layer) => layer.name))}`);
  return found;
}

/** The scores and the features among what a model returned; everything it returned is disposed. */
async function read(where: string, output: unknown, names: readonly string[] | undefined, { logits, features }: ModelOutputs): Promise<ModelRows> {
  try {
    const outputs = listed(where, output, names);
    const keys = [...outputs.keys()];
    for (const [argument, key] of [["logits", logits], ["features", features]] as const) {
      if (key !== undefined && !outputs.has(key)) throw rangeError(where, argument, `an output of the model (${shown(keys)})`, JSON.stringify(key));
    }
    const rows = { logits: await readTensor(where, "logits", outputs.get(logits ?? onlyOther(where, keys, features))) };
    return features === undefined ? rows : { ...rows, features: await readTensor(where, "features", outputs.get(features)) };
  } finally {
    disposeAll(output);
  }
}

/** A tensor, a list of tensors or tensors by name, under names. */
function listed(where: string, output: unknown, names: readonly string[] | undefined): ReadonlyMap<string, unknown> {
  if (isTensor(output)) return new Map([[names?.[0] ?? "0", output]]);
  if (Array.isArray(output)) return new Map(output.map((tensor, i) => [names?.[i] ?? `${i}`, tensor]));
  if (typeof output === "object" && output !== null) return new Map(Object.entries(output));
  throw typeError(where, "model", "that returns tensors", describe(output));
}

function onlyOther(where: string, names: readonly string[], features: string | undefined): string {
  // A model without classes: its only output is the features, and the rows of `logits` are what they are.
  const others = names.length === 1 ? names : names.filter((name) => name !== features);
  if (others.length !== 1) throw rangeError(where, "logits", "the name of an output", "none", `The model has ${shown(others)}`);
  return others[0];
}

function disposeAll(made: unknown): void {
  if (isTensor(made)) disposeTensor(made);
  else if (typeof made === "object" && made !== null) for (const tensor of Object.values(made)) if (isTensor(tensor)) disposeTensor(tensor);
}
