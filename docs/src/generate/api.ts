import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { Application } from "typedoc";

/** Every entry point of the public packages, as `{ name: "@logits/interop/onnx", file: "interop-onnx", types: <its .d.ts> }`. Subpaths that only divide a package for bundlers repeat what is there. */
function entryPoints(root: string): { name: string; file: string; types: string }[] {
  // What the umbrella passes on is explained where it comes from.
  const folders = readdirSync(join(root, "packages")).filter((folder) => folder !== "logits");
  return [...folders, "logits"].flatMap((folder) => {
    const { name, private: own, exports } = JSON.parse(readFileSync(join(root, "packages", folder, "package.json"), "utf8")) as { name: string; private?: boolean; exports: Record<string, { types?: string }> };
    if (own) return [];
    return Object.entries(exports)
      .filter(([, { types }]) => types !== undefined && !types.includes("/families/"))
      .map(([subpath, { types }]) => ({ name: `${name}${subpath.slice(1)}`, file: `${folder}${subpath.slice(1)}`.replaceAll("/", "-"), types: join(root, "packages", folder, types!) }));
  });
}

/** What TypeDoc leaves as it was in the comments: indented formulas become blocks, an example ends where its source line begins, its lines lose their common indentation. */
function readable(text: string): string {
  const ids = new Set<string>(), counts = new Map<string, number>();
  for (const [, heading] of text.matchAll(/^#+ (.+)$/gm)) {
    const slug = heading.toLowerCase().replaceAll(/[^\p{L}\p{N}_ -]/gu, "").replaceAll(" ", "-"), seen = counts.get(slug) ?? 0;
    counts.set(slug, seen + 1);
    ids.add(seen === 0 ? slug : `${slug}-${seen}`);
  }
  return text
    .replaceAll(/```ts\n([\s\S]*?)```/g, (_, code: string) => {
      const [program, ...after] = code.split(/\n\s*\n(?=\s*(?:Sources?|Prior work|See|Nearest prior work)\b)/);
      const lines = program.trimEnd().split("\n"), rest = lines.slice(1).filter((line) => line.trim() !== "");
      const indent = lines[0].startsWith(" ") || rest.length === 0 ? 0 : Math.min(...rest.map((line) => line.length - line.trimStart().length));
      const whole = indent === 2 && /^(?! )/.test(lines[0]) && !/[{([,]$/.test(lines[0].trimEnd()) ? [lines[0], ...lines.slice(1).map((line) => line.slice(indent))] : lines;
      return `\`\`\`ts\n${whole.join("\n")}\n\`\`\`${after.map((paragraph) => `\n\n${paragraph.trim().replaceAll(/\n\s+/g, "\n")}`).join("")}`;
    })
    .split(/(```[\s\S]*?```)/)
    .map((part) => (part.startsWith("```") ? part : part.replaceAll(/(?<=\n\n)((?: {2,}\S.*\n)+)(?=\n)/g, (block: string) => (/^ {2,}[-*] /.test(block) ? block : `\`\`\`text\n${block.replaceAll(/^ {2}/gm, "")}\`\`\`\n`))))
    .join("")
    .replaceAll(/\(#([\w-]+)-(\d+)\)/g, (link, base: string, count: string) => (!ids.has(`${base}-${count}`) && ids.has(base) ? `(#${base})` : link));
}

/** The API reference: one page for each entry point, written by TypeDoc from the declarations that are published. */
export async function writeApi(root: string, out: string): Promise<string[]> {
  const points = entryPoints(root);
  const entries = join(out, "entries");
  rmSync(join(out, "api"), { recursive: true, force: true });
  mkdirSync(entries, { recursive: true });
  const files = points.map(({ file, types }) => {
    const path = join(entries, `${file}.d.ts`);
    writeFileSync(path, `export * from ${JSON.stringify(relative(entries, types).replace(/\.d\.ts$/, ".js"))};\n`);
    return path;
  });
  const tsconfig = join(entries, "tsconfig.json");
  writeFileSync(tsconfig, JSON.stringify({ compilerOptions: { target: "esnext", module: "nodenext", moduleResolution: "nodenext", strict: true, skipLibCheck: true, types: [], noEmit: true }, files }));
  const app = await Application.bootstrapWithPlugins({
    entryPoints: files, tsconfig, plugin: ["typedoc-plugin-markdown"], out: join(out, "api"), basePath: entries, readme: "none", disableSources: true, excludePrivate: true, excludeInternal: true,
    logLevel: "Error", skipErrorChecking: true, gitRevision: "none",
    ...({ router: "module", hidePageHeader: true, hideBreadcrumbs: true, parametersFormat: "table", interfacePropertiesFormat: "table", propertyMembersFormat: "table", typeDeclarationFormat: "table", useCodeBlocks: true, entryFileName: "modules" } as object),
  });
  const project = await app.convert();
  if (project === undefined || app.logger.hasErrors()) throw new Error("expected TypeDoc to read the declarations, got errors");
  await app.generateOutputs(project);
  if (app.logger.hasErrors()) throw new Error("expected TypeDoc to write the pages, got errors");
  rmSync(join(out, "api", "modules.md"), { force: true });
  for (const { name, file } of points) {
    const path = join(out, "api", `${file}.md`);
    const [, ...body] = readable(readFileSync(path, "utf8")).split(/^# .*$/m);
    writeFileSync(path, `# API of ${name}\n\nEvery export with its types, from the declarations that are published. What to use first, with examples: [all pages](../../../docs/README.md).\n${body.join("")}`);
  }
  return points.map(({ file }) => file);
}
