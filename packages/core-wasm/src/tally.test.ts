import { runSteps, runStepsAsync } from "@logits/tensor";
import { expectExact, testRandom } from "@logits/testkit";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { tallySteps, withTally, type Tally } from "./families/order.ts";
import { core } from "./index.ts";
import { tallyRef } from "./tally.ref.ts";

const seed = 20261122;

function check(x: Float32Array, mask: Uint8Array): void {
  const want = tallyRef(x, mask), label = `${x.length} values`;
  const same = ({ values, counts, ones }: Tally): void => {
    expectExact(values, want.values, label);
    expectExact(counts, want.counts, label);
    expectExact(ones, want.ones, label);
  };
  withTally(x, mask, same);
  same(runSteps(tallySteps(x, mask)));
}

/** As the definition, by sorting: for lists that are too long for it. */
function checkLong(x: Float32Array, mask: Uint8Array): void {
  const { values, counts, ones } = runSteps(tallySteps(x, mask));
  const sorted = x.map((value) => value + 0).sort(), marked = new Map<number, number>();
  x.forEach((value, i) => void (mask[i] && marked.set(value + 0, (marked.get(value + 0) ?? 0) + 1)));
  let at = 0;
  for (let k = 0; k < values.length; k++) {
    if (ones[k] !== (marked.get(values[k]) ?? 0)) expect.fail(`ones of ${values[k]}: ${ones[k]}`);
    for (const end = at + counts[k]; at < end; at++) if (sorted[at] !== values[k]) expect.fail(`${values[k]} at ${at} instead of ${sorted[at]}`);
    if (k > 0 && !(values[k] > values[k - 1])) expect.fail(`${values[k]} after ${values[k - 1]}`);
  }
  expect(at).toBe(x.length);
}

describe("tally", () => {
  it("agrees with the definition for lists of any floats", () => {
    fc.assert(
      fc.property(fc.array(fc.float({ noNaN: true }), { maxLength: 300 }), fc.infiniteStream(fc.boolean()), (list, marks) => {
        check(Float32Array.from(list), Uint8Array.from(list, () => (marks.next().value ? 1 : 0)));
      }),
      { seed, numRuns: 200 },
    );
  });

  it("agrees with the definition for few values, where ties decide", () => {
    const random = testRandom(4);
    for (const n of [1, 2, 31, 32, 33, 64, 500, 700]) check(Float32Array.from({ length: n }, () => Math.round(2 * random.normal())), Uint8Array.from({ length: n }, () => random.integer(2)));
  });

  it("sorts long lists: spread over all exponents, in one octave, piled up, equal", () => {
    const random = testRandom(5), word = new Uint32Array(1), asFloat = new Float32Array(word.buffer);
    const anyFloat = (): number => {
      do word[0] = Math.floor(random.uniform() * 2 ** 32);
      while (asFloat[0] !== asFloat[0]);
      return asFloat[0];
    };
    const kinds: (() => number)[] = [
      () => random.normal(), () => 0.5 + random.uniform() / 2, () => (random.uniform() < 0.9 ? 1 : random.uniform()), () => 0.25, anyFloat, () => 1 + Math.floor(random.uniform() * 700) * 2 ** -23,
      () => (random.uniform() < 0.8 ? 1 + random.uniform() * 2 ** -8 : anyFloat()),
    ];
    for (const kind of kinds) {
      for (const n of [3000, 40_000, 300_000]) checkLong(Float32Array.from({ length: n }, kind), Uint8Array.from({ length: n }, () => random.integer(2)));
    }
  });

  it("has exact special values: infinities, zeros of both signs, the smallest and the largest, no values", () => {
    const x = Float32Array.of(0, Infinity, -0, -1e-45, 3.4028234663852886e38, -Infinity, 1e-45, Infinity);
    check(x, Uint8Array.of(1, 0, 1, 1, 0, 1, 0, 1));
    withTally(x, new Uint8Array(8), ({ values }) => expectExact(values.slice(2, 3), [0]));
    check(new Float32Array(0), new Uint8Array(0));
  });

  it("gives its memory back, also where `use` throws and where the steps stop early", async () => {
    const x = new Float32Array(1000), mask = new Uint8Array(1000), before = core.bytesInUse;
    withTally(x, mask, () => undefined);
    expect(() => withTally(x, mask, () => { throw new Error("stop"); })).toThrow("stop");
    const steps = tallySteps(x, mask);
    steps.next();
    steps.return(undefined as never);
    expect(core.bytesInUse).toBe(before);
    expectExact((await runStepsAsync(tallySteps(x, mask), {})).counts, [1000]);
  });

  it("refuses NaN, a mask of another length and a mask of other numbers", () => {
    for (const [n, at] of [[5, 4], [40, 3], [40, 37]]) expect(() => withTally(new Float32Array(n), new Uint8Array(n).fill(2, at, at + 1), () => 0)).toThrow(`expected \`mask\` of 0 and 1, got 2 at index ${at}`);
    expect(() => withTally(new Float32Array(1), Uint8Array.of(255), () => 0)).toThrowErrorMatchingInlineSnapshot(`[RangeError: withTally: expected \`mask\` of 0 and 1, got 255 at index 0]`);
    expect(() => withTally(Float32Array.of(1, NaN), new Uint8Array(2), () => 0)).toThrowErrorMatchingInlineSnapshot(`[RangeError: withTally: expected \`x\` without NaN, got NaN at index 1]`);
    expect(() => runSteps(tallySteps(new Float32Array(2), new Uint8Array(1)))).toThrowErrorMatchingInlineSnapshot(`[RangeError: tallySteps: expected \`mask\` of length 2, got 1]`);
  });
});
