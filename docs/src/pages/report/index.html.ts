import { readFileSync } from "node:fs";
import { join } from "node:path";

/** The report that the landing page draws from, as `logits report` wrote it. */
export function GET(): Response {
  return new Response(readFileSync(join(process.cwd(), "../out/site/report/index.html"), "utf8"), { headers: { "content-type": "text/html; charset=utf-8" } });
}
