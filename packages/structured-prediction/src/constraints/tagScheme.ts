import { rangeError } from "@logits/tensor";
import type { Automaton } from "../automaton.ts";
import { checkedBounds, type Bounds } from "./bounds.ts";
import { fromSteps } from "./fromSteps.ts";
import { labelIndex, listed } from "./labelNames.ts";

/** How spans are written as tags. */
export type TagScheme = "BIO" | "IOB1" | "BIOES" | "BIOUL" | "BMES";

/** How the labels are named, and what may be cut off. */
export interface TagSchemeOptions {
  /** Between prefix and type, one character or more. Default "-". */
  readonly separator?: string;
  /** Labels outside every span. Default ["O"]; those that are not among the labels are not needed. */
  readonly outside?: readonly string[];
  /** Labels that no sequence holds: padding, special tokens. Default none. */
  readonly never?: readonly string[];
  /** The rows may begin in the middle of a span: they are a window of a longer text. Default false. */
  readonly openStart?: boolean;
  /** The rows may end in the middle of a span. Default false. */
  readonly openEnd?: boolean;
}

/** Which spans, and how many of them or how long. */
export interface SpanOptions extends TagSchemeOptions, Bounds {
  /** Types of the spans meant. Default every type. */
  readonly types?: readonly string[];
}

/** Begins a span, is inside one, ends one, is one by itself, is outside, is never there. */
type Place = "begin" | "inside" | "end" | "single" | "outside" | "never";

const PREFIXES: Readonly<Record<TagScheme, Readonly<Record<string, Place>>>> = {
  BIO: { B: "begin", I: "inside" },
  IOB1: { B: "begin", I: "inside" },
  BIOES: { B: "begin", I: "inside", E: "end", S: "single" },
  BIOUL: { B: "begin", I: "inside", L: "end", U: "single" },
  BMES: { B: "begin", M: "inside", E: "end", S: "single" },
};

/** The rules of a scheme for these labels; -1 stands for what is before the first row and after the last. */
interface Rules {
  readonly labels: number;
  /** Type of each label, undefined outside spans. */
  readonly types: readonly (string | undefined)[];
  /** Whether `to` may come after `from`. */
  allows(from: number, to: number): boolean;
  /** Whether a span begins at `to`; for labels that are allowed in this order. */
  begins(from: number, to: number): boolean;
  /** Whether that span may have begun before the rows. */
  cutBefore(from: number, to: number): boolean;
  /** Whether the span of `from` may go on after the rows. */
  cutAfter(from: number, to: number): boolean;
  /** Whether what may be cut before or after the rows certainly is. */
  readonly certain: { readonly before: boolean; readonly after: boolean };
}

function rulesOf(where: string, labels: readonly string[], scheme: TagScheme, options: TagSchemeOptions): Rules {
  const { separator = "-", outside = ["O"], never = [], openStart = false, openEnd = false } = options;
  const index = labelIndex(where, labels);
  if (!Object.hasOwn(PREFIXES, scheme)) throw rangeError(where, "scheme", `one of ${listed(Object.keys(PREFIXES))}`, `"${scheme}"`);
  if (separator === "") throw rangeError(where, "separator", "of at least one character", "none");
  for (const [k, name] of never.entries()) if (!index.has(name)) throw rangeError(where, `never[${k}]`, "one of the labels", `"${name}"`);
  const prefixes = PREFIXES[scheme];
  const places: Place[] = [], types: (string | undefined)[] = [];
  for (const [y, name] of labels.entries()) {
    const [prefix] = name, rest = name.slice(1);
    if (never.includes(name)) places.push("never");
    else if (outside.includes(name)) places.push("outside");
    else if (prefix !== undefined && Object.hasOwn(prefixes, prefix) && (rest === "" || (rest.startsWith(separator) && rest.length > separator.length))) places.push(prefixes[prefix]);
    else throw rangeError(where, "labels", `of ${scheme}: ${[...outside, ...Object.keys(prefixes).map((p) => `${p}${separator}TYPE`)].join(", ")}`, `"${name}" at index ${y}`, "Name it in `outside` or `never`, or give its scheme");
    types.push(places[y] === "never" || places[y] === "outside" ? undefined : rest.slice(separator.length));
  }
  const loose = scheme === "BIO" || scheme === "IOB1";
  /** Whether a span of the same type reaches from one label to the other. */
  const same = (from: number, to: number): boolean => from >= 0 && types[from] !== undefined && types[from] === types[to];
  const goesOn = (from: number): boolean => from >= 0 && (places[from] === "begin" || places[from] === "inside");
  const allows = (from: number, to: number): boolean => {
    if ((from >= 0 && places[from] === "never") || (to >= 0 && places[to] === "never")) return false;
    const before = from < 0 && openStart;
    if (loose) {
      if (to < 0) return true;
      if (scheme === "BIO") return places[to] !== "inside" || before || same(from, to);
      return places[to] !== "begin" || before || same(from, to);
    }
    if (to < 0) return !goesOn(from) || openEnd;
    if (places[to] === "inside" || places[to] === "end") return before || (goesOn(from) && same(from, to));
    return !goesOn(from);
  };
  return {
    labels: labels.length, types, allows,
    begins: (from, to) => types[to] !== undefined && (places[to] === "begin" || places[to] === "single" || from < 0 || (scheme === "IOB1" && !same(from, to))),
    cutBefore: (from, to) => openStart && from < 0 && (places[to] === "inside" || places[to] === "end"),
    cutAfter: (from, to) => openEnd && to < 0 && goesOn(from),
    certain: { before: scheme !== "IOB1", after: !loose },
  };
}

/** The automaton of all tag sequences; every label that may occur does. */
function legal(where: string, labels: readonly string[], scheme: TagScheme, { allows }: Rules, never: readonly string[]): Automaton {
  const language = fromSteps<number>(where, "labels", labels.length, { start: -1, step: (from, y) => (allows(from, y) ? y : undefined), accepts: (from) => allows(from, -1), key: (from) => from });
  const used = new Set<number>();
  language.next.forEach((to, k) => { if (to >= 0) used.add(k % labels.length); });
  const unused = labels.findIndex((name, y) => !used.has(y) && !never.includes(name));
  if (unused >= 0) throw rangeError(where, "labels", `that can all stand in sequences of ${scheme}`, `"${labels[unused]}" at index ${unused}, which cannot with these others`, "Name it in `never`, or give another scheme");
  return language;
}

/**
 * The language of a tag scheme: tags that spell spans.
 *
 * Labels are a prefix and a type, "B-PER"; or a prefix alone, where there is one type. "O" may be missing.
 *
 * | scheme | a span of length 1, 2, 3 | rules |
 * |---|---|---|
 * | BIO (IOB2) | B · B I · B I I | I follows B or I of its type |
 * | IOB1 | I · I I · I I I | B stands only where a span follows another of its type: after I or B of that type |
 * | BIOES | S · B E · B I E | after B and I comes I or E of that type, elsewhere neither; a sequence does not end in B or I |
 * | BIOUL | U · B L · B I L | the same with L for E, U for S |
 * | BMES | S · B E · B M E | the same with M for I |
 *
 * @param labels - name of each label, C different ones
 * @param scheme - which one
 * @param options - `separator`, `outside`, `never`, `openStart`, `openEnd`
 * @throws RangeError that names a label which does not fit the scheme, or which no legal sequence holds
 * @example tagScheme(["O", "B-PER", "I-PER"], "BIO");
 * Source: Ramshaw and Marcus, "Text chunking using transformation-based learning", 1995 (IOB1); Tjong Kim Sang and Veenstra, "Representing text chunks", EACL 1999 (IOB2, IOE);
 * Ratinov and Roth, "Design challenges and misconceptions in named entity recognition", CoNLL 2009 (BILOU).
 */
export function tagScheme(labels: readonly string[], scheme: TagScheme, options: TagSchemeOptions = {}): Automaton {
  return legal("tagScheme", labels, scheme, rulesOf("tagScheme", labels, scheme, options), options.never ?? []);
}

function wantedTypes(where: string, { types }: Rules, wanted: readonly string[] | undefined): (y: number) => boolean {
  if (wanted === undefined) return (y) => types[y] !== undefined;
  const known = new Set(types.filter((type) => type !== undefined));
  for (const [k, type] of wanted.entries()) if (!known.has(type)) throw rangeError(where, `types[${k}]`, `one of ${listed(known)}`, `"${type}"`);
  return (y) => types[y] !== undefined && wanted.includes(types[y]!);
}

/**
 * Tag sequences with at least so many and at most so many spans, of some types taken together or of all.
 *
 * A subset of `tagScheme`: what is no sequence of tags has no spans to count. A span that an open edge cuts counts as one.
 *
 * @param labels - name of each label, C different ones
 * @param scheme - how spans are written
 * @param options - `types` (default all), `atLeast` (default 0), `atMost` (default Infinity), and those of `tagScheme`
 * @throws RangeError as `tagScheme`; for an unknown type, bounds that cross, more than 65,536 states
 * @example spanCount(["O", "B-DATE", "I-DATE"], "BIO", { types: ["DATE"], atLeast: 1, atMost: 1 });
 * Source: as a constraint of a chain: Papay, Klinger, Pado 2022.
 */
export function spanCount(labels: readonly string[], scheme: TagScheme, options: SpanOptions): Automaton {
  const where = "spanCount", rules = rulesOf(where, labels, scheme, options), { atLeast, atMost } = checkedBounds(where, options), wanted = wantedTypes(where, rules, options.types);
  legal(where, labels, scheme, rules, options.never ?? []);
  const cap = atMost === Infinity ? atLeast : atMost;
  return fromSteps<readonly [from: number, spans: number]>(where, "atMost", labels.length, {
    start: [-1, 0],
    step: ([from, n], y) => {
      if (!rules.allows(from, y)) return undefined;
      if (!wanted(y) || !rules.begins(from, y)) return [y, n];
      return n < cap ? [y, n + 1] : atMost === Infinity ? [y, n] : undefined;
    },
    accepts: ([from, n]) => n >= atLeast && rules.allows(from, -1),
    key: ([from, n]) => n * (labels.length + 1) + from + 1,
  });
}

/**
 * Tag sequences in which every span, of some types or of all, has at least so many and at most so many labels.
 *
 * A subset of `tagScheme`. With open edges: the windows of longer sequences whose spans, whole, are so long.
 *
 * @param labels - name of each label, C different ones
 * @param scheme - how spans are written
 * @param options - `types` (default all), `atLeast` (default 0), `atMost` (default Infinity; 0 = no such span), and those of `tagScheme`
 * @throws RangeError as `tagScheme`; for an unknown type, bounds that cross, more than 65,536 states
 * @example spanLength(["O", "B-ZIP", "I-ZIP"], "BIO", { types: ["ZIP"], atLeast: 5, atMost: 5 });
 * Source: folklore; segments of bounded length: Sarawagi and Cohen, "Semi-Markov conditional random fields for information extraction", NIPS 2004.
 */
export function spanLength(labels: readonly string[], scheme: TagScheme, options: SpanOptions): Automaton {
  const where = "spanLength", rules = rulesOf(where, labels, scheme, options), { atLeast, atMost } = checkedBounds(where, options), wanted = wantedTypes(where, rules, options.types);
  legal(where, labels, scheme, rules, options.never ?? []);
  const cap = atMost === Infinity ? atLeast : atMost;
  interface State { readonly from: number; readonly length: number; readonly cut: boolean }
  /** Whether the span that ends with `from` was long enough. */
  const complete = ({ from, length, cut }: State, to: number): boolean => from < 0 || !wanted(from) || length >= atLeast || cut || rules.cutAfter(from, to);
  return fromSteps<State>(where, "atMost", labels.length, {
    start: { from: -1, length: 0, cut: false },
    step: (state, y) => {
      const { from, length, cut } = state;
      if (!rules.allows(from, y)) return undefined;
      const goesOn = rules.types[y] !== undefined && !rules.begins(from, y);
      if (!goesOn && !complete(state, y)) return undefined;
      if (!wanted(y)) return { from: y, length: 0, cut: false };
      const cutHere = !goesOn && rules.cutBefore(from, y), count = goesOn ? length : cutHere && rules.certain.before ? 1 : 0;
      if (count >= cap && atMost !== Infinity) return undefined;
      return { from: y, length: Math.min(cap, count + 1), cut: goesOn ? cut : cutHere };
    },
    accepts: (state) => {
      const { from, length } = state;
      const room = from < 0 || !wanted(from) || atMost === Infinity || length < cap || !(rules.certain.after && rules.cutAfter(from, -1));
      return rules.allows(from, -1) && complete(state, -1) && room;
    },
    key: ({ from, length, cut }) => (length * (labels.length + 1) + from + 1) * 2 + (cut ? 1 : 0),
  });
}
