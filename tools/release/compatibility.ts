import type { Outcome } from "./consumers.ts";

/** The page of what was run, written from the results. */
export function compatibilityPage(version: string, outcomes: readonly Outcome[]): string {
  const rows = outcomes.map(({ where, ok, detail }) => `| ${where} | ${ok ? "yes" : "**no**"} | ${detail.split("\n")[0].replaceAll("|", "\\|")} |`);
  return `# Where it runs

Written by the release from what it ran: the packed tarballs of version ${version}, installed by npm in a fresh folder, the same program everywhere. It fits a decision head, reads it
back, decides, and hashes the results of all kernel families in deterministic mode; the whole text must be that of Node 24, bit by bit.

Every page is served with \`Content-Security-Policy: default-src 'self'; script-src 'self' 'wasm-unsafe-eval'\`. Without \`'wasm-unsafe-eval'\` no engine compiles WebAssembly. WebAssembly SIMD is
required; relaxed SIMD is used where the engine has it (not in WebKit or Node 20).

| where | works | what was seen |
|---|---|---|
${rows.join("\n")}
`;
}
