import { assert, runChecks, thrownBy, type Check, type Plain } from "./checks.ts";
import { expectClose, expectExact, type Closeness, type Comparable } from "./compare.ts";
import { testRandom } from "./random.ts";

/** A quantity of the fitted object whose true value is known because the data were made with it. */
export interface PlantedTruth<Fitted> {
  readonly name: string;
  estimate(fitted: Fitted): number | ArrayLike<number>;
  readonly truth: number | ArrayLike<number>;
  /** Standard error of the estimate, from theory: one for all or one for each element. */
  readonly standardError: number | ArrayLike<number>;
  /** How many standard errors the estimate may be away; default 4 (one in 16,000 by chance, but the data are seeded). */
  readonly within?: number;
}

/** A fitted object: `static fit`, `toJSON`, `static fromJSON` and an output function. */
export interface EstimatorSpec<Fitted> {
  readonly name: string;
  /** The arguments of the fit; those whose first axis has the length of the first are rows and are reordered together. */
  readonly data: readonly (Plain | Plain<Int32Array> | Plain<Uint8Array>)[];
  fit(...data: readonly (Plain | Plain<Int32Array> | Plain<Uint8Array>)[]): Fitted;
  /** What the fitted object answers to inputs that the caller chooses; one result or several. */
  output(fitted: Fitted): Comparable | readonly { readonly shape: readonly number[]; readonly data: ArrayLike<number> }[];
  fromJSON(json: unknown): Fitted;
  /** Outputs after a reordering of the rows: "exact" (default), within a bound (say why beside it), or "matters". */
  readonly rowOrder?: "exact" | "matters" | Closeness;
  /** Calls with inputs of a wrong width; each must throw a RangeError. */
  readonly wrongWidth?: readonly ((fitted: Fitted) => unknown)[];
  /** What always holds (argmax kept, monotone, rows sum to 1); throws or returns false where it does not. */
  readonly invariants?: readonly { readonly name: string; holds(fitted: Fitted): boolean | void }[];
  readonly recovers?: readonly PlantedTruth<Fitted>[];
  /** Paths of JSON fields that may be missing or null ("options.prior"). */
  readonly optional?: readonly string[];
  /** Paths of JSON fields that hold base64 of float32. */
  readonly base64?: readonly string[];
  /** The `name` of the error that refuses bad JSON; default FormatError. */
  readonly refusal?: string;
  readonly seed?: number;
}

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
type Path = readonly (string | number)[];

/**
 * The battery of a fitted object, as named assertions.
 *
 * @example
 *   it.each(estimatorChecks({
 *     name: "TemperatureScaling", data: [logits, labels], fit: TemperatureScaling.fit, fromJSON: TemperatureScaling.fromJSON, output: (f) => f.transform(x),
 *   }))("$name", ({ run }) => run());
 */
export function estimatorChecks<Fitted>(spec: EstimatorSpec<Fitted>): Check[] {
  const { name, rowOrder = "exact", wrongWidth = [], invariants = [], recovers = [], seed = 1 } = spec;
  const copies = (): (Plain | Plain<Int32Array> | Plain<Uint8Array>)[] => spec.data.map((x) => ({ ...x, shape: [...x.shape], data: x.data.slice() }) as Plain);
  const fit = (): Fitted => spec.fit(...copies());
  const outputs = (fitted: Fitted): Comparable[] => {
    const y = spec.output(fitted);
    const list = Array.isArray(y) && typeof y[0] === "object" && y[0] !== null && "data" in y[0] ? (y as Comparable[]) : [y as Comparable];
    return list.map((item) => (typeof item === "object" && "data" in item ? { shape: item.shape, data: Float64Array.from(item.data) } : item));
  };
  const same = (got: Fitted, want: Fitted, label: string): void => {
    const [a, b] = [outputs(got), outputs(want)];
    assert(a.length === b.length && a.length > 0, `${name}: ${a.length} and ${b.length} outputs`);
    a.forEach((item, i) => expectExact(copyOf(item), b[i], `${name} output ${i} ${label}`));
  };
  const text = (fitted: Fitted): string => JSON.stringify(fitted);
  const written = (fitted: Fitted): Json => JSON.parse(text(fitted)) as Json;

  const checks: Check[] = [
    {
      name: "fits the same object twice, bit by bit",
      run: () => {
        const [first, second] = [fit(), fit()];
        same(second, first, "of the second fit");
        assert(text(first) === text(second), `${name}: two fits of the same data write different JSON`);
      },
    },
    {
      name: "leaves the arguments of the fit unchanged",
      run: () => {
        const given = copies();
        spec.fit(...given);
        given.forEach((x, i) => expectExact(x, spec.data[i], `${name} argument ${i}`));
      },
    },
    {
      name: "keeps nothing of its arguments that a caller could change",
      run: () => {
        const given = copies();
        const fitted = spec.fit(...given);
        for (const { data } of given) data.fill(1);
        same(fitted, fit(), "after the arguments were overwritten");
      },
    },
    {
      name: "survives JSON text bit by bit",
      run: () => {
        const fitted = fit();
        const json = text(fitted);
        assert(typeof json === "string" && json.startsWith("{"), `${name}: JSON.stringify gives ${json}`);
        const again = spec.fromJSON(JSON.parse(json));
        same(again, fitted, "after a round trip");
        assert(text(again) === json, `${name}: the JSON of the restored object differs`);
      },
    },
    {
      name: "refuses an unknown format and version",
      run: () => {
        const json = written(fit()) as { [key: string]: Json };
        assert(typeof json.format === "string" && Number.isInteger(json.version), `${name}: JSON needs a string \`format\` and an integer \`version\``);
        for (const format of [`${json.format as string}x`, "", null, 1]) refuses(spec, { ...json, format }, ["format"], `format ${JSON.stringify(format)}`);
        for (const version of [(json.version as number) + 1, 0, -1, 0.5, `${json.version as number}`, null]) {
          refuses(spec, { ...json, version }, ["version"], `version ${JSON.stringify(version)}`);
        }
        for (const root of [null, 1, "text", [], {}]) refuses(spec, root, [], `JSON ${JSON.stringify(root)}`);
      },
    },
    {
      name: "refuses JSON with a field that is missing or of the wrong kind",
      run: () => {
        const json = written(fit());
        for (const path of pathsOf(json)) {
          const value = valueAt(json, path);
          const spelled = path.join(".");
          const optional = spec.optional?.includes(spelled) ?? false;
          for (const [label, bad] of corruptionsOf(value, spec.base64?.includes(spelled) ?? false)) {
            if (optional && bad === null) continue;
            refuses(spec, replaced(json, path, bad), path, `${spelled} replaced by ${label}`);
          }
          if (typeof path[path.length - 1] === "string" && !optional) refuses(spec, without(json, path), path, `${spelled} removed`);
        }
      },
    },
  ];
  if (rowOrder !== "matters") {
    checks.push({
      name: rowOrder === "exact" ? "does not depend on the order of the rows" : "does not depend on the order of the rows, within the bound",
      run: () => {
        const order = testRandom(seed).permutation(spec.data[0].shape[0]);
        const want = outputs(fit());
        outputs(spec.fit(...copies().map((x) => reordered(x, order)))).forEach((got, i) => {
          const label = `${name} output ${i} after reordering the rows`;
          if (rowOrder === "exact") expectExact(copyOf(got), want[i], label);
          else expectClose(copyOf(got), want[i], { ...rowOrder, label });
        });
      },
    });
  }
  if (wrongWidth.length > 0) {
    checks.push({
      name: "refuses inputs of another width",
      run: () => {
        const fitted = fit();
        wrongWidth.forEach((call, i) => {
          const error = thrownBy(`${name}: input ${i} of a wrong width`, () => call(fitted));
          assert(error instanceof RangeError, `${name}: expected a RangeError for input ${i} of a wrong width, got ${error.name}: ${error.message}`);
        });
      },
    });
  }
  for (const invariant of invariants) {
    checks.push({ name: invariant.name, run: () => assert(invariant.holds(fit()) !== false, `${name}: does not hold`) });
    checks.push({
      name: `${invariant.name} (restored from JSON)`,
      run: () => assert(invariant.holds(spec.fromJSON(written(fit()))) !== false, `${name}: does not hold`),
    });
  }
  for (const planted of recovers) {
    checks.push({
      name: `recovers ${planted.name}`,
      run: () => {
        const { truth, standardError, within = 4 } = planted;
        const estimates = listOf(planted.estimate(fit()));
        const truths = listOf(truth);
        const errors = typeof standardError === "number" ? truths.map(() => standardError) : listOf(standardError);
        assert(estimates.length === truths.length && errors.length === truths.length, `${name}: ${estimates.length} estimates, ${truths.length} truths, ${errors.length} standard errors`);
        estimates.forEach((estimate, i) => {
          const distance = Math.abs(estimate - truths[i]) / errors[i];
          assert(distance <= within, `${name}: ${planted.name} ${i} is ${estimate}, planted ${truths[i]}: ${distance} standard errors away, more than ${within}`);
        });
      },
    });
  }
  return checks;
}

/** Runs the whole battery of {@link estimatorChecks}; throws at the first assertion that fails. */
export function checkEstimator<Fitted>(spec: EstimatorSpec<Fitted>): void {
  runChecks(spec.name, estimatorChecks(spec));
}

function refuses(spec: { readonly name: string; fromJSON(json: unknown): unknown; readonly refusal?: string }, json: unknown, path: Path, what: string): void {
  const { name, refusal = "FormatError" } = spec;
  const error = thrownBy(`${name}.fromJSON: ${what}`, () => spec.fromJSON(json));
  assert(error.name === refusal, `${name}.fromJSON: ${what}: expected ${refusal}, got ${error.name}: ${error.message}`);
  const keys = path.filter((key) => typeof key === "string");
  assert(keys.length === 0 || keys.some((key) => error.message.includes(key)), `${name}.fromJSON: ${what}: the message does not name the field: ${error.message}`);
}

/** Every path below the root; of long arrays the first and the last element. */
function pathsOf(json: Json, path: Path = []): Path[] {
  if (typeof json !== "object" || json === null) return path.length > 0 ? [path] : [];
  const keys = Array.isArray(json) ? [...new Set([0, json.length - 1])].filter((i) => i >= 0) : Object.keys(json);
  const below = keys.flatMap((key) => pathsOf((json as Record<string | number, Json>)[key], [...path, key]));
  return path.length > 0 ? [path, ...below] : below;
}

function corruptionsOf(value: Json, base64: boolean): [string, unknown][] {
  const all: [string, unknown][] = [["null", null]];
  if (typeof value === "number") all.push(["NaN", NaN], ["Infinity", Infinity], ["-Infinity", -Infinity], ["a string", `${value}`], ["a list", [value]], ["true", true]);
  else if (typeof value === "string") all.push(["a number", 7], ["a list", [value]], ["an object", {}]);
  else if (typeof value === "boolean") all.push(["a string", `${value}`], ["a number", Number(value)]);
  else if (Array.isArray(value)) all.push(["a number", 7], ["a string", "text"], ["an object", { length: value.length }]);
  else if (value !== null) all.push(["a number", 7], ["a string", "text"], ["a list", []]);
  if (base64) all.push(["cut base64", (value as string).slice(0, -8)], ["text that is no base64", `!${(value as string).slice(1)}`], ["base64 of NaN", `AADAfwAA${(value as string).slice(8)}`]);
  return all;
}

function valueAt(json: Json, path: Path): Json {
  return path.reduce<Json>((value, key) => (value as Record<string | number, Json>)[key], json);
}

function replaced(json: Json, path: Path, value: unknown): unknown {
  const copy = structuredClone(json);
  (valueAt(copy, path.slice(0, -1)) as Record<string | number, unknown>)[path[path.length - 1]] = value;
  return copy;
}

function without(json: Json, path: Path): unknown {
  const copy = structuredClone(json);
  delete (valueAt(copy, path.slice(0, -1)) as Record<string | number, Json>)[path[path.length - 1]];
  return copy;
}

/** A comparable that shares no memory, so that an object that answers with its own array can still be compared. */
function copyOf(x: Comparable): Comparable {
  if (typeof x === "number" || Array.isArray(x)) return structuredClone(x);
  return "data" in x ? { shape: x.shape, data: Float64Array.from(x.data) } : Float64Array.from(x as ArrayLike<number>);
}

function listOf(x: number | ArrayLike<number>): number[] {
  return typeof x === "number" ? [x] : Array.from(x);
}

function reordered<P extends Plain | Plain<Int32Array> | Plain<Uint8Array>>(x: P, order: readonly number[]): P {
  if (x.shape[0] !== order.length) return x;
  const width = x.data.length / order.length;
  const data = x.data.slice();
  order.forEach((from, to) => data.set(x.data.subarray(from * width, (from + 1) * width), to * width));
  return { ...x, data };
}
