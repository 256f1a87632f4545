import { once } from "node:events";
import { probabilitiesToLogits } from "@logits/calibration";
import { DecisionHead, type Decision } from "@logits/head";
import { Tensor } from "@logits/tensor";
import { formatError } from "../io/formatError.ts";
import { readJsonFile, readScores, rowProblem, type InputKind } from "./input.ts";

/** Options of `logits decide`. */
export interface DecideOptions {
  readonly head: string;
  readonly logits: string;
  readonly input: InputKind;
  readonly alpha?: number;
}

/** Rows decided at a time. */
const BATCH = 1024;

/** Streams one decision a line for new rows; `row` is the index in the file. */
export async function decide({ head: headPath, logits: text, input, alpha }: DecideOptions): Promise<void> {
  const head = DecisionHead.fromJSON(await readJsonFile(headPath));
  const { values, from, path } = await readScores(text);
  const [rows, classes] = values.shape;
  if (classes !== head.classes.length) throw formatError("logits", path, `to have ${head.classes.length} columns, one per class of the head`, `${classes}`);
  for (let start = 0; start < rows; start += BATCH) {
    const size = Math.min(BATCH, rows - start);
    const batch = new Tensor("float32", [size, classes], values.data.subarray(start * classes, (start + size) * classes));
    const ids = Int32Array.from({ length: size }, (_, i) => from + start + i);
    const lines = decideBatch(head, batch, input, { alpha, ids }).map((decision, i) => JSON.stringify({ row: ids[i], ...decision }));
    if (!process.stdout.write(`${lines.join("\n")}\n`)) await once(process.stdout, "drain");
  }
}

/** A row that is no distribution is an `invalid` decision; it does not stop the stream. */
function decideBatch(head: DecisionHead, batch: Tensor<"float32">, input: InputKind, options: { alpha?: number; ids: Int32Array }): Decision<string>[] {
  if (input === "logits") return head.decideAll(batch, options);
  const problems = Array.from({ length: batch.shape[0] }, (_, i) => rowProblem(input, batch.row(i).data));
  const usable = new Tensor("float32", batch.shape, batch.data.slice());
  problems.forEach((text, i) => text && usable.row(i).data.fill(0));
  return head.decideAll(probabilitiesToLogits(usable).logits, options).map((decision, i): Decision<string> => {
    const text = problems[i];
    return text === undefined ? decision : { kind: "invalid", why: { code: "NO_DISTRIBUTION", text } };
  });
}
