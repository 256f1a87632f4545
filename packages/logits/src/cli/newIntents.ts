/** The second act of the demo, without files: intents that the classifier never learned are refused, grouped, named and added. The command line and the playground play it. */
import { DecisionHead, HashedNgrams, PrototypeHead, withClassAsync, type EvaluationReport } from "@logits/head";
import { groupRowsAsync, type RowGroups } from "@logits/ood";
import { Tensor, type CsrMatrix, type LongWorkOptions } from "@logits/tensor";
import { intentLabels, intentNames, texts, type IntentData, type Queries } from "./intentClassifier.ts";

/** Everything that was chosen; the sizes of groups on other held-out intents than those of the demo. */
export interface NewIntentOptions {
  /** Every so many intents in alphabetical order one is not learned, from the first on. */
  readonly heldOutEvery: number;
  readonly buckets: number;
  /** Buckets of the n-grams that groups are found in. */
  readonly groupBuckets: number;
  readonly scale: number;
  readonly alpha: number;
  readonly maxFalsePositiveRate: number;
  readonly leastRows: number;
  readonly leastSilhouette: number;
  /** Numbers of groups to try. */
  readonly counts: readonly number[];
  readonly references: number;
  readonly level: number;
  readonly seed: number;
}

export const NEW_INTENT_OPTIONS: NewIntentOptions = { heldOutEvery: 15, buckets: 4096, groupBuckets: 512, scale: 30, alpha: 0.1, maxFalsePositiveRate: 0.05, leastRows: 8, leastSilhouette: 0.03, counts: [4, 8, 12, 16, 20], references: 9, level: 0.1, seed: 0 };

/** How many queries of a group a person looks at before it gets a name. */
const LOOK = 5;

/** One group as a person sees it. */
export interface IntentGroup {
  readonly size: number;
  readonly silhouette: number;
  /** The queries nearest to its centre. */
  readonly nearest: readonly string[];
  /** The name that it gets: the intent of all of `nearest`; undefined where they differ or are out of scope. */
  readonly name: string | undefined;
  /** Share of its queries that have that intent. */
  readonly purity: number | undefined;
}

/** What the head does on test queries. Rates in [0, 1]. */
export interface ActFigures {
  /** Right on test queries of the intents that it knew from the beginning. */
  readonly known: number;
  /** Right on test queries of the intents that were added. */
  readonly added: number;
  /** Of in-scope test queries of the intents it knows now called unknown. */
  readonly falseAlarms: number;
  /** Of the queries that are out of scope called unknown. */
  readonly detected: number;
}

/** What the second act found. */
export interface NewIntentFigures {
  readonly known: number;
  readonly heldOut: readonly string[];
  readonly maxFalsePositiveRate: number;
  readonly stream: number;
  readonly refused: number;
  readonly outcome: RowGroups["outcome"];
  readonly pValue: number;
  readonly groups: readonly IntentGroup[];
  readonly added: readonly string[];
  /** Test queries: of the known intents, of the added ones, out of scope. */
  readonly rows: { readonly known: number; readonly added: number; readonly outside: number };
  readonly before: ActFigures;
  readonly after: ActFigures;
  /** Milliseconds: to fit the head, to group, to add the classes. */
  readonly milliseconds: { readonly fit: number; readonly group: number; readonly add: number };
}

/** What the act tells on its way. */
export interface NewIntentWatch {
  readonly signal?: AbortSignal;
  readonly onProgress?: (share: number, text: string) => void;
}

/** What came in and was refused, in groups, and the head that refused it: the first half of the act. */
export interface RefusedIntents {
  readonly data: IntentData;
  readonly head: DecisionHead<string>;
  readonly ngrams: HashedNgrams;
  readonly heldOut: readonly string[];
  readonly stream: number;
  readonly refused: Queries;
  readonly found: RowGroups;
  readonly groups: readonly IntentGroup[];
  readonly fit: number;
  readonly group: number;
}

/** Learns all intents but the held-out ones, refuses, and groups what was refused. Intents without training queries are not counted. */
export async function refusedIntents(data: IntentData, options: NewIntentOptions, { signal, onProgress }: NewIntentWatch): Promise<RefusedIntents> {
  const { heldOutEvery, buckets, groupBuckets, scale, alpha, maxFalsePositiveRate, leastRows, leastSilhouette, counts, references, level, seed } = options;
  const all = intentNames(data), heldOut = all.filter((_, i) => i % heldOutEvery === 0), known = all.filter((name) => !heldOut.includes(name));
  const within = (from: number, to: number, text: string): LongWorkOptions => ({ ...(signal && { signal }), onProgress: (share) => onProgress?.(from + (to - from) * share, text) });
  const lap = laps();

  const train = of(data.train, known), fitting = `Learning ${known.length} intents`;
  const ngrams = await HashedNgrams.fitAsync(texts(train), { buckets, ...within(0, 0.15, fitting) });
  const transform = (...lists: readonly Queries[]): Promise<CsrMatrix> => ngrams.transformAsync(texts(...lists), signal ? { signal } : {});
  const scorer = await PrototypeHead.fitAsync(await transform(train), intentLabels(train, known), { kind: "cosine", scale, classes: known.length, ...within(0.15, 0.3, fitting) });
  const head = await DecisionHead.fitAsync(
    { scorer, features: await transform(of(data.val, known)), labels: intentLabels(of(data.val, known), known), classes: known, duplicates: "allowed" },
    { detector: "msp", maxFalsePositiveRate, alpha, seed, ...within(0.3, 0.4, fitting) },
  );
  const fit = lap();

  // What comes in without labels: the queries of the intents that it does not know, and those out of scope.
  const stream: Queries = [...of(data.train, heldOut), ...data.oos_train, ...data.oos_val], decisions = head.decideAll({ features: await transform(stream) });
  const refused = stream.filter((_, n) => decisions[n].kind === "unknown"), grouping = `Grouping ${refused.length} refused queries`;
  const small = await HashedNgrams.fitAsync(texts(train), { buckets: groupBuckets, ...within(0.4, 0.5, grouping) });
  const found = await groupRowsAsync(dense(small.transform(texts(refused))), { counts: counts.filter((count) => 2 * leastRows * count <= refused.length), leastRows, leastSilhouette, references, level, seed, ...within(0.5, 1, grouping) });
  const groups = found.groups.map(({ rows, silhouette }): IntentGroup => {
    const own = Array.from(rows, (n) => refused[n]), nearest = own.slice(0, LOOK), [[, first]] = nearest;
    const name = heldOut.includes(first) && nearest.every(([, intent]) => intent === first) ? first : undefined;
    return { size: own.length, silhouette, nearest: texts(nearest), name, purity: name === undefined ? undefined : own.filter(([, intent]) => intent === name).length / own.length };
  });
  return { data, head, ngrams, heldOut, stream: stream.length, refused, found, groups, fit, group: lap() };
}

/** Adds the groups with these names, and tests on queries that nothing has seen: the second half. */
export async function addIntents({ data, head, ngrams, heldOut, stream, refused, found, groups, fit, group }: RefusedIntents, added: readonly string[], { signal, onProgress }: NewIntentWatch): Promise<NewIntentFigures> {
  const known = head.classes, classes = [...known, ...added], labelled = of(data.val, classes), adding = `Adding ${added.length} intents`, lap = laps();
  const transform = (list: Queries): Promise<CsrMatrix> => ngrams.transformAsync(texts(list), signal ? { signal } : {});
  const ofName = (name: string): Queries => found.groups.flatMap(({ rows }, g) => (groups[g].name === name ? Array.from(rows, (n) => refused[n]) : []));
  const taught = await withClassAsync(
    head,
    await Promise.all(added.map(async (name) => ({ name, features: await transform(ofName(name)) }))),
    { features: await transform(labelled), labels: intentLabels(labelled, classes), duplicates: "allowed" },
    { ...(signal && { signal }), onProgress: (share) => onProgress?.(0.5 * share, adding) },
  );
  const add = lap();

  onProgress?.(0.5, "Testing on queries that nothing has seen");
  const tests = { known: of(data.test, known), added: of(data.test, added) }, outside = { features: await transform(data.oos_test) };
  const report = async (which: DecisionHead<string>, list: Queries): Promise<EvaluationReport> => which.evaluate({ features: await transform(list), labels: intentLabels(list, which.classes), outliers: outside });
  const old = await report(head, tests.known), kept = await report(taught, tests.known), fresh = tests.added.length === 0 ? undefined : await report(taught, tests.added), both = await report(taught, [...tests.known, ...tests.added]);
  onProgress?.(1, "Done");
  return {
    known: known.length, heldOut, maxFalsePositiveRate: head.threshold!.maxFalsePositiveRate, stream, refused: refused.length, outcome: found.outcome, pValue: found.pValue, groups, added,
    rows: { known: tests.known.length, added: tests.added.length, outside: data.oos_test.length },
    before: { known: old.accuracy.all.rate!, added: 0, falseAlarms: old.falsePositives!.rate!, detected: old.outliers!.detected.rate! },
    after: { known: kept.accuracy.all.rate!, added: fresh?.accuracy.all.rate ?? 0, falseAlarms: both.falsePositives!.rate!, detected: both.outliers!.detected.rate! },
    milliseconds: { fit, group, add },
  };
}

/** Plays the act: every group that a person can name is added. */
export async function newIntents(data: IntentData, options: NewIntentOptions = NEW_INTENT_OPTIONS, { signal, onProgress }: NewIntentWatch = {}): Promise<NewIntentFigures> {
  const part = (from: number, size: number): NewIntentWatch => ({ ...(signal && { signal }), onProgress: (share, text) => onProgress?.(from + size * share, text) });
  const act = await refusedIntents(data, options, part(0, 0.8));
  return addIntents(act, namesOf(act.groups), part(0.8, 0.2));
}

/** The names of groups, each once. */
export function namesOf(groups: readonly IntentGroup[]): string[] {
  return [...new Set(groups.flatMap(({ name }) => name ?? []))];
}

function of(list: Queries, names: readonly string[]): Queries {
  return list.filter(([, intent]) => names.includes(intent));
}

function laps(): () => number {
  let before = performance.now();
  return () => {
    const now = performance.now(), passed = now - before;
    before = now;
    return passed;
  };
}

function dense({ shape: [rows, width], indptr, indices, data }: CsrMatrix): Tensor<"float32"> {
  const out = new Float32Array(rows * width);
  for (let n = 0; n < rows; n++) for (let j = indptr[n]; j < indptr[n + 1]; j++) out[n * width + indices[j]] += data[j];
  return new Tensor("float32", [rows, width], out);
}
