import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { randomSource } from "@logits/tensor";
import { zipSync } from "fflate";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ReportMetrics } from "../report/types.ts";

// The built command line, as a user runs it: `node dist/cli.js` in a folder of its own.
const cli = join(import.meta.dirname, "../../dist/cli.js");
const data = join(import.meta.dirname, "../../../../data");
const folder = mkdtempSync(join(tmpdir(), "logits-cli-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Outcome {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

function run(...args: string[]): Outcome {
  const { status, stdout, stderr } = spawnSync(process.execPath, [cli, ...args], { cwd: folder, encoding: "utf8", maxBuffer: 1 << 28 });
  return { code: status, out: stdout, err: stderr };
}

/** A `.npy` file, as numpy writes it. */
function npy(descr: string, shape: readonly (number | string)[], bytes: Uint8Array): Uint8Array {
  const header = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${shape.join(", ")},), }`.padEnd(117) + "\n";
  return Uint8Array.from([...Buffer.from("\x93NUMPY\x01\x00", "latin1"), header.length, 0, ...Buffer.from(header), ...bytes]);
}
const floats = (shape: readonly number[], values: ArrayLike<number>): Uint8Array => npy("<f4", shape, new Uint8Array(Float32Array.from(values).buffer));
const write = (name: string, content: string | Uint8Array): string => {
  writeFileSync(join(folder, name), content);
  return name;
};
const read = (...path: string[]): string => readFileSync(join(folder, ...path), "utf8");
const metrics = (directory: string): ReportMetrics => JSON.parse(read(directory, "metrics.json")) as ReportMetrics;

const ROWS = 240;
const CLASSES = 3;
const random = randomSource(7);
const labels = Array.from({ length: ROWS }, () => random.integer(CLASSES));
const scores = Array.from({ length: ROWS * CLASSES }, (_, i) => 4 * random.uniform() + (labels[Math.floor(i / CLASSES)] === i % CLASSES ? 2 : 0));

beforeAll(() => {
  expect(existsSync(cli), "build first: pnpm run build").toBe(true);
  write("scores.npy", floats([ROWS, CLASSES], scores));
  write("labels.csv", labels.join("\n"));
  expect(run("report", "--logits", "scores.npy", "--labels", "labels.csv", "--out", "base")).toMatchObject({ code: 0 });
});

describe("report on real outputs", () => {
  const densenet = join(data, "densenet-bc-100-cifar-100");
  const array = (key: string, rows: string): string => `${join(densenet, "outputs.npz")}:${key}${rows}`;
  const given = [
    "--logits", array("logits", "[0:5000]"), "--labels", array("labels", "[0:5000]"),
    "--calibration-logits", array("logits", "[5000:7500]"), "--calibration-labels", array("labels", "[5000:7500]"),
    "--test-logits", array("logits", "[7500:]"), "--test-labels", array("labels", "[7500:]"),
    "--classes", join(densenet, "class-names.json"),
  ];

  it("shows the published effect of a temperature on DenseNet-BC-100, CIFAR-100", () => {
    const { code, out, err } = run("report", ...given, "--out", "densenet");
    expect({ code, err: err.replace(/^ *\d+\.\d s {2}.*\n/gm, "") }).toEqual({ code: 0, err: "" });
    const { temperature, before, after, sets, rows, input } = metrics("densenet");
    expect([temperature.toFixed(3), before.nll.toFixed(4), after.nll.toFixed(4), before.ece.toFixed(4), after.ece.toFixed(4)]).toEqual(["2.121", "1.2116", "0.8665", "0.1447", "0.0137"]);
    expect(rows).toMatchObject({ fit: 5000, calibration: 2500, test: 2500, shown: 5000, split: "as given" });
    expect([before.accuracy, before.ties, input]).toEqual([after.accuracy, 1, { kind: "logits", clipped: 0, clippedRows: 0 }]);
    // Means of 1,000 simulations whose spread is about 0.003: five standard errors of the mean, three of a 95 % point.
    expect(Math.abs(after.eceNull.mean - 0.014)).toBeLessThan(0.0005);
    expect(Math.abs(after.eceNull.quantile95 - 0.019)).toBeLessThan(0.0007);
    expect(after.eceNull.pValue).toBeGreaterThan(0.4);
    expect(after.eceNull.pValue).toBeLessThan(0.6);
    const [lac] = sets;
    expect(lac).toMatchObject({ method: "LAC", alpha: 0.1, n: 2500 });
    expect(lac.coverage.share).toBeGreaterThanOrEqual(lac.expected.interval[0]);
    expect(lac.coverage.share).toBeLessThanOrEqual(lac.expected.interval[1]);
    expect(Math.min(...lac.byClass.map((entry) => entry.share))).toBeLessThan(0.8);
    expect(Math.min(...lac.bySize.map((entry) => entry.share))).toBeLessThan(0.85);
    expect(out).toContain("from 0.1447 to 0.0137");
    expect(out).toContain("Wrote densenet/index.html, densenet/metrics.json, densenet/head.json");
  });

  it("the page holds the numbers, needs nothing from outside, and is the same bytes again", () => {
    const { code, out } = run("report", ...given, "--out", "again", "--json");
    expect(code).toBe(0);
    expect(out).toBe(read("densenet", "metrics.json"));
    for (const file of ["index.html", "metrics.json", "head.json"]) expect(read("again", file), file).toBe(read("densenet", file));
    const page = read("densenet", "index.html");
    for (const number of ["2.121", "1.2116", "0.8665", "0.1447", "0.0137"]) expect(page).toContain(number);
    expect(page.replaceAll(/"http:\/\/www\.w3\.org\/(2000\/svg|1999\/xlink)"/g, "")).not.toMatch(/https?:|<script|<link|<img|<iframe|url\((?!#)|@import|src=/i);
    expect(page.match(/<svg/g)).toHaveLength(5);
  });
});

describe("report", () => {
  it("takes probabilities, counts those that were 0, and finds the same temperature", () => {
    const probabilities = Array.from({ length: ROWS }, (_, n) => {
      const exps = scores.slice(n * CLASSES, (n + 1) * CLASSES).map(Math.exp);
      const row = exps.map((e) => e / exps.reduce((a, b) => a + b));
      return n === 0 ? row.map((_, c) => (c === labels[0] ? 1 : 0)) : row;
    });
    write("probabilities.json", JSON.stringify(probabilities));
    const args = ["--labels", "labels.csv", "--seed", "3"];
    expect(run("report", "--logits", "probabilities.json", "--input", "probabilities", ...args, "--out", "p").code).toBe(0);
    expect(run("report", "--logits", "scores.npy", ...args, "--out", "l").code).toBe(0);
    const [p, l] = [metrics("p"), metrics("l")];
    expect(p.input).toEqual({ kind: "probabilities", clipped: CLASSES - 1, clippedRows: 1 });
    // One row of 120 was made certain and right, which can only pull the temperature down, and by less than its standard error.
    expect(Math.abs(p.temperature - l.temperature)).toBeLessThan(l.temperatureStandardError!);
  });

  it("splits by the seed into three parts that hold every row once", () => {
    const args = ["report", "--logits", "scores.npy", "--labels", "labels.csv"];
    expect(metrics("base").rows).toEqual({ fit: 120, calibration: 60, test: 60, shown: 120, split: "fit, calibration and test 2 : 1 : 1 at random, seed 0", seed: 0 });
    run(...args, "--seed", "1", "--out", "seed-1");
    run(...args, "--seed", "1", "--out", "seed-1-again");
    expect(read("seed-1", "metrics.json")).toBe(read("seed-1-again", "metrics.json"));
    expect(metrics("seed-1").temperature).not.toBe(metrics("base").temperature);
  });

  it("splits in two where calibration or test rows are given", () => {
    const rows = (name: string, range: string): string[] => [`--${name}-logits`, `scores.npy${range}`, `--${name}-labels`, `labels.csv${range}`];
    const fit = ["--logits", "scores.npy[:180]", "--labels", "labels.csv[:180]"];
    expect(run("report", ...fit, ...rows("test", "[180:]"), "--out", "t").code).toBe(0);
    expect(metrics("t").rows).toMatchObject({ fit: 120, calibration: 60, test: 60 });
    expect(run("report", ...fit, ...rows("calibration", "[180:]"), "--out", "c").code).toBe(0);
    expect(metrics("c").rows).toMatchObject({ fit: 120, calibration: 60, test: 60 });
  });

  it("--json prints metrics.json on stdout, and nothing else", () => {
    const { code, out, err } = run("report", "--logits", "scores.npy", "--labels", "labels.csv", "--out", "json", "--json");
    expect(code).toBe(0);
    expect(out).toBe(read("json", "metrics.json"));
    expect(err).toMatch(/^( *\d+\.\d s {2}.+\n)+$/);
  });

  it("leaves other files of the folder alone, and no partial one", () => {
    mkdirSync(join(folder, "kept"));
    write("kept/mine.txt", "mine");
    expect(run("report", "--logits", "scores.npy", "--labels", "labels.csv", "--out", "kept").code).toBe(0);
    expect(readdirSync(join(folder, "kept")).sort()).toEqual(["head.json", "index.html", "metrics.json", "mine.txt"]);
  });

  it("copes with one class, equal scores and no wrong row, and writes no null where a number belongs", () => {
    write("one.csv", Array.from({ length: 8 }, (_, i) => i).join("\n"));
    write("zeros.csv", Array.from({ length: 8 }, () => 0).join("\n"));
    expect(run("report", "--logits", "one.csv", "--labels", "zeros.csv", "--out", "one").out).toContain("they say nothing about the temperature: it stays 1");
    write("sure.csv", Array.from({ length: 80 }, () => "5,0").join("\n"));
    write("right.csv", Array.from({ length: 80 }, () => 0).join("\n"));
    expect(run("report", "--logits", "sure.csv", "--labels", "right.csv", "--out", "sure").out.replaceAll(/\s+/g, " ")).toContain("ran to its bound 0.0009765625: no fit row is wrong");
    expect(metrics("sure").temperatureAtBound).toBe(true);
  });

  it("writes hostile titles and class names as text", () => {
    const hostile = '<img src=x onerror="alert(1)">';
    write("names.json", JSON.stringify([hostile, "</svg><script>alert(1)</script>", "\u001b[2J"]));
    const { code, out } = run("report", "--logits", "scores.npy", "--labels", "labels.csv", "--classes", "names.json", "--title", hostile, "--out", "hostile");
    expect(code).toBe(0);
    const page = read("hostile", "index.html");
    expect(page).not.toMatch(/<img|<script/);
    expect(page).toContain("&#60;img src=x onerror=&#34;alert(1)&#34;&#62;");
    // oxlint-disable-next-line no-control-regex
    expect(out).not.toMatch(/[\u0000-\u0009\u000b-\u001f]/);
  });
});

describe("decide", () => {
  const lines = (text: string): { row: number; kind: string; set?: string[]; why?: { text: string } }[] => text.trimEnd().split("\n").map((line) => JSON.parse(line) as never);

  it("prints one JSON object a row, with the row's index in the file", () => {
    const { code, out, err } = run("decide", "--head", "base/head.json", "--logits", "scores.npy[100:103]");
    expect({ code, err }).toEqual({ code: 0, err: "" });
    const decisions = lines(out);
    expect(decisions.map((decision) => decision.row)).toEqual([100, 101, 102]);
    for (const decision of decisions) expect(["label", "ambiguous"]).toContain(decision.kind);
  });

  it("says invalid for a row that is no distribution, and goes on", () => {
    write("odd.csv", "9,0,0\nnan,0,0\n0,inf,0\n-inf,-inf,-inf\n9,0,0");
    const decisions = lines(run("decide", "--head", "base/head.json", "--logits", "odd.csv").out);
    expect(decisions.map((decision) => decision.kind === "invalid" ? decision.why!.text : decision.kind)).toEqual(["label", "NaN in column 0", "Infinity in column 1", "no finite score", "label"]);
    write("odd-probabilities.csv", "1,0,0\nnan,0,0\n0.5,1.5,0\n-1,0,0\n1,0,0");
    const converted = lines(run("decide", "--head", "p/head.json", "--logits", "odd-probabilities.csv").out);
    expect(converted.map((decision) => decision.kind === "invalid" ? decision.why!.text : decision.kind)).toEqual(["label", "NaN in column 0", "1.5 in column 1", "-1 in column 0", "label"]);
  });

  it("takes another alpha: smaller alpha, larger sets", () => {
    const size = (alpha: string): number => lines(run("decide", "--head", "base/head.json", "--logits", "scores.npy", "--alpha", alpha).out).reduce((total, decision) => total + decision.set!.length, 0);
    const [few, many] = [size("0.4"), size("0.05")];
    expect(few).toBeLessThan(many);
  });

  it("goes through 100,000 rows in batches, each as alone", () => {
    const rows = 100_000;
    write("many.npy", floats([rows, CLASSES], Float32Array.from({ length: rows * CLASSES }, (_, i) => scores[i % scores.length])));
    const decisions = lines(run("decide", "--head", "base/head.json", "--logits", "many.npy").out);
    expect(decisions).toHaveLength(rows);
    expect(decisions.every((decision, i) => decision.row === i)).toBe(true);
    const { row, ...last } = decisions[rows - 1];
    const { row: same, ...first } = decisions[(rows - 1) % ROWS];
    expect(row - same).toBe(rows - 1 - ((rows - 1) % ROWS));
    expect(last).toEqual(first);
  });

  it("ends with 0 and without a word when the reader has seen enough", async () => {
    const child = spawn(process.execPath, [cli, "decide", "--head", "base/head.json", "--logits", "many.npy"], { cwd: folder });
    let err = "";
    child.stderr.on("data", (chunk) => (err += chunk));
    child.stdout.once("data", () => child.stdout.destroy());
    const code = await new Promise((done) => child.on("close", done));
    expect({ code, err }).toEqual({ code: 0, err: "" });
  });

  it.runIf(existsSync("/dev/full"))("says so where the output cannot be written", () => {
    const { status, stderr } = spawnSync("sh", ["-c", `"$0" "$1" decide --head base/head.json --logits scores.npy > /dev/full`, process.execPath, cli], { cwd: folder, encoding: "utf8" });
    expect({ status, stderr }).toEqual({ status: 1, stderr: "logits: expected stdout to take the output, got ENOSPC\n" });
  });
});

describe("usage", () => {
  it("--help and --version end with 0, no command with 2", () => {
    for (const args of [["--help"], ["report", "--help"], ["decide", "--help"]]) {
      const { code, out, err } = run(...args);
      expect({ code, err }).toEqual({ code: 0, err: "" });
      if (args.length === 2) expect(out).toMatch(/Examples:\n {2}logits (report|decide) --/);
    }
    expect(run("--version")).toMatchObject({ code: 0, err: "" });
    expect(run()).toMatchObject({ code: 2, out: "" });
  });
});

describe("bad use and bad input: 2, one line on stderr, nothing written", () => {
  /** The line, with progress before it allowed; the folder for the output must not appear. */
  function refusal(...args: string[]): string {
    const { code, out, err } = run(...args);
    expect({ code, out }).toEqual({ code: 2, out: "" });
    expect(existsSync(join(folder, "never"))).toBe(false);
    const said = err.replace(/^ *\d+\.\d s {2}.*\n/gm, "");
    expect(said.endsWith("\n")).toBe(true);
    return said.slice(0, -1);
  }
  const report = (...args: string[]): string => refusal("report", "--logits", "scores.npy", "--labels", "labels.csv", "--out", "never", ...args);
  const withLogits = (file: string): string => refusal("report", "--logits", file, "--labels", "labels.csv", "--out", "never");
  const withLabels = (file: string): string => refusal("report", "--logits", "scores.npy", "--labels", file, "--out", "never");

  it("options", () => {
    expect(refusal("repotr")).toMatchInlineSnapshot(`"logits: expected a command and its options, got unknown command 'repotr' (Did you mean report?). logits --help shows what there is"`);
    expect(refusal("report", "--labels", "labels.csv", "--out", "never")).toMatchInlineSnapshot(`"logits: expected a command and its options, got required option '--logits <file>' not specified. logits --help shows what there is"`);
    expect(report("--colour")).toMatchInlineSnapshot(`"logits: expected a command and its options, got unknown option '--colour'. logits --help shows what there is"`);
    expect(report("--input", "scores")).toMatchInlineSnapshot(`"logits: expected a command and its options, got option '--input <kind>' argument 'scores' is invalid. Allowed choices are logits, probabilities. logits --help shows what there is"`);
    for (const alpha of ["0", "1", "-0.1", "nan", ""]) expect(report("--alpha", alpha)).toBe(`logits: expected \`--alpha\` a number in (0, 1), got "${alpha}"`);
    expect(report("--seed", "1.5")).toMatchInlineSnapshot(`"logits: expected \`--seed\` an integer in [0, 2^53), got "1.5""`);
    expect(report("--test-logits", "scores.npy[0:5]")).toMatchInlineSnapshot(`"logits: expected --logits and --test-logits to name different rows, got scores.npy and scores.npy[0:5]. A row serves one purpose; give ranges, as FILE[0:5000]"`);
    expect(refusal("decide", "--head", "base/head.json", "--logits", "scores.npy", "--alpha", "1")).toMatchInlineSnapshot(`"logits: expected \`--alpha\` a number in (0, 1), got "1""`);
  });

  it("rows used twice", () => {
    const rows = (a: string, b: string): string => refusal("report", "--logits", `scores.npy${a}`, "--labels", `labels.csv${a}`, "--test-logits", `./scores.npy${b}`, "--test-labels", `labels.csv${b}`, "--out", "never");
    expect(rows("[0:200]", "[199:]")).toMatchInlineSnapshot(`"logits: expected --logits and --test-logits to name different rows, got scores.npy[0:200] and ./scores.npy[199:]. A row serves one purpose; give ranges, as FILE[0:5000]"`);
    expect(rows("", "[0:1]")).toContain("to name different rows");
    expect(refusal("report", "--logits", "scores.npy[:200]", "--labels", "labels.csv[:200]", "--test-logits", "scores.npy[200:]", "--test-labels", "labels.csv[:40]", "--out", "never")).toMatchInlineSnapshot(`"logits: expected --labels and --test-labels to name different rows, got labels.csv[:200] and labels.csv[:40]. A row serves one purpose; give ranges, as FILE[0:5000]"`);
  });

  it("files", () => {
    expect(withLogits("missing.npy")).toMatchInlineSnapshot(`"logits: expected \`missing.npy\` to be a readable file, got ENOENT"`);
    expect(withLogits(".")).toMatchInlineSnapshot(`"logits: expected \`.\` to be a readable file, got EISDIR"`);
    expect(withLogits(write("empty.npy", ""))).toMatchInlineSnapshot(`"readNpy: expected \`empty.npy\` to be a .npy file, got an empty file"`);
    expect(withLogits(write("hostile.npy", npy("<f4", ["1152921504606846976"], new Uint8Array(64))))).toMatchInlineSnapshot(`"readNpy: expected \`hostile.npy\` to have a shape of integers in [0, 2^53), got 1152921504606847000 at axis 0"`);
    expect(withLogits(write("huge.npy", npy("<f4", [2 ** 26, 2 ** 26], new Uint8Array(64))))).toMatchInlineSnapshot(`"readNpy: expected \`huge.npy\` to hold 18014398509481984 bytes of data for shape [67108864, 67108864] of float32, got 64. The file is truncated or its header is damaged"`);
    const npz = zipSync({ "logits.npy": floats([ROWS, CLASSES], scores) });
    expect(withLogits(`${write("cut.npz", npz.subarray(0, npz.length - 100))}:logits`)).toMatchInlineSnapshot(`"readNpz: expected \`cut.npz\` to end with a zip directory, got none. The file is truncated"`);
    expect(withLogits(`${write("whole.npz", npz)}:scores`)).toMatchInlineSnapshot(`"readNpz: expected \`whole.npz\` to hold "scores", got keys logits"`);
    expect(withLogits("scores.npy[200:241]")).toMatchInlineSnapshot(`"logits: expected \`scores.npy\` to have the rows [200:241], got 240 rows"`);
    expect(withLogits("labels.csv")).toMatchInlineSnapshot(`"logits: expected \`labels.csv\` to have labels in [0, 1), got 1 in row 1"`);
    expect(withLogits(write("five.csv", "1,2\n2,1\n1,2\n2,1\n1,2"))).toMatchInlineSnapshot(`"logits: expected \`labels.csv\` to have one label for each of the 5 rows of scores, got 240 labels"`);
  });

  it("scores and labels", () => {
    const bad = (at: number, value: number): Uint8Array => floats([ROWS, CLASSES], scores.map((score, i) => (i === at ? value : score)));
    expect(withLogits(write("nan.npy", bad(50, NaN)))).toMatchInlineSnapshot(`"logits: expected \`nan.npy\` to hold scores in every row, got NaN in column 2 of row 16"`);
    expect(withLogits(write("infinite.npy", bad(3, Infinity)))).toMatchInlineSnapshot(`"logits: expected \`infinite.npy\` to hold scores in every row, got Infinity in column 0 of row 1"`);
    expect(withLogits(write("impossible.npy", bad(labels[0], -Infinity)))).toMatchInlineSnapshot(`"logits: expected \`impossible.npy\` to have a finite score for the right label, got -Infinity in row 0. No temperature makes it possible: the model must not exclude the right label"`);
    expect(report("--input", "probabilities")).toMatch(/^logits: expected `scores\.npy` to hold probabilities in every row, got \d\.\d+ in column 0 of row 0$/);
    expect(withLabels("labels.csv[0:239]")).toMatchInlineSnapshot(`"logits: expected \`labels.csv\` to have one label for each of the 240 rows of scores, got 239 labels"`);
    expect(withLabels(write("three.csv", labels.map((label, i) => (i === 9 ? 3 : label)).join("\n")))).toMatchInlineSnapshot(`"logits: expected \`three.csv\` to have labels in [0, 3), got 3 in row 9"`);
    expect(withLabels(write("minus.csv", labels.map((label, i) => (i === 9 ? -1 : label)).join("\n")))).toMatchInlineSnapshot(`"logits: expected \`minus.csv\` to have labels in [0, 3), got -1 in row 9"`);
    expect(withLabels(write("half.csv", labels.map((label, i) => (i === 9 ? 0.5 : label)).join("\n")))).toMatchInlineSnapshot(`"toLabels: expected \`half.csv\` to hold integers that int32 holds, got 0.5 at index 9"`);
    expect(refusal("report", "--logits", "scores.npy[0:5]", "--labels", "labels.csv[0:5]", "--out", "never")).toMatchInlineSnapshot(`"logits: expected at least 6 rows to split 2 : 1 : 1, got 5"`);
    write("wide.csv", "1,2,3,4\n2,1,3,4");
    expect(report("--test-logits", "wide.csv", "--test-labels", write("two.csv", "0\n1"))).toMatchInlineSnapshot(`"logits: expected \`wide.csv\` to have 3 columns, as --logits has, got 4"`);
  });

  it("class names", () => {
    const names = (content: string): string => report("--classes", write("bad-names.json", content));
    expect(names('["a", "b"]')).toMatchInlineSnapshot(`"logits: expected \`bad-names.json\` to be a JSON array of 3 different class names, got 2"`);
    expect(names('["a", "b", "a"]')).toMatchInlineSnapshot(`"logits: expected \`bad-names.json\` to be a JSON array of 3 different class names, got "a" twice"`);
    expect(names('["a", "b", 3]')).toMatchInlineSnapshot(`"logits: expected \`bad-names.json\` to be a JSON array of 3 different class names, got 3 at index 2"`);
    expect(names('{"a": 1}')).toMatchInlineSnapshot(`"logits: expected \`bad-names.json\` to be a JSON array of 3 different class names, got object"`);
    expect(names('["a", "b')).toMatchInlineSnapshot(`"logits: expected \`bad-names.json\` to be JSON, got damaged JSON"`);
    expect(report("--classes", "no-names.json")).toMatchInlineSnapshot(`"logits: expected \`no-names.json\` to be a readable file, got ENOENT"`);
  });

  it("heads", () => {
    const head = JSON.parse(read("base", "head.json")) as Record<string, unknown>;
    const decide = (change: Record<string, unknown>): string => refusal("decide", "--head", write("bad-head.json", JSON.stringify({ ...head, ...change })), "--logits", "scores.npy");
    expect(decide({ version: 2 })).toMatchInlineSnapshot(`"DecisionHead.fromJSON: expected \`version\` 1, got 2. Upgrade @logits/head to read it"`);
    expect(decide({ format: "other" })).toMatchInlineSnapshot(`"DecisionHead.fromJSON: expected \`format\` "logits/head", got "other""`);
    expect(decide({ calibrator: undefined })).toMatchInlineSnapshot(`"DecisionHead.fromJSON: in \`calibrator\`: DecisionHead.fromJSON: expected \`calibrator\` a value, got nothing: the field is missing"`);
    expect(decide({ alpha: null })).toMatchInlineSnapshot(`"DecisionHead.fromJSON: expected \`alpha\` a finite number in [0, 1], got null"`);
    expect(decide({ calibrator: { ...(head.calibrator as object), temperature: null } })).toMatchInlineSnapshot(`"DecisionHead.fromJSON: in \`calibrator\`: TemperatureScaling.fromJSON: expected \`temperature\` a finite number in [0.00048828125, 2048], got null"`);
    expect(refusal("decide", "--head", write("cut-head.json", read("base", "head.json").slice(0, 90)), "--logits", "scores.npy")).toMatchInlineSnapshot(`"logits: expected \`cut-head.json\` to be JSON, got damaged JSON"`);
    expect(refusal("decide", "--head", "no-head.json", "--logits", "scores.npy")).toMatchInlineSnapshot(`"logits: expected \`no-head.json\` to be a readable file, got ENOENT"`);
    expect(refusal("decide", "--head", "base/head.json", "--logits", "wide.csv")).toMatchInlineSnapshot(`"logits: expected \`wide.csv\` to have 3 columns, one per class of the head, got 4"`);
  });

  it("an output folder that is none leaves no trace", () => {
    write("a-file", "mine");
    expect(refusal("report", "--logits", "scores.npy", "--labels", "labels.csv", "--out", "a-file")).toMatchInlineSnapshot(`"logits: expected \`a-file\` to be a folder that can be written to, got EEXIST"`);
    expect(refusal("report", "--logits", "scores.npy", "--labels", "labels.csv", "--out", "a-file/never")).toMatchInlineSnapshot(`"logits: expected \`a-file/never\` to be a folder that can be written to, got ENOTDIR"`);
    expect(read("a-file")).toBe("mine");
    mkdirSync(join(folder, "blocked", "metrics.json"), { recursive: true });
    expect(refusal("report", "--logits", "scores.npy", "--labels", "labels.csv", "--out", "blocked")).toMatchInlineSnapshot(`"logits: expected \`blocked\` to be a folder that can be written to, got EISDIR"`);
    expect(readdirSync(join(folder, "blocked")).filter((name) => name.endsWith(".partial"))).toEqual([]);
  });
});
