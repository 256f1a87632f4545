import { expect, it } from "vitest";
import { rowProblem } from "./input.ts";

it.each([
  ["logits", [1, -Infinity, 3], undefined],
  ["logits", [1, NaN], "NaN in column 1"],
  ["logits", [-Infinity, -Infinity], "no finite score"],
  ["probabilities", [0.25, 0.75], undefined],
  ["probabilities", [0.254, 0.75], undefined], // rounded to few digits
  ["probabilities", [0.5, -0.1], "-0.10000000149011612 in column 1"],
  ["probabilities", [0.25, 0.0625], "the sum 0.3125"], // one sigmoid a label is no distribution
  ["probabilities", [0, 0], "the sum 0"],
] as const)("%s %j: %s", (kind, row, problem) => expect(rowProblem(kind, Float32Array.from(row))).toBe(problem));
