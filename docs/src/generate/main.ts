/** What the pages show and nobody writes by hand: the API reference, a report on real data, and the drawings. Into out/site, before `astro build`. Needs the built packages. */
import { cpSync, existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { writeApi } from "./api.ts";
import { writeFigures } from "./figures.ts";
import { writeReport } from "./report.ts";

const root = join(import.meta.dirname, "../../..");
const out = join(root, "out/site");
await writeApi(root, out);
writeFigures(root, out, writeReport(root, out));
// Astro keeps a page as it was while its text is the same, also where what is drawn into it has changed.
rmSync(join(root, "docs/node_modules/.astro"), { recursive: true, force: true });

// The playground is a program of its own; where it was built, the site carries it.
const playground = join(root, "apps/playground/dist"), carried = join(root, "docs/public/playground");
rmSync(carried, { recursive: true, force: true });
if (existsSync(join(playground, "index.html"))) cpSync(playground, carried, { recursive: true });
