/** The tables of docs/ood/which-detector.md. */

/** What `tools/fixtures/measureDetectors.ts` writes. */
export interface DetectorData {
  readonly meta: { readonly date: string; readonly cpu: string; readonly node: string; readonly variant: string; readonly draws: number; readonly confidence: number };
  readonly tables: readonly {
    readonly name: string;
    readonly accuracy: number;
    readonly classes: number;
    readonly features: number;
    readonly fit: number;
    readonly inside: number;
    readonly outside: number;
    readonly detectors: readonly {
      readonly method: string;
      readonly needs: readonly string[];
      readonly auroc: number;
      readonly aurocInterval: readonly [number, number];
      readonly fpr95: number;
      readonly fpr95Interval: readonly [number, number];
      readonly bytes: number;
      readonly microsecondsPerRow: number;
      readonly microsecondsAlone: number;
      readonly fitMs: number;
    }[];
    readonly fusion: { readonly of: readonly string[]; readonly median: number; readonly fisher: number; readonly harmonic: number; readonly minimum: number };
    readonly selected: { readonly method: string; readonly auroc: number; readonly best: number };
  }[];
}

const table = (header: readonly string[], rows: readonly (readonly string[])[]): string => [header, header.map(() => "---"), ...rows].map((row) => `| ${row.join(" | ")} |`).join("\n");
const thousandths = (x: number): string => x.toFixed(3);
const interval = (x: number, [low, high]: readonly [number, number]): string => `${thousandths(x)} (${thousandths(low)} to ${thousandths(high)})`;
const size = (bytes: number): string => (bytes < 1000 ? `${bytes} B` : bytes < 1e6 ? `${(bytes / 1e3).toPrecision(3)} kB` : `${(bytes / 1e6).toPrecision(3)} MB`);
const digits = (x: number): string => (x >= 100 ? x.toFixed(0) : x.toPrecision(2));

/** Sections by name. */
export function detectorSections({ meta, tables }: DetectorData): Record<string, string> {
  const all: Record<string, string> = {
    "detector-conditions": table(["what", "value"], [
      ["when", meta.date.slice(0, 10)],
      ["machine", `${meta.cpu}, one thread, other load present`],
      ["Node, build", `${meta.node}, ${meta.variant}`],
      ["times", "of the thread, medians of 3 samples of 80 ms and more"],
      ["intervals", `${100 * meta.confidence} %, percentiles of ${meta.draws} bootstrap samples of the judged rows; fit and model stay as they are`],
    ]),
    "detector-data": table(
      ["data", "model", "right", "classes", "features", "rows of the fit", "known rows", "unknown rows"],
      tables.map((one) => [one.name === "CLINC150" ? "CLINC150, out of scope" : `${one.name}, KMNIST`, one.name === "CLINC150" ? "linear, on hashed n-grams" : "784, 256, 128, 10 units", thousandths(one.accuracy), `${one.classes}`, `${one.features}`, `${one.fit}`, `${one.inside}`, `${one.outside}`]),
    ),
    "detector-together": table(
      ["data", "median of the eight", "fused: fisher", "harmonic", "minimum", "selected", "its AUROC", "best of the eight"],
      tables.map(({ name, fusion, selected }) => [name, thousandths(fusion.median), thousandths(fusion.fisher), thousandths(fusion.harmonic), thousandths(fusion.minimum), `\`${selected.method}\``, thousandths(selected.auroc), thousandths(selected.best)]),
    ),
  };
  for (const { name, detectors } of tables) {
    all[`detectors-${name.toLowerCase()}`] = table(
      ["detector", "needs", "AUROC", "false positives at 95 % found", "size", "us a row", "us alone"],
      detectors.toSorted((a, b) => b.auroc - a.auroc).map((one) => [`\`${one.method}\``, one.needs.join(", "), interval(one.auroc, one.aurocInterval), interval(one.fpr95, one.fpr95Interval), size(one.bytes), digits(one.microsecondsPerRow), digits(one.microsecondsAlone)]),
    );
  }
  return all;
}
