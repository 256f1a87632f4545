import { rangeError, typeError, Tensor } from "@logits/tensor";
import { adoptLogits, checkGpu, type GpuBackend } from "./gpu.ts";
import { checkPipeline, disposeOutput, isZeroShot, modelClasses, modelOf, preparation, type Output, type Pipeline } from "./pipeline.ts";
import { isTensor, readTensor } from "./readTensor.ts";
import { checkClasses, checkHead, checkRows, collectInputs, guardInputs, needs, outputsOf, shown, type CollectOptions, type Collected, type GuardRows, type GuardRun, type Guarded, type Head, type Labels, type ModelRows, type Run } from "./rows.ts";

export type { CollectOptions, Collected, Guarded, Head, Labels, ModelRows } from "./rows.ts";
export type { GpuBackend } from "./gpu.ts";
export type { Pipeline } from "./pipeline.ts";
export { guardSpans, type GuardSpansOptions, type SpanDecision } from "./guardSpans.ts";
export { tappedFetch, type Fetch } from "./tappedFetch.ts";
export type { TapOptions } from "./onnx/tap.ts";

/** The tasks of Transformers.js whose pipelines can be guarded. */
const TASKS = ["text-classification", "image-classification", "audio-classification", "zero-shot-classification", "zero-shot-image-classification"] as const;

/** One input of a pipeline: a text; an image (URL, path, Blob, RawImage, canvas); a sound (URL, samples). */
export type InputOf<P extends Pipeline> = P extends (inputs: infer X, ...rest: never[]) => unknown ? Exclude<X, readonly unknown[]> : never;

/** What `guard` and `collect` may be told about a pipeline. */
export interface PipelineOptions {
  /**
   * The model's second output, float32 [N, F], for a head whose detector needs features: its name, or `true` for the only output beside the logits. Not for "zero-shot-classification",
   * where the model runs once per class. Default: none; in `guard` `true` where the head needs features.
   */
  readonly features?: string | boolean;
  /** Names of the classes. For a zero-shot pipeline the candidate labels (`guard` takes those of the head); for another where `config.id2label` has no C different names. */
  readonly classes?: readonly string[];
  /** Zero-shot pipelines only: the sentence around a label, with {} for the label. Default: the pipeline's own. */
  readonly hypothesisTemplate?: string;
  /** "zero-shot-classification" only. `false` (default): the entailment logit of each label, so that a softmax compares labels. `true`: entailment less contradiction, so that a sigmoid judges each. */
  readonly multiLabel?: boolean;
}

/** Options of `guard`. */
export interface GuardPipelineOptions extends PipelineOptions {
  /** Inputs that the model sees at once, an integer from 1 up. Default 1: a decision does not depend on its neighbours. Sounds and zero-shot texts run one by one in any case, as the pipeline does. */
  readonly batchSize?: number;
  /**
   * `await webgpu({ device: await env.backends.onnx.webgpu.device })` of @logits/webgpu, for a pipeline whose logits stay on the GPU (`device: "webgpu"`, `session_options: { preferredOutputLocation:
   * "gpu-buffer" }`): the head reads under 64 bytes of a row there. For "text-classification", "image-classification" and "zero-shot-image-classification".
   */
  readonly gpu?: GpuBackend;
}

/** Options of `collect`. */
export interface CollectPipelineOptions<L extends string = string> extends PipelineOptions, CollectOptions {
  readonly classes?: readonly L[];
}

/**
 * Puts a Transformers.js pipeline under a head: inputs in, decisions out.
 *
 * Tokenizer, processor and model are the pipeline's own; the head sees the model's raw logits, never the pipeline's scores. One input gives one decision, an array an array, as the pipeline does.
 *
 * @param pipeline - of a text, image, audio, zero-shot or zero-shot image classification task
 * @param head - `classes` in the order of the model's `config.id2label`; for zero-shot pipelines they are the candidate labels
 * @param options - `features`, `classes`, `hypothesisTemplate`, `multiLabel`, `batchSize` (1), `gpu`
 * @returns `(input) => Promise<decision>`; rejects where the model's output does not fit the head
 * @throws TypeError for anything but such a pipeline; RangeError for classes that are not the head's
 * @example
 *   const classifier = await pipeline("text-classification", "my/intents");
 *   const decide = guard(classifier, head);
 *   const decision = await decide("how do i sail to the moon");
 * Source: the pipelines of @huggingface/transformers 4.3.1.
 */
export function guard<P extends Pipeline, D>(pipeline: P, head: Head<D>, options: GuardPipelineOptions = {}): Guarded<InputOf<P>, D> {
  const where = "guard";
  checkPipeline(where, pipeline, TASKS);
  checkHead(where, head);
  const names = options.classes ?? modelClasses(pipeline);
  if (names && needs(head, "logits")) checkSame(where, head.classes, names, options.classes ? "`classes`" : "the model");
  checkGpu(where, options.gpu, head);
  return guardInputs(head, options, runner(where, pipeline, head.classes, { ...options, features: options.features ?? needs(head, "features") }, options.gpu));
}

/**
 * Runs a pipeline's model on labelled inputs and returns what `DecisionHead.fit` takes.
 *
 * The inputs must not have trained the model: the head's promises rest on these rows.
 *
 * @param pipeline - as for `guard`
 * @param inputs - N inputs of the pipeline, at least one
 * @param labels - N class names or indices in [0, C)
 * @param options - as for `guard`, and `signal`, `onProgress`
 * @returns `{ logits, labels, classes, features? }`: float32 [N, C], int32 [N], C names, float32 [N, F]
 * @throws TypeError for anything but such a pipeline; RangeError for a label that is none, another number of labels, names that are missing or not different
 * @example
 *   const head = DecisionHead.fit(await collect(classifier, texts, labels), { alpha: 0.1 });
 * Source: the pipelines of @huggingface/transformers 4.3.1.
 */
export async function collect<P extends Pipeline, const L extends string = string>(
  pipeline: P, inputs: readonly InputOf<P>[], labels: Labels<NoInfer<L>>, options: CollectPipelineOptions<L> = {},
): Promise<Collected<L>> {
  const where = "collect";
  checkPipeline(where, pipeline, TASKS);
  const todo = isZeroShot(pipeline) ? "They are the candidate labels" : "The model has no config.id2label: pass `classes`";
  const classes = checkClasses(where, options.classes ?? (modelClasses(pipeline) as readonly L[] | undefined), todo);
  return collectInputs(inputs, labels as Labels<L>, classes, options, runner(where, pipeline, classes, options));
}

/**
 * Runs a pipeline's model on inputs without labels and returns what it says: outliers for `DecisionHead.fit`, rows to watch, features for a small head with classes of its own.
 *
 * @param pipeline - as for `guard`
 * @param inputs - N inputs of the pipeline, at least one
 * @param options - as for `collect`; `classes` for zero-shot pipelines only
 * @returns `{ logits, features? }`: float32 [N, C] with the model's own C, float32 [N, F]
 * @throws TypeError for anything but such a pipeline, or a zero-shot one without `classes`
 * @example
 *   const { features } = await outputs(classifier, texts, { features: true });
 *   const scorer = LinearHead.fit(features, labels);
 * Source: the pipelines of @huggingface/transformers 4.3.1.
 */
export async function outputs<P extends Pipeline>(pipeline: P, inputs: readonly InputOf<P>[], options: CollectPipelineOptions = {}): Promise<ModelRows> {
  const where = "outputs";
  checkPipeline(where, pipeline, TASKS);
  const classes = isZeroShot(pipeline) ? checkClasses(where, options.classes, "They are the candidate labels") : [];
  return outputsOf(where, inputs, options, runner(where, pipeline, classes, options));
}

function checkSame(where: string, ours: readonly string[], theirs: readonly string[], whose: string): void {
  if (ours.length !== theirs.length) throw rangeError(where, "head", `of the ${theirs.length} classes of ${whose}`, `${ours.length}`);
  const at = ours.findIndex((name, i) => name !== theirs[i]);
  if (at >= 0) throw rangeError(where, "head", `of the classes of ${whose}, in their order`, `${JSON.stringify(ours[at])} at index ${at}, where it has ${JSON.stringify(theirs[at])}`, "For names of your own pass the same `classes` to collect and guard");
}

function runner<I>(where: string, pipeline: Pipeline, classes: readonly string[], options: PipelineOptions): Run<I>;
function runner<I>(where: string, pipeline: Pipeline, classes: readonly string[], options: PipelineOptions, gpu: GpuBackend | undefined): GuardRun<I>;
function runner<I>(where: string, pipeline: Pipeline, classes: readonly string[], options: PipelineOptions, gpu?: GpuBackend): GuardRun<I> {
  const { features = false, hypothesisTemplate, multiLabel = false } = options;
  if (!isZeroShot(pipeline) && hypothesisTemplate !== undefined) throw typeError(where, "hypothesisTemplate", "only with a zero-shot pipeline", pipeline.task);
  if (pipeline.task !== "zero-shot-classification" && multiLabel) throw typeError(where, "multiLabel", "only with zero-shot-classification", pipeline.task);
  if (pipeline.task === "zero-shot-classification" && features !== false) throw typeError(where, "features", "nothing with zero-shot-classification, whose model runs once per class", `${features}`);
  const template = hypothesisTemplate === undefined ? {} : { hypothesis_template: hypothesisTemplate };
  const prepare = preparation(where, pipeline), model = modelOf(pipeline);

  const run = async (name: "logits" | "logits_per_image", ...args: readonly unknown[]): Promise<ModelRows> => {
    const output = await model(await prepare(...args));
    try {
      const logits = await readTensor(where, name, output[name]);
      return features === false ? { logits } : { logits, features: await readTensor(where, "features", featureTensor(where, pipeline, output, name, features)) };
    } finally {
      disposeOutput(output);
    }
  };

  /** The same with logits that stay on the GPU, where there is a backend for them. */
  const runThere = async (name: "logits" | "logits_per_image", ...args: readonly unknown[]): Promise<GuardRows> => {
    if (gpu === undefined) return run(name, ...args);
    const output = await model(await prepare(...args));
    let kept = false;
    try {
      const second = features === false ? {} : { features: await readTensor(where, "features", featureTensor(where, pipeline, output, name, features)) };
      const logits = adoptLogits(where, name, gpu, output[name]);
      kept = true;
      return { logits, ...second, dispose: () => (logits.dispose(), disposeOutput(output)) };
    } finally {
      if (!kept) disposeOutput(output);
    }
  };
  if (gpu !== undefined && (pipeline.task === "zero-shot-classification" || pipeline.task === "audio-classification")) throw typeError(where, "gpu", "nothing with a task whose rows come from several runs of the model", pipeline.task);

  switch (pipeline.task) {
    case "zero-shot-classification":
      return async (inputs) => {
        const logits = new Float32Array(inputs.length * classes.length);
        for (let row = 0; row < inputs.length; row++) {
          for (let c = 0; c < classes.length; c++) logits[row * classes.length + c] = entailment(where, pipeline, multiLabel, (await run("logits", inputs[row], [classes[c]], template)).logits);
        }
        return { logits: new Tensor("float32", [inputs.length, classes.length], logits) };
      };
    case "zero-shot-image-classification":
      return (inputs) => runThere("logits_per_image", inputs, classes, template);
    case "audio-classification":
      return async (inputs) => {
        const rows: ModelRows[] = [];
        for (const input of inputs) rows.push(checkRows(where, await run("logits", [input]), 1));
        return { logits: stacked(where, "logits", rows.map((row) => row.logits)), ...(features !== false && { features: stacked(where, "features", rows.map((row) => row.features!)) }) };
      };
    default:
      return (inputs) => runThere("logits", inputs);
  }
}

/** The score of "the text entails the hypothesis", from a model of natural language inference. */
function entailment(where: string, pipeline: Pipeline, multiLabel: boolean, { data, shape }: Tensor<"float32">): number {
  const { entailment_id: yes, contradiction_id: no } = pipeline as { readonly entailment_id?: number; readonly contradiction_id?: number };
  if (yes === undefined || no === undefined) throw typeError(where, "pipeline", "with `entailment_id` and `contradiction_id`", `${yes} and ${no}`);
  if (shape.length !== 2 || shape[0] !== 1 || Math.max(yes, no) >= shape[1]) throw rangeError(where, "logits", `of shape [1, C] with columns ${yes} and ${no}`, `[${shape.join(", ")}]`);
  return multiLabel ? data[yes] - data[no] : data[yes];
}

/**
 * The output beside the logits. A model class that knows its outputs keeps them under their names; one for classification puts all but the logits into the list
 * `attentions`, in the order of the session's outputs.
 */
function featureTensor(where: string, pipeline: Pipeline, output: Output, logits: string, features: string | true): unknown {
  const { sessions } = pipeline.model as { readonly sessions?: { readonly model?: { readonly outputNames?: readonly string[] } } };
  const others = new Map(Object.entries(output).filter(([name, value]) => name !== logits && isTensor(value)));
  const names = sessions?.model?.outputNames?.filter((name) => name !== logits);
  if (Array.isArray(output.attentions)) for (const [i, value] of output.attentions.entries()) others.set(names?.length === output.attentions.length ? names[i] : `attentions[${i}]`, value);
  const todo = "Tap the penultimate tensor of the model's file (logits tap) and load the result";
  if (others.size === 0) throw rangeError(where, "features", "that the model returns", "no output but the logits", todo);
  if (features === true && others.size > 1) throw rangeError(where, "features", "the name of an output where there are several", "true", `They are ${shown([...others.keys()])}`);
  const found = features === true ? [...others.values()][0] : others.get(features);
  if (found === undefined) throw rangeError(where, "features", `the name of an output (${shown([...others.keys()])})`, JSON.stringify(features), todo);
  return found;
}

/** Batches of one as one batch. */
function stacked(where: string, name: string, rows: readonly Tensor<"float32">[]): Tensor<"float32"> {
  const width = rows[0].shape[1];
  const data = new Float32Array(rows.length * width);
  for (const [i, row] of rows.entries()) {
    if (row.size !== width) throw rangeError(where, name, `of ${width} columns, as the first input has`, `shape [${row.shape.join(", ")}]`);
    data.set(row.data, i * width);
  }
  return new Tensor("float32", [rows.length, width], data);
}
