import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { oldestFirst, store, stored } from "./store.ts";
import type { BenchRecord, Variant } from "./types.ts";

const record = (suite: string, name: string, variant: Variant, date: string, ours = 1): BenchRecord => ({ suite, case: name, variant, ours, peers: {}, ratio: null, fastest: null, pairedRatio: null, figures: {}, rounds: 1, meta: { date } as BenchRecord["meta"] });

it("a case that was measured again is replaced where it stands, a new one comes last", () => {
  const folder = mkdtempSync(join(tmpdir(), "bench-")), file = join(folder, "records.json");
  try {
    expect(stored(file)).toEqual([]);
    store(file, [record("a", "one", "simd", "1"), record("a", "two", "simd", "1")]);
    store(file, [record("a", "one", "relaxed-simd", "2", 3), record("a", "one", "simd", "2", 2)]);
    expect(stored(file).map(({ case: name, variant, ours }) => [name, variant, ours])).toEqual([["one", "simd", 2], ["two", "simd", 1], ["one", "relaxed-simd", 3]]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

it("what was never measured comes first, then what was measured longest ago; a suite is as old as its oldest case", () => {
  const suites = [{ name: "a", cases: ["one", "two"] }, { name: "b", cases: ["one"] }, { name: "none", cases: [] }];
  const records = [record("a", "one", "simd", "2026-02"), record("a", "two", "simd", "2026-04"), record("b", "one", "simd", "2026-03"), record("b", "one", "relaxed-simd", "2026-01"), record("a", "one", "relaxed-simd", "2026-05")];
  expect(oldestFirst(suites, ["relaxed-simd", "simd"], records).map(({ suite, variant }) => `${suite} ${variant}`)).toEqual(["a relaxed-simd", "b relaxed-simd", "a simd", "b simd", "none relaxed-simd", "none simd"]);
});
