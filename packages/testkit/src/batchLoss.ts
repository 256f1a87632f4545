import { assert, runChecks, thrownBy, type Check, type Plain, type Result } from "./checks.ts";
import { expectClose, expectExact, type Closeness } from "./compare.ts";
import { finiteDifferenceGradient, type DifferenceOptions } from "./differences.ts";
import type { Differentiable, LossArgument, LossCase, LossLike } from "./lossCase.ts";
import { testRandom } from "./random.ts";

/** The values of a batch, and which of them count: an anchor without a partner has a value of 0 and no weight. */
export interface BatchValues {
  readonly values: ArrayLike<number>;
  /** 0 or 1 for each value; default 1. */
  readonly counts?: ArrayLike<number>;
}

/** A loss whose values depend on the whole batch: pairs, sets, statistics. */
export interface BatchLossSpec {
  readonly name: string;
  readonly loss: LossLike;
  /** Rows stand on the first axis of every argument that is not `shared`; at least 3 of them. */
  readonly cases: readonly LossCase[];
  /**
   * The definition in float64 of all values from the rows that take part (a shared argument whole), with the options and the shapes of what it gets. It is not called without rows.
   */
  reference(batch: readonly Float64Array[], options: any, shapes: readonly (readonly number[])[]): ArrayLike<number> | BatchValues;
  /**
   * "rows" (default): one value for each row, or the same number for each; `weight` has one element per row, and a row of weight 0 takes no part. "fixed": as many values as the loss has, whatever the rows
   * (classes, or one value); `weight` has one element per value, `where` one per row.
   */
  readonly units?: "rows" | "fixed";
  /** How far values may be from the definition. */
  readonly bound: Closeness;
  /** How far gradients may be from central differences of the definition. */
  readonly gradientBound: Closeness;
  readonly differences?: DifferenceOptions;
  /** Default: argument 0, as `grad`. */
  readonly differentiable?: readonly Differentiable[];
  /** Positions of arguments without rows (a queue, proxies). */
  readonly shared?: readonly number[];
  /** An argument of integer labels: `ignoreIndex` drops rows; with `classes`, labels outside [0, classes) are refused with their index. */
  readonly labels?: { readonly argument: number; readonly name?: string; readonly classes?: number };
  /** Predictions of this size must give finite values and gradients; default 1e4, `false` where they cannot occur. */
  readonly extreme?: number | false;
  readonly seed?: number;
}

type Reduction = "none" | "sum" | "mean";
const REDUCTIONS: readonly Reduction[] = ["none", "sum", "mean"];

/**
 * The battery of a loss over batches, as named assertions: that of `lossChecks`, with a definition of the whole batch.
 *
 * @example
 *   it.each(batchLossChecks({ name: "supConLoss", loss: supConLoss, reference: supConRef, cases, bound: { atol: 1e-6 }, gradientBound: { atol: 1e-6 } }))("$name", ({ run }) => run());
 */
export function batchLossChecks(spec: BatchLossSpec): Check[] {
  return batteryOf(spec);
}

/** The checks of all cases. `exact`: a permutation of the batch permutes the values to the bit. */
export function batteryOf(spec: BatchLossSpec & { readonly exact?: boolean }): Check[] {
  return spec.cases.flatMap((one) => caseChecks(spec, one).map(({ name, run }) => ({ name: `${one.name}: ${name}`, run })));
}

/** Runs the whole battery of {@link batchLossChecks}; throws at the first assertion that fails. */
export function checkBatchLoss(spec: BatchLossSpec): void {
  runChecks(spec.name, batchLossChecks(spec));
}

function caseChecks(spec: BatchLossSpec & { readonly exact?: boolean }, { arguments: given, options = {} }: LossCase): Check[] {
  const { name, loss, labels, shared = [], differentiable = [{ argument: 0 }], extreme = 1e4, seed = 1, units = "rows" } = spec;
  const random = testRandom(seed), rows = given[0].shape[0], everyRow = Array.from({ length: rows }, (_, i) => i);
  const fresh = (): LossArgument[] => given.map((x) => ({ ...x, data: x.data.slice() }) as LossArgument);
  const evaluate = (args: readonly ArrayLike<number>[], kept: readonly number[]): { values: Float64Array; counts: ArrayLike<number> } => {
    const shapes = given.map((x, a) => (shared.includes(a) ? x.shape : [kept.length, ...x.shape.slice(1)]));
    const taking = args.map((data, a) => (shared.includes(a) ? Float64Array.from(data) : gather(data, data.length / rows, kept)));
    const got = spec.reference(taking, options, shapes), { values, counts } = "values" in got && typeof got.values !== "function" ? (got as BatchValues) : { values: got as ArrayLike<number>, counts: undefined };
    return { values: Float64Array.from(values), counts: counts ?? new Uint8Array(values.length).fill(1) };
  };
  const plain = evaluate(given.map((x) => x.data), everyRow).values.length;
  const each = units === "rows" ? plain / rows : 0, weighed = units === "rows" ? rows : plain;
  assert(Number.isInteger(each), `${name}: the definition has ${plain} values for ${rows} rows`);
  const shapeOf = (reduction: Reduction, count = rows): readonly number[] => (reduction !== "none" ? [] : units === "fixed" ? [plain] : each === 1 ? [count] : [count, each]);
  const sizeOf = (reduction: Reduction, count = rows): number => shapeOf(reduction, count).reduce((a, b) => a * b, 1);
  const where = Uint8Array.from({ length: rows }, (_, i) => (i % 3 === 1 ? 0 : 1)), kept = everyRow.filter((i) => where[i] === 1);
  const weight = Float32Array.from({ length: weighed }, (_, i) => (i === 1 ? 0 : 0.25 + 2 * random.uniform()));
  const upstreamOf = (size: number): Float32Array => Float32Array.from({ length: size }, () => 0.5 + random.normal());
  const gradients = (result: object): Float64Array[] => differentiable.map(({ argument, read = (r: any) => r.grad as Result }) => {
    const { shape, data } = read(result);
    assert(`${shape}` === `${given[argument].shape}`, `${name}: gradient of argument ${argument} has shape [${shape.join(", ")}], the argument [${given[argument].shape.join(", ")}]`);
    return Float64Array.from(data);
  });
  /** The reduced definition: rows and weights decide together who takes part. */
  const definition = (args: readonly ArrayLike<number>[], reduction: Reduction, { weights, mask }: Mass): Float64Array => {
    const taking = everyRow.filter((i) => mask[i] === 1 && (units === "fixed" || weights[i] !== 0));
    const values = new Float64Array(plain);
    let total = 0, mass = 0;
    if (taking.length > 0) {
      const got = evaluate(args, taking);
      got.values.forEach((value, k) => {
        const at = units === "fixed" ? k : taking[Math.floor(k / each)] * each + (k % each), share = weights[units === "fixed" ? k : taking[Math.floor(k / each)]];
        if (share === 0 || got.counts[k] === 0) return;
        values[at] = share * value;
        total += values[at];
        mass += share;
      });
    }
    return reduction === "none" ? values : Float64Array.of(reduction === "sum" ? total : mass === 0 ? 0 : total / mass);
  };
  interface Mass {
    readonly label: string;
    readonly weights: ArrayLike<number>;
    readonly mask: ArrayLike<number>;
    readonly extra: object;
  }
  const ones = new Float32Array(weighed).fill(1), all = new Uint8Array(rows).fill(1);
  const masses: readonly Mass[] = [
    { label: "", weights: ones, mask: all, extra: {} },
    { label: " with weight", weights: weight, mask: all, extra: { weight } },
    { label: " with where", weights: ones, mask: where, extra: { where } },
    { label: " with weight and where", weights: weight, mask: where, extra: { weight, where } },
  ];
  const eachWay = (run: (reduction: Reduction, mass: Mass, label: string) => void): void => {
    for (const reduction of REDUCTIONS) for (const mass of masses) run(reduction, mass, `${name}, reduction ${reduction}${mass.label}`);
  };

  const checks: Check[] = [
    {
      name: "agrees with the definition in every reduction, weighted and masked",
      run: () => eachWay((reduction, mass, label) => {
        const got = loss(...fresh(), { ...options, ...mass.extra, reduction });
        assert(`${got.shape}` === `${shapeOf(reduction)}`, `${label}: shape [${got.shape.join(", ")}], expected [${shapeOf(reduction).join(", ")}]`);
        expectClose(got.data, definition(given.map((x) => x.data), reduction, mass), { ...spec.bound, label });
      }),
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
      run: () => eachWay((reduction, mass, label) => {
        const upstream = upstreamOf(sizeOf(reduction)), shaped: Plain = { dtype: "float32", shape: shapeOf(reduction), data: upstream };
        const grads = gradients(loss.withGrad(...fresh(), { ...options, ...mass.extra, reduction, upstream: shaped }));
        differentiable.forEach(({ argument }, g) => {
          const want = finiteDifferenceGradient(
            (x) => definition(given.map((arg, a) => (a === argument ? x : arg.data)), reduction, mass).reduce((sum, value, i) => sum + upstream[i] * value, 0),
            given[argument].data,
            spec.differences,
          );
          const { shape } = given[argument];
          expectClose({ shape, data: grads[g] }, { shape, data: want }, { ...spec.gradientBound, label: `${label}, gradient of argument ${argument}` });
        });
      }),
    },
    {
      name: "has the same value with its gradient as without, and an upstream of 1 as the default",
      run: () => {
        for (const reduction of REDUCTIONS) {
          const one: Plain = { dtype: "float32", shape: shapeOf(reduction), data: new Float32Array(sizeOf(reduction)).fill(1) };
          const bare = loss.withGrad(...fresh(), { ...options, weight, reduction });
          expectExact(copied(bare.loss), copied(loss(...fresh(), { ...options, weight, reduction })), `${name}.withGrad value, reduction ${reduction}`);
          const explicit = gradients(loss.withGrad(...fresh(), { ...options, weight, reduction, upstream: one }));
          gradients(bare).forEach((grad, g) => expectExact(grad, explicit[g], `${name} gradient ${g} without upstream, reduction ${reduction}`));
        }
      },
    },
    {
      name: "leaves its arguments unchanged",
      run: () => {
        const args = fresh(), [w, m] = [weight.slice(), where.slice()];
        loss(...args, { ...options, weight: w, where: m });
        loss.withGrad(...args, { ...options, weight: w, where: m });
        args.forEach((x, a) => expectExact(x.data, given[a].data, `${name} argument ${a}`));
        expectExact(w, weight, `${name} weight`);
        expectExact(m, where, `${name} where`);
      },
    },
    {
      name: "gives the same value with `where` as without the rows, whatever they hold",
      run: () => dropped(fresh().map((x, a) => (shared.includes(a) || !(x.data instanceof Float32Array) ? x : { ...x, data: x.data.map((v, i) => (where[Math.floor((i * rows) / x.data.length)] === 1 ? v : NaN)) as Float32Array })), { where }),
    },
    {
      name: "does not depend on the order of the batch",
      run: () => {
        const order = random.permutation(rows), moved = fresh().map((x, a) => (shared.includes(a) ? x : taken(x, order)));
        const weights = units === "fixed" ? weight : Float32Array.from(order, (i) => weight[i]);
        const before = loss.withGrad(...fresh(), { ...options, weight, reduction: "none" }), after = loss.withGrad(...moved, { ...options, weight: weights, reduction: "none" });
        const moving = units === "fixed" ? Float64Array.from(before.loss.data) : gather(before.loss.data, each, order), label = `${name} after a permutation of the batch`;
        if (spec.exact) expectExact(copied(after.loss).data, moving, label);
        else expectClose(copied(after.loss).data, moving, { ...spec.bound, label });
        const was = gradients(before);
        gradients(after).forEach((grad, g) => {
          const { argument } = differentiable[g];
          expectClose(grad, shared.includes(argument) ? was[g] : gather(was[g], grad.length / rows, order), { ...spec.gradientBound, label: `${name} gradient of argument ${argument} after a permutation of the batch` });
        });
      },
    },
    {
      name: "gives 0 and a zero gradient where no row takes part",
      run: () => {
        for (const extra of [{ where: new Uint8Array(rows) }, { weight: new Float32Array(weighed) }]) {
          for (const reduction of REDUCTIONS) {
            const result = loss.withGrad(...fresh(), { ...options, ...extra, reduction }), label = `${name}, reduction ${reduction}, no row takes part`;
            expectClose(result.loss.data, new Float32Array(sizeOf(reduction)), { atol: 0, label });
            for (const grad of gradients(result)) expectClose(grad, new Float32Array(grad.length), { atol: 0, label: `${label}, gradient` });
          }
        }
      },
    },
    {
      name: "refuses weights and masks that are none",
      run: () => {
        const third = Math.min(2, weighed - 1);
        const bad: [string, object, string][] = [
          ["a negative weight", { weight: weight.map((w, i) => (i === third ? -1 : w)) }, "weight"],
          ["a weight of NaN", { weight: weight.map((w, i) => (i === third ? NaN : w)) }, "weight"],
          ["an infinite weight", { weight: weight.map((w, i) => (i === third ? Infinity : w)) }, "weight"],
          ["too many weights", { weight: new Float32Array(weighed + 1) }, "weight"],
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
    {
      name: "refuses an option that it does not have, and says which it has",
      run: () => {
        for (const call of [loss, loss.withGrad]) {
          const { message, name: kind } = thrownBy(`${name} with the option wheer`, () => call(...fresh(), { ...options, wheer: where }));
          assert(kind === "TypeError" && message.includes("wheer") && message.includes("where"), `${name} with the option wheer: expected a TypeError that names it and where, got ${kind}: ${message}`);
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
            const result = loss.withGrad(...args, { ...options, reduction }), label = `${name}, reduction ${reduction}, predictions ±${extreme}`;
            expectClose(result.loss.data, definition(args.map((x) => x.data), reduction, masses[0]), { ...spec.bound, label });
            const parts = [result.loss.data, ...gradients(result)];
            for (const part of parts) for (let i = 0; i < part.length; i++) assert(Number.isFinite(part[i]), `${label}: ${part === parts[0] ? "value" : "gradient"} ${i} is ${part[i]}`);
          }
        }
      },
    });
  }
  if (labels) {
    const { argument, name: argumentName = "labels", classes } = labels, width = given[argument].data.length / rows;
    if (width === 1) {
      checks.push({
        name: "gives the same value with `ignoreIndex` as without the rows",
        run: () => {
          for (const ignoreIndex of [-1, classes ?? 1000]) {
            const args = fresh();
            for (let i = 0; i < rows; i++) if (where[i] === 0) args[argument].data[i] = ignoreIndex;
            dropped(args, { ignoreIndex });
          }
        },
      });
    }
    if (classes !== undefined) {
      checks.push({
        name: "names a label that is out of range",
        run: () => {
          for (const bad of [classes, -1, 2147483647, -2147483648]) {
            const args = fresh(), index = Math.floor(2 * width);
            args[argument].data[index] = bad;
            for (const call of [loss, loss.withGrad]) {
              const { message, name: kind } = thrownBy(`${name} with label ${bad}`, () => call(...args, options));
              const named = kind === "RangeError" && message.includes(`\`${argumentName}\``) && message.includes(`${bad}`) && new RegExp(`index ${index}\\b`).test(message);
              assert(named, `${name} with label ${bad} at index ${index}: the error does not name them: ${kind}: ${message}`);
            }
          }
        },
      });
    }
  }
  return checks;

  /** The loss of `args`, where some rows take no part by `extra`, is the loss of the other rows; their gradient is exactly 0. */
  function dropped(args: readonly LossArgument[], extra: object): void {
    const fewer = fresh().map((x, a) => (shared.includes(a) ? x : taken(x, kept)));
    for (const reduction of REDUCTIONS) {
      const upstream = upstreamOf(sizeOf(reduction)), byRow = reduction === "none" && units === "rows";
      const label = `${name} with ${Object.keys(extra).join()} and reduction ${reduction}`;
      const many = loss.withGrad(...args, { ...options, ...extra, reduction, upstream: { dtype: "float32", shape: shapeOf(reduction), data: upstream } });
      const part = byRow ? Float32Array.from(gather(upstream, each, kept)) : upstream;
      const few = loss.withGrad(...fewer, { ...options, reduction, upstream: { dtype: "float32", shape: shapeOf(reduction, kept.length), data: part } });
      expectClose(many.loss.data, byRow ? spread(few.loss.data, each) : Float64Array.from(few.loss.data), { ...spec.bound, label });
      const grads = gradients(many);
      differentiable.forEach(({ argument, read = (r: any) => r.grad as Result }, g) => {
        const fewGrad = read(few).data, isShared = shared.includes(argument);
        expectClose(grads[g], isShared ? Float64Array.from(fewGrad) : spread(fewGrad, fewGrad.length / kept.length), { ...spec.gradientBound, label: `${label}, gradient of argument ${argument}` });
        const width = grads[g].length / rows;
        if (!isShared) grads[g].forEach((value, i) => assert(where[Math.floor(i / width)] === 1 || value === 0, `${label}: the gradient of a row that takes no part is ${value}`));
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

function gather(data: ArrayLike<number>, width: number, rows: ArrayLike<number>): Float64Array {
  return Float64Array.from({ length: rows.length * width }, (_, k) => data[rows[Math.floor(k / width)] * width + (k % width)]);
}

function taken<P extends LossArgument>(x: P, rows: readonly number[]): P {
  const width = x.data.length / x.shape[0], data = x.data.slice(0, rows.length * width);
  rows.forEach((from, to) => data.set(x.data.subarray(from * width, (from + 1) * width), to * width));
  return { ...x, shape: [rows.length, ...x.shape.slice(1)], data };
}
