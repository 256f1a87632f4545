import { describe, expect, it } from "vitest";
import { checkDetector, detectorChecks, type DetectorCheckSpec, type DetectorLike } from "./detector.ts";
import type { Plain } from "./checks.ts";

const plain = (rows: readonly number[][]): Plain => ({ dtype: "float32", shape: [rows.length, 2], data: Float32Array.from(rows.flat()) });
const usual = plain(Array.from({ length: 30 }, (_, i) => [Math.sin(i), Math.cos(3 * i)]));
const far = plain([[5, 5], [10, 10], [100, -100]]);

/** The length of a row. */
function length(change: (score: number, row: readonly number[], index: number) => number = (score) => score): DetectorLike {
  return {
    needs: ["features"],
    score({ features }) {
      if (!features) throw new RangeError("expected features");
      const shape = features.shape.slice(0, -1);
      return { shape, data: Float32Array.from({ length: features.data.length / 2 }, (_, i) => change(Math.hypot(features.data[2 * i], features.data[2 * i + 1]), Array.from(features.data.subarray(2 * i, 2 * i + 2)), i)) };
    },
    toJSON: () => ({}),
  };
}

const spec = (detector: DetectorLike): DetectorCheckSpec => ({ name: "length", make: () => detector, fromJSON: () => detector, usual, far });

it("passes a detector that is in order", () => {
  expect(() => checkDetector(spec(length()))).not.toThrow();
});

describe("finds", () => {
  const failures = (detector: DetectorLike, more: Partial<DetectorCheckSpec> = {}): number[] =>
    detectorChecks({ ...spec(detector), ...more }).flatMap(({ run }, i) => {
      try {
        run();
        return [];
      } catch {
        return [i];
      }
    });
  it("a score of the wrong direction", () => expect(failures(length((score) => -score))).toEqual([0]));
  it("a score that stops growing", () => expect(failures(length((score) => Math.min(score, 7)))).toEqual([0]));
  it("a score that depends on the place in the batch", () => expect(failures(length((score, _, i) => score + 1e-3 * i))).toContain(1));
  it("a lost NaN", () => expect(failures(length((score, row) => (row.some(Number.isNaN) ? 0 : score)))).toEqual([2]));
  it("a change of the rows", () => expect(failures({ ...length(), score: (rows) => { const result = length().score(rows); rows.features!.data.fill(0); return result; } })).toEqual([3]));
  it("a detector that scores nothing", () => expect(failures({ ...length(), score: ({ features }) => ({ shape: features?.shape.slice(0, -1) ?? [], data: features ? length().score({ features }).data : [] }) })).toEqual([4]));
  it("JSON that restores another detector", () => expect(failures(length(), { fromJSON: () => length((score) => score + 1) })).toEqual([5]));
});
