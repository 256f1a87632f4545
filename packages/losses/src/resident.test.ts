import { core, type ResidentTensor } from "@logits/core-wasm";
import { expectExact } from "@logits/testkit";
import { expect, it, vi } from "vitest";
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
  const real = await original<typeof import("../../core-wasm/src/memory.ts")>();
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

/** Losses with numbers among their options, or with arguments of their own. */
const OPTIONS: readonly (readonly [string, readonly Argument[], Readonly<Record<string, Argument>>])[] = [
  ["crossEntropy", [scores(6, 3), labels(6)], { classWeight: numbers((i) => i + 1, 3) }],
  ["softCrossEntropy", [scores(6, 3), shares(6, 3)], { classWeight: numbers((i) => i + 1, 3) }],
  ["focalLoss", [scores(6, 3), labels(6)], { alpha: numbers((i) => i + 1, 3) }],
  ["forwardCorrectionLoss", [scores(6, 3), labels(6)], { noise: numbers((i) => (i % 4 === 0 ? 0.5 : 0.25), 3, 3) }],
  ["hierarchicalCrossEntropyLoss", [scores(6, 3), labels(6)], { parents: { shape: [5], data: Int32Array.of(3, 3, 4, 4, -1) } }],
  ["logitAdjustedLoss", [scores(6, 3), labels(6)], { prior: numbers((i) => i + 1, 3) }],
  ["ldamLoss", [scores(6, 3), labels(6)], { margins: numbers((i) => i / 4, 3) }],
  ["seesawLoss", [scores(6, 3), labels(6)], { counts: numbers((i) => i + 1, 3) }],
  ["batchPriorLoss", [scores(6, 3)], { prior: numbers((i) => i + 1, 3) }],
  ["binaryCrossEntropy", [scores(6, 3), bits(6, 3)], { posWeight: numbers((i) => i + 1, 3) }],
  ["linearCrossEntropy", [scores(6, 4), scores(3, 4), labels(6)], { bias: scores(3), classWeight: numbers((i) => i + 1, 3) }],
  ["linearSoftCrossEntropy", [scores(6, 4), scores(3, 4), shares(6, 3)], { bias: scores(3) }],
  ["partialLabelLoss", [scores(6, 3), { shape: [6, 3], data: Int32Array.from({ length: 18 }, (_, i) => Number(i % 4 < 2)) }], {}],
  ["cumulativeLinkLoss", [scores(6), numbers((i) => i, 2), labels(6)], {}],
  ["tripletListLoss", [scores(6, 4), { shape: [2, 3], data: Int32Array.of(0, 1, 2, 3, 4, 5) }], {}],
  ["plackettLuceLoss", [scores(2, 3), { shape: [2, 3], data: Int32Array.of(0, 1, 2, 2, 1, 0) }], {}],
  ["listNetLoss", [scores(6), scores(6)], { offsets: { shape: [3], data: Int32Array.of(0, 2, 6) } }],
  ["approxNdcgLoss", [scores(6), bits(6)], { offsets: { shape: [3], data: Int32Array.of(0, 2, 6) } }],
  ["supConLoss", [scores(6, 4), labels(6)], { references: scores(5, 4), referenceLabels: labels(5) }],
  ["tripletMarginLoss", [scores(6, 4), labels(6)], { references: scores(5, 4), referenceLabels: labels(5) }],
];

it("every loss gives the same with resident arguments while the memory grows", () => {
  const others: string[] = [], wrong: string[] = [];
  const check = (name: string, withGrad: Callable, given: readonly Argument[], options?: Readonly<Record<string, Argument>>): void => {
    const want = numbersOf(withGrad(...given, ...(options ? [options] : []))), made: ResidentTensor[] = [];
    const hold = ({ shape, data }: Argument): ResidentTensor => {
      const tensor = core.alloc(shape, data instanceof Int32Array ? "int32" : "float32");
      tensor.data.set(data);
      made.push(tensor);
      return tensor;
    };
    const held = given.map(hold), named = options && Object.fromEntries(Object.entries(options).map(([option, x]) => [option, hold(x)]));
    moving.on = true;
    try {
      expectExact(numbersOf(withGrad(...held, ...(named ? [named] : []))), want);
    } catch (error) {
      wrong.push(`${name}: ${(error as Error).message}`);
    } finally {
      moving.on = false;
      for (const tensor of made) tensor.dispose();
    }
  };
  const byName = new Map(losses);
  for (const [name, given, options] of OPTIONS) check(`${name} with options`, byName.get(name)!, given, options);
  for (const [name, withGrad] of losses) {
    const own = ARGUMENTS.find((given) => {
      try {
        withGrad(...given);
        return true;
      } catch {
        return false;
      }
    });
    if (own) check(name, withGrad, own);
    else if (!OPTIONS.some(([other]) => other === name)) others.push(name);
  }
  expect(wrong).toEqual([]);
  // Those that need options or lists.
  expect(others).toMatchInlineSnapshot(`
    [
      "fenchelYoungLoss",
      "weightedContrastiveLoss",
      "decoupledSoftmaxLoss",
      "softTopKLoss",
      "relationDistillationLoss",
      "blackOutLoss",
      "importanceSampledLoss",
      "memoryBankLoss",
      "nceLoss",
      "sampledBinaryLoss",
      "sampledSoftmaxLoss",
      "adaptiveSoftmaxLoss",
      "hierarchicalSoftmaxLoss",
      "metrixLoss",
      "bcoLoss",
      "ktoLoss",
      "sequenceLogProbs",
      "doublyRobustLoss",
      "fairnessLoss",
    ]
  `);
});
