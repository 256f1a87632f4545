import { existsSync, readFileSync, writeFileSync } from "node:fs";
import type { BenchRecord } from "./types.ts";

const key = ({ suite, case: name, variant }: BenchRecord): string => `${suite} ${name} ${variant}`;

/** Writes records into a file that may hold others: a case that was measured again is replaced, the rest stays, each with the machine, load and commit of its own run. */
export function store(file: string, records: readonly BenchRecord[]): void {
  const before = existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as BenchRecord[]) : [];
  const measured = new Map(records.map((record) => [key(record), record]));
  const kept = before.map((record) => measured.get(key(record)) ?? record);
  const known = new Set(before.map(key));
  writeFileSync(file, `${JSON.stringify([...kept, ...records.filter((record) => !known.has(key(record)))], null, 1)}\n`);
}
