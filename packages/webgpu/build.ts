/** Embeds the files of `shaders/` into `wgsl/shaders.js`, a constant each, without comments and indentation and with short names. One file: what they share is compressed once. */
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const here = import.meta.dirname;
rmSync(join(here, "wgsl"), { recursive: true, force: true });
mkdirSync(join(here, "wgsl"));

// Comments between /* and */ are places that src/gpu.ts fills.
const shaders = readdirSync(join(here, "shaders")).map((file) => ({ name: file.replace(/\.wgsl$/, ""), code: read(readFileSync(join(here, "shaders", file), "utf8").replaceAll(/\/\/.*$/gm, "")) }));

/** Makes every x[i] of a storage x that is only read a call x(i): src/gpu.ts declares the function by what the buffer holds. */
function read(code: string): string {
  for (const [, name] of code.matchAll(/var<storage, read> (\w+)/g)) {
    for (let at = code.search(new RegExp(`\\b${name}\\[`)); at >= 0; at = code.search(new RegExp(`\\b${name}\\[`))) {
      const open = at + name.length;
      let close = open, depth = 0;
      do depth += code[close] === "[" ? 1 : code[close] === "]" ? -1 : 0; while (depth > 0 && ++close < code.length);
      code = `${code.slice(0, open)}(${code.slice(open + 1, close)})${code.slice(close + 1)}`;
    }
  }
  return code;
}

/** Files that are put in front of others: what they declare keeps its name there. */
const shared = new Set(["numbers", "reduce", "reduceSubgroups", "softCap"]);
/** An identifier; behind @ stand attributes, behind var address spaces. */
const WORD = /@\w+|\bvar<[^>]*>|\b[A-Za-z_]\w*/g;

// Not renamed: overrides and what else TypeScript knows, the entry point, and words of WGSL that are declared in one file and may mean themselves in another.
const kept = new Set(["main", "widened", "subgroupSize", "subgroupLane", "size", "invocation", "log", "exp", "distance", "length", "sign", "step", "floor", "dot", "max", "min", "read", "storage", "uniform", "function", "private", "array", "atomic"]);
for (const { code } of shaders) for (const [, name] of code.matchAll(/\boverride\s+(\w+)/g)) kept.add(name);
const declared = new Set<string>(), everywhere = new Set<string>();
for (const { name: file, code } of shaders) {
  for (const [, name] of code.matchAll(/\b(?:fn|let|const|var|struct)(?:<[^>]*>)?\s+(\w+)|(\w+)\s*:/g)) declared.add(name);
  for (const [, name] of code.matchAll(/(\w+)\s*:/g)) declared.add(name);
  if (shared.has(file)) for (const [, name] of code.matchAll(/^(?:fn|const|var|struct)(?:<[^>]*>)?\s+(\w+)/gm)) everywhere.add(name);
}
const words = shaders.map(({ code }) => [...code.matchAll(WORD)].map(([word]) => word)), counts = new Map<string, number>();
for (const word of words.flat()) if (declared.has(word) && !kept.has(word) && word.length > 2) counts.set(word, (counts.get(word) ?? 0) + 1);

// The most frequent first, each the shortest name that nothing else has in the files where it occurs. The same name is short for it in all of them.
const small = "abcdefghijklmnopqrstuvwxyz", capitals = small.toUpperCase();
const candidates = [...small, ...capitals, ...[...capitals].flatMap((second) => [...small].map((first) => first + second))];
const taken = words.map((list) => new Set(list.filter((word) => !counts.has(word)))), short = new Map<string, string>();
for (const [name] of [...counts].sort(([a, n], [b, m]) => m - n || (a < b ? -1 : 1))) {
  const files = taken.filter((_, i) => everywhere.has(name) || words[i].includes(name)), free = candidates.find((candidate) => files.every((names) => !names.has(candidate)))!;
  for (const names of files) names.add(free);
  short.set(name, free);
}

/** The fewest digits that are the same float32. */
function shortest(literal: string): string {
  for (let digits = 1; digits < 10; digits++) {
    const text = String(Number(Number(literal).toPrecision(digits)));
    if (Math.fround(Number(text)) === Math.fround(Number(literal))) return /[.e]/.test(text) ? text.replace(/^0\./, ".").replace("+", "") : `${text}.`;
  }
  return literal;
}

/** Declarations that are alike in all files become names in a first line, from which src/gpu.ts makes them again: storage, parameters, their integers, their floats. */
function headed(file: string, code: string): string {
  const uniform = /@group\(0\)@binding\(\d\)var<uniform>(\w+):(\w+);/.exec(code);
  if (!uniform) return code;
  const storage = [...code.matchAll(/@group\(0\)@binding\(\d\)var<storage,\w+>(\w+):array<u32>;/g)], struct = new RegExp(`struct ${uniform[2]}\\{((?:\\w+:[uf]32,)+)\\}`).exec(code);
  const body = [uniform, ...storage, ...(struct ? [struct] : [])].reduce((rest, [text]) => rest.replace(text, ""), code);
  const fields = [...(struct?.[1] ?? "").matchAll(/(\w+):([uf])32,/g)], floats = fields.findIndex(([, , type]) => type === "f"), integers = floats < 0 ? fields.length : floats;
  if (!struct || body.includes("@group") || fields.slice(integers).some(([, , type]) => type === "u")) throw new Error(`${file}.wgsl: expected storage of u32, then parameters of u32 and of f32, got other declarations`);
  return `${[storage, [uniform], fields.slice(0, integers), fields.slice(integers)].map((list) => list.map(([, short]) => short).join(" ")).join("|")}\n${body}`;
}

const constants = shaders.map(({ name, code }) => {
  const minified = code
    .replaceAll(WORD, (word) => short.get(word) ?? word)
    .replaceAll(/\s+/g, " ")
    .replaceAll(/ ?([-+{}()[\];,:=<>*%&|^!?/]) ?/g, "$1")
    .replaceAll(/(?<![\w.])\d+\.\d+(?:e-?\d+)?(?![\w.])/g, shortest)
    // Behind an operator a literal takes the type of the other side.
    .replaceAll(/(?<=[\w)\]](?:[-+*/%&|^]=?|<<|>>|[<>]=?|[=!]=))(\d+|0x[0-9a-f]+)u\b/g, "$1")
    .trim();
  return [name, headed(name, minified)];
});
writeFileSync(join(here, "wgsl", "shaders.js"), constants.map(([name, text]) => `export const ${name} = ${JSON.stringify(text)};\n`).join(""));
writeFileSync(join(here, "wgsl", "shaders.d.ts"), constants.map(([name]) => `/** WGSL of shaders/${name}.wgsl. */\nexport declare const ${name}: string;\n`).join(""));
