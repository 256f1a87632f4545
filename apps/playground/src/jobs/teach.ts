import { DecisionHead, LinearHead, hashedNgrams, type Decision } from "@logits/head";
import { Tensor, randomSource, type CsrMatrix } from "@logits/tensor";
import { PICTURE_FEATURES } from "../data/pictures.ts";
import type { Control } from "../worker/protocol.ts";
import { intentData } from "./intentFiles.ts";

export type Kind = "texts" | "pictures";

/** F of texts; a head of another width is one of pictures. */
export const TEXT_FEATURES = 1024;

/** Examples, class by class. */
export interface Lesson {
  readonly kind: Kind;
  readonly names: readonly string[];
  /** Sentences or picture features, of each class. */
  readonly examples: readonly (readonly string[] | readonly Float32Array[])[];
  readonly detector: "energy" | "msp" | "knn";
  readonly alpha: number;
  readonly seed: number;
}

/** What is known of a head that was taught or opened. */
export interface TaughtInfo {
  readonly kind: Kind;
  readonly classes: readonly string[];
  readonly detector: string | undefined;
  readonly promises: readonly string[];
  readonly notPromised: readonly string[];
  /** null: the head was opened, not taught here. */
  readonly lesson: null | { readonly milliseconds: number; readonly trainRows: number; readonly fitRows: number; readonly calibrationRows: number; readonly heldOut: number; readonly right: number };
  readonly bytes: Uint8Array;
}

/** Rate of false alarms of every head that is taught here, on average. */
const RATE = 0.1, FIT_SHARE = 0.3;
const EXAMPLE_INTENTS = [["weather", "weather"], ["timer", "timer"], ["translate", "translate"], ["recipe", "recipe"]] as const;

let taught: DecisionHead | undefined;

function featuresOf(kind: Kind, rows: readonly (string | Float32Array)[]): Tensor<"float32"> | CsrMatrix {
  if (kind === "texts") return hashedNgrams(rows as readonly string[], { buckets: TEXT_FEATURES });
  const data = new Float32Array(rows.length * PICTURE_FEATURES);
  (rows as readonly Float32Array[]).forEach((row, n) => data.set(row, n * PICTURE_FEATURES));
  return new Tensor("float32", [rows.length, PICTURE_FEATURES], data);
}

/** Half of the examples trains a linear head; of the others three tenths fit the temperature and the detector, the rest calibrates sets and threshold. */
export async function teach({ kind, names, examples, detector, alpha, seed }: Lesson, control: Control): Promise<TaughtInfo> {
  const start = performance.now(), { signal } = control;
  const rows = examples.flatMap((list, label) => [...list].map((row) => ({ row, label })));
  const order = randomSource(seed, 21).permutation(rows.length), half = rows.length >> 1;
  const part = (indices: Int32Array): { readonly features: Tensor<"float32"> | CsrMatrix; readonly labels: Int32Array } => {
    const own = Array.from(indices, (n) => rows[n]);
    return { features: featuresOf(kind, own.map(({ row }) => row)), labels: Int32Array.from(own, ({ label }) => label) };
  };
  const train = part(order.subarray(0, half)), others = part(order.subarray(half));
  control.progress(0, "Training");
  const scorer = await LinearHead.fitAsync(train.features, train.labels, { classes: names.length, l2: 1e-3, signal, onProgress: (share) => control.progress(0.6 * share) });
  control.progress(0.6, "Calibrating and guarding");
  const head = await DecisionHead.fitAsync({ scorer, ...others, classes: names }, {
    alpha, detector: detector === "knn" ? { method: "knn", k: 1 } : detector, maxFalsePositiveRate: RATE, confidence: "marginal", split: FIT_SHARE, seed, signal, onProgress: (share) => control.progress(0.6 + 0.4 * share),
  });
  const logits = scorer.logits(others.features), width = names.length;
  let right = 0;
  others.labels.forEach((label, n) => {
    const row = logits.data.subarray(n * width, (n + 1) * width);
    right += Number(row.indexOf(Math.max(...row)) === label);
  });
  taught = head;
  return infoOf(head, { milliseconds: performance.now() - start, trainRows: half, fitRows: others.labels.length - head.calibrationRows, calibrationRows: head.calibrationRows, heldOut: others.labels.length, right });
}

function infoOf(head: DecisionHead, lesson: TaughtInfo["lesson"]): TaughtInfo {
  return {
    kind: head.scorer!.features === PICTURE_FEATURES ? "pictures" : "texts", classes: head.classes, detector: head.detector?.method,
    promises: head.guarantees.map((guarantee) => guarantee.statement), notPromised: head.notPromised, lesson, bytes: head.toBytes(),
  };
}

/** Opens a head that was saved here. */
export function open({ bytes }: { readonly bytes: Uint8Array }): TaughtInfo {
  const head = DecisionHead.fromBytes(bytes), features = head.scorer?.features;
  if (features !== PICTURE_FEATURES && features !== TEXT_FEATURES) {
    throw new Error(`This head takes ${features === undefined ? "scores of a model" : `${features} features`}; this panel makes ${TEXT_FEATURES} of a text and ${PICTURE_FEATURES} of a picture.`);
  }
  taught = head;
  return infoOf(head, null);
}

/** Decides about a text or a picture. */
export function ask({ row }: { readonly row: string | Float32Array }): Decision {
  return taught!.decide({ features: typeof row === "string" ? featuresOf("texts", [row]) : row });
}

/** Sentences of four intents, to begin with. */
export async function exampleTexts(_: null, control: Control): Promise<readonly { readonly name: string; readonly texts: readonly string[] }[]> {
  const { train } = await intentData(control);
  return EXAMPLE_INTENTS.map(([intent, name]) => ({ name, texts: train.filter(([, own]) => own === intent).map(([text]) => text) }));
}
