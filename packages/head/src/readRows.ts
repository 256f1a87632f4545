import { probabilitiesToLogits } from "@logits/calibration";
import { Tensor, checkShape, isCsr, rangeError, runSteps, typeError, type CsrMatrix, type TensorLike } from "@logits/tensor";
import { float32Of } from "./arguments.ts";
import type { InvalidWhy } from "./decision.ts";
import type { Sketch } from "./gpuRows.ts";
import { badFeatures, badScores, featuresOf, isRowFields, scored, type BadRow, type HeadInput, type RowFields, type Rows } from "./rows.ts";
import type { Scorer } from "./scorer.ts";

/** Rows that were read for decisions; those in `invalid` are decided already and hold stand-ins. */
export interface ReadRows extends Rows {
  readonly count: number;
  readonly invalid: Map<number, InvalidWhy>;
  /** Of logits on a GPU: what was read of them. `logits` are stand-ins. */
  readonly sketch?: Sketch;
}

/** What the detector says of each row. */
export interface Flags {
  readonly method: string;
  /** Higher = more out-of-distribution. */
  readonly scores: ArrayLike<number>;
  readonly threshold: number;
  readonly flagged: ArrayLike<number | boolean>;
  pValue(row: number): number;
}

/** How a head reads. */
export interface Reader {
  readonly classes: number;
  readonly input: HeadInput;
  readonly scorer: Scorer | undefined;
  /** The detector needs features. */
  readonly features: boolean;
}

/** Reads rows for decisions: one row (`single`) or a batch. A row that cannot be decided is noted. */
export function readRows(where: string, { classes, input, scorer, features: needed }: Reader, rows: TensorLike | RowFields, single: boolean, prefix = ""): ReadRows {
  const fields: RowFields = isRowFields(rows) ? rows : { logits: rows as TensorLike };
  const reads = needed || (scorer !== undefined && fields.logits === undefined);
  const given = reads && fields.features !== undefined ? asBatch(where, `${prefix}features`, "F", fields.features, single) : undefined;
  let { features, sparse } = featuresOf(where, prefix, given, scorer);
  const invalid = new Map<number, InvalidWhy>();
  const count = features?.shape[0] ?? sparse?.shape[0];
  if (features) {
    const { data, shape } = features;
    if (mark(invalid, "NO_FEATURES", shape[0], (from) => badFeatures(data, shape[1], from, shape[0]))) features = cleared(features, invalid, 0);
  }
  if (sparse && markSparse(invalid, sparse)) sparse = { ...sparse, data: sparse.data.map((value) => (value - value === 0 ? value : 0)) };
  let logits: Tensor<"float32">;
  if (fields.logits !== undefined) {
    logits = asBatch(where, `${prefix}logits`, "C", fields.logits, single) as Tensor<"float32">;
    if (logits.shape[1] !== classes) throw rangeError(where, `${prefix}logits`, `of ${classes} classes on the last axis`, `shape [${(single ? logits.shape.slice(1) : logits.shape).join(", ")}]`);
    if (count !== undefined && count !== logits.shape[0]) throw rangeError(where, `${prefix}features`, `of ${logits.shape[0]} rows, as \`${prefix}logits\` has`, `${count}`);
  } else if (scorer !== undefined) {
    if (count === undefined) throw typeError(where, `${prefix}features`, "the features that the scorer takes", "nothing");
    logits = runSteps(scored(scorer, features ?? sparse!, count));
  } else throw typeError(where, `${prefix}logits`, single ? "of shape [C]" : "of shape [N, C]", "nothing");
  const total = logits.shape[0], scores = logits.data;
  if (mark(invalid, "NO_DISTRIBUTION", total, (from) => badScores(input, scores, classes, from, total))) {
    logits = cleared(logits, invalid, input === "logits" ? 0 : 1 / classes);
    if (features) features = cleared(features, invalid, 0);
  }
  if (input === "probabilities") logits = probabilitiesToLogits(logits).logits;
  return { logits, ...(features && { features }), count: total, invalid };
}

/** One row as a batch of one; a batch as it is. */
function asBatch(where: string, argument: string, letter: "C" | "F", x: TensorLike | CsrMatrix, single: boolean): Tensor<"float32"> | CsrMatrix {
  if (isCsr(x)) {
    if (single && x.shape[0] !== 1) throw rangeError(where, argument, `of shape [1, ${letter}]`, `[${x.shape.join(", ")}]`, "For a batch use decideAll");
    return x;
  }
  const read = float32Of(where, argument, x);
  if (!single) {
    checkShape(where, argument, read, ["N", letter]);
    return read;
  }
  if (read.shape.length !== 1) throw rangeError(where, argument, `of shape [${letter}]`, `[${read.shape.join(", ")}]`, "For a batch use decideAll");
  return new Tensor("float32", [1, read.size], read.data);
}

/** Notes every bad row; whether there is one. */
function mark(invalid: Map<number, InvalidWhy>, code: InvalidWhy["code"], rows: number, next: (from: number) => BadRow | undefined): boolean {
  let found = false;
  for (let from = 0; from < rows; from++) {
    const bad = next(from);
    if (bad === undefined) break;
    found = true;
    if (!invalid.has(bad.row)) invalid.set(bad.row, { code, text: bad.text });
    from = bad.row;
  }
  return found;
}

function markSparse(invalid: Map<number, InvalidWhy>, { shape, indptr, indices, data }: CsrMatrix): boolean {
  for (let row = 0; row < shape[0]; row++) {
    for (let at = indptr[row]; at < indptr[row + 1]; at++) {
      if (data[at] - data[at] === 0) continue;
      invalid.set(row, { code: "NO_FEATURES", text: `${data[at]} in feature ${indices[at]}` });
      break;
    }
  }
  return invalid.size > 0;
}

/** A copy whose invalid rows hold one number. */
function cleared(x: Tensor<"float32">, invalid: ReadonlyMap<number, InvalidWhy>, value: number): Tensor<"float32"> {
  const width = x.shape[1], data = x.data.slice();
  for (const row of invalid.keys()) data.fill(value, row * width, (row + 1) * width);
  return new Tensor("float32", x.shape, data);
}
