import type { Command } from "commander";
import { attach, head } from "./attach.ts";
import { tap } from "./tap.ts";

/** The commands on ONNX files: tap, attach, head. */
export function addOnnxCommands(program: Command): void {
  program
    .command("tap")
    .description("Find the linear layer that makes an ONNX model's logits, and write a model whose session also returns what goes into it: the features.")
    .argument("<model>", "an .onnx file")
    .option("--out <file>", "the model with the tap; without: only say what was found")
    .option("--output <name>", "the output to begin from, where there are several and none is called logits")
    .option("--tensor <name>", "tap this tensor instead")
    .addHelpText("after", `
Bytes are appended, nothing else changes; weights in other files are not read.

Examples:
  logits tap model.onnx
  logits tap model_quantized.onnx --out tapped.onnx

Exit codes: as for report. A model whose last layer is not one linear layer is an error that names the node.`)
    .action(tap);

  program
    .command("attach")
    .description("Put a decision head into an ONNX model's metadata, which runtimes ignore. One that is there is replaced.")
    .argument("<model>", "an .onnx file")
    .argument("<head>", "head.json as `logits report` wrote it, or its binary form")
    .requiredOption("--out <file>", "the model with the head")
    .addHelpText("after", `
Examples:
  logits attach model.onnx report/head.json --out guarded.onnx

Exit codes: as for report.`)
    .action(attach);

  program
    .command("head")
    .description("Show the decision head inside an ONNX model.")
    .argument("<model>", "an .onnx file that went through `logits attach`")
    .option("--json", "print head.json instead of words")
    .addHelpText("after", `
Examples:
  logits head guarded.onnx
  logits head guarded.onnx --json > head.json

Exit codes: as for report.`)
    .action(head);
}
