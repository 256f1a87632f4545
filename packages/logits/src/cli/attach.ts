import { DecisionHead } from "@logits/head";
import { HEAD_KEY, attach as attachHead, findLinearHead, readHead, readMetadata, type OnnxLinearHead } from "@logits/interop/onnx";
import { allDetectors } from "@logits/ood";
import { formatError } from "../io/formatError.ts";
import { readBytes, readModel, table, writeModel } from "./onnxFile.ts";
import { printable } from "./output.ts";

/** Options of `logits attach`. */
export interface AttachOptions {
  readonly out: string;
}

/** Options of `logits head`. */
export interface HeadOptions {
  readonly json?: boolean;
}

/** Writes a model with a decision head in its metadata. */
export async function attach(path: string, headPath: string, { out }: AttachOptions): Promise<void> {
  const model = await readModel(path);
  const head = parseHead(await readBytes(headPath), headPath);
  const bytes = attachHead(model, head, { detectors: allDetectors });
  // A head with a scorer of its own looks at features, whatever the model's classes are.
  const layer = head.needs.includes("logits") ? layerOf(model) : undefined;
  const known = typeof layer === "object" ? layer : undefined;
  if (known && known.classes !== head.classes.length) throw formatError("logits", headPath, `to have ${known.classes} classes, as the last layer of ${path} has`, `${head.classes.length}`);
  const name = await writeModel(out, bytes);
  process.stdout.write(`Wrote ${name}: the model, and a decision head of ${head.classes.length} classes in its metadata (${bytes.length - model.length} bytes more)\n`);
  if (known && (known.outputIs === "probabilities") !== (head.input === "probabilities")) process.stdout.write(`The head takes ${head.input}, and "${printable(known.output)}" holds ${known.outputIs === "probabilities" ? "probabilities" : "logits"}\n`);
  if (typeof layer === "string") process.stdout.write(`The number of classes was not compared with the model's: ${printable(layer)}\n`);
}

/** Prints the decision head that is inside a model. */
export async function head(path: string, { json }: HeadOptions): Promise<void> {
  const model = await readModel(path);
  if (!readMetadata(model).has(HEAD_KEY)) throw formatError("logits", path, "to be an ONNX model with a decision head", "one without", "logits attach puts one in");
  const found = readHead(model, { detectors: allDetectors });
  if (json) {
    process.stdout.write(`${JSON.stringify(found)}\n`);
    return;
  }
  const { classes, alpha, input, guarantees } = found;
  const names = classes.slice(0, 8).join(", ") + (classes.length > 8 ? `, and ${classes.length - 8} more` : "");
  process.stdout.write(table([["classes", `${classes.length}: ${names}`], ["input", input], ["alpha", `${alpha}`], ...guarantees.map(({ statement, n }) => ["promise", `${statement} (${n} rows)`] as const)]));
}

function parseHead(bytes: Uint8Array, path: string): DecisionHead {
  // The binary form begins with the length of its header in eight bytes, some of them zero; text has none.
  if (bytes.subarray(0, 8).includes(0)) return DecisionHead.fromBytes(bytes, { detectors: allDetectors });
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    throw formatError("logits", path, "to be JSON", "damaged JSON", undefined, cause);
  }
  return DecisionHead.fromJSON(json, { detectors: allDetectors });
}

/** The model's last layer, or why it is not known. */
function layerOf(model: Uint8Array): OnnxLinearHead | string {
  try {
    return findLinearHead(model);
  } catch (error) {
    if (error instanceof RangeError) return error.message;
    throw error;
  }
}
