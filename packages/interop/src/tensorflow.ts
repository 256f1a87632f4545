import { describe, rangeError, typeError } from "@logits/tensor";
import { disposeTensor, isTensor, readTensor } from "./readTensor.ts";
import { checkClasses, checkRows, collectInputs, decideRows, guardInputs, shown, type CollectOptions, type Collected, type Guarded, type Head, type Labels, type ModelRows } from "./rows.ts";

export type { CollectOptions, Collected, Guarded, Head, Labels, ModelRows } from "./rows.ts";

/** A TensorFlow.js model: a LayersModel, a GraphModel, or anything with `predict`. */
export interface Model<T> {
  predict(inputs: T): unknown;
}

/** Which outputs of a model are what. */
export interface ModelOutputs {
  /** The output with the scores [N, C]: its name or its index. Default: the only one that `features` leaves. */
  readonly logits?: string | number;
  /** The output with features [N, F], for a head whose detector needs them: its name or its index; of a GraphModel any node by its name. Default: none. */
  readonly features?: string | number;
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
  const run = runner("guard", model, options);
  const { feed } = options;
  if (feed === undefined) return async (inputs: T) => decideRows("guard", head, checkRows("guard", await run(inputs)));
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

async function fed<I, T>(run: (inputs: T) => Promise<ModelRows>, feed: (inputs: readonly I[]) => T | Promise<T>, inputs: readonly I[]): Promise<ModelRows> {
  const made = await feed(inputs);
  try {
    return await run(made);
  } finally {
    disposeAll(made);
  }
}

/** The parts of the two kinds of model that `predict` does not tell. */
interface AnyModel<T> extends Model<T> {
  /** GraphModel. */
  readonly outputNodes?: readonly string[];
  execute?(inputs: T, outputs: readonly string[]): unknown;
  /** LayersModel. */
  readonly outputNames?: readonly string[];
}

function runner<T>(where: string, model: Model<T>, options: ModelOutputs): (inputs: T) => Promise<ModelRows> {
  if (typeof model?.predict !== "function") throw typeError(where, "model", "a TensorFlow.js model", describe(model), "Await it: await tf.loadLayersModel(url)");
  const { outputNodes, outputNames = outputNodes, execute } = model as AnyModel<T>;
  const { features } = options;
  return async (inputs) => {
    if (execute !== undefined && outputNodes !== undefined && typeof features === "string") {
      // A GraphModel computes any node by its name.
      const nodes = [typeof options.logits === "string" ? options.logits : onlyOther(where, outputNodes, features, options.logits), features];
      return read(where, await execute.call(model, inputs, nodes), nodes, nodes[0], features);
    }
    return read(where, await model.predict(inputs), outputNames, options.logits, features);
  };
}

/** The scores and the features among what a model returned; everything it returned is disposed. */
async function read(where: string, output: unknown, names: readonly string[] | undefined, logits: string | number | undefined, features: string | number | undefined): Promise<ModelRows> {
  try {
    const outputs = listed(where, output, names);
    const keys = [...outputs.keys()];
    const tapped = features === undefined ? undefined : chosen(where, "features", outputs, features);
    const scores = outputs.get(logits === undefined ? onlyOther(where, keys, tapped?.key) : chosen(where, "logits", outputs, logits).key);
    const rows = { logits: await readTensor(where, "logits", scores) };
    return tapped ? { ...rows, features: await readTensor(where, "features", tapped.tensor) } : rows;
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

function chosen(where: string, argument: string, outputs: ReadonlyMap<string, unknown>, option: string | number): { readonly key: string; readonly tensor: unknown } {
  const keys = [...outputs.keys()];
  const key = typeof option === "number" ? keys[option] : option;
  if (!outputs.has(key)) throw rangeError(where, argument, `an output of the model (${shown(keys)})`, JSON.stringify(option), 'For a layer in between make a model with two outputs: tf.model({ inputs: model.inputs, outputs: [model.outputs[0], model.getLayer("name").output] })');
  return { key, tensor: outputs.get(key) };
}

function onlyOther(where: string, names: readonly string[], features: string | undefined, index?: number): string {
  if (index !== undefined && names[index] !== undefined) return names[index];
  const others = names.filter((name) => name !== features);
  if (others.length !== 1) throw rangeError(where, "logits", "the name or index of an output", "none", `The model has ${shown(others)}`);
  return others[0];
}

function disposeAll(made: unknown): void {
  if (isTensor(made)) disposeTensor(made);
  else if (typeof made === "object" && made !== null) for (const tensor of Object.values(made)) if (isTensor(tensor)) disposeTensor(tensor);
}
