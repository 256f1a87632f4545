import { probabilitiesToLogits } from "@logits/calibration";
import { PValueMonitor, RiskMonitor } from "@logits/conformal";
import type { DecisionHead } from "@logits/head";
import { ConformalPValues } from "@logits/ood";
import { Tensor } from "@logits/tensor";
import { formatError, quote } from "../io/formatError.ts";
import { UsageError, rowProblem } from "./input.ts";
import type { MonitorRow } from "./monitorRows.ts";
import type { Watch } from "./monitorState.ts";

/** What a row says through a head: undefined where the row has nothing for a monitor. */
export interface HeadNumbers {
  /** P-value of the detector's score. */
  readonly drift: number | undefined;
  /** Whether the set misses the label, 1 or 0. */
  readonly coverage: number | undefined;
}

/**
 * The monitors of a head: its detector's p-values, and the misses of its sets on rows with a label. The calibration rows get half of the level, the stream the other half: the coverage of a head is at least the lower
 * end of its Beta interval with probability 1 - level / 2.
 */
export function headWatches(head: DecisionHead, path: string, level: number): Watch[] {
  if (head.split === "folds") throw new UsageError(`logits: expected a head that was fitted with a split, got ${path}, which is cross-fitted`);
  const watches: Watch[] = [];
  const json = head.toJSON();
  if (json.pValues) watches.push({ name: "drift", monitor: PValueMonitor.start({ level, calibrationRows: json.pValues.n }), since: null });
  const risk = 1 - head.conformal.expectedCoverage(head.alpha, 1 - level).interval[0];
  // Sets of all classes miss nothing.
  if (risk > 0) watches.push({ name: "coverage", monitor: RiskMonitor.start({ risk, level: level / 2 }), since: null });
  if (watches.length === 0) throw new UsageError(`logits: expected a head with a detector, or with enough calibration rows for sets that are not all classes, got ${path}`);
  return watches;
}

/** Reads rows for a head: `logits` and `features` as the head needs them, `label` where it is known (a class name or index). */
export function headReader(head: DecisionHead): (row: MonitorRow, id: number) => HeadNumbers {
  const json = head.toJSON(), pValues = json.pValues && ConformalPValues.fromJSON(json.pValues), { detector, threshold, scorer, classes } = head;
  return ({ value, where }, id) => {
    const own = Object(value) as Record<string, unknown>;
    const numbers = (name: "logits" | "features", width: number | undefined): Tensor<"float32"> => {
      const list = own[name];
      const fit = Array.isArray(list) && (width === undefined || list.length === width) && list.every((x) => x === null || typeof x === "number" || x === "-Infinity");
      if (!fit) throw formatError("logits", where, `to have \`${name}\`${width === undefined ? "" : `, ${width} numbers`}, which the head needs`, quote(JSON.stringify(value)));
      // JSON has no NaN and no Infinity: null is the first, and makes the row invalid.
      return new Tensor("float32", [1, (list as unknown[]).length], Float32Array.from(list as (number | null)[], (x) => (x === null ? NaN : Number(x))));
    };
    const features = head.needs.includes("features") ? numbers("features", scorer?.features ?? detector?.features) : undefined;
    const given = head.needs.includes("logits") ? numbers("logits", classes.length) : undefined;
    const invalid = (features?.data.some((x) => !Number.isFinite(x)) ?? false) || (given !== undefined && rowProblem(head.input, given.data) !== undefined);
    const label = own.label === undefined || own.label === null ? undefined : labelOf(own.label, classes, where);
    if (label === undefined && pValues === undefined) throw formatError("logits", where, "to have a `label`, as the head has no detector", quote(JSON.stringify(value)));
    // No calibration row was invalid: the smallest p-value there is.
    if (invalid) return { drift: pValues && 1 / (pValues.n + 1), coverage: undefined };
    const logits = given === undefined ? scorer!.logits(features!) : head.input === "probabilities" ? probabilitiesToLogits(given).logits : given;
    const score = detector?.score({ ...(detector.needs.includes("logits") && { logits }), ...(detector.needs.includes("features") && { features }) }).data[0];
    const drift = score === undefined || pValues === undefined ? undefined : Number.isNaN(score) ? 1 / (pValues.n + 1) : pValues.pValue(score);
    const answered = head.guarantee === "all" || (score !== undefined && !Number.isNaN(score) && !threshold!.exceeds(score));
    if (label === undefined || !answered) return { drift, coverage: undefined };
    const { mask } = head.conformal.predictionSet(head.calibrator.transform(logits), { alpha: head.alpha, ids: [id % 2147483648] });
    return { drift, coverage: 1 - mask.data[label] };
  };
}

function labelOf(label: unknown, classes: readonly string[], where: string): number {
  const index = typeof label === "string" ? classes.indexOf(label) : (label as number);
  if (!(Number.isInteger(index) && index >= 0 && index < classes.length)) throw formatError("logits", where, `to have a class of the head as \`label\`, a name or an index in [0, ${classes.length})`, quote(JSON.stringify(label)));
  return index;
}
