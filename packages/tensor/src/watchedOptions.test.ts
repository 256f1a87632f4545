import { expect, describe, it } from "vitest";
import { defineLoss } from "./defineLoss.ts";
import { scoreRows, type RowLossOptions } from "./lossRows.ts";
import type { Loss } from "./loss.ts";
import { Tensor } from "./tensor.ts";
import type { TensorLike } from "./convert.ts";
import { watchedOptions } from "./watchedOptions.ts";

interface SquareOptions extends RowLossOptions {
  readonly power?: number;
}

/** sum_c |z_c|^power; without labels, so that `ignoreIndex` has nothing to compare with. */
const powerLoss: Loss<[scores: TensorLike], SquareOptions> = defineLoss("powerLoss", 1, (where, [scores], options) => {
  const { power = 2 } = options, { z, rows, classes, shape, weights, gradient } = scoreRows(where, "scores", scores, options);
  return {
    shape,
    weights,
    pass: () => ({ values: Float64Array.from({ length: rows }, (_, i) => z.row(i).data.reduce((sum, x) => sum + Math.abs(x) ** power, 0)), gradients: () => ({ grad: gradient(new Float32Array(rows * classes)) }) }),
  };
});

describe("watchedOptions", () => {
  it("lets what is read pass, whether or not it is given", () => {
    const { options, refuseUnread } = watchedOptions("f", { a: 1, b: undefined, c: 3 } as { a: number; b?: number; c: number; d?: number });
    const { a, b = 5, d = 7 } = options;
    expect([a, b, options.c, d]).toEqual([1, 5, 3, 7]);
    expect(refuseUnread()).toBeUndefined();
    expect(watchedOptions("f", {}).refuseUnread()).toBeUndefined();
    // What is undefined was not given.
    expect(watchedOptions("f", { a: undefined }).refuseUnread()).toBeUndefined();
    expect(watchedOptions("f", { a: 1 }, ["a"]).refuseUnread()).toBeUndefined();
  });

  it("leaves frozen options as they are, and reads through them", () => {
    const given = Object.freeze({ a: [1] }), { options } = watchedOptions("f", given);
    expect(options.a).toBe(given.a);
  });

  it("has these messages", () => {
    const call = (given: object, read: (options: Record<string, unknown>) => unknown): (() => void) => () => {
      const { options, refuseUnread } = watchedOptions("f", given as Record<string, unknown>);
      read(options);
      refuseUnread();
    };
    const gamma = ({ gamma, alpha }: Record<string, unknown>): unknown => [gamma, alpha];
    expect(call({ gama: 1 }, gamma)).toThrowErrorMatchingInlineSnapshot(`[TypeError: f: expected \`options\` with names among [alpha, gamma], got gama. Did you mean gamma?]`);
    expect(call({ gamma: 1, Alpha: 2 }, gamma)).toThrowErrorMatchingInlineSnapshot(`[TypeError: f: expected \`options\` with names among [alpha, gamma], got Alpha. Did you mean alpha?]`);
    expect(call({ temperature: 1 }, gamma)).toThrowErrorMatchingInlineSnapshot(`[TypeError: f: expected \`options\` with names among [alpha, gamma], got temperature]`);
    expect(call({ temperature: 1 }, () => 0)).toThrowErrorMatchingInlineSnapshot(`[TypeError: f: expected \`options\` with names among [], got temperature]`);
    expect(() => watchedOptions("f", 3 as never)).toThrowErrorMatchingInlineSnapshot(`[TypeError: f: expected \`options\` an object such as { reduction }, got Number]`);
    expect(() => watchedOptions("f", null as never)).toThrowErrorMatchingInlineSnapshot(`[TypeError: f: expected \`options\` an object such as { reduction }, got null]`);
  });
});

it("the nearest name of a long one is looked for in few steps: a name of 10,000 letters is refused, not pondered", () => {
  const { options, refuseUnread } = watchedOptions("f", { ["q".repeat(10_000)]: 1 } as { alpha?: number; [name: string]: number | undefined });
  expect(options.alpha).toBeUndefined();
  expect(refuseUnread).toThrow(/got q+$/);
});

describe("a loss refuses an option that has no effect", () => {
  it.each([powerLoss, powerLoss.withGrad])("misspelt, or not its own (%#)", (loss) => {
    expect(() => loss([[1, 2]], { pwer: 3 } as never)).toThrow(/got pwer\. Did you mean power\?/);
    expect(() => loss([[1, 2]], { ignoreIndex: -1 })).toThrow(/names among \[axis, power, reduction, (upstream, )?weight, where\], got ignoreIndex$/);
    expect(() => loss([[1, 2]], { power: 3, axis: -1, weight: [1], where: [1], reduction: "sum" })).not.toThrow();
  });

  it("null for all of them", () => {
    expect(() => powerLoss([[1, 2]], null as never)).toThrowErrorMatchingInlineSnapshot(`[TypeError: powerLoss: expected \`options\` an object such as { reduction }, got null]`);
    expect(() => powerLoss([[1, 2]], undefined)).not.toThrow();
  });

  it("takes `upstream` where there is a gradient", () => {
    expect(powerLoss.withGrad([[1, 2]], { upstream: [2] }).loss).toBeInstanceOf(Tensor);
    expect(() => powerLoss([[1, 2]], { upstream: [2] } as never)).toThrowErrorMatchingInlineSnapshot(`[TypeError: powerLoss: expected \`options\` with names among [axis, power, reduction, weight, where], got upstream]`);
  });
});
