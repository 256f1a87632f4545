/** Runs the digest of deterministic results in Node and in headless Chromium and compares: exit code 1 where a bit differs. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";

const here = import.meta.dirname;
const logits = join(here, "..", "..", "packages", "logits");
const folder = mkdtempSync(join(tmpdir(), "logits-bits-"));
const bundle = async (platform: "node" | "browser", entry: string): Promise<string> => {
  const { outputFiles } = await build({
    stdin: { contents: entry, resolveDir: logits }, bundle: true, write: false, format: "iife", platform,
    // The digest stands outside the packages: it finds them where the umbrella does.
    nodePaths: [join(logits, "node_modules")],
  });
  return outputFiles[0].text;
};

try {
  const path = JSON.stringify(join(here, "digest.ts"));
  writeFileSync(join(folder, "node.cjs"), await bundle("node", `import { digest } from ${path}; console.log(JSON.stringify(digest()));`));
  const script = (await bundle("browser", `import { digest } from ${path}; let text; try { text = JSON.stringify(digest()); } catch (error) { text = "error: " + error.stack; } document.body.textContent = text;`)).replaceAll("</script", "<\\/script");
  writeFileSync(join(folder, "page.html"), `<!doctype html><meta charset="utf-8"><body><script>${script}</script></body>`);
  const node = JSON.parse(execFileSync(process.execPath, [join(folder, "node.cjs")], { encoding: "utf8" })) as Record<string, string>;
  const flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
  const dom = execFileSync("chromium", [...flags, `--user-data-dir=${join(folder, "profile")}`, "--dump-dom", `file://${join(folder, "page.html")}`], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  const text = /<body>(.*)<\/body>/s.exec(dom)?.[1] ?? "";
  if (!text.startsWith("{")) throw new Error(`bits: expected a digest from Chromium, got ${text.slice(0, 2000)}`);
  const chromium = JSON.parse(text) as Record<string, string>;
  let different = 0;
  for (const name of Object.keys(node)) {
    const same = node[name] === chromium[name];
    if (!same) different++;
    console.log(`${same ? "same" : "DIFFERENT"}  ${name.padEnd(18)} ${node[name]}  ${chromium[name]}`);
  }
  console.log(different ? `${different} results differ between Node ${process.version} and Chromium` : `${Object.keys(node).length} results have the same bits in Node ${process.version} and Chromium`);
  process.exitCode = different ? 1 : 0;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
