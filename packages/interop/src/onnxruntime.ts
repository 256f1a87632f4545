import { describe, rangeError, typeError } from "@logits/tensor";
import { adoptLogits, checkGpu, type GpuBackend } from "./gpu.ts";
import { disposeTensor, readTensor } from "./readTensor.ts";
import { checkClasses, checkHead, collectInputs, decider, guardInputs, needs, outputsOf, shown, type CollectOptions, type Collected, type GuardRows, type Guarded, type Head, type Labels, type ModelRows } from "./rows.ts";

export type { GpuBackend } from "./gpu.ts";
export type { CollectOptions, Collected, Guarded, Head, Labels, ModelRows } from "./rows.ts";

/** An ONNX Runtime session, of onnxruntime-web, onnxruntime-node or onnxruntime-react-native. */
export interface Session<F> {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  run(feeds: F, fetches: readonly string[]): Promise<object>;
}

/** Which outputs of a session are what. */
export interface SessionOutputs {
  /** Name of the output with the logits [N, C]. Default: the one called "logits", or the only one that `features` leaves. */
  readonly logits?: string;
  /**
   * Name of the output with features [N, F], for a head that needs them; it may be the only one of a model without classes. Default: none; in `guard` the only output beside the logits where
   * the head needs features.
   */
  readonly features?: string;
}

/** What `guard` may be told about a session. */
export interface GuardOutputs extends SessionOutputs {
  /** `await webgpu({ device: await ort.env.webgpu.device })` of @logits/webgpu, for a session whose outputs stay on the GPU: the head reads under 64 bytes of a row there. */
  readonly gpu?: GpuBackend;
}

/** What `guard` takes where inputs are not feeds. */
export interface GuardSessionOptions<I, F> extends GuardOutputs {
  /** The session's feeds for a batch of inputs, one row each. */
  readonly feed: (inputs: readonly I[]) => F | Promise<F>;
  /** Inputs that the session sees at once, an integer from 1 up. Default 1: a decision does not depend on its neighbours. */
  readonly batchSize?: number;
}

/** What `collect` takes. */
export interface CollectSessionOptions<I, F, L extends string> extends SessionOutputs, CollectOptions {
  /** C different class names, in the order of the logits. */
  readonly classes: readonly L[];
  /** The session's feeds for a batch of inputs, one row each. */
  readonly feed: (inputs: readonly I[]) => F | Promise<F>;
}

/**
 * Puts an ONNX Runtime session under a head: inputs in, decisions out.
 *
 * With `feed` an input gives a decision and an array of inputs an array. Without, the guarded session takes feeds as the session does, and each row of the batch gives a decision.
 * Outputs on a GPU are downloaded, or with `gpu` decided on there; the tensors that the session returns are disposed, those of the feeds are left alone.
 *
 * @param session - has `run`, `inputNames`, `outputNames`
 * @param head - `classes` in the order of the logits
 * @param options - `feed`, `logits`, `features`, `batchSize` (1), `gpu`
 * @returns `(input) => Promise<decision>`, or `(feeds) => Promise<decisions>`; rejects where the session's output does not fit the head
 * @throws TypeError for no session; RangeError for an output that it does not have
 * @example
 *   const decide = guard(session, head, { feed: (rows) => ({ input: new ort.Tensor("float32", rows.flat(), [rows.length, 4]) }) });
 *   const [decision] = await decide([row]);
 * Source: the interface of onnxruntime-common 1.30.
 */
export function guard<F, D>(session: Session<F>, head: Head<D>, options?: GuardOutputs & { readonly feed?: undefined }): (feeds: F) => Promise<D[]>;
export function guard<I, F, D>(session: Session<F>, head: Head<D>, options: GuardSessionOptions<I, F>): Guarded<I, D>;
export function guard<I, F, D>(session: Session<F>, head: Head<D>, options: GuardOutputs & Partial<GuardSessionOptions<I, F>> = {}): Guarded<I, D> | ((feeds: F) => Promise<D[]>) {
  checkHead("guard", head);
  const { feed, gpu } = options;
  checkGpu("guard", gpu, head);
  const run = runner("guard", session, options, head, gpu);
  if (feed === undefined) {
    const decided = decider("guard", head);
    return async (feeds: F) => [...(await decided(await run(feeds)))];
  }
  return guardInputs(head, options, async (inputs) => run(await feed(inputs)));
}

/**
 * Runs a session on labelled inputs and returns what `DecisionHead.fit` takes.
 *
 * The inputs must not have trained the model: the head's promises rest on these rows.
 *
 * @param session - has `run`, `inputNames`, `outputNames`
 * @param inputs - N inputs, at least one
 * @param labels - N class names or indices in [0, C)
 * @param options - `classes`, `feed`, `logits`, `features`, `batchSize` (1), `signal`, `onProgress`
 * @returns `{ logits, labels, classes, features? }`: float32 [N, C], int32 [N], C names, float32 [N, F]
 * @throws TypeError for no session; RangeError for an output that it does not have, a label that is none, another number of labels
 * @example
 *   const feed = (rows) => ({ input: new ort.Tensor("float32", rows.flat(), [rows.length, 4]) });
 *   const head = DecisionHead.fit(await collect(session, rows, labels, { classes: ["cat", "dog", "bird"], feed }));
 * Source: the interface of onnxruntime-common 1.30.
 */
export async function collect<I, F, const L extends string>(session: Session<F>, inputs: readonly I[], labels: Labels<NoInfer<L>>, options: CollectSessionOptions<I, F, L>): Promise<Collected<L>> {
  const run = runner("collect", session, options);
  const { feed } = options;
  if (typeof feed !== "function") throw typeError("collect", "feed", "a function from inputs to feeds", describe(feed));
  const todo = "An ONNX file does not name its classes";
  return collectInputs(inputs, labels as Labels<L>, checkClasses("collect", options.classes, todo), options, async (batch) => run(await feed(batch)));
}

/**
 * Runs a session on inputs without labels and returns what it says: outliers for `DecisionHead.fit`, rows to watch, features for a small head with classes of its own.
 *
 * @param session - has `run`, `inputNames`, `outputNames`
 * @param inputs - N inputs, at least one
 * @param options - `feed`, `logits`, `features`, `batchSize` (1), `signal`, `onProgress`
 * @returns `{ logits, features? }`: float32 [N, C] with the model's own C, float32 [N, F]
 * @throws TypeError for no session; RangeError for an output that it does not have
 * @example
 *   const { features } = await outputs(session, rows, { feed, features: "hidden" });
 * Source: the interface of onnxruntime-common 1.30.
 */
export async function outputs<I, F>(session: Session<F>, inputs: readonly I[], options: Omit<CollectSessionOptions<I, F, string>, "classes">): Promise<ModelRows> {
  const run = runner("outputs", session, options);
  const { feed } = options;
  if (typeof feed !== "function") throw typeError("outputs", "feed", "a function from inputs to feeds", describe(feed));
  return outputsOf("outputs", inputs, options, async (batch) => run(await feed(batch)));
}

function runner<F>(where: string, session: Session<F>, options: SessionOutputs, head?: Head<unknown>): (feeds: F) => Promise<ModelRows>;
function runner<F>(where: string, session: Session<F>, options: SessionOutputs, head: Head<unknown>, gpu: GpuBackend | undefined): (feeds: F) => Promise<GuardRows>;
function runner<F>(where: string, session: Session<F>, options: SessionOutputs, head?: Head<unknown>, gpu?: GpuBackend): (feeds: F) => Promise<GuardRows> {
  if (typeof session?.run !== "function" || !Array.isArray(session.outputNames)) throw typeError(where, "session", "an ONNX Runtime session", describe(session), "Await it: await InferenceSession.create(model)");
  const { outputNames } = session;
  const has = (argument: string, name: string, todo?: string): string => {
    if (!outputNames.includes(name)) throw rangeError(where, argument, `an output of the session (${shown(outputNames)})`, JSON.stringify(name), todo);
    return name;
  };
  const only = (argument: string, names: readonly string[], todo?: string): string => {
    if (names.length !== 1) throw rangeError(where, argument, "the name of an output", "none", todo ?? `The session has ${shown(names)}`);
    return names[0];
  };
  const tapped = options.features === undefined ? undefined : has("features", options.features, TAP);
  const others = outputNames.filter((name) => name !== tapped);
  // A model without classes: its only output is the features, and the rows of `logits` are what they are.
  const fallback = others.includes("logits") ? "logits" : tapped !== undefined && others.length === 0 ? tapped : undefined;
  const logits = options.logits === undefined ? (fallback ?? only("logits", others)) : has("logits", options.logits);
  const beside = others.filter((name) => name !== logits);
  const alone = head && !needs(head, "logits") ? `Pass \`features\` where that is what ${JSON.stringify(logits)} holds` : TAP;
  const needed = head !== undefined && needs(head, "features");
  const features = tapped ?? (needed ? only("features", beside, beside.length === 0 ? `The head needs features and the session has no output but ${JSON.stringify(logits)}. ${alone}` : undefined) : undefined);
  const fetches = features === undefined || features === logits ? [logits] : [logits, features];
  return async (feeds) => {
    const output = (await session.run(feeds, fetches)) as Readonly<Record<string, unknown>>;
    const dispose = (): void => Object.values(output).forEach(disposeTensor);
    let kept = false;
    try {
      const second = features === undefined ? {} : { features: await readTensor(where, features, output[features]) };
      if (gpu === undefined) return { logits: await readTensor(where, logits, output[logits]), ...second };
      const there = adoptLogits(where, logits, gpu, output[logits]);
      kept = true;
      return { logits: there, ...second, dispose: () => (there.dispose(), dispose()) };
    } finally {
      if (!kept) dispose();
    }
  };
}

const TAP = "Tap the penultimate tensor of the model's file (logits tap) and load the result";
