import { DecisionHead, HashedNgrams, type Decision } from "@logits/head";
import { ConformalPValues } from "@logits/ood";
import { trainIntents, type IntentFigures, type Intents } from "../data/intents.ts";
import type { Control } from "../worker/protocol.ts";
import { carriedIntents, intentData } from "./intentFiles.ts";
import { forget, kept, keep } from "./store.ts";

const NAME = "intents";

/** The classifier in use. */
export interface IntentsInfo {
  readonly origin: "carried" | "trained";
  readonly figures: IntentFigures;
  readonly detector: string;
  readonly classes: number;
  readonly promises: readonly string[];
  readonly notPromised: readonly string[];
}

/** What the classifier says to a sentence. */
export interface IntentAnswer {
  readonly decision: Decision;
  /** The most probable intents, calibrated. */
  readonly top: readonly { readonly intent: string; readonly probability: number; readonly inSet: boolean }[];
  readonly pValue: number;
  readonly score: number;
  readonly threshold: number;
  /** How much each word adds to the score of the most probable intent: its score with the word, less its score without. */
  readonly words: readonly { readonly word: string; readonly effect: number }[];
}

interface InUse extends Intents {
  readonly origin: "carried" | "trained";
  readonly figures: IntentFigures;
  readonly pValues: ConformalPValues;
}

let inUse: InUse | undefined;

/** Takes up the classifier that the visitor trained, else the one that the page carries. */
export async function load(_: null, control: Control): Promise<IntentsInfo> {
  inUse ??= (await mine()) ?? used("carried", await carriedIntents(control));
  return infoOf(inUse);
}

async function mine(): Promise<InUse | undefined> {
  const found = (await kept(NAME)) as { readonly head: Uint8Array; readonly ngrams: unknown; readonly figures: IntentFigures } | undefined;
  return found && used("trained", { head: DecisionHead.fromBytes(found.head), ngrams: HashedNgrams.fromJSON(found.ngrams), figures: found.figures });
}

function used(origin: "carried" | "trained", { head, ngrams, figures }: Intents & { readonly figures: IntentFigures }): InUse {
  return { origin, head, ngrams, figures, pValues: ConformalPValues.fromJSON(head.toJSON().pValues) };
}

function infoOf({ origin, figures, head }: InUse): IntentsInfo {
  return { origin, figures, detector: head.detector!.method, classes: head.classes.length, promises: head.guarantees.map((guarantee) => guarantee.statement), notPromised: head.notPromised };
}

/** Trains a classifier in this browser and keeps it there. */
export async function train({ examples }: { readonly examples: number }, control: Control): Promise<IntentsInfo> {
  const data = await intentData(control);
  const trained = await trainIntents(data, examples, control);
  inUse = used("trained", trained);
  await keep(NAME, { head: trained.head.toBytes(), ngrams: trained.ngrams.toJSON(), figures: trained.figures });
  return infoOf(inUse);
}

/** Forgets what the visitor trained. */
export async function reset(_: null, control: Control): Promise<IntentsInfo> {
  await forget(NAME);
  inUse = used("carried", await carriedIntents(control));
  return infoOf(inUse);
}

/** Decides about a sentence. */
export async function ask({ text }: { readonly text: string }, control: Control): Promise<IntentAnswer> {
  await load(null, control);
  const { head, ngrams, pValues } = inUse!, most = 5;
  const features = ngrams.transform([text]), logits = head.scorer!.logits(features);
  const decision = head.decide({ features }), p = head.calibrator.probabilities(logits).data;
  const order = [...p.keys()].sort((a, b) => p[b] - p[a] || a - b).slice(0, most), best = order[0];
  const set = head.conformal.predictionSet(head.calibrator.transform(logits), { alpha: head.alpha });
  const score = head.detector!.score({ logits }).data[0];
  const words = text.split(/\s+/).filter((word) => word !== ""), without = words.map((_, i) => words.filter((__, j) => j !== i).join(" "));
  const others = words.length > 1 ? head.scorer!.logits(ngrams.transform(without)).data : undefined;
  return {
    decision, pValue: pValues.pValue(score), score, threshold: head.threshold!.value,
    top: order.map((c) => ({ intent: head.classes[c], probability: p[c], inSet: set.mask.data[c] === 1 })),
    words: others ? words.map((word, i) => ({ word, effect: logits.data[best] - others[i * head.classes.length + best] })) : [],
  };
}
