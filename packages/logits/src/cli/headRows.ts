import type { DecisionHead } from "@logits/head";
import type { Tensor } from "@logits/tensor";
import { formatError } from "../io/formatError.ts";
import { UsageError, readHead, readScores, type Scores } from "./input.ts";

/** Where rows for a head come from. */
export interface RowFiles {
  readonly logits?: string;
  readonly features?: string;
}

/** A head and rows as it takes them. */
export interface HeadAndRows {
  readonly head: DecisionHead;
  readonly rows: { readonly logits?: Tensor<"float32">; readonly features?: Tensor<"float32"> };
  readonly count: number;
  /** Index of the first row in its file. */
  readonly from: number;
}

/** Reads a head and the rows that it needs: no more, no less. */
export async function headRows(path: string, files: RowFiles): Promise<HeadAndRows> {
  const head = await readHead(path);
  return { head, ...(await rowsFor(head, files)) };
}

/** Reads the rows that a head needs: no more, no less. */
export async function rowsFor(head: DecisionHead, files: RowFiles): Promise<Omit<HeadAndRows, "head">> {
  const read: Partial<Record<"logits" | "features", Scores>> = {};
  for (const name of ["logits", "features"] as const) {
    const text = files[name], needed = head.needs.includes(name);
    if (needed && text === undefined) throw new UsageError(`logits: expected --${name}, which the head needs, got none`);
    if (!needed && text !== undefined) throw new UsageError(`logits: expected no --${name}, which the head does not take, got ${text}`);
    if (text !== undefined) read[name] = await readScores(text);
  }
  const { logits, features } = read, first = (logits ?? features)!, [count] = first.values.shape;
  if (logits && logits.values.shape[1] !== head.classes.length) throw formatError("logits", logits.path, `to have ${head.classes.length} columns, one per class of the head`, `${logits.values.shape[1]}`);
  if (features && features.values.shape[0] !== count) throw formatError("logits", features.path, `to have ${count} rows, as --logits has`, `${features.values.shape[0]}`);
  return { rows: { ...(logits && { logits: logits.values }), ...(features && { features: features.values }) }, count, from: first.from };
}
