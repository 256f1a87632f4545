import { probabilitiesToLogits } from "@logits/calibration";
import { Tensor, checkCsr, checkLabels, checkShape, isCsr, rangeError, typeError, type CsrMatrix, type Steps, type TensorLike } from "@logits/tensor";
import { float32Of, int32Of } from "./arguments.ts";
import type { Scorer } from "./scorer.ts";

/** What a head reads: scores as the model gives them, or their probabilities. */
export type HeadInput = "logits" | "probabilities";

/** Rows for a head: logits (or probabilities, as its `input` says), the features that its detector needs, or the features of its scorer alone. */
export interface RowFields {
  /** float32 [N, C]; not needed where the head has a scorer. */
  readonly logits?: TensorLike;
  /** float32 [N, F]; CSR for a scorer only. */
  readonly features?: TensorLike | CsrMatrix;
}

/** Rows as tensors. */
export interface Rows {
  /** [N, C]. */
  readonly logits: Tensor<"float32">;
  /** [N, F]. */
  readonly features?: Tensor<"float32">;
}

/** Rows with labels. */
export interface LabelledRows extends Rows {
  /** [N]. */
  readonly labels: Tensor<"int32">;
}

/** Why a row of the argument cannot be decided. */
export interface BadRow {
  readonly row: number;
  readonly text: string;
}

/** Rows between two pauses. */
export function pieceOf(width: number): number {
  return Math.max(1, Math.floor(2 ** 20 / Math.max(1, width)));
}

/** The first row in [from, to) that is no distribution. */
export function badScores(input: HeadInput, data: Float32Array, width: number, from: number, to: number): BadRow | undefined {
  for (let row = from; row < to; row++) {
    let sum = 0, finite = false;
    for (let c = 0, at = row * width; c < width; c++, at++) {
      const score = data[at];
      if (input === "logits" ? !(score < Infinity) : !(score >= 0 && score <= 1.00001)) return { row, text: `${score} in column ${c}` };
      sum += score;
      if (score !== -Infinity) finite = true;
    }
    if (input === "probabilities" && !(Math.abs(sum - 1) <= 0.01)) return { row, text: `a sum of ${sum}` };
    if (!finite) return { row, text: "no finite score" };
  }
  return undefined;
}

/** Whether every row is one of probabilities, of two or more classes: >= 0, with a sum of 1 within 1e-3. Rows of logits are so only if they were made so. */
export function areProbabilities({ data, shape: [rows, width] }: Tensor<"float32">): boolean {
  for (let row = 0, at = 0; row < rows; row++) {
    let sum = 0;
    for (let c = 0; c < width; c++, at++) {
      if (!(data[at] >= 0)) return false;
      sum += data[at];
    }
    if (!(Math.abs(sum - 1) <= 1e-3)) return false;
  }
  return rows > 0 && width > 1;
}

/** The first row in [from, to) with a feature that is not finite. */
export function badFeatures(data: Float32Array, width: number, from: number, to: number): BadRow | undefined {
  for (let at = from * width; at < to * width; at++) {
    if (data[at] - data[at] !== 0) return { row: Math.floor(at / width), text: `${data[at]} in feature ${at % width}` };
  }
  return undefined;
}

/** An argument that names its parts. */
export function isRowFields(rows: unknown): rows is RowFields {
  return typeof rows === "object" && rows !== null && ("logits" in rows || "features" in rows) && !("data" in rows);
}

/** Rows of a fit: each must be usable. Labels are read by `labelsOf`. */
export function* usableRows(where: string, prefix: string, fields: RowFields, input: HeadInput, scorer: Scorer | undefined): Steps<Rows> {
  const { features, sparse } = featuresOf(where, prefix, fields.features, scorer);
  const rows = features?.shape[0] ?? sparse?.shape[0];
  let logits: Tensor<"float32">;
  if (scorer !== undefined) {
    if (fields.logits !== undefined) throw rangeError(where, `${prefix}logits`, "nothing where there is a `scorer`", "logits");
    if (rows === undefined) throw typeError(where, `${prefix}features`, "the features that the scorer takes", "nothing");
    logits = yield* scored(scorer, features ?? sparse!, rows);
  } else {
    if (fields.logits === undefined) throw typeError(where, `${prefix}logits`, "of shape [N, C]", "nothing");
    logits = float32Of(where, `${prefix}logits`, fields.logits);
    checkShape(where, `${prefix}logits`, logits, ["N", "C"]);
    if (rows !== undefined && rows !== logits.shape[0]) throw rangeError(where, `${prefix}features`, `of ${logits.shape[0]} rows, as \`${prefix}logits\` has`, `${rows}`);
  }
  const [count, width] = logits.shape, piece = pieceOf(width + (features?.shape[1] ?? 0));
  for (let from = 0; from < count; from += piece) {
    const to = Math.min(count, from + piece);
    const bad = badScores(input, logits.data, width, from, to);
    if (bad !== undefined) throw rangeError(where, `${prefix}${scorer ? "features" : "logits"}`, scorer ? "whose logits are distributions" : input === "logits" ? "with rows that are distributions" : "with rows of probabilities, as `input` says", `row ${bad.row} with ${bad.text}`);
    const odd = features && badFeatures(features.data, features.shape[1], from, to);
    if (odd !== undefined) throw rangeError(where, `${prefix}features`, "of finite numbers", `row ${odd.row} with ${odd.text}`);
    yield 0;
  }
  return { logits: input === "probabilities" ? probabilitiesToLogits(logits).logits : logits, ...(features && { features }) };
}

/** The labels of rows of a fit. */
export function labelsOf(where: string, argument: string, labels: TensorLike, { logits }: Rows): Tensor<"int32"> {
  const y = int32Of(where, argument, labels), [rows, width] = logits.shape;
  if (y.shape.length !== 1 || y.size !== rows) throw rangeError(where, argument, `of shape [${rows}]`, `[${y.shape.join(", ")}]`);
  checkLabels(where, argument, y, width);
  return y;
}

/** Dense features and sparse ones apart; sparse ones are for a scorer. */
export function featuresOf(where: string, prefix: string, features: RowFields["features"], scorer: Scorer | undefined): { readonly features?: Tensor<"float32">; readonly sparse?: CsrMatrix } {
  if (features === undefined) return {};
  if (isCsr(features)) {
    if (scorer === undefined) throw typeError(where, `${prefix}features`, "dense: only a `scorer` takes sparse ones", "a CSR matrix");
    return { sparse: checkCsr(where, `${prefix}features`, features) };
  }
  const dense = float32Of(where, `${prefix}features`, features);
  checkShape(where, `${prefix}features`, dense, ["N", "F"]);
  return { features: dense };
}

/** The scorer's logits, in pieces. */
export function* scored(scorer: Scorer, features: Tensor<"float32"> | CsrMatrix, rows: number): Steps<Tensor<"float32">> {
  const width = scorer.classes, out = new Float32Array(rows * width);
  const perRow = isCsr(features) ? features.indptr[rows] / Math.max(1, rows) : features.shape[1];
  const piece = Math.max(64, Math.floor(2 ** 22 / Math.max(1, perRow * width)));
  for (let from = 0; from < rows; from += piece) {
    const to = Math.min(rows, from + piece);
    out.set(scorer.logits(slice(features, from, to)).data, from * width);
    yield to / rows;
  }
  return new Tensor("float32", [rows, width], out);
}

/** The rows of `order`, copied, in ascending order. */
export function* taken({ logits, features, labels }: LabelledRows, order: Int32Array): Steps<LabelledRows> {
  const rows = order.slice().sort(), width = logits.shape[1], columns = features?.shape[1] ?? 0, piece = pieceOf(width + columns);
  const scores = new Float32Array(rows.length * width), values = features && new Float32Array(rows.length * columns);
  for (let to = 0; to < rows.length; to++) {
    const from = rows[to];
    scores.set(logits.data.subarray(from * width, (from + 1) * width), to * width);
    values?.set(features!.data.subarray(from * columns, (from + 1) * columns), to * columns);
    if (to % piece === 0) yield to / rows.length;
  }
  return {
    logits: new Tensor("float32", [rows.length, width], scores),
    ...(values && { features: new Tensor("float32", [rows.length, columns], values) }),
    labels: new Tensor("int32", [rows.length], rows.map((row) => labels.data[row])),
  };
}

function slice(features: Tensor<"float32"> | CsrMatrix, from: number, to: number): Tensor<"float32"> | CsrMatrix {
  if (!isCsr(features)) {
    const columns = features.shape[1];
    return new Tensor("float32", [to - from, columns], features.data.subarray(from * columns, to * columns));
  }
  const { shape, indptr, indices, data } = features, start = indptr[from], end = indptr[to];
  return { shape: [to - from, shape[1]], indptr: indptr.slice(from, to + 1).map((at) => at - start), indices: indices.subarray(start, end), data: data.subarray(start, end) };
}
