import { dirname, resolve } from "node:path";
import { tap as tapModel, type OnnxLinearHead, type Tap } from "@logits/interop/onnx";
import { printable } from "./output.ts";
import { readModel, table, writeModel } from "./onnxFile.ts";

/** Options of `logits tap`. */
export interface TapOptions {
  readonly out?: string;
  readonly tensor?: string;
  readonly output?: string;
}

/** Says which layer makes a model's logits, and writes a model that returns what goes into it too. */
export async function tap(path: string, { out, tensor, output }: TapOptions): Promise<void> {
  const tapped = tapModel(await readModel(path), { tensor, output });
  const { head } = tapped;
  if (head) process.stdout.write(table(layerRows(head)));
  process.stdout.write(`${outcome(tapped, tensor ?? head!.tensor)}${out === undefined && tapped.status === "added" ? "; --out FILE writes it" : ""}\n`);
  if (out === undefined) return;
  const name = await writeModel(out, tapped.bytes);
  process.stdout.write(`Wrote ${name}: ${tapped.appended.length} bytes appended\n`);
  if (head && head.external.length > 0 && resolve(dirname(out)) !== resolve(dirname(path))) process.stdout.write("Its weights lie in other files: keep them beside it\n");
}

/** What was found, for people. */
function layerRows({ node, features, classes, storage, tensor, dtype, shape, output, outputIs, logits, after, external }: OnnxLinearHead): (readonly [string, string])[] {
  const operator = `${node.domain ? `${node.domain}.` : ""}${node.type}`;
  const kept = {
    none: "", dynamic: ", multiplied with features that are quantised at run time", static: ", dequantised in the graph",
    blockwise: `, a scale for each ${storage.blockSize}`,
  }[storage.quantization];
  const files = [...new Set(external.map(({ location }) => location))];
  return [
    ["layer", `${operator}${node.name ? ` "${node.name}"` : ""}: ${features} features to ${classes} classes`],
    ["weights", `${storage.dtype}${kept}${files.length > 0 ? `, in ${files.join(", ")}` : ""}`],
    ["features", `"${tensor}" ${dtype ?? "of unknown type"}${shape ? ` [${shape.join(", ")}]` : ""}`],
    ["output", `"${output}": ${{ logits: "logits", probabilities: "probabilities", logProbabilities: "log-probabilities" }[outputIs]}${after.length > 0 ? `, after ${after.join(", ")}` : ""}`],
    ...(logits === output ? [] : [["logits", `"${logits}"`] as const]),
  ];
}

const quoted = (name: string): string => `"${printable(name)}"`;

function outcome({ status, name }: Tap, tensor: string): string {
  const shown = quoted(name);
  if (status === "input") return `${shown} is an input of the model: nothing to append`;
  if (status === "output") return `${shown} is an output of the model already: nothing to append`;
  return `A session of the tapped model also returns ${shown}${name === tensor ? "" : `, the float32 copy of ${quoted(tensor)}`}`;
}
