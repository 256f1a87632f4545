import { core } from "@logits/core-wasm";
import { expectExact } from "@logits/testkit";
import { expect, it, vi } from "vitest";
import type * as memory from "../../core-wasm/src/memory.ts";
import * as classification from "./classification/index.ts";
import * as contrastive from "./contrastive/index.ts";
import * as distillation from "./distillation/index.ts";
import * as main from "./index.ts";
import * as vocabulary from "./large-vocabulary/index.ts";
import * as metric from "./metric-learning/index.ts";
import * as multiLabel from "./multi-label/index.ts";
import * as preference from "./preference/index.ts";
import * as ranking from "./ranking/index.ts";
import * as regression from "./regression/index.ts";
import * as segmentation from "./segmentation/index.ts";
import * as semiSupervised from "./semi-supervised/index.ts";

// The set-up of the tests has loaded the package: modules that are loaded stay as they are.
const moving = vi.hoisted(() => {
  vi.resetModules();
  return { on: false };
});

// Every kernel that asks for room detaches the views of the memory, as one that lets it grow does.
vi.mock("../../core-wasm/src/memory.ts", async (original) => {
  const real = await original<typeof memory>();
  return {
    ...real,
    scratch(size: number): number {
      if (moving.on) real.wasmMemory().grow(0);
      return real.scratch(size);
    },
  };
});

interface Argument {
  readonly shape: readonly number[];
  readonly data: Float32Array | Int32Array;
}

type Callable = (...args: readonly unknown[]) => { readonly loss: { readonly data: Float32Array } } & Record<string, unknown>;

const numbers = (f: (i: number) => number, ...shape: number[]): Argument => ({ shape, data: Float32Array.from({ length: shape.reduce((a, n) => a * n, 1) }, (_, i) => f(i)) });
const scores = (...shape: number[]): Argument => numbers((i) => Math.sin(1.7 * i + shape.length), ...shape);
const shares = (rows: number, columns: number): Argument => numbers((i) => (i % columns === i % 2 ? 0.4 : 0.2), rows, columns);
const bits = (...shape: number[]): Argument => numbers((i) => (i % 3 === 0 ? 1 : 0), ...shape);
const labels = (n: number, classes = 3): Argument => ({ shape: [n], data: Int32Array.from({ length: n }, (_, i) => (7 * i) % classes) });

/** What losses take; the first that one does not refuse is its own. */
const ARGUMENTS: readonly (readonly Argument[])[] = [
  [scores(6, 3), labels(6)], [scores(6, 4), scores(3, 4), labels(6)], [scores(6, 3), shares(6, 3)], [scores(6, 3), bits(6, 3)], [scores(6, 3), scores(6, 3)], [scores(6, 3)], [scores(6), scores(6)], [scores(6), bits(6)], [scores(6)],
  [scores(6, 3), scores(6, 3), scores(6, 3)], [scores(6), scores(6), scores(6)], [scores(6), scores(6), scores(6), scores(6)], [scores(6, 3), labels(6), numbers(() => 1, 6)], [scores(6, 2, 3)], [scores(6, 3), scores(6, 3), labels(6)],
  [scores(6, 3), labels(6), scores(6, 3)], [scores(6, 4), scores(3, 4), scores(3, 4), labels(6)], [scores(2, 3, 3, 3), bits(2, 3, 3, 3)],
];
const losses = Object.entries({ ...main, ...classification, ...contrastive, ...distillation, ...vocabulary, ...metric, ...multiLabel, ...preference, ...ranking, ...regression, ...segmentation, ...semiSupervised })
  .flatMap(([name, x]): [string, Callable][] => (typeof x === "function" && "withGrad" in x ? [[name, x.withGrad as Callable]] : []));

/** All numbers of a result, in order. */
function numbersOf(x: unknown): number[] {
  if (typeof x === "number") return [x];
  if (typeof x !== "object" || x === null) return [];
  return "data" in x ? Array.from(x.data as Float32Array) : Object.values(x).flatMap(numbersOf);
}

it("every loss gives the same with resident arguments while the memory grows", () => {
  const others: string[] = [], wrong: string[] = [];
  for (const [name, withGrad] of losses) {
    let want: readonly number[] | undefined, given: readonly Argument[] = [];
    for (given of ARGUMENTS) {
      try {
        want = numbersOf(withGrad(...given));
        break;
      } catch (error) {
        if (!(error instanceof Error)) throw error;
      }
    }
    if (want === undefined) {
      others.push(name);
      continue;
    }
    const held = given.map(({ shape, data }) => {
      const tensor = core.alloc(shape, data instanceof Int32Array ? "int32" : "float32");
      tensor.data.set(data);
      return tensor;
    });
    moving.on = true;
    try {
      expectExact(numbersOf(withGrad(...held)), want);
    } catch (error) {
      wrong.push(`${name}: ${(error as Error).message}`);
    } finally {
      moving.on = false;
      for (const tensor of held) tensor.dispose();
    }
  }
  expect(wrong).toEqual([]);
  // Those that need options or lists.
  expect(others).toMatchInlineSnapshot(`
    [
      "hierarchicalCrossEntropyLoss",
      "partialLabelLoss",
      "forwardCorrectionLoss",
      "ldamLoss",
      "logitAdjustedLoss",
      "seesawLoss",
      "fenchelYoungLoss",
      "cumulativeLinkLoss",
      "weightedContrastiveLoss",
      "decoupledSoftmaxLoss",
      "softTopKLoss",
      "relationDistillationLoss",
      "linearSoftCrossEntropy",
      "blackOutLoss",
      "importanceSampledLoss",
      "memoryBankLoss",
      "nceLoss",
      "sampledBinaryLoss",
      "sampledSoftmaxLoss",
      "adaptiveSoftmaxLoss",
      "hierarchicalSoftmaxLoss",
      "metrixLoss",
      "tripletListLoss",
      "bcoLoss",
      "ktoLoss",
      "sequenceLogProbs",
      "plackettLuceLoss",
      "doublyRobustLoss",
      "fairnessLoss",
    ]
  `);
});
