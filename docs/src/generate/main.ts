/** What the pages show and nobody writes by hand: the API reference, a report on real data, and the drawings. Into out/site, before `astro build`. Needs the built packages. */
import { join } from "node:path";
import { writeApi } from "./api.ts";
import { writeFigures } from "./figures.ts";
import { writeReport } from "./report.ts";

const root = join(import.meta.dirname, "../../..");
const out = join(root, "out/site");
await writeApi(root, out);
writeFigures(root, out, writeReport(root, out));
