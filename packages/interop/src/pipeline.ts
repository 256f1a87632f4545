import { describe, typeError } from "@logits/tensor";
import { disposeTensor, isTensor } from "./readTensor.ts";

/** The public fields of a Transformers.js pipeline that are read. */
export interface Pipeline {
  (...args: never[]): unknown;
  readonly task: string;
  readonly model: { readonly config: object };
  readonly tokenizer?: unknown;
  readonly processor?: unknown;
}

/** Whether the classes are the caller's. */
export function isZeroShot({ task }: Pipeline): boolean {
  return task.startsWith("zero-shot");
}

/** Checks a pipeline and its task. */
export function checkPipeline(where: string, pipeline: Pipeline, tasks: readonly string[]): void {
  if (typeof pipeline !== "function" || typeof pipeline.task !== "string" || typeof pipeline.model !== "function" || typeof (pipeline.model as Partial<Pipeline["model"]>).config !== "object") {
    throw typeError(where, "pipeline", "a Transformers.js pipeline", describe(pipeline), "Await it: await pipeline(task, model)");
  }
  if (!tasks.includes(pipeline.task)) throw typeError(where, "pipeline", tasks.length === 1 ? `of the task ${tasks[0]}` : `of one of the tasks ${tasks.join(", ")}`, pipeline.task);
}

/** The names of `config.id2label`, in the order of the logits; none for a zero-shot pipeline. */
export function modelClasses(pipeline: Pipeline): readonly string[] | undefined {
  const { id2label } = pipeline.model.config as { readonly id2label?: unknown };
  if (isZeroShot(pipeline) || typeof id2label !== "object" || id2label === null) return undefined;
  const names: unknown[] = Array.from({ length: Object.keys(id2label).length }, (_, i) => (id2label as Record<number, unknown>)[i]);
  return names.every((name) => typeof name === "string") ? names : undefined;
}

/** What the model was about to be called with. */
class Prepared {
  readonly inputs: unknown;
  constructor(inputs: unknown) {
    this.inputs = inputs;
  }
}

/**
 * The pipeline's own reading, tokenizing and padding, without its model and its scores: a second pipeline of the same class, over the same tokenizer and processor,
 * whose model hands back what it is called with.
 */
export function preparation(where: string, pipeline: Pipeline): (...args: readonly unknown[]) => Promise<unknown> {
  const { task, model, tokenizer, processor } = pipeline;
  const stop = new Proxy(model, {
    apply: (_target, _self, [inputs]) => {
      throw new Prepared(inputs);
    },
  });
  const Class = pipeline.constructor as new (parts: object) => (...args: readonly unknown[]) => Promise<unknown>;
  const prepare = new Class({ task, model: stop, tokenizer, processor });
  return async (...args) => {
    try {
      await prepare(...args);
    } catch (thrown) {
      if (thrown instanceof Prepared) return thrown.inputs;
      throw thrown;
    }
    throw typeError(where, "pipeline", "that calls its model", "one that does not");
  };
}

/** What a model of Transformers.js returns: tensors by name, or lists of them. */
export type Output = Readonly<Record<string, unknown>>;

/** The pipeline's model, which `checkPipeline` has seen to be a function: its type in Transformers.js is that of a class without a call. */
export function modelOf({ model }: Pipeline): (inputs: unknown) => Promise<Output> {
  return model as Pipeline["model"] & ((inputs: unknown) => Promise<Output>);
}

/** Disposes every tensor of an output. */
export function disposeOutput(output: Output): void {
  for (const value of Object.values(output)) for (const tensor of Array.isArray(value) ? value : [value]) if (isTensor(tensor)) disposeTensor(tensor);
}
