import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FormatError, randomSource } from "@logits/tensor";
import { expectClose } from "@logits/testkit";
import { Ajv2020 } from "ajv/dist/2020.js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DecisionHead, LinearHead, PrototypeHead, ZeroShotScorer, type Decision, type DecisionHeadOptions } from "./index.ts";

// Heads, rows and the decisions they must give, for readers in other languages. `LOGITS_WRITE=conformance vitest run packages/head/src/conformance` writes the files anew.

const root = join(import.meta.dirname, ".."), folder = join(root, "conformance");
const CLASSES = ["cat", "dog", "bird"], F = 4;

interface Row {
  readonly logits: readonly (number | string)[];
  readonly features?: readonly (number | string)[];
}

interface Vector {
  readonly about: string;
  readonly head: object;
  /** Base64 of the binary form. */
  readonly bytes: string;
  readonly rows: readonly Row[];
  readonly decisions: readonly Decision[];
}

/** Three Gaussian clouds, and logits from their means. */
function world(rows: number, seed: number, far = 0) {
  const random = randomSource(seed), normal = (): number => Array.from({ length: 12 }, () => random.uniform()).reduce((a, b) => a + b) - 6;
  const labels = Int32Array.from({ length: rows }, () => random.integer(3));
  const features = Float32Array.from({ length: F * rows }, (_, i) => 2 * Number(i % F === labels[Math.floor(i / F)]) + normal() + far);
  const logits = Float32Array.from({ length: 3 * rows }, (_, i) => 1.5 * features[F * Math.floor(i / 3) + (i % 3)]);
  return { features, logits, labels };
}

function vectorOf(about: string, options: DecisionHeadOptions, rows = 160, edit: (json: Record<string, never>) => object = (json) => json): Vector {
  const { features, logits, labels } = world(rows, 1), input = options.input ?? "logits";
  const softened = (z: Float32Array): Float32Array => z.map((x, i) => Math.exp(x) / [0, 1, 2].reduce((sum, c) => sum + Math.exp(z[i - (i % 3) + c]), 0));
  const scores = input === "logits" ? logits : softened(logits);
  const fitted = DecisionHead.fit({ logits: { shape: [rows, 3], data: scores }, features: { shape: [rows, F], data: features }, labels, classes: CLASSES }, { seed: 7, ...options });
  const head = DecisionHead.fromJSON(edit(JSON.parse(JSON.stringify(fitted)) as Record<string, never>));
  const near = world(16, 2), away = world(8, 3, -4);
  const list = (near_: typeof near, n: number): Row[] => Array.from({ length: n }, (_, i) => ({ logits: Array.from((input === "logits" ? near_.logits : softened(near_.logits)).subarray(3 * i, 3 * i + 3)), ...(head.needs.includes("features") && { features: Array.from(near_.features.subarray(F * i, F * i + F)) }) }));
  const good = list(near, 1)[0], special: Row[] = [["NaN", 0, 0], ["Infinity", 0, 0], ["-Infinity", 0, 0.9999], ["-Infinity", "-Infinity", "-Infinity"], [0, 0, 0], [1, 0, 0]].map((z) => ({ ...good, logits: z }));
  const all = [...list(near, 16), ...list(away, 8), ...special, ...(head.needs.includes("features") ? [{ ...good, features: [0, "NaN", 0, 0] }, { ...good, features: [1000, 0, 0, 0] }] : [])];
  return { about, head: head.toJSON(), bytes: Buffer.from(head.toBytes()).toString("base64"), rows: all, decisions: all.map((row) => decided(head, row)) };
}

/** The decision without its text for people, which is no part of the format. */
function decided(head: DecisionHead, { logits, features }: Row): Decision {
  const decision = head.decide({ logits: logits.map(Number), ...(features && { features: features.map(Number) }) });
  return JSON.parse(JSON.stringify(decision, (key, value: unknown) => (key === "text" ? undefined : value))) as Decision;
}

const MADE: Record<string, () => Vector> = {
  "no-detector": () => vectorOf("calibrated probabilities and LAC sets", {}),
  "few-rows": () => vectorOf("too few calibration rows for alpha and for the threshold: all classes, nothing unknown", { detector: "energy", alpha: 0.05 }, 20),
  "aps": () => vectorOf("APS, not randomised", { method: "aps" }, 160, (json) => ({ ...json, conformal: { ...(json.conformal as object), randomize: false } })),
  "probabilities": () => vectorOf("the model gives probabilities", { input: "probabilities", detector: "msp", maxFalsePositiveRate: 0.1 }),
  "accepted": () => vectorOf("coverage among accepted rows", { detector: "mahalanobis", guarantee: "accepted", maxFalsePositiveRate: 0.1 }),
  "knn-lengths": () => vectorOf("nearest neighbours without normalisation", { detector: { method: "knn", k: 3, normalize: false }, maxFalsePositiveRate: 0.1 }),
  "knn": () => vectorOf("nearest neighbours", { detector: { method: "knn", k: 5 }, maxFalsePositiveRate: 0.1, confidence: "marginal" }),
  "energy-temperature": () => vectorOf("energy at a temperature", { detector: { method: "energy", temperature: 2 }, maxFalsePositiveRate: 0.1 }),
  ...Object.fromEntries((["msp", "maxLogit", "energy", "entropy", "margin", "mahalanobis"] as const).map((detector) => [detector, () => vectorOf(`the detector ${detector}`, { detector, maxFalsePositiveRate: 0.1 })])),
};

beforeAll(() => {
  if (process.env.LOGITS_WRITE !== "conformance") return;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
  for (const [name, make] of Object.entries(MADE)) writeFileSync(join(folder, `${name}.json`), `${JSON.stringify(make(), null, 1)}\n`);
});

const vectorAt = (name: string): Vector => JSON.parse(readFileSync(join(folder, `${name}.json`), "utf8")) as Vector;

describe("the conformance vectors", () => {
  it("are all there", () => expect(readdirSync(folder).sort()).toEqual(Object.keys(MADE).map((name) => `${name}.json`).sort()));

  it.each(Object.keys(MADE))("%s: this library gives the decisions, from JSON and from bytes", (name) => {
    const { head, bytes, rows, decisions } = vectorAt(name);
    for (const read of [DecisionHead.fromJSON(head), DecisionHead.fromBytes(Buffer.from(bytes, "base64"))]) {
      rows.forEach((row, n) => {
        const got = decided(read, row), want = decisions[n];
        // 1e-6: other instruction sets round float32 differently.
        const numbers = (d: Decision): number[] => (d.kind === "label" ? [d.probability] : d.kind === "ambiguous" ? [...d.probabilities] : d.kind === "unknown" ? [d.pValue, d.why.score, d.why.threshold] : []);
        expectClose(numbers(got), numbers(want), { rtol: 1e-6, atol: 1e-6 });
        expect(JSON.stringify(got, (_, value: unknown) => (typeof value === "number" ? 0 : value))).toBe(JSON.stringify(want, (_, value: unknown) => (typeof value === "number" ? 0 : value)));
      });
    }
  });

  it("hold every kind of decision", () => {
    const kinds = Object.keys(MADE).flatMap((name) => vectorAt(name).decisions.map((d) => (d.kind === "invalid" ? d.why.code : d.kind)));
    expect([...new Set(kinds)].sort()).toEqual(["NO_DISTRIBUTION", "NO_FEATURES", "ambiguous", "label", "unknown"]);
    for (const name of ["msp", "maxLogit", "energy", "entropy", "margin", "mahalanobis", "knn", "knn-lengths", "accepted", "probabilities", "energy-temperature"]) expect(vectorAt(name).decisions.some(({ kind }) => kind === "unknown"), name).toBe(true);
    expect(vectorAt("few-rows").decisions.some(({ kind }) => kind === "unknown" || kind === "label")).toBe(false);
  });
});

describe("the schema", () => {
  const schema = JSON.parse(readFileSync(join(root, "schema", "decision-head.schema.json"), "utf8")) as object;
  const valid = new Ajv2020({ strict: true, strictRequired: false, strictTypes: false }).compile(schema);

  it.each(Object.keys(MADE))("accepts %s, and nothing with a field more, less or of another kind", (name) => {
    const head = vectorAt(name).head as Record<string, unknown>;
    expect([valid(head), valid.errors]).toEqual([true, null]);
    for (const key of Object.keys(head)) {
      expect(valid({ ...head, [key]: null }), `${key} null`).toBe(false);
      const { [key]: _, ...rest } = head;
      const optional = ["detector", "threshold", "pValues"].every((part) => key !== part) ? false : head.guarantee === "all" && !["detector", "threshold", "pValues"].some((part) => part !== key && part in head);
      expect(valid(rest), `without ${key}`).toBe(optional);
    }
    expect(valid({ ...head, more: 1 })).toBe(false);
  });

  it("accepts heads with folds, scorers and a chosen detector", () => {
    const { features, logits, labels } = world(90, 11), outside = world(30, 12, -4), of = (data: Float32Array, width: number) => ({ shape: [data.length / width, width], data });
    const data = { logits: of(logits, 3), features: of(features, F), labels, classes: CLASSES };
    const scorer = { ...data, logits: undefined };
    const heads = [
      DecisionHead.fit(data, { crossFit: 3 }),
      DecisionHead.fit(data, { crossFit: 3, detector: "mahalanobis" }),
      DecisionHead.fit({ ...data, outliers: { logits: of(outside.logits, 3), features: of(outside.features, F) } }, { detector: ["msp", "mahalanobis"] }),
      DecisionHead.fit({ ...scorer, scorer: LinearHead.fit(of(world(90, 13).features, F), world(90, 13).labels) }, { detector: "energy" }),
      ...(["lac", "aps", "raps", "saps", "topk", "margin"] as const).map((method) => DecisionHead.fit(data, { method })),
      ...(["mean", "tied", "diagonal", "cosine"] as const).map((kind) => DecisionHead.fit({ ...scorer, scorer: PrototypeHead.fit(of(world(90, 13).features, F), world(90, 13).labels, { kind }) }, {})),
      DecisionHead.fit({ ...scorer, scorer: ZeroShotScorer.of([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]) }, {}),
    ];
    for (const head of heads) {
      const json = JSON.parse(JSON.stringify(head)) as Record<string, unknown>;
      expect([valid(json), valid.errors]).toEqual([true, null]);
      expect(DecisionHead.fromBytes(head.toBytes()).toJSON()).toEqual(head.toJSON());
      for (const name of ["penalty", "freeRanks"]) {
        const { [name]: own, ...conformal } = (json.conformal ?? {}) as Record<string, unknown>;
        if ("conformal" in json) expect(valid({ ...json, conformal: own === undefined ? { ...conformal, [name]: 1 } : conformal })).toBe(false);
      }
      if ("folds" in json) expect(valid({ ...json, split: 0.5 })).toBe(false);
    }
  });
});

describe("what a head says of itself", () => {
  const { logits, labels } = world(80, 21), shape = [80, 3];
  const head = DecisionHead.fit({ ...world(60, 22), logits: { shape: [60, 3], data: world(60, 22).logits }, features: undefined, classes: CLASSES, calibration: { logits: { shape, data: logits }, labels } }, { detector: "energy" });

  it("the digest is that of the calibration rows", () => {
    const want = createHash("sha256").update("float32 [80, 3]\n").update(Buffer.from(logits.buffer)).update("int32 [80]\n").update(Buffer.from(labels.buffer)).digest("hex");
    expect(head.toJSON().calibrationHash).toBe(want);
  });

  it("a self-test that comes out differently is a FormatError that says so", () => {
    const json = JSON.parse(JSON.stringify(head)) as Record<string, never> & { calibrator: object; detector: object };
    expect(() => DecisionHead.fromJSON({ ...json, calibrator: { ...json.calibrator, temperature: 3 } })).toThrow(/^DecisionHead\.fromJSON: in `selfTest`: DecisionHead\.fromJSON: expected `probabilities` of the self-test within .* computes differently/);
    expect(() => DecisionHead.fromJSON({ ...json, detector: { ...json.detector, temperature: 3 } })).toThrow("expected `scores` of the self-test within");
    expect(() => DecisionHead.fromJSON({ ...json, conventions: { ...json.conventions as object, scores: "lower is more out-of-distribution" } })).toThrow('expected `conventions.scores` "higher is more out-of-distribution"');
  });
});

it("20,000 damages of the bytes end in a FormatError or in the same decisions", () => {
  const { bytes, rows } = vectorAt("knn"), whole = Buffer.from(bytes, "base64"), head = DecisionHead.fromBytes(whole), want = JSON.stringify([head, rows.map((row) => decided(head, row))]);
  const random = randomSource(17);
  let refused = 0;
  for (let i = 0; i < 20000; i++) {
    const damaged = Uint8Array.from(random.integer(5) === 0 ? whole.subarray(0, random.integer(whole.length)) : whole);
    for (let edits = random.integer(3); edits >= 0 && damaged.length > 0; edits--) damaged[random.integer(damaged.length)] = random.integer(256);
    try {
      const read = DecisionHead.fromBytes(damaged);
      if (JSON.stringify([read, rows.map((row) => decided(read, row))]) !== want) throw new Error(`damage ${i} is another head`);
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      refused++;
    }
  }
  expect(refused).toBeGreaterThan(15000);
});

const python = ["/usr/bin/python3", "python3"].find((command) => spawnSync(command, ["--version"]).status === 0);
describe("the reader in plain Python", () => {
  const scratch = mkdtempSync(join(tmpdir(), "logits-head-"));
  afterAll(() => rmSync(scratch, { recursive: true, force: true }));
  const reader = join(root, "python", "logits_head.py");

  it("has at most 80 lines and imports the standard library only", () => {
    const text = readFileSync(reader, "utf8");
    expect(text.trimEnd().split("\n").length).toBeLessThanOrEqual(80);
    expect([...text.matchAll(/^(?:import|from) .*/gm)].map(String)).toEqual(["import base64, hashlib, json, math, struct"]);
  });

  it.skipIf(python === undefined)("gives the decisions of every vector, from JSON and from bytes", () => {
    const files = readdirSync(folder).map((file) => join(folder, file));
    const { stdout, stderr, status } = spawnSync(python!, [join(root, "python", "check.py"), ...files], { encoding: "utf8", env: { ...process.env, PYTHONDONTWRITEBYTECODE: "1" } });
    expect([status, stderr]).toEqual([0, ""]);
    expect(Number(stdout)).toBe(2 * Object.keys(MADE).reduce((sum, name) => sum + vectorAt(name).rows.length, 0));
  });

  it.skipIf(python === undefined)("refuses damaged bytes", () => {
    const bytes = Buffer.from(vectorAt("knn").bytes, "base64");
    bytes[bytes.length - 9] ^= 1;
    writeFileSync(join(scratch, "head.safetensors"), bytes);
    const { status, stderr } = spawnSync(python!, ["-c", `import sys; sys.path.insert(0, ${JSON.stringify(join(root, "python"))}); import logits_head; logits_head.load(open(${JSON.stringify(join(scratch, "head.safetensors"))}, "rb").read())`], { encoding: "utf8", env: { ...process.env, PYTHONDONTWRITEBYTECODE: "1" } });
    expect([status, existsSync(join(root, "python", "__pycache__"))]).toEqual([1, false]);
    expect(stderr).toContain("ValueError: damaged: the digest does not match");
  });
});
