import type { GpuLogits } from "@logits/head";
import { Tensor, asInt32, checkInteger, checkLabels, checkShape, describe, rangeError, typeError, type LongWorkOptions, type NumericArray, type TensorLike } from "@logits/tensor";

/** What a model says about a batch. */
export interface ModelRows {
  /** float32 [N, C]. */
  readonly logits: Tensor<"float32">;
  /** float32 [N, F]. */
  readonly features?: Tensor<"float32">;
}

/** What a guarded model says about a batch: its logits may stay on the GPU. */
export interface GuardRows {
  readonly logits: Tensor<"float32"> | GpuLogits;
  readonly features?: Tensor<"float32">;
  /** Frees what the logits are on. */
  dispose?(): void;
}

/** What `guard` asks of a head: `DecisionHead` has it, and so has anything with class names that decides rows. */
export interface Head<D> {
  /** Class names, in the order of the logits. */
  readonly classes: readonly string[];
  /** What a row consists of; default: logits. Where it names features, `guard` asks the model for them. */
  readonly needs?: readonly ("logits" | "features")[];
  /** One decision for each row; rows are logits [N, C], or `{ logits, features }`, or `{ features }` where the head needs no logits. */
  decideAll(rows: TensorLike | Partial<ModelRows>, options: { readonly ids: Int32Array }): readonly D[];
  /** The same for logits that stay on a GPU; asked for with `gpu`. */
  decideAllAsync?(rows: GpuLogits | { readonly logits: GpuLogits; readonly features: Tensor<"float32"> }, options: { readonly ids: Int32Array }): Promise<readonly D[]>;
}

/** A model under guard: an array of inputs gives an array of decisions, anything else is one input. An input that is an array itself always comes in an array of inputs. */
export type Guarded<I, D> = <X extends (I extends readonly unknown[] ? never : I) | readonly I[]>(input: X) => Promise<X extends readonly unknown[] ? D[] : D>;

/** What `collect` takes beside the model, its inputs and their labels. */
export interface CollectOptions extends LongWorkOptions {
  /** Inputs that the model sees at once, an integer from 1 up. Default 1: rows are collected as they will be decided; a dynamically quantised model gives a row other logits in another batch. */
  readonly batchSize?: number;
}

/** What `DecisionHead.fit` takes. */
export interface Collected<L extends string> {
  /** float32 [N, C]. */
  readonly logits: Tensor<"float32">;
  /** int32 [N]. */
  readonly labels: Tensor<"int32">;
  /** C class names, in the order of the logits. */
  readonly classes: readonly L[];
  /** float32 [N, F], where they were asked for. */
  readonly features?: Tensor<"float32">;
}

/** The labels of a collection: class names, or indices in [0, C). */
export type Labels<L extends string> = readonly L[] | readonly number[] | NumericArray;

/** Runs a model on a batch. */
export type Run<I> = (inputs: readonly I[]) => Promise<ModelRows>;

/** Runs a model on a batch, whose logits may stay on the GPU. */
export type GuardRun<I> = (inputs: readonly I[]) => Promise<GuardRows>;

/** Work between two pauses, in milliseconds: a model that computes on this thread must not starve it. */
const PAUSE_AFTER_MS = 8;

/** Decisions for the rows of a model; each gets an id that no other row of this guard has, for heads that draw by row. */
export function decider<D>(where: string, head: Head<D>): (rows: GuardRows, count?: number) => Promise<readonly D[]> {
  let next = 0;
  const decided = async (rows: GuardRows): Promise<readonly D[]> => {
    const { logits, features } = rows;
    const ids = Int32Array.from({ length: rows.logits.shape[0] }, () => next++ % 2 ** 31);
    if (!needs(head, "logits")) return head.decideAll({ features }, { ids });
    checkWidth(where, rows, head.classes.length);
    if ("operations" in logits) return head.decideAllAsync!(features ? { logits, features } : logits, { ids });
    return head.decideAll(features ? { logits, features } : logits, { ids });
  };
  return async (rows, count) => {
    try {
      return await decided(checkRows(where, rows, count));
    } finally {
      rows.dispose?.();
    }
  };
}

/** Checks what was given for a head; one that was kept as JSON must be read first. */
export function checkHead(where: string, head: Head<unknown>): void {
  if (Array.isArray(head?.classes) && typeof head.decideAll === "function") return;
  const kept = typeof head === "string" || (head as { readonly format?: unknown } | undefined)?.format !== undefined;
  throw typeError(where, "head", "a DecisionHead, or what has `classes` and `decideAll`", describe(head), kept ? "Read it: DecisionHead.fromJSON(JSON.parse(text))" : undefined);
}

/** Whether a head's rows have logits or features. */
export function needs(head: Head<unknown>, part: "logits" | "features"): boolean {
  return (head.needs ?? ["logits"]).includes(part);
}

/** `guard`, once the runtime's part is known. */
export function guardInputs<I, D>(head: Head<D>, options: { readonly batchSize?: number }, run: GuardRun<I>): Guarded<I, D> {
  const { batchSize = 1 } = options;
  checkInteger("guard", "batchSize", batchSize, 1, 2 ** 31 - 1);
  const decided = decider("guard", head);
  const decide = async (input: unknown): Promise<unknown> => {
    const inputs = (Array.isArray(input) ? input : [input]) as readonly I[];
    const decisions: D[] = [];
    for (let from = 0; from < inputs.length; from += batchSize) {
      const some = inputs.slice(from, from + batchSize);
      decisions.push(...(await decided(await run(some), some.length)));
    }
    return Array.isArray(input) ? decisions : decisions[0];
  };
  return decide as Guarded<I, D>;
}

/** `collect`, once the runtime's part is known. */
export async function collectInputs<I, L extends string>(inputs: readonly I[], labels: Labels<L>, classes: readonly L[], options: CollectOptions, run: Run<I>): Promise<Collected<L>> {
  const where = "collect";
  checkInputs(where, inputs);
  const indices = labelIndices(where, labels, classes);
  if (indices.size !== inputs.length) throw rangeError(where, "labels", `one for each of the ${inputs.length} inputs`, `${indices.size}`);
  const { logits, ...features } = await outputsOf(where, inputs, options, run, classes.length);
  return { logits, labels: indices, classes, ...features };
}

/** The outputs for all inputs, batch by batch. */
export async function outputsOf<I>(where: string, inputs: readonly I[], options: CollectOptions, run: Run<I>, classes?: number): Promise<ModelRows> {
  const { batchSize = 1, signal, onProgress } = options;
  checkInteger(where, "batchSize", batchSize, 1, 2 ** 31 - 1);
  checkInputs(where, inputs);
  interface Store { readonly width: number; readonly data: Float32Array }
  const stores = new Map<keyof ModelRows, Store>();
  let resumed = performance.now();
  for (let from = 0; from < inputs.length; from += batchSize) {
    onProgress?.(from / inputs.length);
    signal?.throwIfAborted();
    const rows = await batch(where, run, inputs.slice(from, from + batchSize));
    if (classes !== undefined) checkWidth(where, rows, classes);
    for (const part of ["logits", "features"] as const) {
      const tensor = rows[part];
      if (!tensor) continue;
      const width = tensor.shape[1];
      const store = stores.get(part) ?? { width, data: new Float32Array(inputs.length * width) };
      if (width !== store.width) throw rangeError(where, part, `of shape [N, ${store.width}], as the first batch has`, `[${tensor.shape.join(", ")}]`);
      stores.set(part, store);
      store.data.set(tensor.data, from * width);
    }
    if (performance.now() - resumed > PAUSE_AFTER_MS) {
      await new Promise((resume) => setTimeout(resume));
      resumed = performance.now();
    }
  }
  signal?.throwIfAborted();
  onProgress?.(1);
  const joined = ({ width, data }: Store): Tensor<"float32"> => new Tensor("float32", [inputs.length, width], data), features = stores.get("features");
  // There is an input, and every batch has logits.
  return { logits: joined(stores.get("logits")!), ...(features && { features: joined(features) }) };
}

function checkInputs(where: string, inputs: readonly unknown[]): void {
  if (!Array.isArray(inputs)) throw typeError(where, "inputs", "an array", describe(inputs));
  if (inputs.length === 0) throw rangeError(where, "inputs", "with at least one input", "none");
}

/** Checks that a model's outputs have one row for each input. */
export function checkRows<R extends GuardRows>(where: string, rows: R, count?: number): R {
  for (const [name, tensor, letters] of [["logits", rows.logits, "[N, C]"], ["features", rows.features, "[N, F]"]] as const) {
    if (!tensor) continue;
    const [got] = tensor.shape;
    if (tensor.shape.length !== 2) throw rangeError(where, name, `of shape ${letters}`, `[${tensor.shape.join(", ")}]`, name === "features" ? "One row of numbers for each input: take the tensor behind the pooling, as what goes into the last layer" : undefined);
    if (got !== (count ?? rows.logits.shape[0])) throw rangeError(where, name, `with a row for each of the ${count ?? rows.logits.shape[0]} inputs`, `${got} rows`);
  }
  return rows;
}

async function batch<I>(where: string, run: Run<I>, inputs: readonly I[]): Promise<ModelRows> {
  return checkRows(where, await run(inputs), inputs.length);
}

function checkWidth(where: string, { logits }: GuardRows, classes: number): void {
  if (logits.shape[1] === classes) return;
  const todo = logits.shape[1] === 1 && classes === 2 ? "One score for two classes becomes two columns inside the model: [0, z] for a logit z, [1 - p, p] for a probability p" : undefined;
  throw rangeError(where, "logits", `of ${classes} classes on the last axis`, `shape [${logits.shape.join(", ")}]`, todo);
}

function labelIndices<L extends string>(where: string, labels: Labels<L>, classes: readonly L[]): Tensor<"int32"> {
  if (Array.isArray(labels) && Array.isArray(labels[0])) throw typeError(where, "labels", "of one class for each input", "arrays", "Where an input has several, fit MultiLabelHead on the logits of outputs()");
  if (Array.isArray(labels) && typeof labels[0] === "string") {
    const index = new Map<unknown, number>(classes.map((name, i) => [name, i]));
    return new Tensor("int32", [labels.length], Int32Array.from(labels, (name, i) => {
      const found = index.get(name);
      if (found === undefined) throw rangeError(where, "labels", `names of classes (${shown(classes)})`, `${JSON.stringify(name)} at index ${i}`);
      return found;
    }));
  }
  const indices = asInt32(where, "labels", labels as TensorLike);
  checkShape(where, "labels", indices, ["N"]);
  checkLabels(where, "labels", indices, classes.length);
  return indices;
}

/** Checks class names that were given. */
export function checkClasses<L extends string>(where: string, classes: readonly L[] | undefined, todo?: string): readonly L[] {
  if (!Array.isArray(classes) || classes.length === 0 || classes.some((name) => typeof name !== "string")) throw typeError(where, "classes", "an array of names, in the order of the logits", describe(classes), todo);
  const twice = classes.find((name, i) => classes.indexOf(name) < i);
  if (twice !== undefined) throw rangeError(where, "classes", "different names", `${JSON.stringify(twice)} twice`, "Pass `classes` with names that tell them apart");
  return classes;
}

/** The first names of a list. */
export function shown(names: readonly string[]): string {
  return `${names.slice(0, 5).map((name) => JSON.stringify(name)).join(", ")}${names.length > 5 ? ", ..." : ""}`;
}
