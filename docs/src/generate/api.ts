import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { Application } from "typedoc";

/** Every entry point of the public packages, as `{ name: "@logits/interop/onnx", file: "interop-onnx", types: <its .d.ts> }`. Subpaths that only divide a package for bundlers repeat what is there. */
function entryPoints(root: string): { name: string; file: string; types: string }[] {
  return readdirSync(join(root, "packages")).flatMap((folder) => {
    const { name, private: own, exports } = JSON.parse(readFileSync(join(root, "packages", folder, "package.json"), "utf8")) as { name: string; private?: boolean; exports: Record<string, { types?: string }> };
    if (own) return [];
    return Object.entries(exports)
      .filter(([, { types }]) => types !== undefined && !types.includes("/families/"))
      .map(([subpath, { types }]) => ({ name: `${name}${subpath.slice(1)}`, file: `${folder}${subpath.slice(1)}`.replaceAll("/", "-"), types: join(root, "packages", folder, types!) }));
  });
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
    const text = readFileSync(path, "utf8").replace(/^# .*$/m, `# API of ${name}`);
    writeFileSync(path, text);
  }
  return points.map(({ file }) => file);
}
