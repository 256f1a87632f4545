import { assert, runChecks, thrownBy, type Check, type Plain, type Result } from "./checks.ts";
import { expectExact } from "./compare.ts";

/** What the battery needs of a detector. */
export interface DetectorLike {
  readonly needs: readonly ("logits" | "features")[];
  score(rows: { readonly logits?: Plain; readonly features?: Plain }): Result;
  toJSON(): unknown;
}

/** A fitted detector with rows to score. */
export interface DetectorCheckSpec<D extends DetectorLike = DetectorLike> {
  readonly name: string;
  make(): D;
  fromJSON(json: unknown): D;
  /** New rows like those of the fit, [N, W], N >= 20; served as whatever the detector needs. */
  readonly usual: Plain;
  /** Rows that are ever further from those of the fit, nearest first, [M, W], M >= 2. */
  readonly far: Plain;
}

/**
 * The battery of a detector, as named assertions: higher = more out-of-distribution, and nothing is lost on the way.
 *
 * @example it.each(detectorChecks({ name: "energy", make: () => LogitDetector.of("energy"), fromJSON: detectorFromJSON, usual, far }))("$name", ({ run }) => run());
 */
export function detectorChecks<D extends DetectorLike>(spec: DetectorCheckSpec<D>): Check[] {
  const { name, usual, far } = spec;
  const [count, width] = usual.shape;
  const score = (detector: D, rows: Plain): number[] => {
    const result = detector.score(Object.fromEntries(detector.needs.map((need) => [need, { ...rows, data: rows.data.slice() }])));
    assert(`${result.shape}` === `${rows.shape.slice(0, -1)}`, `${name}: shape [${result.shape.join(", ")}] for rows of shape [${rows.shape.join(", ")}]`);
    return Array.from(result.data);
  };
  const part = (rows: Plain, from: number, to: number): Plain => ({ ...rows, shape: [to - from, width], data: rows.data.slice(from * width, to * width) });
  return [
    {
      name: "scores far rows higher than 99 of 100 usual ones, and further rows higher still",
      run: () => {
        const detector = spec.make();
        const near = score(detector, usual).sort((a, b) => a - b), away = score(detector, far);
        const limit = near[Math.ceil(0.99 * count) - 1];
        assert(count >= 20 && away.length >= 2, `${name}: ${count} usual rows and ${away.length} far ones`);
        away.forEach((value, i) => assert(value > (i === 0 ? limit : away[i - 1]), `${name}: far row ${i} scores ${value}, ${i === 0 ? "the 99 % point of usual rows is" : "the nearer one"} ${i === 0 ? limit : away[i - 1]}`));
      },
    },
    {
      name: "gives a row the same bits alone, in its batch and as a single row without a batch axis",
      run: () => {
        const detector = spec.make(), all = score(detector, usual);
        for (let i = 0; i < count; i++) {
          expectExact(score(detector, part(usual, i, i + 1)), [all[i]], `${name} row ${i} alone`);
          expectExact(score(detector, { ...part(usual, i, i + 1), shape: [width] }), [all[i]], `${name} row ${i} without a batch axis`);
        }
        expectExact(score(detector, part(usual, 1, count)), all.slice(1), `${name} without the first row`);
      },
    },
    {
      name: "gives NaN for a row with NaN and leaves the others as they are",
      run: () => {
        const detector = spec.make(), all = score(detector, usual);
        for (const column of new Set([0, width >> 1, width - 1])) {
          const rows = part(usual, 0, count);
          rows.data[width + column] = NaN;
          expectExact(score(detector, rows), all.map((value, i) => (i === 1 ? NaN : value)), `${name} with NaN in row 1, column ${column}`);
        }
      },
    },
    {
      name: "leaves the rows unchanged and gives no scores for no rows",
      run: () => {
        const detector = spec.make(), rows = part(usual, 0, count);
        detector.score(Object.fromEntries(detector.needs.map((need) => [need, rows])));
        expectExact(rows, usual, `${name}: the scored rows`);
        assert(score(detector, part(usual, 0, 0)).length === 0, `${name}: scores for no rows`);
      },
    },
    {
      name: "refuses to score without what it needs",
      run: () => {
        const error = thrownBy(`${name} without rows`, () => spec.make().score({}));
        assert(error instanceof RangeError && spec.make().needs.every((need) => error.message.includes(need)), `${name}: ${error.name}: ${error.message}`);
      },
    },
    {
      name: "scores the same after a trip through JSON text",
      run: () => {
        const detector = spec.make();
        expectExact(score(spec.fromJSON(JSON.parse(JSON.stringify(detector))), usual), score(detector, usual), name);
      },
    },
  ];
}

/** Runs the whole battery of {@link detectorChecks}; throws at the first assertion that fails. */
export function checkDetector<D extends DetectorLike>(spec: DetectorCheckSpec<D>): void {
  runChecks(spec.name, detectorChecks(spec));
}
