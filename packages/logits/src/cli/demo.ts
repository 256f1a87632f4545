import type { Decision, EvaluationReport } from "@logits/head";
import { auroc, falsePositiveRateAtRecall } from "@logits/metrics";
import { LogitDetector } from "@logits/ood";
import { INTENT_DETECTORS, INTENT_OPTIONS, intentLabels, texts, type IntentData } from "./intentClassifier.ts";
import { intentSource, loadIntents, type Intents } from "./intents.ts";
import { newIntents, type NewIntentFigures } from "./newIntents.ts";
import { decisionLine } from "./words.ts";
import { printable, progress } from "./output.ts";

/** Options of `logits demo`. */
export interface DemoOptions {
  readonly json?: boolean;
  readonly retrain?: boolean;
}

/** What one detector alone does on test queries: no threshold. Rates in [0, 1]. */
export interface DetectorFigures {
  readonly detector: string;
  readonly auroc: number;
  /** Share of the in-scope queries flagged where 95 % of the out-of-scope ones are. */
  readonly flaggedAt95Detected: number;
  /** Share of the out-of-scope queries kept where 95 % of the in-scope ones are. */
  readonly keptAt95Kept: number;
}

/** What `logits demo --json` prints. */
export interface DemoMetrics {
  readonly format: "logits/demo";
  readonly version: 1;
  /** null: read from the cache. */
  readonly trainingSeconds: number | null;
  readonly chosen: string;
  readonly evaluation: EvaluationReport;
  readonly detectors: readonly DetectorFigures[];
}

/** The same, with the second act: classes made of what was refused. */
interface DemoOutput extends DemoMetrics {
  readonly newIntents: NewIntentFigures;
}

const EXAMPLES = ["how do i sail to the moon", "what's the balance of my savings account", "Wake me up at seven, please!", "who won the world cup", "change my flight to the alarm"];

/** Trains or reads the intent classifier, tests it on queries that nothing has seen, and says what was found. */
export async function demo(options: DemoOptions): Promise<void> {
  const say = progress();
  const source = await intentSource();
  const intents = await loadIntents(source, INTENT_OPTIONS, (text) => say(printable(text)), options.retrain);
  const metrics = measureIntents(intents, source.data);
  say(`tested on ${source.data.test.length} in-scope and ${source.data.oos_test.length} out-of-scope queries`);
  const decisions = intents.head.decideAll({ features: intents.ngrams.transform(EXAMPLES) });
  if (!options.json) process.stdout.write(summary(intents, metrics, EXAMPLES, decisions));
  let told = "";
  const act = await newIntents(source.data, undefined, {
    onProgress: (_, text) => {
      if (text !== told) say((told = text));
    },
  });
  const output: DemoOutput = { ...metrics, newIntents: act };
  process.stdout.write(options.json ? `${JSON.stringify(output, null, 2)}\n` : secondAct(act));
}

/** Figures on the test queries. */
export function measureIntents({ ngrams, head, seconds }: Intents, data: IntentData): DemoMetrics {
  const inside = ngrams.transform(texts(data.test)), outside = ngrams.transform(texts(data.oos_test));
  const evaluation = head.evaluate({ features: inside, labels: intentLabels(data.test, head.classes), outliers: { features: outside } });
  const a = head.scorer!.logits(inside), b = head.scorer!.logits(outside), n = a.shape[0];
  const detectors = INTENT_DETECTORS.map((detector): DetectorFigures => {
    const fitted = LogitDetector.of(detector);
    const scores = Float64Array.from([...fitted.score({ logits: a }).data, ...fitted.score({ logits: b }).data]);
    const outer = Uint8Array.from(scores, (_, i) => Number(i >= n));
    return {
      detector,
      auroc: auroc(scores, outer),
      flaggedAt95Detected: falsePositiveRateAtRecall(scores, outer),
      keptAt95Kept: falsePositiveRateAtRecall(scores.map((score) => -score), outer.map((mark) => 1 - mark)),
    };
  });
  return { format: "logits/demo", version: 1, trainingSeconds: seconds ?? null, chosen: head.detector!.method, evaluation, detectors };
}

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

function summary({ head, ngrams }: Intents, { trainingSeconds, chosen, evaluation, detectors }: DemoMetrics, queries: readonly string[], decisions: readonly Decision[]): string {
  const { accuracy, falsePositives, outliers, coverage, maxFalsePositiveRate, alpha, rows } = evaluation;
  const width = Math.max(...queries.map((query) => query.length));
  const lines = [
    "",
    `Intent classifier: CLINC150, ${head.classes.length} intents, hashed n-grams in ${ngrams.buckets} buckets`,
    "",
    `- ${trainingSeconds === null ? "Read from the cache" : `Trained in ${trainingSeconds.toFixed(1)} s on one thread`}; right on ${percent(accuracy.all.rate!)} of ${rows} test queries.`,
    `- "unknown" where the detector (${chosen}) says so. Promised: for at most ${+(100 * maxFalsePositiveRate!).toPrecision(12)} % of in-scope queries; measured: ${percent(falsePositives!.rate!)}.`,
    `  With those counted as errors it is right on ${percent(accuracy.answered.rate!)}.`,
    `- Of ${outliers!.rows} real out-of-scope queries it says "unknown" to ${percent(outliers!.detected.rate!)}.`,
    `- Sets of intents hold the right one for ${percent(coverage.all!.coverage!)} (promised ${+(100 - 100 * alpha).toPrecision(12)} % on average), ${coverage.all!.meanSize.toFixed(2)} intents on average.`,
    "",
    "  detector     AUROC   in-scope flagged at 95 % of out-of-scope found",
    ...detectors.map((figures) => `  ${figures.detector.padEnd(11)}  ${figures.auroc.toFixed(3)}   ${figures.flaggedAt95Detected.toFixed(3)}`),
    "",
    ...queries.map((query, i) => `  ${query.padEnd(width)}  ${decisionLine(decisions[i])}`),
    "",
    'Ask it: npx -y pnpm@12 logits decide --demo "how do i sail to the moon"',
    "",
  ];
  return `${lines.map(printable).join("\n")}\n`;
}

function secondAct({ known, heldOut, maxFalsePositiveRate, stream, refused, groups, pValue, added, rows, before, after, milliseconds }: NewIntentFigures): string {
  const named = groups.filter(({ name }) => name !== undefined), seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;
  const row = (label: string, a: number, b: number, of: number): string => `  ${label.padEnd(46)} ${percent(a).padStart(7)}  ${percent(b).padStart(7)}   of ${of}`;
  const lines = [
    "",
    `Second act: ${heldOut.length} intents that it never learned, from what it refused`,
    "",
    `- A head of class means learned the ${known} others in ${seconds(milliseconds.fit)}. ${stream} queries of the ${heldOut.length} intents and out of scope came in without labels; it called ${refused} of them unknown.`,
    `- ${groups.length} groups among those (p = ${pValue.toPrecision(2)} against Gaussian rows), found in ${seconds(milliseconds.group)}. A group gets a name where its five queries nearest to the centre have one intent:`,
    ...named.map(({ size, purity, name, nearest }) => `    ${name!.padEnd(20)} ${String(size).padStart(3)} queries, ${percent(purity!)} of them right: "${nearest[0]}", "${nearest[1]}"`),
    `- ${added.length} classes were added in ${seconds(milliseconds.add)} without training, promises included. These rest on validation queries with labels: grouped queries were chosen twice and promise nothing.`,
    "",
    `  ${"test queries".padEnd(46)}  before    after`,
    row("right, of the intents known from the beginning", before.known, after.known, rows.known),
    row("right, of the intents that were added", before.added, after.added, rows.added),
    row(`called unknown though in scope (promised ${+(100 * maxFalsePositiveRate).toPrecision(12)} %)`, before.falseAlarms, after.falseAlarms, rows.known + rows.added),
    row("out of scope, called unknown", before.detected, after.detected, rows.outside),
    "",
  ];
  return `${lines.map(printable).join("\n")}\n`;
}
