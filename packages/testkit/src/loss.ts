import { assert, runChecks, thrownBy, type Check, type Plain, type Result } from "./checks.ts";
import { expectClose, expectExact, type Closeness } from "./compare.ts";
import { finiteDifferenceGradient, type DifferenceOptions } from "./differences.ts";
import { testRandom } from "./random.ts";

/** An argument of a loss: predictions, labels, targets. */
export type LossArgument = Plain | Plain<Int32Array> | Plain<Uint8Array>;

/** The shape of a `Loss`: callable, and with `withGrad`. */
export interface LossLike {
  (...args: any[]): Result;
  withGrad(...args: any[]): { readonly loss: Result } & object;
}

/** One set of arguments. */
export interface LossCase {
  readonly name: string;
  /** Predictions first; every argument that is not `shared` has rows on its first axis. At least 3 rows. */
  readonly arguments: readonly LossArgument[];
  /** Options of this loss (`{ gamma: 2 }`), without reduction, weight, where, ignoreIndex and upstream. */
  readonly options?: object;
}

/** An argument whose gradient is published. */
export interface Differentiable {
  /** Position among the arguments. */
  readonly argument: number;
  /** Where `withGrad` puts its gradient; default `grad`. */
  read?(result: any): Result;
}

/** A loss with one value per row. */
export interface LossSpec {
  readonly name: string;
  readonly loss: LossLike;
  readonly cases: readonly LossCase[];
  /** The definition of the value of one row, in float64: gets the row of each argument (a shared argument whole) and the options of the case. */
  reference(row: readonly Float64Array[], options: any): number;
  /** How far values may be from the definition. */
  readonly bound: Closeness;
  /** How far gradients may be from central differences of the definition. */
  readonly gradientBound: Closeness;
  readonly differences?: DifferenceOptions;
  /** Default: argument 0, as `grad`. */
  readonly differentiable?: readonly Differentiable[];
  /** Positions of arguments without rows (weights of a projection). */
  readonly shared?: readonly number[];
  /** An argument of integer labels in [0, classes): out of range is refused with its index, and `ignoreIndex` drops rows. */
  readonly labels?: { readonly argument: number; readonly name?: string; readonly classes: number };
  /** Predictions of this size must give finite values and gradients; default 1e4, `false` where they cannot occur. */
  readonly extreme?: number | false;
  readonly seed?: number;
}

type Reduction = "none" | "sum" | "mean";
const REDUCTIONS: readonly Reduction[] = ["none", "sum", "mean"];

/**
 * The battery of a loss, as named assertions.
 *
 * @example
 *   it.each(lossChecks({ name: "huberLoss", loss: huberLoss, reference: huberRef, cases, bound: { atol: 1e-6 }, gradientBound: { atol: 1e-5 } }))("$name", ({ run }) => run());
 */
export function lossChecks(spec: LossSpec): Check[] {
  return spec.cases.flatMap((one) => caseChecks(spec, one).map(({ name, run }) => ({ name: `${one.name}: ${name}`, run })));
}

/** Runs the whole battery of {@link lossChecks}; throws at the first assertion that fails. */
export function checkLoss(spec: LossSpec): void {
  runChecks(spec.name, lossChecks(spec));
}

function caseChecks(spec: LossSpec, { arguments: given, options = {} }: LossCase): Check[] {
  const { name, loss, labels, shared = [], differentiable = [{ argument: 0 }], extreme = 1e4, seed = 1 } = spec;
  const random = testRandom(seed);
  const rows = given[0].shape[0];
  const fresh = (): LossArgument[] => given.map((x) => ({ ...x, data: x.data.slice() }) as LossArgument);
  const weight = Float32Array.from({ length: rows }, (_, i) => (i === 1 ? 0 : 0.25 + 2 * random.uniform()));
  const where = Uint8Array.from({ length: rows }, (_, i) => (i % 3 === 1 ? 0 : 1));
  const kept = Array.from(where.keys()).filter((i) => where[i] === 1);
  const upstreamOf = (reduction: Reduction): Float32Array => Float32Array.from({ length: reduction === "none" ? rows : 1 }, () => 0.5 + random.normal());
  const shapeOf = (reduction: Reduction, count = rows): readonly number[] => (reduction === "none" ? [count] : []);
  const gradients = (result: object): Float64Array[] =>
    differentiable.map(({ argument, read = (r: any) => r.grad as Result }) => {
      const { shape, data } = read(result);
      assert(`${shape}` === `${given[argument].shape}`, `${name}: gradient of argument ${argument} has shape [${shape.join(", ")}], the argument [${given[argument].shape.join(", ")}]`);
      return Float64Array.from(data);
    });
  const definition = (args: readonly ArrayLike<number>[], reduction: Reduction, weights: ArrayLike<number>): Float64Array => {
    const values = new Float64Array(rows);
    let total = 0;
    let mass = 0;
    for (let i = 0; i < rows; i++) {
      if (weights[i] === 0) continue;
      const row = args.map((data, a) => {
        const width = data.length / rows;
        return Float64Array.from(shared.includes(a) ? data : (Array.prototype.slice.call(data, i * width, (i + 1) * width) as number[]));
      });
      values[i] = weights[i] * spec.reference(row, options);
      total += values[i];
      mass += weights[i];
    }
    return reduction === "none" ? values : Float64Array.of(reduction === "sum" ? total : mass === 0 ? 0 : total / mass);
  };
  const ones = new Float32Array(rows).fill(1);
  const masses: { label: string; weights: Float32Array; extra: object }[] = [
    { label: "", weights: ones, extra: {} },
    { label: " with weight", weights: weight, extra: { weight } },
    { label: " with where", weights: Float32Array.from(where), extra: { where } },
    { label: " with weight and where", weights: weight.map((w, i) => w * where[i]), extra: { weight, where } },
  ];

  const checks: Check[] = [
    {
      name: "agrees with the definition in every reduction, weighted and masked",
      run: () => {
        for (const reduction of REDUCTIONS) {
          for (const { label: suffix, weights, extra } of masses) {
            const got = loss(...fresh(), { ...options, ...extra, reduction });
            const label = `${name}, reduction ${reduction}${suffix}`;
            assert(`${got.shape}` === `${shapeOf(reduction)}`, `${label}: shape [${got.shape.join(", ")}], expected [${shapeOf(reduction).join(", ")}]`);
            expectClose(got.data, definition(given.map((x) => x.data), reduction, weights), { ...spec.bound, label });
          }
        }
      },
    },
    {
      name: "takes the mean where nothing is said",
      run: () => {
        expectExact(loss(...fresh(), { ...options, weight }), copied(loss(...fresh(), { ...options, weight, reduction: "mean" })), `${name} without a reduction`);
        expectExact(loss(...fresh(), ...(Object.keys(options).length > 0 ? [options] : [])), copied(loss(...fresh(), { ...options, reduction: "mean" })), `${name} without options`);
      },
    },
    {
      name: "has the gradient of the definition in every element, with a random upstream",
      run: () => {
        for (const reduction of REDUCTIONS) {
          for (const { label: suffix, weights, extra } of masses) {
            const upstream = upstreamOf(reduction);
            const shaped: Plain = { dtype: "float32", shape: shapeOf(reduction), data: upstream };
            const grads = gradients(loss.withGrad(...fresh(), { ...options, ...extra, reduction, upstream: shaped }));
            differentiable.forEach(({ argument }, g) => {
              const want = finiteDifferenceGradient(
                (x) => definition(given.map((arg, a) => (a === argument ? x : arg.data)), reduction, weights).reduce((sum, value, i) => sum + upstream[i] * value, 0),
                given[argument].data,
                spec.differences,
              );
              const label = `${name} gradient of argument ${argument}, reduction ${reduction}${suffix}`;
              expectClose({ shape: given[argument].shape, data: grads[g] }, { shape: given[argument].shape, data: want }, { ...spec.gradientBound, label });
            });
          }
        }
      },
    },
    {
      name: "has the upstream 1 where none is given, and the same value with and without gradient",
      run: () => {
        for (const reduction of REDUCTIONS) {
          const one: Plain = { dtype: "float32", shape: shapeOf(reduction), data: new Float32Array(reduction === "none" ? rows : 1).fill(1) };
          const plain = loss.withGrad(...fresh(), { ...options, weight, reduction });
          const value = loss(...fresh(), { ...options, weight, reduction });
          expectExact(copied(plain.loss), copied(value), `${name}.withGrad value, reduction ${reduction}`);
          const explicit = gradients(loss.withGrad(...fresh(), { ...options, weight, reduction, upstream: one }));
          gradients(plain).forEach((grad, g) => expectExact(grad, explicit[g], `${name} gradient ${g} without upstream, reduction ${reduction}`));
        }
      },
    },
    {
      name: "leaves its arguments unchanged",
      run: () => {
        const args = fresh();
        const [w, m] = [weight.slice(), where.slice()];
        loss(...args, { ...options, weight: w, where: m });
        loss.withGrad(...args, { ...options, weight: w, where: m });
        args.forEach((x, a) => expectExact(x.data, given[a].data, `${name} argument ${a}`));
        expectExact(w, weight, `${name} weight`);
        expectExact(m, where, `${name} where`);
      },
    },
    {
      name: "gives the same value with `where` as without the rows, whatever they hold",
      run: () => dropped(fresh().map((x, a) => (shared.includes(a) || !(x.data instanceof Float32Array) ? x : spoiled(x as Plain, where))), { where }),
    },
    {
      name: "does not depend on the order of the batch",
      run: () => {
        const order = random.permutation(rows);
        const args = fresh();
        const moved = args.map((x, a) => (shared.includes(a) ? x : taken(x, order)));
        const [before, after] = [args, moved].map((list, k) => loss.withGrad(...list, { ...options, weight: k === 0 ? weight : Float32Array.from(order, (i) => weight[i]), reduction: "none" }));
        expectExact(copied(after.loss).data, order.map((i) => before.loss.data[i]), `${name} after a permutation of the batch`);
        const [gradsBefore, gradsAfter] = [gradients(before), gradients(after)];
        differentiable.forEach(({ argument }, g) => {
          const want = shared.includes(argument) ? gradsBefore[g] : taken({ ...given[argument], data: gradsBefore[g] } as unknown as Plain, order).data;
          expectClose(gradsAfter[g], want, { ...spec.gradientBound, label: `${name} gradient of argument ${argument} after a permutation of the batch` });
        });
      },
    },
    {
      name: "gives 0 and a zero gradient where no row takes part",
      run: () => {
        for (const extra of [{ where: new Uint8Array(rows) }, { weight: new Float32Array(rows) }]) {
          for (const reduction of REDUCTIONS) {
            const result = loss.withGrad(...fresh(), { ...options, ...extra, reduction });
            const label = `${name}, reduction ${reduction}, no row takes part`;
            expectClose(result.loss.data, new Float32Array(reduction === "none" ? rows : 1), { atol: 0, label });
            for (const grad of gradients(result)) expectClose(grad, new Float32Array(grad.length), { atol: 0, label: `${label}, gradient` });
          }
        }
      },
    },
    {
      name: "refuses weights and masks that are none",
      run: () => {
        const bad: [string, object, string][] = [
          ["a negative weight", { weight: weight.map((w, i) => (i === 2 ? -1 : w)) }, "weight"],
          ["a weight of NaN", { weight: weight.map((w, i) => (i === 2 ? NaN : w)) }, "weight"],
          ["an infinite weight", { weight: weight.map((w, i) => (i === 2 ? Infinity : w)) }, "weight"],
          ["too many weights", { weight: new Float32Array(rows + 1) }, "weight"],
          ["a mask of 2", { where: where.map((m, i) => (i === 2 ? 2 : m)) }, "where"],
          ["a short mask", { where: where.slice(1) }, "where"],
          ["an unknown reduction", { reduction: "batchmean" }, "reduction"],
        ];
        for (const [what, extra, field] of bad) {
          for (const call of [loss, loss.withGrad]) {
            const error = thrownBy(`${name} with ${what}`, () => call(...fresh(), { ...options, ...extra }));
            assert(error instanceof RangeError && error.message.includes(`\`${field}\``), `${name} with ${what}: expected a RangeError about \`${field}\`, got ${error.name}: ${error.message}`);
          }
        }
      },
    },
  ];
  if (extreme !== false) {
    checks.push({
      name: `is finite where predictions are ${extreme} and -${extreme}`,
      run: () => {
        for (const sign of [1, -1]) {
          const args = fresh();
          args[0].data.forEach((_, i) => (args[0].data[i] = sign * (i % 2 === 0 ? extreme : -extreme)));
          for (const reduction of REDUCTIONS) {
            const result = loss.withGrad(...args, { ...options, reduction });
            const label = `${name}, reduction ${reduction}, predictions ±${extreme}`;
            expectClose(result.loss.data, definition(args.map((x) => x.data), reduction, ones), { ...spec.bound, label });
            const parts = [result.loss.data, ...gradients(result)];
            for (const part of parts) for (let i = 0; i < part.length; i++) assert(Number.isFinite(part[i]), `${label}: ${part === parts[0] ? "value" : "gradient"} ${i} is ${part[i]}`);
          }
        }
      },
    });
  }
  if (labels) {
    const { argument, name: argumentName = "labels", classes } = labels;
    const width = given[argument].data.length / rows;
    checks.push({
      name: "names a label that is out of range",
      run: () => {
        for (const bad of [classes, -1, 2147483647, -2147483648]) {
          const args = fresh();
          const index = Math.floor(2 * width);
          args[argument].data[index] = bad;
          for (const call of [loss, loss.withGrad]) {
            const { message, name: kind } = thrownBy(`${name} with label ${bad}`, () => call(...args, options));
            const named = kind === "RangeError" && message.includes(`\`${argumentName}\``) && message.includes(`${bad}`) && new RegExp(`index ${index}\\b`).test(message);
            assert(named, `${name} with label ${bad} at index ${index}: the error does not name them: ${kind}: ${message}`);
          }
        }
      },
    });
    if (width === 1) {
      checks.push({
        name: "gives the same value with `ignoreIndex` as without the rows",
        run: () => {
          for (const ignoreIndex of [-1, classes]) {
            const args = fresh();
            for (let i = 0; i < rows; i++) if (where[i] === 0) args[argument].data[i] = ignoreIndex;
            dropped(args, { ignoreIndex });
          }
        },
      });
    }
  }
  return checks;

  /** The loss of `args`, where some rows take no part by `extra`, is the loss of the other rows; their gradient is exactly 0. */
  function dropped(args: readonly LossArgument[], extra: object): void {
    const fewer = args.map((x, a) => (shared.includes(a) ? x : taken(x, kept)));
    for (const reduction of REDUCTIONS) {
      const upstream = upstreamOf(reduction);
      const part = reduction === "none" ? Float32Array.from(kept, (i) => upstream[i]) : upstream;
      const label = `${name} with ${Object.keys(extra).join()} and reduction ${reduction}`;
      const all = loss.withGrad(...args, { ...options, ...extra, reduction, upstream: { dtype: "float32", shape: shapeOf(reduction), data: upstream } });
      const few = loss.withGrad(...fewer, { ...options, reduction, upstream: { dtype: "float32", shape: shapeOf(reduction, kept.length), data: part } });
      const want = reduction === "none" ? spread(few.loss.data, 1) : few.loss.data;
      expectClose(all.loss.data, Float64Array.from(want), { ...spec.bound, label });
      differentiable.forEach(({ argument, read = (r: any) => r.grad as Result }, g) => {
        const fewGrad = read(few).data;
        const isShared = shared.includes(argument);
        const grad = gradients(all)[g];
        expectClose(grad, isShared ? Float64Array.from(fewGrad) : spread(fewGrad, fewGrad.length / kept.length), { ...spec.gradientBound, label: `${label}, gradient of argument ${argument}` });
        const rowWidth = grad.length / rows;
        if (!isShared) grad.forEach((value, i) => assert(where[Math.floor(i / rowWidth)] === 1 || value === 0, `${label}: the gradient of a row that takes no part is ${value}`));
      });
    }
  }

  function spread(values: ArrayLike<number>, width: number): Float64Array {
    const out = new Float64Array(rows * width);
    kept.forEach((row, k) => {
      for (let j = 0; j < width; j++) out[row * width + j] = values[k * width + j];
    });
    return out;
  }
}

function copied({ shape, data }: Result): { shape: readonly number[]; data: Float64Array } {
  return { shape, data: Float64Array.from(data) };
}

function spoiled(x: Plain, where: Uint8Array): Plain {
  const width = x.data.length / where.length;
  return { ...x, data: x.data.map((value, i) => (where[Math.floor(i / width)] === 1 ? value : NaN)) };
}

function taken<P extends LossArgument>(x: P, rows: readonly number[]): P {
  const width = x.data.length / x.shape[0];
  const data = x.data.slice(0, rows.length * width);
  rows.forEach((from, to) => data.set(x.data.subarray(from * width, (from + 1) * width), to * width));
  return { ...x, shape: [rows.length, ...x.shape.slice(1)], data };
}
