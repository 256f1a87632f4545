import { assert, runChecks, thrownBy, type Check, type Plain, type Result } from "./checks.ts";
import { expectClose, expectExact, type Closeness } from "./compare.ts";
import { testRandom, type TestRandom } from "./random.ts";

/** A row whose answer is part of the contract. */
export interface SpecialRow {
  readonly name: string;
  readonly row: readonly number[];
  /** The answer: compared by `Object.is` unless `bound` is given. */
  readonly want: number | readonly number[];
  readonly bound?: Closeness;
}

/** An operation on the rows of [rows, columns]. */
export interface KernelSpec {
  readonly name: string;
  /** The operation. x: float32 [rows, columns]; result [rows] where `reference` gives a number, else [rows, its length]. */
  run(x: Plain): Result;
  /** The definition of one row, in float64. */
  reference(row: Float64Array): Float64Array | number;
  /** How far from the definition, in general or for this row and its answer (`{ atol: 4e-7 * Math.max(1, ...) }`). */
  readonly bound: Closeness | ((row: Float64Array, want: Float64Array) => Closeness);
  /** Default 1 2 3 4 5 7 8 9 15 16 17 31 33: around the SIMD width. */
  readonly columns?: readonly number[];
  /** Default 1 2 3 4 5 7: around the number of rows that share a vector. */
  readonly rows?: readonly number[];
  /** One element; default 4 times a standard normal. */
  generate?(random: TestRandom): number;
  /** A row computed alone has the same bits ("exact", default), or is only within `bound` of the definition. */
  readonly rowIndependence?: "exact" | "bound";
  /** What a NaN does: every result of its row is NaN ("row", default), only its own element ("element"), or an error that names the row ("refused"). */
  readonly nan?: "row" | "element" | "refused";
  readonly special?: readonly SpecialRow[];
  readonly seed?: number;
}

const COLUMNS = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33];
const ROWS = [1, 2, 3, 4, 5, 7];
// Quiet NaN, quiet NaN with a payload, the same with the sign set: a comparison that forgets one of them loses it.
const NANS = [0x7fc00000, 0x7fc0dead, 0xffc0dead];

/**
 * The battery of an operation on rows, as named assertions.
 *
 * @example
 *   it.each(kernelChecks({ name: "softmax", run: (x) => softmax(x), reference: softmaxRef, bound: { ulp: 4 } }))("$name", ({ run }) => run());
 */
export function kernelChecks(spec: KernelSpec): Check[] {
  const { columns = COLUMNS, rows = ROWS, rowIndependence = "exact", nan = "row", special = [], seed = 1 } = spec;
  const generate = spec.generate ?? ((random: TestRandom) => 4 * random.normal());
  const input = (r: number, c: number, salt = 0): Plain => {
    const random = testRandom(seed + 1009 * r + c + salt);
    return plain(r, c, Float32Array.from({ length: r * c }, () => generate(random)));
  };
  const run = (x: Plain): Result => {
    const { shape, data } = spec.run(x);
    return { shape, data: Float64Array.from(data) };
  };
  const widest = Math.max(...rows);
  const eachSize = (check: (r: number, c: number) => void): void => {
    for (const c of columns) for (const r of rows) check(r, c);
  };
  const eachWidth = (check: (r: number, c: number) => void): void => {
    for (const c of columns) check(widest, c);
  };

  const checks: Check[] = [
    {
      name: "agrees with the definition",
      run: () => eachSize((r, c) => agree(spec, input(r, c))),
    },
    {
      name: "leaves its input unchanged",
      run: () =>
        eachSize((r, c) => {
          const x = input(r, c);
          const before = x.data.slice();
          spec.run(x);
          expectExact(x.data, before, `${spec.name} input [${r}, ${c}]`);
        }),
    },
    {
      name: "gives the same bits again, in a result that outlives the next call",
      run: () =>
        eachSize((r, c) => {
          const first = spec.run(input(r, c));
          const kept = Float64Array.from(first.data);
          spec.run(input(r, c, 1e6));
          expectExact(first.data, kept, `${spec.name} [${r}, ${c}] after another call`);
          expectExact(run(input(r, c)).data, kept, `${spec.name} [${r}, ${c}] again`);
        }),
    },
    {
      name: "reads a view into a larger buffer",
      run: () =>
        eachWidth((r, c) => {
          const x = input(r, c);
          const larger = new Float32Array(x.data.length + 6).fill(NaN);
          larger.set(x.data, 3);
          expectExact(run({ ...x, data: larger.subarray(3, 3 + x.data.length) }), run(x), `${spec.name} [${r}, ${c}] view`);
        }),
    },
    {
      name: rowIndependence === "exact" ? "computes a row alone with the same bits" : "computes a row alone within the bound",
      run: () =>
        eachWidth((r, c) => {
          const x = input(r, c);
          const all = run(x);
          const width = all.data.length / r;
          for (let i = 0; i < r; i++) {
            const alone = plain(1, c, rowOf(x, i).slice());
            if (rowIndependence === "exact") expectExact(run(alone).data, Array.prototype.slice.call(all.data, i * width, (i + 1) * width), `${spec.name} row ${i} of [${r}, ${c}] alone`);
            else agree(spec, alone);
          }
        }),
    },
    {
      name: nan === "refused" ? "refuses NaN and names its row" : "keeps a NaN in its row and never loses it",
      run: () => eachWidth((r, c) => spreadOfNaN(spec, nan, run, input(r, c))),
    },
    {
      name: "takes no rows",
      run: () => {
        const { shape, data } = run(plain(0, columns[columns.length - 1], new Float32Array(0)));
        assert(data.length === 0 && shape[0] === 0, `${spec.name} of no rows has shape [${shape.join(", ")}] and ${data.length} elements`);
      },
    },
  ];
  for (const { name, row, want, bound } of special) {
    checks.push({
      name: `special row: ${name}`,
      run: () => {
        const c = row.length;
        const answer = typeof want === "number" ? [want] : want;
        for (const r of rows) {
          const others = input(r, c);
          const without = run(others);
          for (let i = 0; i < r; i++) {
            const data = others.data.slice();
            data.set(row, i * c);
            const all = run(plain(r, c, data));
            assert(all.data.length === r * answer.length, `${spec.name}: ${all.data.length} results for ${r} rows of ${answer.length}`);
            for (let j = 0; j < r; j++) {
              const got = Array.prototype.slice.call(all.data, j * answer.length, (j + 1) * answer.length) as number[];
              const label = `${spec.name} row ${j} of [${r}, ${c}] with the special row at ${i}`;
              if (j === i && bound) expectClose(got, answer, { ...bound, label });
              else if (j === i) expectExact(got, answer, label);
              else if (rowIndependence === "exact") expectExact(got, Array.prototype.slice.call(without.data, j * answer.length, (j + 1) * answer.length), label);
              else agreeRow(spec, rowOf(others, j), got, label);
            }
          }
        }
      },
    });
  }
  return checks;
}

/** Runs the whole battery of {@link kernelChecks}; throws at the first assertion that fails. */
export function checkKernel(spec: KernelSpec): void {
  runChecks(spec.name, kernelChecks(spec));
}

function plain(rows: number, columns: number, data: Float32Array): Plain {
  return { dtype: "float32", shape: [rows, columns], data };
}

function rowOf(x: Plain, i: number): Float32Array {
  const c = x.shape[1];
  return x.data.subarray(i * c, (i + 1) * c);
}

function agree(spec: KernelSpec, x: Plain): void {
  const [rows] = x.shape;
  const copy = x.data.slice();
  const got = spec.run(x);
  const want = spec.reference(Float64Array.from(copy.subarray(0, x.shape[1])));
  const shape = typeof want === "number" ? [rows] : [rows, want.length];
  assert(`${got.shape}` === `${shape}`, `${spec.name} of [${x.shape.join(", ")}] has shape [${got.shape.join(", ")}], expected [${shape.join(", ")}]`);
  const width = got.data.length / rows;
  for (let i = 0; i < rows; i++) {
    const row = copy.subarray(i * x.shape[1], (i + 1) * x.shape[1]);
    agreeRow(spec, row, Array.prototype.slice.call(got.data, i * width, (i + 1) * width) as number[], `${spec.name} row ${i} of [${x.shape.join(", ")}]`);
  }
}

function agreeRow(spec: KernelSpec, row: Float32Array, got: readonly number[], label: string): void {
  const exact = Float64Array.from(row);
  const answer = spec.reference(exact.slice());
  const want = typeof answer === "number" ? Float64Array.of(answer) : answer;
  const bound = typeof spec.bound === "function" ? spec.bound(exact, want) : spec.bound;
  expectClose(got, want, { ...bound, label });
}

function spreadOfNaN(spec: KernelSpec, nan: "row" | "element" | "refused", run: (x: Plain) => Result, x: Plain): void {
  const [r, c] = x.shape;
  const without = run(x);
  const width = without.data.length / r;
  for (let i = 0; i < r; i++) {
    for (const column of new Set([0, c >> 1, c - 1])) {
      for (const pattern of NANS) {
        const data = x.data.slice();
        new Uint32Array(data.buffer)[i * c + column] = pattern;
        const label = `${spec.name} of [${r}, ${c}] with NaN 0x${pattern.toString(16)} in row ${i}, column ${column}`;
        if (nan === "refused") {
          refusesRow(label, i, () => spec.run(plain(r, c, data)));
          continue;
        }
        const { data: got } = run(plain(r, c, data));
        for (let j = 0; j < got.length; j++) {
          const row = Math.floor(j / width);
          if (row !== i && spec.rowIndependence !== "bound") assert(Object.is(got[j], without.data[j]), `${label}: result ${j} of row ${row} changed from ${without.data[j]} to ${got[j]}`);
          else if (row !== i) assert(!Number.isNaN(got[j]) || Number.isNaN(without.data[j]), `${label}: result ${j} of row ${row} became NaN`);
          else if (nan === "row" || j % width === column) assert(Number.isNaN(got[j]), `${label}: result ${j} is ${got[j]}, the NaN was lost`);
          else assert(Object.is(got[j], without.data[j]), `${label}: result ${j} changed from ${without.data[j]} to ${got[j]}`);
        }
      }
    }
  }
}

function refusesRow(label: string, row: number, run: () => unknown): void {
  const error = thrownBy(label, run);
  assert(error instanceof RangeError && new RegExp(`\\brow ${row}\\b`).test(error.message), `${label}: expected a RangeError that names row ${row}, got ${error.name}: ${error.message}`);
}
