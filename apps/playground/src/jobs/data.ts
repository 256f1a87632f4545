import { probabilitiesToLogits } from "@logits/calibration";
import { logSumExp } from "@logits/core-wasm";
import { Tensor, asFloat32, asInt32, randomSource, type TensorLike } from "@logits/tensor";
import cifar100 from "../../../../data/densenet-bc-100-cifar-100/class-names.json";
import densenet from "../../../../data/densenet-bc-100-cifar-100/outputs.npz?url";
import cifar10 from "../../../../data/cifar10-vgg16/class-names.json";
import vggLabels from "../../../../data/cifar10-vgg16/labels.npy?url";
import vgg from "../../../../data/cifar10-vgg16/probabilities.npy?url";
import type { FileArray } from "../../../../packages/logits/src/io/fileArray.ts";
import { readNpy } from "../../../../packages/logits/src/io/npy.ts";
import { readNpz } from "../../../../packages/logits/src/io/npz.ts";
import { EMBEDDED, type EmbeddedKey, type SetInfo } from "../data/catalogue.ts";
import type { Control } from "../worker/protocol.ts";
import { fetched } from "./fetched.ts";

/** Labelled outputs of a model, and outputs of rows that belong to no class. */
export interface DataSet {
  readonly info: SetInfo;
  readonly logits: Tensor<"float32">;
  readonly labels: Tensor<"int32">;
  readonly outliers: Tensor<"float32"> | undefined;
}

/** Labelled rows. */
export interface Rows {
  readonly logits: Tensor<"float32">;
  readonly labels: Tensor<"int32">;
}

/** The three parts of a data set: half fits, a quarter calibrates, a quarter tests. */
export interface Parts {
  readonly set: DataSet;
  readonly fit: Rows;
  readonly calibration: Rows;
  readonly test: Rows;
}

const sets = new Map<string, Promise<DataSet>>();
const own = new Map<string, DataSet>();
let lastParts: { readonly name: string; readonly parts: Parts } | undefined;
let opened = 0;

/** Loads a data set and says what is in it. */
export async function describe({ key }: { readonly key: string }, control: Control): Promise<SetInfo> {
  return (await setOf(key, control)).info;
}

/** Files of the visitor, read here and sent nowhere. */
export interface OpenFiles {
  readonly logits: File;
  /** Absent: the labels lie in the same file, under `labels`. */
  readonly labels: File | undefined;
  readonly outliers: File | undefined;
  /** What the scores are. */
  readonly input: "logits" | "probabilities";
}

/** Reads the visitor's files. */
export async function open({ logits, labels, outliers, input }: OpenFiles, control: Control): Promise<SetInfo> {
  control.progress(0.1, "Reading the files");
  const { readTensor, toLabels, toMatrix } = await import("../../../../packages/logits/src/io/readTensor.ts");
  const read = async (file: File, key?: string): Promise<FileArray> => readTensor(new Uint8Array(await file.arrayBuffer()), file.name, key);
  if (labels === undefined && !/\.(?:npz|json|safetensors|csv|tsv|parquet|ndjson|jsonl)$/i.test(logits.name)) throw new Error(`${logits.name} holds one array: add the file of the labels.`);
  const array = await read(logits, labels === undefined ? "logits" : undefined);
  const marks = labels === undefined ? await read(logits, "labels") : await read(labels);
  const outside = outliers && (await read(outliers));
  control.signal.throwIfAborted();
  control.progress(0.7, "Checking the numbers");
  const y = toLabels(marks, labels?.name ?? `${logits.name}:labels`);
  const notes: string[] = [];
  const z = scores(toMatrix(array, logits.name), input, notes), o = outside && scores(toMatrix(outside, outliers!.name), input, notes);
  const [rows, classes] = z.shape;
  if (y.size !== rows) throw new Error(`${logits.name} has ${rows} rows and the labels are ${y.size}: one label for each row is needed.`);
  const wrong = y.data.findIndex((label) => !(label >= 0 && label < classes));
  if (wrong >= 0) throw new Error(`Label ${y.data[wrong]} in row ${wrong} is no class: the scores have ${classes} columns, so labels go from 0 to ${classes - 1}.`);
  if (rows < 8) throw new Error(`${rows} rows are too few to split into fit, calibration and test rows: at least 8 are needed.`);
  if (o && o.shape[1] !== classes) throw new Error(`${outliers!.name} has ${o.shape[1]} columns, the scores have ${classes}.`);
  const key = `own-${++opened}`;
  const info: SetInfo = { key, title: `Your file ${logits.name}`, about: "Read in this page; it was sent nowhere.", rows, classes, outliers: o?.shape[0] ?? 0, normalised: isNormalised(z), names: [], notes };
  own.set(key, { info, logits: z, labels: y, outliers: o });
  return info;
}

function scores(x: Tensor<"float32">, input: "logits" | "probabilities", notes: string[]): Tensor<"float32"> {
  if (input === "logits") return x;
  const { logits, clipped } = probabilitiesToLogits(x);
  if (clipped > 0) notes.push(`${clipped} probabilities below 2^-126 were raised to it`);
  return logits;
}

/** The data set of a key. */
export function setOf(key: string, control: Control): Promise<DataSet> {
  const mine = own.get(key);
  if (mine !== undefined) return Promise.resolve(mine);
  const kept = sets.get(key);
  if (kept !== undefined) return kept;
  // Several jobs wait for one loading, so a job that stops does not stop it.
  const loading = embedded(key as EmbeddedKey, { ...control, signal: new AbortController().signal });
  sets.set(key, loading);
  loading.catch(() => sets.delete(key));
  return loading;
}

async function embedded(key: EmbeddedKey, control: Control): Promise<DataSet> {
  const { title, about } = EMBEDDED.find((set) => set.key === key)!;
  const info = (logits: Tensor<"float32">, names: readonly string[], notes: readonly string[], outliers = 0): SetInfo => ({
    key, title, about, rows: logits.shape[0], classes: logits.shape[1], outliers, normalised: isNormalised(logits), names, notes,
  });
  if (key === "clinc") {
    const { carriedIntents, intentData, intentLabels, textsOf } = await import("./intentFiles.ts");
    const { ngrams, head } = await carriedIntents(control), data = await intentData(control);
    control.progress(0, "Scoring sentences");
    const own = { onProgress: (share: number) => control.progress(share) };
    const logits = head.scorer!.logits(await ngrams.transformAsync(textsOf(data.test), own)), outliers = head.scorer!.logits(await ngrams.transformAsync(textsOf(data.oos_test), own));
    const labels = new Tensor("int32", [data.test.length], intentLabels(data.test, head.classes));
    return { info: info(logits, head.classes.map((name) => name.replaceAll("_", " ")), [], outliers.shape[0]), logits, labels, outliers };
  }
  if (key === "densenet") {
    const bytes = await fetched(densenet, "Loading 2 MB of scores", control);
    const logits = asFloat32("playground", "logits", readNpz(bytes, "outputs.npz", "logits") as TensorLike), labels = asInt32("playground", "labels", readNpz(bytes, "outputs.npz", "labels") as TensorLike);
    return { info: info(logits, cifar100, ["the scores are log-probabilities, stored in 16 bits"]), logits, labels, outliers: undefined };
  }
  const p = readNpy(await fetched(vgg, "Loading 0.4 MB of scores", control), "probabilities.npy") as TensorLike;
  const labels = asInt32("playground", "labels", readNpy(await fetched(vggLabels, "Loading labels", control), "labels.npy") as TensorLike);
  const { logits } = probabilitiesToLogits(p);
  return { info: info(logits, cifar10, ["the scores are logarithms of the model's probabilities"]), logits, labels, outliers: undefined };
}

/** Whether the first rows are log-probabilities, up to the rounding of 16 bits. */
function isNormalised(logits: Tensor<"float32">): boolean {
  const rows = Math.min(64, logits.shape[0]);
  return logSumExp(new Tensor("float32", [rows, logits.shape[1]], logits.data.subarray(0, rows * logits.shape[1]))).data.every((value) => Math.abs(value) < 0.02);
}

/** The parts of a data set under a seeded permutation. */
export async function partsOf(key: string, seed: number, control: Control): Promise<Parts> {
  const name = `${key} ${seed}`;
  if (lastParts?.name === name) return lastParts.parts;
  const set = await setOf(key, control);
  const { rows } = set.info, order = randomSource(seed, 0).permutation(rows), half = rows >> 1, quarter = (rows - half) >> 1;
  const parts = { set, fit: taken(set, order.subarray(0, half)), calibration: taken(set, order.subarray(half, half + quarter)), test: taken(set, order.subarray(half + quarter)) };
  lastParts = { name, parts };
  return parts;
}

/** Rows of a data set in an order. */
export function taken({ logits, labels }: Rows, order: Int32Array): Rows {
  const width = logits.shape[1], data = new Float32Array(order.length * width), y = new Int32Array(order.length);
  for (let n = 0; n < order.length; n++) {
    data.set(logits.data.subarray(order[n] * width, (order[n] + 1) * width), n * width);
    y[n] = labels.data[order[n]];
  }
  return { logits: new Tensor("float32", [order.length, width], data), labels: new Tensor("int32", [order.length], y) };
}

/** Two parts as one. */
export function joined(a: Rows, b: Rows): Rows {
  const rows = a.labels.size + b.labels.size, width = a.logits.shape[1];
  const data = new Float32Array(rows * width), y = new Int32Array(rows);
  data.set(a.logits.data);
  data.set(b.logits.data, a.logits.size);
  y.set(a.labels.data);
  y.set(b.labels.data, a.labels.size);
  return { logits: new Tensor("float32", [rows, width], data), labels: new Tensor("int32", [rows], y) };
}
