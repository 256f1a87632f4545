/** The text classifier of the demo, without files: the command line and the playground train it. */
import { DecisionHead, HashedNgrams, LinearHead } from "@logits/head";
import type { CsrMatrix, LongWorkOptions } from "@logits/tensor";

/** Queries with their intents. */
export type Queries = readonly (readonly [query: string, intent: string])[];

/** The lists of CLINC150. */
export interface IntentData {
  readonly train: Queries;
  readonly val: Queries;
  readonly test: Queries;
  readonly oos_train: Queries;
  readonly oos_val: Queries;
  readonly oos_test: Queries;
}

/** Everything that was chosen, on training and validation queries only. */
export interface IntentOptions {
  readonly buckets: number;
  readonly l2: number;
  readonly alpha: number;
  readonly maxFalsePositiveRate: number;
  readonly seed: number;
}

/**
 * l2: of 2e-6, 4e-6 and 8e-6, whose validation accuracies differ by less than a standard error, the middle one; maxFalsePositiveRate: the largest of 1, 1.5, 2, 2.5 and 3 % that keeps
 * the accuracy on the validation queries (a rejected one counted as an error), less one standard error, at 0.92.
 */
export const INTENT_OPTIONS: IntentOptions = { buckets: 32768, l2: 4e-6, alpha: 0.05, maxFalsePositiveRate: 0.025, seed: 0 };

/** The detectors among which the out-of-scope queries of training and validation choose. */
export const INTENT_DETECTORS = ["msp", "maxLogit", "energy", "entropy", "margin"] as const;

/** A text classifier that knows when it does not know. */
export interface IntentClassifier {
  readonly ngrams: HashedNgrams;
  readonly head: DecisionHead;
}

/** The names of the intents, in the order of the classes. */
export function intentNames(data: Pick<IntentData, "train">): string[] {
  return [...new Set(data.train.map(([, intent]) => intent))].sort();
}

/** Labels of queries: index of the intent. */
export function intentLabels(queries: Queries, names: readonly string[]): Int32Array {
  const index = new Map(names.map((name, i) => [name, i]));
  return Int32Array.from(queries, ([, intent]) => index.get(intent)!);
}

/** The texts of queries. */
export function texts(...lists: readonly Queries[]): string[] {
  return lists.flatMap((list) => list.map(([query]) => query));
}

/** What the training tells: after the features, along the fit of the scorer and after it, along the head's. */
export interface IntentWatch {
  readonly signal?: AbortSignal;
  readonly onFeatures?: (features: CsrMatrix) => void;
  readonly onTraining?: (share: number) => void;
  readonly onScorer?: (scorer: LinearHead) => void;
  readonly onHead?: (share: number) => void;
}

/** Trains on the training queries, then calibrates and guards on the validation queries and those that are out of scope. Intents without training queries have no class. */
export async function trainIntentClassifier(data: Omit<IntentData, "test" | "oos_test">, { buckets, l2, alpha, maxFalsePositiveRate, seed }: IntentOptions, watch: IntentWatch = {}): Promise<IntentClassifier> {
  const { signal } = watch, names = intentNames(data);
  const within = (onProgress: LongWorkOptions["onProgress"]): LongWorkOptions => ({ ...(signal && { signal }), ...(onProgress && { onProgress }) });
  const ngrams = await HashedNgrams.fitAsync(texts(data.train), { buckets, ...within(undefined) });
  const features = await ngrams.transformAsync(texts(data.train), within(undefined));
  watch.onFeatures?.(features);
  const scorer = await LinearHead.fitAsync(features, intentLabels(data.train, names), { l2, classes: names.length, ...within(watch.onTraining) });
  watch.onScorer?.(scorer);
  const head = await DecisionHead.fitAsync(
    {
      scorer, features: await ngrams.transformAsync(texts(data.val), within(undefined)), labels: intentLabels(data.val, names), classes: names,
      outliers: { features: await ngrams.transformAsync(texts(data.oos_train, data.oos_val), within(undefined)) },
    },
    { detector: INTENT_DETECTORS, maxFalsePositiveRate, alpha, seed, ...within(watch.onHead) },
  );
  return { ngrams, head };
}
