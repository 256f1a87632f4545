import { geometricMean } from "./harness.ts";
import type { BenchRecord } from "./types.ts";

/** For people: one line per case and variant, milliseconds or microseconds, every column as wide as its widest cell. */

export function time(ms: number): string {
  return ms >= 1 ? `${ms.toPrecision(4)} ms` : `${(ms * 1000).toPrecision(4)} us`;
}

const figure = (value: number): string => (Number.isInteger(value) ? `${value}` : value.toPrecision(3));

export function table(records: readonly BenchRecord[]): string {
  const names = [...new Set(records.flatMap(({ peers }) => Object.keys(peers)))];
  const header = ["case", "variant", "ours", ...names, "ratio", "ULP", "figures", "elsewhere"];
  const rows = records.map((record) => [
    `${record.suite} ${record.case}`,
    record.variant,
    time(record.ours),
    ...names.map((name) => (name in record.peers ? time(record.peers[name]) : name in (record.refused ?? {}) ? "refused" : "")),
    record.ratio === null ? "" : `${record.ratio.toFixed(2)} (paired ${record.pairedRatio?.toFixed(2)}, ${record.fastest})`,
    record.ulp === undefined ? "" : record.ulp.toFixed(2),
    Object.entries(record.figures).map(([name, value]) => `${name} ${figure(value)}`).join(", "),
    record.reference ?? "",
  ]);
  // A column that holds nothing is left out.
  const kept = header.map((_, column) => rows.some((row) => row[column] !== ""));
  const cells = [header, ...rows].map((row) => row.filter((_, column) => kept[column]));
  const widths = cells[0].map((_, column) => Math.max(...cells.map((row) => row[column].length)));
  return cells.map((row) => row.map((cell, column) => cell.padEnd(widths[column])).join("  ").trimEnd()).join("\n");
}

/** Geometric mean of the ratios of each suite and variant. */
export function summary(records: readonly BenchRecord[]): string {
  const groups = Map.groupBy(records.filter(({ ratio }) => ratio !== null), ({ suite, variant }) => `${suite} ${variant}`);
  return [...groups].map(([name, group]) => `${name}: ratio ${geometricMean(group.map(({ ratio }) => ratio as number)).toFixed(2)} in geometric mean, ${Math.min(...group.map(({ ratio }) => ratio as number)).toFixed(2)} at least`).join("\n");
}
