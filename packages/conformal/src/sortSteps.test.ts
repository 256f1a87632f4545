import { expectExact } from "@logits/testkit";
import { randomSource, runSteps } from "@logits/tensor";
import { describe, expect, it } from "vitest";
import { sortIndices, sortNumbers } from "./sortSteps.ts";

describe("sorting in pieces", () => {
  it("gives what one sort gives, zeros of both signs and infinities included", () => {
    const random = randomSource(1);
    for (const n of [0, 1, 2, 65535, 65536, 65537, 200001]) {
      const x = Float32Array.from({ length: n }, () => {
        const kind = random.integer(20);
        return kind === 0 ? 0 : kind === 1 ? -0 : kind === 2 ? Infinity : kind === 3 ? -Infinity : random.uniform() - 0.5;
      });
      expectExact(runSteps(sortNumbers(x.slice())), x.slice().sort());
    }
  });

  it("keeps equal ones in order, and pauses", () => {
    const random = randomSource(2), n = 50000, keys = Int32Array.from({ length: n }, () => random.integer(100)), compare = (a: number, b: number) => keys[a] - keys[b];
    const want = Int32Array.from({ length: n }, (_, i) => i).sort(compare);
    const steps = sortIndices(Int32Array.from({ length: n }, (_, i) => i), compare);
    let pauses = 0, next = steps.next();
    for (; !next.done; next = steps.next()) pauses++;
    expect(next.value).toEqual(want);
    expect(pauses).toBeGreaterThan(8);
  });
});
