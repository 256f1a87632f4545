import { describe, expect, it } from "vitest";
import type { Plain } from "./checks.ts";
import { checkEstimator, estimatorChecks, type EstimatorSpec } from "./estimator.ts";
import { testRandom } from "./random.ts";

class FormatError extends Error {
  override name = "FormatError";
}

/** Mean and spread of each column: small, and with every kind of JSON field. */
class Standardizer {
  readonly mean: readonly number[];
  readonly spread: number;
  readonly weights: string;

  constructor(mean: readonly number[], spread: number, weights: string) {
    this.mean = mean;
    this.spread = spread;
    this.weights = weights;
  }

  static fit(x: Plain): Standardizer {
    const [rows, columns] = x.shape;
    const mean = Array.from({ length: columns }, (_, c) => {
      let sum = 0;
      for (let r = 0; r < rows; r++) sum += x.data[r * columns + c];
      return sum / rows;
    });
    let squares = 0;
    x.data.forEach((v, i) => (squares += (v - mean[i % columns]) ** 2));
    return new Standardizer(mean, Math.sqrt(squares / x.data.length), encode(Float32Array.from(mean)));
  }

  transform(x: Plain): { shape: readonly number[]; data: Float32Array } {
    if (x.shape[1] !== this.mean.length) throw new RangeError(`transform: expected \`x\` of width ${this.mean.length}, got ${x.shape[1]}`);
    return { shape: x.shape, data: x.data.map((v, i) => (v - this.mean[i % this.mean.length]) / this.spread) };
  }

  toJSON(): object {
    return { format: "testkit/Standardizer", version: 1, mean: this.mean, spread: this.spread, weights: this.weights, options: { ddof: 0, robust: false } };
  }

  static fromJSON(json: any): Standardizer {
    const expect = (good: boolean, field: string): void => {
      if (!good) throw new FormatError(`Standardizer.fromJSON: expected \`${field}\``);
    };
    expect(typeof json === "object" && json !== null && !Array.isArray(json), "json");
    expect(json.format === "testkit/Standardizer", "format");
    expect(json.version === 1, "version");
    expect(Array.isArray(json.mean) && json.mean.length > 0 && json.mean.every(Number.isFinite), "mean");
    expect(Number.isFinite(json.spread) && json.spread > 0, "spread");
    expect(typeof json.weights === "string" && /^[A-Za-z0-9+/]*={0,2}$/.test(json.weights), "weights");
    const decoded = decode(json.weights);
    expect(decoded.length === json.mean.length && decoded.every(Number.isFinite), "weights");
    expect(typeof json.options === "object" && json.options !== null, "options");
    expect(json.options.ddof === 0, "options.ddof");
    expect(json.options.robust === false, "options.robust");
    return new Standardizer([...json.mean], json.spread, json.weights);
  }
}

function encode(x: Float32Array): string {
  return btoa(String.fromCharCode(...new Uint8Array(x.buffer)));
}

function decode(text: string): Float32Array {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  return bytes.length % 4 === 0 ? new Float32Array(bytes.buffer) : new Float32Array(0);
}

const random = testRandom(7);
const x: Plain = { dtype: "float32", shape: [400, 3], data: Float32Array.from({ length: 1200 }, (_, i) => (i % 3) + 2 * random.normal()) };
const probe: Plain = { dtype: "float32", shape: [2, 3], data: Float32Array.from([1, 2, 3, 4, 5, 6]) };

const good: EstimatorSpec<Standardizer> = {
  name: "Standardizer",
  data: [x],
  fit: (data) => Standardizer.fit(data as Plain),
  fromJSON: Standardizer.fromJSON,
  output: (fitted) => fitted.transform(probe),
  rowOrder: { rtol: 1e-6, atol: 1e-6 },
  wrongWidth: [(fitted) => fitted.transform({ ...probe, shape: [3, 2] })],
  invariants: [{ name: "spread is positive", holds: (fitted) => fitted.spread > 0 }],
  recovers: [
    // Standard error of a mean of 400 with sigma 2: 2/20; of a standard deviation of 1200: 2/sqrt(2400).
    { name: "the means", estimate: (fitted) => fitted.mean, truth: [0, 1, 2], standardError: 0.1 },
    { name: "the spread", estimate: (fitted) => fitted.spread, truth: 2, standardError: 2 / Math.sqrt(2400) },
  ],
  base64: ["weights"],
};

describe("checkEstimator", () => {
  it.each(estimatorChecks(good))("$name", ({ run }) => run());

  let fits = 0;
  const altered = (change: (fitted: Standardizer) => void) => (data: unknown): Standardizer => {
    const fitted = Standardizer.fit(data as Plain);
    change(fitted);
    return fitted;
  };
  const lenient = (field: string, read: (json: any) => any) => (json: any): Standardizer => {
    let error: unknown;
    try {
      return Standardizer.fromJSON(json);
    } catch (caught) {
      error = caught;
    }
    if ((error as Error).message.includes(`\`${field}\``) && typeof json === "object" && json !== null) return Standardizer.fromJSON(read(json));
    throw error;
  };
  const broken: [string, Partial<EstimatorSpec<Standardizer>>, string][] = [
    ["a fit with a hidden state", { fit: altered((f) => ((f as any).spread += 1e-3 * fits++)) }, "twice"],
    ["a state that only the JSON shows", { fit: altered((f) => ((f as any).weights += fits++)) }, "different JSON"],
    ["sorted arguments", { fit: (data) => { (data as Plain).data.sort(); return Standardizer.fit(data as Plain); } }, "unchanged"],
    ["data that are kept", { fit: (data) => { const f = Standardizer.fit(data as Plain); Object.defineProperty(f, "spread", { get: () => (data as Plain).data[0] }); return f; } }, "overwritten"],
    ["rounded JSON", { fit: altered((f) => ((f as any).toJSON = () => ({ ...Standardizer.prototype.toJSON.call(f), spread: Math.fround(f.spread + 1e-3) }))) }, "round trip"],
    ["a field that JSON forgets", { fromJSON: (json) => { const f = Standardizer.fromJSON(json); (f as any).spread = 1; return f; } }, "round trip"],
    ["an unknown version that is read", { fromJSON: lenient("version", (json) => ({ ...json, version: 1 })) }, "version 2 was accepted"],
    ["an unknown format that is read", { fromJSON: lenient("format", (json) => ({ ...json, format: "testkit/Standardizer" })) }, "was accepted"],
    ["a default for a missing field", { fromJSON: lenient("spread", (json) => ({ ...json, spread: json.spread ?? 1 })) }, "spread"],
    ["a number from a string", { fromJSON: lenient("spread", (json) => ({ ...json, spread: typeof json.spread === "string" ? Number(json.spread) : json.spread })) }, "spread replaced by a string was accepted"],
    ["NaN in a list", { fromJSON: lenient("mean", (json) => ({ ...json, mean: Array.isArray(json.mean) ? json.mean.map((v: unknown) => (Number.isNaN(v) ? 0 : v)) : json.mean })) }, "mean.0 replaced by NaN was accepted"],
    ["a nested field nobody looks at", { fromJSON: lenient("options.robust", (json) => ({ ...json, options: { ddof: 0, robust: false } })) }, "options.robust"],
    ["base64 that is not checked", { fromJSON: lenient("weights", (json) => (typeof json.weights === "string" ? { ...json, weights: encode(Float32Array.from(json.mean)) } : json)) }, "weights replaced by"],
    ["a crash in place of a refusal", { fromJSON: (json) => { void (json as any).options.ddof; return Standardizer.fromJSON(json); } }, "expected FormatError, got TypeError"],
    ["a message without the field", { fromJSON: (json) => { try { return Standardizer.fromJSON(json); } catch { throw new FormatError("bad JSON"); } } }, "does not name the field"],
    ["an output that depends on the first row", { fit: (data) => altered((f) => ((f as any).spread += (data as Plain).data[0]))(data) }, "reordering"],
    ["a wrong width that is accepted", { wrongWidth: [() => 0] }, "wrong width was accepted"],
    ["a wrong width that is a TypeError", { wrongWidth: [() => { throw new TypeError("x is undefined"); }] }, "expected a RangeError"],
    ["an invariant that fails", { invariants: [{ name: "spread is 3", holds: (f) => f.spread === 3 }] }, "spread is 3"],
    ["an estimate that is biased", { fit: altered((f) => ((f as any).spread *= 1.2)) }, "recovers the spread"],
    ["an estimate that is NaN", { recovers: [{ name: "nothing", estimate: () => NaN, truth: 1, standardError: 1 }] }, "recovers nothing"],
    ["an estimate without elements", { recovers: [{ name: "nothing", estimate: () => [], truth: [1], standardError: 1 }] }, "recovers nothing"],
  ];
  it.each(broken)("catches %s", (_, change, text) => {
    expect(() => checkEstimator({ ...good, ...change })).toThrow(text);
  });
});
