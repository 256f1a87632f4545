import { describe, rangeError, typeError } from "@logits/tensor";

/**
 * How labels mark spans. `IO`: a span is a run of one type. `IOB1`: B- only where a span follows one of its type. `BIO` (IOB2): every span starts with B-.
 * `BIOES`, `BIOUL` (BILOU) and `BMES`: the last token has a mark of its own, and so has a span of one token.
 */
export type SpanScheme = "IO" | "IOB1" | "BIO" | "BIOES" | "BIOUL" | "BMES";

/** Marks in one spelling: those of BIOES. */
export type Mark = "O" | "B" | "I" | "E" | "S";

const MARKS: Readonly<Record<SpanScheme, Readonly<Record<string, Mark>>>> = {
  IO: { I: "I" }, IOB1: { B: "B", I: "I" }, BIO: { B: "B", I: "I" }, BIOES: { B: "B", I: "I", E: "E", S: "S" },
  BIOUL: { B: "B", I: "I", L: "E", U: "S" }, BMES: { B: "B", M: "I", E: "E", S: "S" },
};

/** Labels taken apart. */
export interface Tags {
  readonly scheme: SpanScheme;
  /** Mark of each label. */
  readonly marks: readonly Mark[];
  /** Type of each label, int32 [C]: an index of `types`; -1 outside. */
  readonly typeOf: Int32Array;
  readonly types: readonly string[];
}

/** Which labels stand for no span, and how the others are written. */
export interface TagOptions {
  /** Default: the scheme whose marks the labels have, BIO where they have B- and I-. */
  readonly scheme?: SpanScheme;
  /** The label outside of spans. Default "O". */
  readonly outside?: string;
}

/** Takes labels apart: a mark, a hyphen, a type; with scheme IO the whole label may be the type. */
export function tagsOf(where: string, labels: readonly string[], { scheme, outside = "O" }: TagOptions): Tags {
  if (!Array.isArray(labels)) throw typeError(where, "labels", "an array of names", describe(labels));
  if (labels.length === 0) throw rangeError(where, "labels", "with at least one name", "none");
  if (scheme !== undefined && !Object.hasOwn(MARKS, scheme)) throw rangeError(where, "scheme", `one of ${Object.keys(MARKS).join(", ")}`, JSON.stringify(scheme));
  labels.forEach((label, y) => {
    if (typeof label !== "string") throw typeError(where, `labels[${y}]`, "a string", describe(label));
    if (labels.indexOf(label) !== y) throw rangeError(where, "labels", "different names", `${JSON.stringify(label)} twice`);
  });
  if (outside !== "O" && !labels.includes(outside)) throw rangeError(where, "outside", "one of the labels", JSON.stringify(outside));
  const chosen = scheme ?? schemeOf(labels, outside);
  const types: string[] = [], marks: Mark[] = [], typeOf = new Int32Array(labels.length).fill(-1);
  for (const [y, label] of labels.entries()) {
    if (label === outside) {
      marks.push("O");
      continue;
    }
    const found = label[1] === "-" ? MARKS[chosen][label[0]] : undefined;
    if (found === undefined && chosen !== "IO") throw rangeError(where, "labels", `of the scheme ${chosen}: ${outside} or ${Object.keys(MARKS[chosen]).map((m) => `${m}-`).join(", ")} and a type`, JSON.stringify(label), "Name the label outside of spans with `outside`, or the `scheme`");
    const type = found === undefined ? label : label.slice(2);
    if (!types.includes(type)) types.push(type);
    marks.push(found ?? "I");
    typeOf[y] = types.indexOf(type);
  }
  return { scheme: chosen, marks, typeOf, types };
}

function schemeOf(labels: readonly string[], outside: string): SpanScheme {
  const marks = new Set(labels.filter((label) => label !== outside).map((label) => (label[1] === "-" ? label[0] : "")));
  const fits = (scheme: SpanScheme): boolean => [...marks].every((mark) => Object.hasOwn(MARKS[scheme], mark));
  return fits("IO") || !marks.has("B") ? "IO" : ((["BIO", "BIOES", "BIOUL", "BMES"] as const).find(fits) ?? "IO");
}

/** Whether a label goes on with the span of the label before it. */
export function continues({ marks, typeOf }: Tags, from: number, to: number): boolean {
  return typeOf[from] >= 0 && typeOf[from] === typeOf[to] && (marks[from] === "B" || marks[from] === "I") && (marks[to] === "I" || marks[to] === "E");
}

/** Whether a label may come after another; from or to -1: the ends of the text. */
export function allowed(tags: Tags, from: number, to: number): boolean {
  const { scheme, marks } = tags;
  const before = from < 0 ? "O" : marks[from], after = to < 0 ? "O" : marks[to];
  const goesOn = from >= 0 && to >= 0 && continues(tags, from, to);
  if (scheme === "IO") return true;
  if (scheme === "IOB1") return after !== "B" || (from >= 0 && tags.typeOf[from] === tags.typeOf[to]);
  if (scheme === "BIO") return after !== "I" || goesOn;
  return before === "B" || before === "I" ? goesOn : after === "O" || after === "B" || after === "S";
}
