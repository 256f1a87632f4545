import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Tensor, tensor } from "@logits/tensor";
import { expectClose, expectExact, guarded, guardedInput, kernelChecks, testRandom } from "@logits/testkit";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import accuracy from "../accuracy.json" with { type: "json" };
import erfFixture from "./fixtures/erf.json" with { type: "json" };
import expFixture from "./fixtures/exp.json" with { type: "json" };
import expm1Fixture from "./fixtures/expm1.json" with { type: "json" };
import logFixture from "./fixtures/log.json" with { type: "json" };
import log1pFixture from "./fixtures/log1p.json" with { type: "json" };
import sigmoidFixture from "./fixtures/sigmoid.json" with { type: "json" };
import softplusFixture from "./fixtures/softplus.json" with { type: "json" };
import tanhFixture from "./fixtures/tanh.json" with { type: "json" };
import { core, erf, exp, expm1, log, log1p, sigmoid, softplus, tanh } from "./index.ts";
import { mathRef } from "./math.ref.ts";
import { sweep, type MathKernel, type MathName } from "../mathSweep.ts";

const INF = Infinity;
const operations = { exp, log, log1p, expm1, tanh, erf, sigmoid, softplus };
const fixtures = { exp: expFixture, log: logFixture, log1p: log1pFixture, expm1: expm1Fixture, tanh: tanhFixture, erf: erfFixture, sigmoid: sigmoidFixture, softplus: softplusFixture };
const names = Object.keys(operations) as MathName[];
/** What is promised; accuracy.json has what was measured. */
const PROMISED: Record<MathName, number> = { exp: 1.1, log: 1.5, log1p: 2.5, expm1: 2.5, tanh: 2.5, erf: 2.5, sigmoid: 2.5, softplus: 2.5 };

describe.each(names)("%s", (name) => {
  const operation = operations[name];
  const reference = mathRef[name];
  const measured = accuracy.functions[name];

  it.each(kernelChecks({
    name,
    run: (x) => operation(x),
    reference: (row) => row.map(reference),
    bound: { ulp: 3 }, // the sweep below has the exact bound; rounding the reference adds half a unit
    generate: (random) => (name === "log" ? Math.exp(20 * random.normal()) : name === "log1p" ? Math.expm1(5 * random.normal()) : 8 * random.normal()),
    nan: "element",
  }))("$name", ({ run }) => run());

  it("has the accuracy that accuracy.json records, which is what is promised or better", () => {
    for (const variant of ["simd", "relaxed-simd"] as const) {
      expect(measured[variant].inputs).toBe(2 ** 32);
      expect(measured[variant].maxUlp).toBeLessThanOrEqual(PROMISED[name]);
    }
    const memory = new WebAssembly.Memory({ initial: 20 });
    const file = readFileSync(join(import.meta.dirname, "..", "wasm", `math.${core.variant === "simd" ? "simd" : "relaxed"}.wasm`));
    const kernels = new WebAssembly.Instance(new WebAssembly.Module(Uint8Array.from(file)), { env: { memory } }).exports as Record<string, MathKernel>;
    // All inputs take minutes; the reduced form takes every 641st block of 65,536.
    const [found] = sweep(name, [kernels[`f32_${name}`]], memory, 65536, process.env.LOGITS_SLOW ? 1 : 641);
    expect(found.wrong).toEqual([]);
    expect(found.maxUlp).toBeLessThanOrEqual(measured[core.variant].maxUlp);
    expect(found.maxUlp).toBeGreaterThan(0.5); // something was compared: no float32 result is always the nearest
  }, 1_800_000);

  it("agrees with the values of numpy and scipy", () => {
    const [{ x, y }] = fixtures[name].cases as unknown as { x: (number | string)[]; y: (number | string)[] }[];
    const want = Float32Array.from(y, Number); // beyond the range of float32: Infinity
    expectClose(operation(Float32Array.from(x, Number)).data, want, { ulp: 3, atol: ["exp", "sigmoid", "softplus"].includes(name) ? 2 ** -126 : 0 });
  });

  it("keeps its order: a larger element never gives a smaller result by more than its bound", () => {
    fc.assert(fc.property(fc.float({ min: name.startsWith("log") ? 0 : -80, max: 80, noNaN: true }), fc.float({ min: name.startsWith("log") ? 0 : -80, max: 80, noNaN: true }), (a, b) => {
      const [low, high] = operation([Math.min(a, b), Math.max(a, b)]).data;
      expect(high).toBeGreaterThanOrEqual(low - 4 * 2 ** -24 * Math.abs(low));
    }), { seed: 77, numRuns: 300 });
  });

  it("keeps every NaN", () => {
    const x = new Float32Array(37);
    const words = new Uint32Array(x.buffer);
    for (const payload of [0x7fc00000, 0x7fc00001, 0x7f800001, 0xffc12345, 0xff800001, 0x7fffffff, 0xffffffff]) {
      words.fill(payload);
      expect(operation(x).data.every(Number.isNaN)).toBe(true);
    }
  });

  it("runs in place, into `out`, on resident tensors and over any number of elements, with the same bits", () => {
    for (const length of [0, 1, 3, 4, 7, 65535, 65536, 65537, 131077]) {
      const random = testRandom(length);
      const x = Float32Array.from({ length }, () => Math.abs(4 * random.normal()));
      const want = operation(x.slice()).data;
      const resident = core.alloc([length]);
      for (const input of [new Tensor("float32", [length], x), resident]) {
        for (const out of [new Tensor("float32", [length], new Float32Array(length).fill(NaN)), core.alloc([length]), input]) {
          resident.data.set(x);
          const mine = input === resident ? input : new Tensor("float32", [length], x.slice());
          const target = out === input ? mine : out;
          expect(operation(mine, { out: target })).toBe(target);
          expectExact(target.data.slice(), want);
          if (target !== resident && "dispose" in target) (target as typeof resident).dispose();
        }
      }
      resident.dispose();
    }
    expect(operation([[1, 2], [3, 4]]).shape).toEqual([2, 2]);
    expect(operation(tensor([1], [])).shape).toEqual([]);
  });

  it("the kernel stays in its arrays", () => {
    const memory = new WebAssembly.Memory({ initial: 20 });
    const file = readFileSync(join(import.meta.dirname, "..", "wasm", `math.${core.variant === "simd" ? "simd" : "relaxed"}.wasm`));
    const kernel = (new WebAssembly.Instance(new WebAssembly.Module(Uint8Array.from(file)), { env: { memory } }).exports as Record<string, MathKernel>)[`f32_${name}`];
    for (const length of [1, 2, 3, 4, 5, 7, 16, 17]) {
      const input = guardedInput(memory, 70000, new Float32Array(length).fill(0.5));
      const output = guarded(memory, 80000, length);
      kernel(70000, 80000, length);
      input.check();
      output.check();
      expectClose(new Float32Array(memory.buffer, 80000, length).slice(), new Float32Array(length).fill(reference(0.5)), { ulp: 3 });
    }
  });

  it("messages", () => {
    expect(() => operation("no" as never)).toThrow(`${name}: expected \`x\` a tensor`);
    expect(() => operation([1, 2], { out: tensor([1]) })).toThrow(new RangeError(`${name}: expected \`out\` float32 of shape [2], got float32 of shape [1]`));
  });
});

describe("special values", () => {
  const tiny = 2 ** -149;
  const cases: [MathName, [x: number, want: number][]][] = [
    ["exp", [[0, 1], [-0, 1], [INF, INF], [-INF, 0], [88.72283172607422, Math.fround(Math.exp(88.72283172607422))], [88.72283935546875, INF], [-87.33654022216797, Math.fround(Math.exp(-87.33654022216797))], [-87.33654785156250, 0], [-100, 0], [3e38, INF], [-3e38, 0], [tiny, 1]]],
    ["log", [[1, 0], [0, -INF], [-0, -INF], [-1, NaN], [-tiny, NaN], [-INF, NaN], [INF, INF], [tiny, Math.fround(Math.log(tiny))], [2 ** -126, Math.fround(Math.log(2 ** -126))]]],
    ["log1p", [[0, 0], [-0, -0], [-1, -INF], [-1.0000001192092896, NaN], [-INF, NaN], [INF, INF], [tiny, tiny], [-tiny, -tiny], [1e-30, Math.fround(1e-30)]]],
    ["expm1", [[0, 0], [-0, -0], [INF, INF], [-INF, -1], [-20, -1], [-3e38, -1], [88.72283935546875, INF], [tiny, tiny], [-1e-30, Math.fround(-1e-30)]]],
    ["tanh", [[0, 0], [-0, -0], [INF, 1], [-INF, -1], [10, 1], [-10, -1], [3e38, 1], [tiny, tiny]]],
    ["erf", [[0, 0], [-0, -0], [INF, 1], [-INF, -1], [4, 1], [-5, -1], [3e38, 1], [tiny, tiny]]],
    ["sigmoid", [[0, 0.5], [-0, 0.5], [INF, 1], [-INF, 0], [20, 1], [-88, 0], [-3e38, 0], [3e38, 1]]],
    ["softplus", [[0, Math.fround(Math.LN2)], [-0, Math.fround(Math.LN2)], [INF, INF], [-INF, 0], [100, 100], [-88, 0], [3e38, Math.fround(3e38)], [-3e38, 0]]],
  ];
  it.each(cases)("of %s, in every lane", (name, list) => {
    for (const [x, want] of list) {
      for (let lane = 0; lane < 7; lane++) {
        const data = new Float32Array(7).fill(0.25);
        data[lane] = x;
        const got = operations[name](data).data;
        expect(Object.is(got[lane], want), `${name}(${x}) is ${got[lane]}, expected ${want}`).toBe(true);
      }
    }
  });
});
