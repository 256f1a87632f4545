import { existsSync, readFileSync, writeFileSync } from "node:fs";
import type { BenchRecord, Variant } from "./types.ts";

const key = ({ suite, case: name, variant }: BenchRecord): string => `${suite} ${name} ${variant}`;

/** What the file holds; nothing where it is not there. */
export const stored = (file: string): BenchRecord[] => (existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as BenchRecord[]) : []);

/** Writes records into a file that may hold others: a case that was measured again is replaced, the rest stays, each with the machine, load and commit of its own run. */
export function store(file: string, records: readonly BenchRecord[]): void {
  const before = stored(file);
  const measured = new Map(records.map((record) => [key(record), record]));
  const kept = before.map((record) => measured.get(key(record)) ?? record);
  const known = new Set(before.map(key));
  writeFileSync(file, `${JSON.stringify([...kept, ...records.filter((record) => !known.has(key(record)))], null, 1)}\n`);
}

/** Suites and variants, those with a case that was never measured first, then by the age of their oldest record. */
export function oldestFirst(suites: readonly { name: string; cases: readonly string[] }[], variants: readonly Variant[], records: readonly BenchRecord[]): { suite: string; variant: Variant }[] {
  const dates = new Map(records.map((record) => [key(record), record.meta.date]));
  return suites
    .flatMap(({ name: suite, cases }) => variants.map((variant) => ({ suite, variant, oldest: cases.map((name) => dates.get(`${suite} ${name} ${variant}`) ?? "").toSorted()[0] ?? "9" })))
    .toSorted((a, b) => (a.oldest < b.oldest ? -1 : a.oldest > b.oldest ? 1 : 0));
}
