import { checkGuarantee, expectClose, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { detectionCalibrationError, expectedCalibrationError } from "./index.ts";
import fixture from "./fixtures/detections.json" with { type: "json" };

const [{ rows, results }] = fixture.cases;
const confidence = rows.map((row) => row[0]), correct = rows.map((row) => row[1]);

describe("detectionCalibrationError", () => {
  it("gives numpy's values on real boxes", () => {
    for (const { bins, minimum, value, cells, kept } of results) {
      const position = bins.length > 1 ? rows.map((row) => row.slice(2, 1 + bins.length)) : undefined;
      const got = detectionCalibrationError({ confidence, correct, ...(position && { position }) }, { bins, minimum });
      expectClose(got.value, value, { atol: 1e-12 }); // 1,200 terms below 1
      expect([got.cells, got.kept, got.n]).toEqual([cells, kept, 1200]);
      expect(got.interval[0] <= got.value && got.value <= got.interval[1]).toBe(true);
    }
  });

  it("is the calibration error without positions, and sees what that cannot", () => {
    expect(detectionCalibrationError({ confidence, correct }, { bins: 15, minimum: 1 }).value).toBe(expectedCalibrationError({ confidence, correct }).value);
    // Right on the whole, too sure on the left and too modest on the right.
    const boxes = { confidence: Array(400).fill(0.5), correct: Array.from({ length: 400 }, (_, i) => Number(i % 4 === 0 || (i >= 200 && i % 4 !== 1))), position: Array.from({ length: 400 }, (_, i) => [i < 200 ? 0.25 : 0.75]) };
    expect(detectionCalibrationError({ confidence: boxes.confidence, correct: boxes.correct }).value).toBe(0);
    expect(detectionCalibrationError(boxes, { bins: [1, 2] })).toMatchObject({ value: 0.25, cells: 2, kept: 400, convention: "detections, 1 x 2 bins (low, high], 0 in the first, cells of at least 8 rows" });
  });

  it("puts k / B into the lower bin on every axis, 0 into the first and 1 into the last", () => {
    const edges = Array.from({ length: 11 }, (_, k) => k / 10), got = detectionCalibrationError({ confidence: edges, correct: edges.map(() => 1) }, { bins: 10, minimum: 2 });
    expect([got.cells, got.kept]).toEqual([1, 2]); // 0 and 0.1
    // Positions are float32: k / 8 is exact.
    const eighths = Array.from({ length: 9 }, (_, k) => [k / 8]), on = detectionCalibrationError({ confidence: Array(9).fill(0.5), correct: Array(9).fill(1), position: eighths }, { bins: [1, 8], minimum: 2 });
    expect([on.cells, on.kept]).toEqual([1, 2]);
  });

  it("does not depend on the order of the rows; the default has 20, 8 or 5 bins an axis", () => {
    const order = testRandom(1).permutation(1200), position = rows.map((row) => row.slice(2, 4)), all = rows.map((row) => row.slice(2));
    expectClose(detectionCalibrationError({ confidence: order.map((i) => confidence[i]), correct: order.map((i) => correct[i]), position: order.map((i) => position[i]) }).value, results[2].value, { atol: 1e-12 });
    expectClose(detectionCalibrationError({ confidence, correct, position: all }).value, results[3].value, { atol: 1e-12 });
    expectClose(detectionCalibrationError({ confidence, correct }).value, results[0].value, { atol: 1e-12 });
  });

  it("has an interval that covers the truth of a detector that is wrong at the border", () => {
    checkGuarantee({
      name: "D-ECE", kind: "probability of exceeding", level: 0.06, repetitions: 200,
      simulate: (seed) => {
        const random = testRandom(seed), position = Array.from({ length: 500 }, () => [random.uniform()]), c = position.map(() => (random.uniform() < 0.5 ? 0.5 : 0.9));
        // Left of 1 / 4 the precision is 0.3 lower: the truth is 0.075.
        const y = position.map(([x], i) => Number(random.uniform() < c[i] - (x <= 0.25 ? 0.3 : 0)));
        const { interval: [low, high] } = detectionCalibrationError({ confidence: c, correct: y, position }, { bins: [2, 4] });
        return 0.075 < low || 0.075 > high;
      },
    });
  });

  it("says what is wrong", () => {
    const boxes = { confidence: [0.5, 0.5], correct: [1, 0] };
    expect(() => detectionCalibrationError(boxes)).toThrowErrorMatchingInlineSnapshot(`[RangeError: detectionCalibrationError: expected \`minimum\` at most the rows of the fullest cell, got 8 with at most 2. Take fewer bins]`);
    expect(() => detectionCalibrationError({ ...boxes, position: [[0.5]] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: detectionCalibrationError: expected \`position\` of 2 rows, got 1]`);
    expect(() => detectionCalibrationError({ ...boxes, position: [[0.5], [320]] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: detectionCalibrationError: expected \`position\` in [0, 1], got 320 in row 1, column 0. Divide by the size of the image]`);
    expect(() => detectionCalibrationError({ ...boxes, position: [[0.5], [NaN]] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: detectionCalibrationError: expected \`position\` in [0, 1], got NaN in row 1, column 0. Divide by the size of the image]`);
    expect(() => detectionCalibrationError(boxes, { bins: [2, 2] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: detectionCalibrationError: expected \`bins\` one number or 1, got 2]`);
    expect(() => detectionCalibrationError(boxes, { bins: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: detectionCalibrationError: expected \`bins\` an integer in [1, 1000000], got 0]`);
    expect(() => detectionCalibrationError({ ...boxes, position: [[0.5, 0.5], [1, 1]] }, { bins: [1000000, 1000000, 1000000] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: detectionCalibrationError: expected \`bins\` of fewer than 2^53 cells, got [1000000, 1000000, 1000000]]`);
    expect(() => detectionCalibrationError(boxes, { minimum: 0.5 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: detectionCalibrationError: expected \`minimum\` an integer in [1, 2147483647], got 0.5]`);
    expect(() => detectionCalibrationError({ confidence: [], correct: [] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: detectionCalibrationError: expected \`confidence\` with at least one row, got none]`);
  });
});
