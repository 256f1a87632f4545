import { FormatError, Tensor, message, readJson, sizeOf, tensorToJSON, type TensorJSON } from "@logits/tensor";

const FORMAT = "logits/self-test";
/** Rows of a self-test. */
const ROWS = 4;
/** How far a number may be from what the artefact says, times max(1, the largest of its kind): instruction sets and versions differ by rounding, other arithmetic by much more. */
export const SELF_TEST_BOUND = 1e-4;

/** Numbers that a head computed from `selfTestRows` when it was fitted. */
export interface SelfTestJSON {
  readonly format: "logits/self-test";
  readonly version: 1;
  /** float32, by the name of the stage; a stage with a number that is not finite is left out. */
  readonly numbers: Readonly<Record<string, TensorJSON>>;
}

/**
 * The rows of a self-test, made up so that an artefact carries nobody's data: s <- 1664525 s + 1013904223 mod 2^32 from s = 1, u = floor(s / 2^16) / 2^15 - 1 in [-1, 1).
 *
 * @param kind - "logits": 8 u; "features": u; "sizes": |u|, features for a detector that takes none below 0; "probabilities": (u + 1.125) over the sum of its row
 * @param width - C or F
 * @returns float32 [4, width], the same bits in every engine
 */
export function selfTestRows(kind: "logits" | "features" | "sizes" | "probabilities", width: number): Tensor<"float32"> {
  const data = new Float32Array(ROWS * width);
  for (let row = 0, state = 1; row < ROWS; row++) {
    let sum = 0;
    for (let i = row * width; i < (row + 1) * width; i++) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      const u = (state >>> 16) / 32768 - 1;
      data[i] = kind === "logits" ? 8 * u : kind === "features" ? u : kind === "sizes" ? Math.abs(u) : u + 1.125;
      sum += data[i];
    }
    if (kind === "probabilities") for (let i = row * width; i < (row + 1) * width; i++) data[i] /= sum;
  }
  return new Tensor("float32", [ROWS, width], data);
}

/** What the artefact carries: the numbers of each stage, computed now. */
export function selfTestToJSON(numbers: Readonly<Record<string, Tensor<"float32">>>): SelfTestJSON {
  return { format: FORMAT, version: 1, numbers: Object.fromEntries(Object.entries(finite(numbers)).map(([name, tensor]) => [name, tensorToJSON(tensor)])) };
}

/**
 * Compares the numbers of an artefact with the same ones computed here.
 *
 * @param where - the caller, `DecisionHead.fromJSON`
 * @param json - what `selfTestToJSON` wrote
 * @param numbers - computed from `selfTestRows` by what was read
 * @returns the self-test to write on
 * @throws FormatError if it is none, or where a number is further away than the bound: the engine, or the library's version, computes differently, and promises made
 *   with other numbers would not hold
 */
export function checkSelfTest(where: string, json: unknown, numbers: Readonly<Record<string, Tensor<"float32">>>): SelfTestJSON {
  const fields = readJson(where, json, FORMAT, 1, "@logits/head");
  const stages = readJson(where, { ...Object(fields.value("numbers")), format: FORMAT, version: 1 }, FORMAT, 1, "@logits/head");
  const computed = finite(numbers);
  const names = Object.keys(computed).sort().join(", "), given = Object.keys(Object(fields.value("numbers"))).sort().join(", ");
  if (names !== given) fields.fail("numbers", `of ${names}`, given === "" ? "none" : given);
  const read: Record<string, Tensor<"float32">> = {};
  for (const [name, { shape, data }] of Object.entries(computed)) {
    const want = stages.tensor(name, "float32", shape.length);
    if (want.size !== sizeOf(shape) || want.shape.some((size, axis) => size !== shape[axis])) stages.fail(name, `of shape [${shape.join(", ")}]`, `[${want.shape.join(", ")}]`);
    const bound = SELF_TEST_BOUND * want.data.reduce((top, x) => Math.max(top, Math.abs(x)), 1);
    const far = want.data.findIndex((x, i) => !(Math.abs(x - data[i]) <= bound));
    if (far >= 0) throw new FormatError(message(where, name, `of the self-test within ${bound.toPrecision(2)} of ${want.data[far]}`, `${data[far]} at index ${far}`, "This engine or version computes differently from the one that fitted, so the promises would not hold: fit again here, or use the version in `library`"));
    read[name] = want;
  }
  return selfTestToJSON(Object.fromEntries(Object.keys(Object(fields.value("numbers"))).map((name) => [name, read[name]])));
}

function finite(numbers: Readonly<Record<string, Tensor<"float32">>>): Record<string, Tensor<"float32">> {
  return Object.fromEntries(Object.entries(numbers).filter(([, { data }]) => data.every(Number.isFinite)));
}
