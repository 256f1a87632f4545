import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import * as everything from "./index.ts";

const folder = join(import.meta.dirname, "families");
const families = readdirSync(folder).map((file) => file.replace(".ts", ""));
const base = JSON.parse(readFileSync(join(import.meta.dirname, "..", "families.json"), "utf8")) as Record<string, number>;
const { exports } = JSON.parse(readFileSync(join(import.meta.dirname, "..", "package.json"), "utf8")) as { exports: Record<string, unknown> };

it("each family with a binary is a subpath", () => {
  expect(families.toSorted()).toEqual(Object.keys(base).toSorted());
  for (const name of families) expect(exports[`./${name}`]).toEqual({ types: `./dist/families/${name}.d.ts`, default: `./dist/families/${name}.js` });
});

it("the families together export what the package exports, apart from the backend itself and what only other packages use", async () => {
  const names = (await Promise.all(families.filter((name) => !["linear", "order", "sets", "affine", "similarity", "vocabulary", "sampling", "labels", "alignments", "segments", "attention", "decode"].includes(name)).map((name) => import(`./families/${name}.ts`)))).flatMap((module) => Object.keys(module as object));
  expect([...names, "configureWasm", "initWasm", "core", "ResidentTensor"].toSorted()).toEqual(Object.keys(everything).toSorted());
});
