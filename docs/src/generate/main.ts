/** What the pages show and nobody writes by hand: the API reference, a report on real data, and the drawings. Into out/site, before `astro build`. Needs the built packages. */
import { rmSync } from "node:fs";
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
