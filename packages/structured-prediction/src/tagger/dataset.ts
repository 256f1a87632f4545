import { rangeError, type Steps } from "@logits/tensor";
import type { Columns, LabelledSentence } from "./conll.ts";
import { Growing } from "./growing.ts";
import { FeatureTemplates } from "./templates.ts";

/** Attributes of token t of a sentence, made by the caller's own code. */
export type FeatureFunction = (tokens: readonly Columns[], t: number) => readonly string[];

/** Where attributes come from. */
export type Features = FeatureTemplates | FeatureFunction;

/**
 * Sentences as numbers. Attributes that are a function of the same cells come in bundles: a bundle is stored, scored and differentiated once however many tokens
 * have it.
 */
export interface Dataset {
  readonly labels: readonly string[];
  readonly attributes: readonly string[];
  /** int32 [B + 1]: tokens of each sentence. */
  readonly offsets: Int32Array;
  /** int32 [N]. */
  readonly gold: Int32Array;
  /** Bundles of a token: a multiple of 4, filled up with bundle 0, which has no attributes. */
  readonly groups: number;
  /** int32 [groups, N]. */
  readonly bundles: Int32Array;
  /** int32 [bundles + 1] and its attributes. */
  readonly bundleStarts: Int32Array;
  readonly bundleAttributes: Int32Array;
  /** Pairs of attribute and label: int32 [attributes + 1], and the label of each. */
  readonly pairStarts: Int32Array;
  readonly pairLabels: Int32Array;
  /** How often each pair is seen. */
  readonly pairCounts: Float64Array;
}

/** What decides which attributes and pairs count. */
export interface DatasetOptions {
  readonly features: Features;
  readonly minCount: number;
  readonly pairs: "observed" | "all";
}

/** Columns of each token: a word alone is one column. */
export function columnsOf(where: string, argument: string, tokens: readonly (string | Columns)[], features: Features): readonly Columns[] {
  const wanted = features instanceof FeatureTemplates ? features.columns : 0;
  return tokens.map((token, t) => columnsAt(where, argument, token, t, wanted));
}

/** Columns of token t, `wanted` of them at least. */
export function columnsAt(where: string, argument: string, token: string | Columns, t: number, wanted: number): Columns {
  const columns = typeof token === "string" ? [token] : token;
  if (!Array.isArray(columns) || columns.length < wanted || columns.some((column) => typeof column !== "string")) throw rangeError(where, `${argument}[${t}]`, `a word or an array of at least ${Math.max(1, wanted)} strings`, JSON.stringify(token) ?? "undefined");
  return columns;
}

/** Reads sentences. @throws RangeError for none, fewer than two labels, or labels that do not fit the tokens */
export function* encode(where: string, sentences: readonly LabelledSentence[], { features, minCount, pairs }: DatasetOptions): Steps<Dataset> {
  const labels: string[] = [], labelIds = new Map<string, number>();
  const used = features instanceof FeatureTemplates ? features.groups : 1, groups = (used + 3) & ~3;
  const attributes: string[] = [], attributeIds = new Map<string, number>();
  const keys = Array.from({ length: used }, () => new Map<string, number>());
  const offsets = new Growing(), gold = new Growing(), bundles = new Growing(), starts = new Growing(), members = new Growing();
  const list = (attribute: readonly string[]): number => {
    for (const name of attribute) {
      let id = attributeIds.get(name);
      if (id === undefined) attributeIds.set(name, (id = attributes.push(name) - 1));
      members.push(id);
    }
    starts.push(members.length);
    return starts.length - 2;
  };
  starts.push(0);
  list([]);
  offsets.push(0);
  for (const [s, { tokens, labels: names }] of sentences.entries()) {
    const at = `sentences[${s}]`;
    if (!Array.isArray(tokens) || !Array.isArray(names) || tokens.length !== names.length) throw rangeError(where, at, "with one label for each token", `${names?.length} labels of ${tokens?.length} tokens`);
    const rows = columnsOf(where, `${at}.tokens`, tokens, features);
    for (const [t, name] of names.entries()) {
      if (typeof name !== "string" || name === "") throw rangeError(where, `${at}.labels[${t}]`, "a string of at least one character", JSON.stringify(name) ?? "undefined");
      let y = labelIds.get(name);
      if (y === undefined) labelIds.set(name, (y = labels.push(name) - 1));
      gold.push(y);
      if (features instanceof FeatureTemplates) {
        for (let g = 0; g < used; g++) {
          const key = features.key(rows, t, g);
          let bundle = keys[g].get(key);
          if (bundle === undefined) keys[g].set(key, (bundle = list(features.attributesOf(rows, t, g))));
          bundles.push(bundle);
        }
      } else bundles.push(list(features(rows, t)));
      for (let g = used; g < groups; g++) bundles.push(0);
    }
    offsets.push(gold.length);
    if ((s & 63) === 0) yield s / sentences.length;
  }
  if (gold.length === 0) throw rangeError(where, "sentences", "of at least one token", sentences.length === 0 ? "no sentence" : "none");
  if (labels.length < 2) throw rangeError(where, "sentences", "with at least two different labels", `${JSON.stringify(labels[0])} alone`, "Is that the right column?");

  const C = labels.length, n = gold.length;
  const y = gold.done(), tokenBundles = groupMajor(bundles.done(), groups), bundleStarts = starts.done(), all = members.done();
  // How often each bundle stands beside each label, then each attribute.
  const besides = new Int32Array((bundleStarts.length - 1) * C);
  for (let t = 0; t < n; t++) for (let g = 0; g < groups; g++) besides[tokenBundles[g * n + t] * C + y[t]]++;
  yield 1;
  const counts = new Int32Array(attributes.length * C);
  for (let b = 0; b + 1 < bundleStarts.length; b++) {
    for (let k = bundleStarts[b]; k < bundleStarts[b + 1]; k++) for (let c = 0; c < C; c++) counts[all[k] * C + c] += besides[b * C + c];
    if ((b & 1023) === 0) yield 1;
  }
  const kept = new Int32Array(attributes.length).fill(-1), names: string[] = [], pairStarts = new Growing(), pairLabels = new Growing(), seen: number[] = [];
  pairStarts.push(0);
  for (let a = 0; a < attributes.length; a++) {
    let total = 0;
    for (let c = 0; c < C; c++) total += counts[a * C + c];
    if (total < minCount) continue;
    kept[a] = names.push(attributes[a]) - 1;
    for (let c = 0; c < C; c++) {
      if (pairs === "observed" && counts[a * C + c] === 0) continue;
      pairLabels.push(c);
      seen.push(counts[a * C + c]);
    }
    pairStarts.push(pairLabels.length);
    if ((a & 4095) === 0) yield 1;
  }
  const keptStarts = new Growing(), keptMembers = new Growing();
  keptStarts.push(0);
  for (let b = 0; b + 1 < bundleStarts.length; b++) {
    for (let k = bundleStarts[b]; k < bundleStarts[b + 1]; k++) if (kept[all[k]] >= 0) keptMembers.push(kept[all[k]]);
    keptStarts.push(keptMembers.length);
  }
  return {
    labels, attributes: names, offsets: offsets.done(), gold: y, groups, bundles: tokenBundles, bundleStarts: keptStarts.done(), bundleAttributes: keptMembers.done(),
    pairStarts: pairStarts.done(), pairLabels: pairLabels.done(), pairCounts: Float64Array.from(seen),
  };
}

function groupMajor(x: Int32Array, groups: number): Int32Array {
  const n = x.length / groups, out = new Int32Array(x.length);
  for (let t = 0; t < n; t++) for (let g = 0; g < groups; g++) out[g * n + t] = x[t * groups + g];
  return out;
}
