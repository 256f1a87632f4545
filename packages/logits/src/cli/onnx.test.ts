import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DecisionHead, LinearHead } from "@logits/head";
import { readHead, tap } from "@logits/interop/onnx";
import { onnxExternalFiles, onnxHeadModel, onnxModel, type OnnxHeadKind } from "@logits/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

// The built command line, as a user runs it, on models that are written here.
const cli = join(import.meta.dirname, "../../dist/cli.js");
const folder = mkdtempSync(join(tmpdir(), "logits-onnx-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function run(...args: string[]): { code: number | null; out: string; err: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [cli, ...args], { cwd: folder, encoding: "utf8" });
  return { code: status, out: stdout, err: stderr };
}
const bytesOf = (name: string): Uint8Array => new Uint8Array(readFileSync(join(folder, name)));

const labels = Int32Array.from({ length: 60 }, (_, i) => i % 5);
const decisions = (classes: number): DecisionHead => DecisionHead.fit({
  logits: { shape: [60, classes], data: Float32Array.from({ length: 60 * classes }, (_, i) => ((i * 37) % 11) / 5 + (labels[Math.floor(i / classes)] % classes === i % classes ? 1.5 : 0)) },
  labels: labels.map((label) => label % classes), classes: Array.from({ length: classes }, (_, c) => `class ${c}`),
});
const head = decisions(5);

beforeAll(() => {
  expect(existsSync(cli), "build first: pnpm run build").toBe(true);
  const write = (name: string, kind: OnnxHeadKind): void => {
    const { model } = onnxHeadModel(kind);
    writeFileSync(join(folder, name), onnxModel(model));
    for (const [file, bytes] of onnxExternalFiles(model)) writeFileSync(join(folder, file), bytes);
  };
  write("model.onnx", "gemm");
  write("half.onnx", "float16");
  write("quantized.onnx", "dynamic uint8");
  write("q4.onnx", "MatMulNBits 4");
  write("soft.onnx", "softmax");
  write("external.onnx", "external data");
  const { model } = onnxHeadModel("gemm");
  writeFileSync(join(folder, "relu.onnx"), onnxModel({ ...model, nodes: [...model.nodes.slice(0, -1), { type: "Relu", name: "hostile\u001b[2J", inputs: ["feat"], outputs: ["logits"] }] }));
  writeFileSync(join(folder, "hostile.onnx"), onnxModel({ ...model, nodes: [...model.nodes.slice(0, -1), { type: "Relu\u001b[2J", inputs: ["feat"], outputs: ["logits"] }] }));
  writeFileSync(join(folder, "head.json"), JSON.stringify(head));
  writeFileSync(join(folder, "head.bin"), head.toBytes());
  const features = { shape: [60, 2], data: Float32Array.from({ length: 120 }, (_, i) => ((i * 29) % 13) / 9 + (labels[i >> 1] % 2 === i % 2 ? 2 : 0)) };
  const half = (from: number): { shape: number[]; data: Float32Array } => ({ shape: [30, 2], data: features.data.slice(2 * from, 2 * from + 60) });
  const two = labels.map((label) => label % 2);
  writeFileSync(join(folder, "own.json"), JSON.stringify(DecisionHead.fit({ scorer: LinearHead.fit(half(0), two.slice(0, 30)), features: half(30), labels: two.slice(30), classes: ["odd", "even"] })));
  const certain = { shape: [60, 5], data: Float32Array.from({ length: 300 }, (_, i) => (labels[Math.floor(i / 5)] === i % 5 ? 0.5 : 0.125)) };
  writeFileSync(join(folder, "probabilities.json"), JSON.stringify(DecisionHead.fit({ logits: certain, labels, classes: head.classes }, { input: "probabilities" })));
  writeFileSync(join(folder, "three.json"), JSON.stringify(decisions(3)));
  writeFileSync(join(folder, "no.json"), "{");
});

describe("logits tap", () => {
  it("says which layer makes the logits, and writes the model with the tap", () => {
    const { code, out, err } = run("tap", "model.onnx", "--out", "tapped.onnx");
    expect({ code, err }).toEqual({ code: 0, err: "" });
    expect(out).toMatchInlineSnapshot(`
      "layer     Gemm "/Gemm_2": 32 features to 5 classes
      weights   float32
      features  "feat" float32 [batch, 32]
      output    "logits": logits
      A session of the tapped model also returns "feat"
      Wrote tapped.onnx: 31 bytes appended
      "
    `);
    expect(bytesOf("tapped.onnx")).toEqual(tap(bytesOf("model.onnx")).bytes);
    expect(run("tap", "tapped.onnx").out).toMatchInlineSnapshot(`
      "layer     Gemm "/Gemm_2": 32 features to 5 classes
      weights   float32
      features  "feat" float32 [batch, 32]
      output    "logits": logits
      "feat" is an output of the model already: nothing to append
      "
    `);
  });

  it("quantised, half-precision and external weights, and a softmax inside the graph, each in its words", () => {
    const said = ["half", "quantized", "q4", "soft", "external"].map((name) => run("tap", `${name}.onnx`).out).join("\n");
    expect(said).toMatchInlineSnapshot(`
      "layer     Gemm "/Gemm_3": 32 features to 5 classes
      weights   float16
      features  "feat" float16
      output    "logits": logits, after Cast
      A session of the tapped model also returns "feat_float32", the float32 copy of "feat"; --out FILE writes it

      layer     MatMulInteger "/MatMulInteger_3": 32 features to 5 classes
      weights   uint8, multiplied with features that are quantised at run time
      features  "feat" float32
      output    "logits": logits, after Cast, Mul, Add
      A session of the tapped model also returns "feat"; --out FILE writes it

      layer     com.microsoft.MatMulNBits "/MatMulNBits_2": 32 features to 5 classes
      weights   uint4, a scale for each 16
      features  "feat" float32
      output    "logits": logits, after Add
      A session of the tapped model also returns "feat"; --out FILE writes it

      layer     Gemm "/Gemm_2": 32 features to 5 classes
      weights   float32
      features  "feat" float32 [batch, 32]
      output    "logits": probabilities, after Softmax
      logits    "y"
      A session of the tapped model also returns "feat"; --out FILE writes it

      layer     Gemm "/Gemm_2": 32 features to 5 classes
      weights   float32, in model.onnx_data
      features  "feat" float32 [batch, 32]
      output    "logits": logits
      A session of the tapped model also returns "feat"; --out FILE writes it
      "
    `);
    expect(run("tap", "external.onnx", "--out", "elsewhere/external.onnx").out).toContain("keep them beside it");
  });

  it("taps a tensor by its name", () => {
    expect(run("tap", "model.onnx", "--tensor", "hidden", "--out", "hidden.onnx")).toMatchInlineSnapshot(`
      {
        "code": 0,
        "err": "",
        "out": "A session of the tapped model also returns "hidden"
      Wrote hidden.onnx: 12 bytes appended
      ",
      }
    `);
    expect(bytesOf("hidden.onnx")).toEqual(tap(bytesOf("model.onnx"), { tensor: "hidden" }).bytes);
  });
});

describe("logits attach, logits head", () => {
  it("puts a head into the model and shows it", () => {
    expect(run("attach", "model.onnx", "head.json", "--out", "guarded.onnx")).toMatchObject({ code: 0, err: "" });
    expect(run("attach", "model.onnx", "head.bin", "--out", "binary.onnx").out).toMatch(/^Wrote binary.onnx: the model, and a decision head of 5 classes in its metadata \(\d+ bytes more\)\n$/);
    for (const name of ["guarded.onnx", "binary.onnx"]) expect(JSON.stringify(readHead(bytesOf(name)))).toBe(JSON.stringify(head));
    expect(run("head", "guarded.onnx")).toMatchInlineSnapshot(`
      {
        "code": 0,
        "err": "",
        "out": "classes  5: class 0, class 1, class 2, class 3, class 4
      input    logits
      alpha    0.1
      promise  The set of a new row holds its true class with probability at least 90 %, over all rows together. (30 rows)
      ",
      }
    `);
    expect(run("head", "guarded.onnx", "--json").out).toBe(`${JSON.stringify(head)}\n`);
  });

  it("says so where the model's last layer is not known, so that its classes were not compared", () => {
    const { code, out } = run("attach", "relu.onnx", "head.json", "--out", "relu-guarded.onnx");
    expect(code).toBe(0);
    expect(out).toContain("The number of classes was not compared with the model's: findLinearHead: expected");
    expect(run("attach", "hostile.onnx", "head.json", "--out", "hostile-guarded.onnx").out).not.toContain("\u001b");
    expect(run("tap", "hostile.onnx").err).not.toContain("\u001b");
  });
});

describe("a head that does not look at the model's classes, or at its logits", () => {
  it("a head with a scorer of its own may have other classes", () => {
    const { code, out } = run("attach", "model.onnx", "own.json", "--out", "own.onnx");
    expect({ code, out }).toEqual({ code: 0, out: expect.stringMatching(/^Wrote own.onnx: the model, and a decision head of 2 classes in its metadata \(\d+ bytes more\)\n$/) as string });
  });

  it("a head of logits beside a model of probabilities is said to be one", () => {
    expect(run("attach", "soft.onnx", "head.json", "--out", "soft-guarded.onnx").out.split("\n")[1]).toMatchInlineSnapshot(`"The head takes logits, and "logits" holds probabilities"`);
    expect(run("attach", "model.onnx", "probabilities.json", "--out", "soft-guarded.onnx").out.split("\n")[1]).toMatchInlineSnapshot(`"The head takes probabilities, and "logits" holds logits"`);
    expect(run("attach", "soft.onnx", "probabilities.json", "--out", "soft-guarded.onnx").out.split("\n")).toHaveLength(2);
  });
});

describe("wrong usage and input: exit code 2, one line on stderr, nothing written", () => {
  it("each in its words", () => {
    writeFileSync(join(folder, "large.onnx"), "");
    truncateSync(join(folder, "large.onnx"), 2 ** 31);
    writeFileSync(join(folder, "cut.onnx"), bytesOf("model.onnx").subarray(0, 99));
    const before = readdirSync(folder).length;
    const said = [
      ["tap", "relu.onnx", "--out", "x.onnx"], ["tap", "model.onnx", "--tensor", "nowhere", "--out", "x.onnx"], ["tap", "cut.onnx", "--out", "x.onnx"], ["tap", "missing.onnx"], ["tap", "large.onnx"], ["tap"],
      ["attach", "model.onnx", "three.json", "--out", "x.onnx"], ["attach", "model.onnx", "no.json", "--out", "x.onnx"], ["attach", "model.onnx", "model.onnx", "--out", "x.onnx"], ["attach", "model.onnx", "head.json"],
      ["head", "model.onnx"],
    ].map((args) => {
      const { code, out, err } = run(...args);
      expect({ args, code, out }).toEqual({ args, code: 2, out: "" });
      // oxlint-disable-next-line no-control-regex
      expect(err).toMatch(/^[^\u0000-\u0009\u000b-\u001f]+\n$/);
      return err;
    });
    expect(readdirSync(folder)).toHaveLength(before);
    expect(said.join("")).toMatchInlineSnapshot(`
      "tap: expected \`bytes\` to be a model whose output "logits" is made by one linear layer, got the Relu node "hostile\\u001b[2J"
      tap: expected \`tensor\` to be the name of a tensor that a node of the main graph makes, got "nowhere", which no node makes
      tap: expected \`bytes\` to be an ONNX model, got a field of 2447 bytes at byte 22, where 77 are left. The file is truncated or damaged: load it again
      logits: expected \`missing.onnx\` to be a readable file, got ENOENT
      logits: expected \`large.onnx\` to be an ONNX model, got 2147483648 bytes, more than a protobuf message can have (2^31 - 1). Models beyond that keep their weights in a file beside them (external data): pass the .onnx file only
      logits: expected a command and its options, got missing required argument 'model'. logits --help shows what there is
      logits: expected \`three.json\` to have 5 classes, as the last layer of model.onnx has, got 3
      logits: expected \`no.json\` to be JSON, got damaged JSON
      logits: expected \`model.onnx\` to be JSON, got damaged JSON
      logits: expected a command and its options, got required option '--out <file>' not specified. logits --help shows what there is
      logits: expected \`model.onnx\` to be an ONNX model with a decision head, got one without. logits attach puts one in
      "
    `);
  });
});
