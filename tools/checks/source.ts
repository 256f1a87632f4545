/**
 * TypeScript source with comments, the insides of strings and templates, and regular expressions replaced by blanks: same length,
 * same lines, so that a position in the result is a position in the source. Code inside `${...}` stays.
 */
export function codeOnly(source: string): string {
  const out = source.split("");
  const blank = (from: number, to: number): void => {
    for (let i = from; i < to; i++) if (out[i] !== "\n") out[i] = " ";
  };
  // One entry per open template: how many braces are open inside its current ${...}.
  const templates: number[] = [];
  let at = 0;
  const template = (from: number): number => {
    let i = from;
    while (i < source.length && source[i] !== "`" && !(source[i] === "$" && source[i + 1] === "{")) i += source[i] === "\\" ? 2 : 1;
    blank(from, Math.min(i, source.length));
    if (source[i] === "$") {
      templates.push(0);
      return i + 2;
    }
    return i + 1;
  };
  while (at < source.length) {
    const c = source[at];
    if (c === "/" && source[at + 1] === "/") {
      const end = source.indexOf("\n", at);
      blank(at, end < 0 ? source.length : end);
      at = end < 0 ? source.length : end;
    } else if (c === "/" && source[at + 1] === "*") {
      const end = source.indexOf("*/", at + 2);
      blank(at, end < 0 ? source.length : end + 2);
      at = end < 0 ? source.length : end + 2;
    } else if (c === '"' || c === "'") {
      let i = at + 1;
      while (i < source.length && source[i] !== c && source[i] !== "\n") i += source[i] === "\\" ? 2 : 1;
      blank(at + 1, Math.min(i, source.length));
      at = i + 1;
    } else if (c === "`") {
      at = template(at + 1);
    } else if (c === "/" && startsRegExp(out, at)) {
      let i = at + 1;
      for (let inClass = false; i < source.length && source[i] !== "\n" && (inClass || source[i] !== "/"); i += source[i] === "\\" ? 2 : 1) {
        if (source[i] === "[") inClass = true;
        else if (source[i] === "]") inClass = false;
      }
      blank(at + 1, Math.min(i, source.length));
      at = i + 1;
    } else {
      if (templates.length > 0) {
        if (c === "{") templates[templates.length - 1]++;
        else if (c === "}" && templates[templates.length - 1]-- === 0) {
          templates.pop();
          at = template(at + 1);
          continue;
        }
      }
      at++;
    }
  }
  return out.join("");
}

/** A slash starts a regular expression where no value can end: after an operator, an opening bracket or a keyword. */
function startsRegExp(code: readonly string[], at: number): boolean {
  let i = at - 1;
  while (i >= 0 && /\s/.test(code[i])) i--;
  if (i < 0 || "(,=:[!&|?{};+-*%<>~^".includes(code[i])) return true;
  let word = "";
  for (; i >= 0 && /[\w$]/.test(code[i]); i--) word = code[i] + word;
  return ["return", "typeof", "case", "in", "of", "do", "else", "void", "delete", "throw", "await", "yield"].includes(word);
}

/** Line number, from 1. */
export function lineOf(source: string, at: number): number {
  return source.slice(0, at).split("\n").length;
}

/** One name that a module exports, and where it comes from: `from` is undefined where the module declares it itself. */
export interface ExportedName {
  readonly name: string;
  readonly local: string;
  readonly from: string | undefined;
  /** A type only: nothing remains of it in a program. */
  readonly type: boolean;
}

/** Names that a module exports, by `export { }`, `export { } from` or a declaration. */
export function exportsOf(source: string): ExportedName[] {
  const code = codeOnly(source);
  const found: ExportedName[] = [];
  for (const match of code.matchAll(/\bexport\s+(type\s+)?\{([^}]*)\}(\s*from\s*["'])?/g)) {
    const from = match[3] ? stringAt(source, match.index + match[0].length) : undefined;
    for (const part of match[2].split(",")) {
      const [local, name = local] = part.trim().replace(/^type\s+/, "").split(/\s+as\s+/);
      if (local) found.push({ name, local, from: from ?? importOf(source, code, local), type: match[1] !== undefined || /^type\s/.test(part.trim()) });
    }
  }
  for (const match of code.matchAll(declaration("[A-Za-z_$][\\w$]*", true))) found.push({ name: match[1], local: match[1], from: undefined, type: /\b(?:interface|type)\s+[\w$]+$/.test(match[0]) });
  return found.filter((entry, i) => found.findIndex((other) => other.name === entry.name) === i);
}

/** The set of exported names. */
export function exportedNames(source: string): Set<string> {
  return new Set(exportsOf(source).map(({ name }) => name));
}

/** Whether the declaration of `name` (its first overload) has a documentation comment right before it; `undefined` if there is no declaration. */
export function hasDocComment(source: string, name: string): boolean | undefined {
  const code = codeOnly(source);
  const match = declaration(name.replace(/\$/g, "\\$"), false).exec(code);
  if (!match) return undefined;
  const before = source.slice(0, match.index).trimEnd();
  if (!before.endsWith("*/")) return false;
  const comment = before.slice(before.lastIndexOf("/*"));
  return comment.startsWith("/**") && /[A-Za-z]/.test(comment);
}

function declaration(name: string, exported: boolean): RegExp {
  const head = exported ? "export\\s+" : "(?:export\\s+)?";
  return new RegExp(`(?<![\\w$.])${head}(?:declare\\s+)?(?:(?:async\\s+)?function\\s*\\*?|(?:abstract\\s+)?class|interface|type|const|let|enum)\\s+(${name})(?![\\w$])`, exported ? "g" : "");
}

function importOf(source: string, code: string, local: string): string | undefined {
  for (const match of code.matchAll(/\bimport\s+(?:type\s+)?\{([^}]*)\}\s*from\s*["']/g)) {
    if (match[1].split(",").some((part) => part.trim().replace(/^type\s+/, "").split(/\s+as\s+/).at(-1) === local)) return stringAt(source, match.index + match[0].length);
  }
  return undefined;
}

function stringAt(source: string, at: number): string {
  return /^[^"']*/.exec(source.slice(at))![0];
}
