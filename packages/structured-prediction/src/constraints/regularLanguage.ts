import { checkInteger, rangeError } from "@logits/tensor";
import type { Automaton } from "../automaton.ts";
import { labelIndex, listed } from "./labelNames.ts";
import { Nondeterministic, type Fragment } from "./nondeterministic.ts";
import { STATE_LIMIT } from "./stateLimit.ts";

/** How large an automaton may get. */
export interface RegularLanguageOptions {
  /** Most states before minimising. Default 65,536. */
  readonly maxStates?: number;
}

/** A token of a pattern: an operator, or the name of a label. */
interface Token {
  readonly text: string;
  readonly name: boolean;
  /** Where it begins in the pattern. */
  readonly at: number;
}

const TOKEN = /\s+|"(?:[^"\\]|\\["\\])*"|\{\d+(?:,\d*)?\}|\[\^|[|*+?()[\].]|[^\s|*+?{}()[\]^."\\]+/y;

function tokensOf(where: string, pattern: string): Token[] {
  const out: Token[] = [];
  TOKEN.lastIndex = 0;
  for (let at = 0; at < pattern.length; at = TOKEN.lastIndex) {
    TOKEN.lastIndex = at;
    const text = TOKEN.exec(pattern)?.[0];
    if (text === undefined) throw rangeError(where, "pattern", "of names, \"names\", | * + ? {m,n} . [ ] [^ ] ( )", `${JSON.stringify(pattern.slice(at, at + 12))} at ${at}`);
    if (text.trim() === "") continue;
    const quoted = text.startsWith("\"");
    out.push({ text: quoted ? text.slice(1, -1).replace(/\\(.)/g, "$1") : text, name: quoted || !/^[|*+?(){}[\].]/.test(text), at });
  }
  return out;
}

/**
 * The language of a regular expression whose letters are labels. It describes whole sequences.
 *
 * | pattern | means |
 * |---|---|
 * | `B-PER`, `"a label"` | this label; in quotes (with `\"` and `\\`) where its name has spaces or any of `| * + ? { } ( ) [ ] ^ . " \` |
 * | `A B` | one after the other |
 * | `A \| B` | either; binds less than a sequence |
 * | `A*`, `A+`, `A?` | any number, at least one, at most one |
 * | `A{3}`, `A{2,}`, `A{2,4}` | so many; on a label, a set or a group |
 * | `.`, `[A B]`, `[^A B]` | any label; one of these; any but these |
 * | `( )` | a group; `()` is the empty sequence |
 *
 * A sequence that the pattern reads in several ways counts once: Thompson's automaton is made deterministic and minimised.
 *
 * @param pattern - the expression
 * @param labels - name of each label, C different ones
 * @param options - `maxStates`
 * @throws RangeError that says where the pattern goes wrong or which name is no label; for more states than `maxStates`
 * @example regularLanguage("O* (B-PER I-PER* O*){1,2}", ["O", "B-PER", "I-PER"]);
 * Source: Thompson, "Regular expression search algorithm", Communications of the ACM 11 (1968); as a constraint of a chain: Papay, Klinger, Pado, "Constraining linear-chain CRFs to regular languages", ICLR 2022.
 */
export function regularLanguage(pattern: string, labels: readonly string[], options: RegularLanguageOptions = {}): Automaton {
  const where = "regularLanguage", index = labelIndex(where, labels), { maxStates = STATE_LIMIT } = options;
  checkInteger(where, "maxStates", maxStates, 1, 0x1000000);
  const tokens = tokensOf(where, pattern), nfa = new Nondeterministic(where, "pattern", maxStates);
  // A part of the pattern makes its fragment as often as it is repeated.
  type Part = () => Fragment;
  let n = 0;
  const wrong = (expected: string): RangeError => {
    const token = tokens.at(n);
    return rangeError(where, "pattern", expected, token === undefined ? "its end" : `${JSON.stringify(token.text)} at ${token.at}`);
  };
  const operator = (text: string): boolean => n < tokens.length && !tokens[n].name && tokens[n].text === text;
  const take = (text: string, expected: string): void => {
    if (!operator(text)) throw wrong(expected);
    n++;
  };
  const label = (): number => {
    const y = index.get(tokens[n].text);
    if (y === undefined) throw wrong(`over the labels ${listed(labels)}`);
    n++;
    return y;
  };
  const set = (inverse: boolean): Part => {
    n++;
    const named = new Set<number>();
    while (n < tokens.length && tokens[n].name) named.add(label());
    take("]", "with names and then ] in a set");
    const some = labels.map((_, y) => y).filter((y) => named.has(y) !== inverse);
    return () => nfa.anyOf(some);
  };
  const atom = (): Part => {
    if (n < tokens.length && tokens[n].name) {
      const y = label();
      return () => nfa.anyOf([y]);
    }
    if (operator("[") || operator("[^")) return set(operator("[^"));
    if (operator(".")) {
      n++;
      return () => nfa.anyOf(labels.map((_, y) => y));
    }
    take("(", "with a label, a set or a group here");
    const inner = either();
    take(")", "with ) at the end of a group");
    return inner;
  };
  const counted = (): Part => {
    const part = atom();
    const bounds = n < tokens.length && !tokens[n].name ? boundsOf(tokens[n].text) : undefined;
    if (bounds === undefined) return part;
    if (bounds.atMost < bounds.atLeast) throw wrong("with {m,n} where m <= n");
    n++;
    if (n < tokens.length && !tokens[n].name && boundsOf(tokens[n].text) !== undefined) throw wrong("with one count after a part; put ( ) around what is counted twice");
    return () => nfa.repeated(part, bounds.atLeast, bounds.atMost);
  };
  const sequence = (): Part => {
    const parts: Part[] = [];
    while (n < tokens.length && !operator("|") && !operator(")")) parts.push(counted());
    return () => nfa.sequence(parts.map((part) => part()));
  };
  const either = (): Part => {
    const parts = [sequence()];
    while (operator("|")) {
      n++;
      parts.push(sequence());
    }
    return parts.length === 1 ? parts[0] : () => nfa.either(parts.map((part) => part()));
  };
  const whole = either();
  if (n < tokens.length) throw wrong("with a ( for each )");
  return nfa.determinised(labels.length, whole());
}

function boundsOf(text: string): { readonly atLeast: number; readonly atMost: number } | undefined {
  if (text === "*") return { atLeast: 0, atMost: Infinity };
  if (text === "+") return { atLeast: 1, atMost: Infinity };
  if (text === "?") return { atLeast: 0, atMost: 1 };
  const match = /^\{(\d+)(,?)(\d*)\}$/.exec(text);
  if (match === null) return undefined;
  const atLeast = Number(match[1]);
  return { atLeast, atMost: match[2] === "" ? atLeast : match[3] === "" ? Infinity : Number(match[3]) };
}
