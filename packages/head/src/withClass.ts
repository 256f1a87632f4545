import { isCsr, rangeError, runSteps, typeError, type CsrMatrix, type LongWorkOptions, type Tensor, type TensorLike } from "@logits/tensor";
import { float32Of, int32Of } from "./arguments.ts";
import { DecisionHead } from "./decisionHead.ts";
import type { DetectorChoice } from "./detectorChoice.ts";
import type { DecisionHeadOptions } from "./headFit.ts";
import type { Scorer } from "./scorer.ts";
import { checkApart } from "./sharedRow.ts";

/** A scorer that takes a new class in without the rows of the others. `PrototypeHead` is one. */
export interface GrowingScorer extends Scorer {
  /** The scorer with one class more, whose number is the number of classes before. */
  addClass(rows: TensorLike | CsrMatrix): GrowingScorer;
}

/** A class to come. */
export interface NewClass<N extends string> {
  readonly name: N;
  /** float32 [N, F] or CSR: what the scorer learns the class from. */
  readonly features: TensorLike | CsrMatrix;
}

/** Labelled rows on which the promises of the new head rest. */
export interface GrowthData {
  /** float32 [N, F] or CSR. None of the rows of the new class that the scorer learns from. */
  readonly features: TensorLike | CsrMatrix;
  /** int32 [N], the new classes after the others in their order; each of them must occur. */
  readonly labels: TensorLike;
  /** As for `DecisionHead.fit`; "allowed" also lets rows equal those that the scorer learns from. */
  readonly duplicates?: "error" | "allowed";
}

/**
 * A decision head with more classes, one or several: the scorer takes their rows in by their statistics, without the rows of the other classes and without training; calibrator, detector, threshold and sets are fitted again.
 *
 * Every score changes when a class comes, so what the old threshold and quantile rested on is gone: the promises of the new head rest on `data` alone, on which `DecisionHead.fit` divides fit rows and calibration rows as
 * ever. Nothing of the earlier rows is kept in a head: keep labelled rows of the old classes, or label new ones.
 *
 * **Which rows of the new class.** The promises are about rows like those in `data`. Rows that were found by grouping what was refused are not like those that will come: they were refused, and they lie near a centre. They serve the
 * scorer. For `data` draw rows of the new class anew, and label them. (Simulated with a third of grouped rows: a promised 10 % of false alarms is 14 %.)
 *
 * @param head - fitted, with a scorer that grows (`PrototypeHead`)
 * @param added - `name`, of no other class, and `features`, at least one row; or a list of such
 * @param data - `features`, `labels`, `duplicates`
 * @param options - as for `DecisionHead.fit`; what is left out is as in `head` (a detector by its method, with that method's default options; for a cross-fitted head pass `crossFit` and `detector` again)
 * @returns a new head; `head` is not changed
 * @throws TypeError for a head whose scorer does not grow; RangeError for a name that is taken, a row that serves both scorer and promises, labels without the new class, as `DecisionHead.fit`
 * @example
 *   const taught = withClass(head, { name: "sport", features: groupedRows }, { features: labelledRows, labels });
 * Source: Snell, Swersky, Zemel, "Prototypical networks", NIPS 2017, for classes by their statistics; rows of their own for each stage: Vovk, Gammerman, Shafer, Algorithmic Learning in a Random World (2005).
 */
export function withClass<L extends string, N extends string>(head: DecisionHead<L>, added: NewClass<N> | readonly NewClass<N>[], data: GrowthData, options: DecisionHeadOptions = {}): DecisionHead<L | N> {
  const grown = prepared("withClass", head, added, data, options);
  return DecisionHead.fit(grown.data, grown.options);
}

/** `withClass` with pauses: the same bits. The data must not change meanwhile. Rejects with the signal's reason on abort. */
export async function withClassAsync<L extends string, N extends string>(head: DecisionHead<L>, added: NewClass<N> | readonly NewClass<N>[], data: GrowthData, options: DecisionHeadOptions & LongWorkOptions = {}): Promise<DecisionHead<L | N>> {
  const grown = prepared("withClassAsync", head, added, data, options), { signal, onProgress } = options;
  return DecisionHead.fitAsync(grown.data, { ...grown.options, ...(signal && { signal }), ...(onProgress && { onProgress }) });
}

interface Prepared<L extends string> {
  readonly data: { readonly scorer: Scorer; readonly features: TensorLike | CsrMatrix; readonly labels: TensorLike; readonly classes: readonly L[]; readonly duplicates?: "error" | "allowed" };
  readonly options: DecisionHeadOptions;
}

function prepared<L extends string, N extends string>(where: string, head: DecisionHead<L>, added: NewClass<N> | readonly NewClass<N>[], { features: rows, labels, duplicates }: GrowthData, options: DecisionHeadOptions): Prepared<L | N> {
  const all = ([] as NewClass<N>[]).concat(added), classes: (L | N)[] = [...head.classes], given = int32Of(where, "data.labels", labels).data;
  let wider = head.scorer;
  if (wider === undefined || !grows(wider)) throw typeError(where, "head", "with a scorer that takes classes in, a PrototypeHead", wider === undefined ? "one without a scorer" : wider.toJSON().format, "A trained layer is trained again");
  for (const { name, features } of all) {
    if (classes.includes(name)) throw rangeError(where, "added.name", "of no other class", `"${name}"`, "More rows of a class: `update` of the scorer");
    if (!given.includes(classes.length)) throw rangeError(where, "data.labels", `with rows of the new class, ${classes.length}`, "none", "The promises are about rows like these");
    wider = (wider as GrowingScorer).addClass(features);
    classes.push(name);
  }
  if (duplicates !== "allowed") {
    const logits = scoresOf(where, wider, rows);
    for (const { features } of all) runSteps(checkApart(where, "data.features", { logits }, { logits: scoresOf(where, wider, features) }, "those of the new class that the scorer learns from"));
  }
  return { data: { scorer: wider, features: rows, labels, classes, ...(duplicates && { duplicates }) }, options: { ...settingsOf(head), ...options } };
}

function grows(scorer: Scorer): scorer is GrowingScorer {
  return typeof (scorer as Partial<GrowingScorer>).addClass === "function";
}

/** Logits of the rows, one row of shape [F] as [1, C]. */
function scoresOf(where: string, scorer: Scorer, rows: TensorLike | CsrMatrix): Tensor<"float32"> {
  const given = isCsr(rows) ? rows : float32Of(where, "features", rows);
  return scorer.logits(isCsr(given) || given.shape.length !== 1 ? given : { data: given.data, shape: [1, given.size] });
}

/** What the head says of how it was asked for. */
function settingsOf<L extends string>(head: DecisionHead<L>): DecisionHeadOptions {
  const { alpha, guarantee, seed, split, input, threshold, detector } = head;
  return {
    alpha, guarantee, seed, input,
    ...(split !== "folds" && { method: head.conformal.method }),
    ...(typeof split === "number" && { split }),
    ...(detector && threshold && { detector: detector.method as DetectorChoice, maxFalsePositiveRate: threshold.maxFalsePositiveRate, confidence: threshold.confidence }),
  };
}
