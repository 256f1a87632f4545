import { softmax } from "@logits/core-wasm";
import { SpanDecoder, aggregateSpans, type DecodedSpan } from "@logits/structured-prediction/spans";
import type { Page } from "playwright-core";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { STRATEGIES, bestLabels, illegalAt, scoreText } from "../src/data/tagger.ts";
import { percent, probability } from "../src/ui/format.ts";
import { expectShown, idle, panelOpener, shown, slide } from "./browser.ts";
import { tagger as carried } from "./data.ts";

const tagger = carried(), { labels, figures } = tagger, decoder = new SpanDecoder(labels, { scheme: "BIO" });
afterAll(() => decoder.dispose());

const FIRST = "Watching Game of Thrones in Los Angeles with Kim Kardashian tonight";
const slice = (text: string, { start, end }: DecodedSpan): string => text.slice(start, end);

/** Probability that labels drawn token by token are legal: the mass that is left when each label must be able to follow the one before. */
function legalShare(p: Float32Array): number {
  const C = labels.length;
  let alpha: number[] = [];
  for (let t = 0; t * C < p.length; t++) alpha = labels.map((to, y) => p[t * C + y] * (t === 0 ? Number(!illegalAt([to], 0)) : labels.reduce((sum, from, x) => sum + (illegalAt([from, to], 1) ? 0 : alpha[x]), 0)));
  return alpha.reduce((sum, a) => sum + a, 0);
}

describe("the tagger that the page carries", () => {
  test("cuts words into pieces that lie in the text, and no label of a legal labelling is illegal", () => {
    const { tokens, alignment, logits, words } = scoreText(tagger, FIRST);
    expect(alignment.where.every((mark) => mark === 1)).toBe(true);
    expect(tokens.map((piece) => piece.replace(/^##/, "")).join("")).toBe(FIRST.toLowerCase().replaceAll(" ", ""));
    expect(words.at(-1)).toBe(10);
    const best = bestLabels(labels, logits);
    expect(best.filter((_, t) => illegalAt(best, t))).not.toEqual([]);
    const decoded = Array.from(decoder.decode(logits).labels, (y) => labels[y]);
    expect(decoded.filter((_, t) => illegalAt(decoded, t))).toEqual([]);
  });

  test("was measured: legal decoding finds more and is right more often than neighbours of one type", () => {
    expect(labels).toHaveLength(13);
    expect(figures.testPosts).toBe(1287);
    expect(figures.testSpans).toBe(1079);
    // Two standard errors of the F1 of about 500 spans are 4 points; the figures are 21.6 and 13.7.
    expect(figures.ways.exact.f1).toBeGreaterThan(0.17);
    expect(figures.ways.exact.f1).toBeGreaterThan(figures.ways.simple.f1);
    expect(figures.ways.exact.precision).toBeGreaterThan(figures.ways.simple.precision);
  });

  test("what the page says of a short text is what enumeration of all its labellings gives", () => {
    const { tokens, logits } = scoreText(tagger, "Kim in Rio"), p = softmax(logits).data, C = labels.length, T = tokens.length;
    expect(T).toBeLessThanOrEqual(5);
    const decoded = decoder.decode(logits), found = new Map<string, number>();
    let legal = 0;
    for (let code = 0; code < C ** T; code++) {
      const path = Array.from({ length: T }, (_, t) => Math.floor(code / C ** t) % C), names = path.map((y) => labels[y]);
      if (names.some((_, t) => illegalAt(names, t))) continue;
      const weight = path.reduce((product, y, t) => product * p[t * C + y], 1);
      legal += weight;
      for (let from = 0; from < T; from++) {
        if (!names[from].startsWith("B-")) continue;
        let to = from + 1;
        while (to < T && names[to].startsWith("I-")) to++;
        const key = `${names[from].slice(2)} ${from} ${to}`;
        found.set(key, (found.get(key) ?? 0) + weight);
      }
    }
    const above = decoded.above(0.02);
    expect(above.length).toBeGreaterThan(1);
    expect(legalShare(p)).toBeCloseTo(legal, 9);
    // float32 softmax and float32 forward-backward: within 3e-6, as the decoder's page says.
    for (const span of above) expect(Math.abs(span.probability - found.get(`${span.type} ${span.from} ${span.to}`)! / legal)).toBeLessThan(3e-6);
  });
});

describe("Spans", () => {
  const open = panelOpener();
  let page: Page;
  beforeEach(async () => {
    page = await open("spans");
    await page.locator("[data-name=legal]").waitFor({ timeout: 30_000 });
  });

  const marks = (): Promise<(string | null)[]> => page.locator("[data-name=marked] mark").allTextContents();
  const bars = (name: string): Promise<string[][]> => page.locator(`[data-name=${name}] li`).evaluateAll((list) => list.map((row) => [row.children[0].textContent!, row.children[2].textContent!]));

  async function holds(text: string, whole: boolean, least: number): Promise<void> {
    const { alignment, words, logits, tokens } = scoreText(tagger, text), decoded = decoder.decode(logits, { alignment, ...(whole && { words: [...words] }) });
    await expect.poll(marks).toEqual(decoded.toArray().map((span) => `${slice(text, span)}${span.type} ${probability(span.probability)}`));
    const above = decoded.above(0.02).sort((a, b) => b.probability - a.probability || a.from - b.from).filter((span) => span.probability >= least).slice(0, 12);
    if (!whole) await expectShown(page, "legal", probability(legalShare(softmax(logits).data)));
    expect(await bars("candidates")).toEqual(above.map((span) => [`${slice(text, span)} ${span.type}`, probability(span.probability)]));
    expect(await bars("labellings")).toEqual(decoded.alternatives(5).map(({ spans, probability: p }) => [spans.length === 0 ? "no name at all" : spans.map((span) => `${slice(text, span)} (${span.type})`).join(", "), probability(p)]));
    const cells = await page.locator("table[data-name=strategies] tbody tr").evaluateAll((list) => list.map((row) => [...row.children].map((cell) => (cell.querySelector("li") ? [...cell.querySelectorAll("li")].map((item) => item.textContent).join("; ") : cell.textContent))));
    expect(cells.map(([way, spans]) => [way, spans])).toEqual([
      [whole ? "SpanDecoder, whole words" : "SpanDecoder", decoded.toArray().map((span) => `${slice(text, span)} ${span.type} ${probability(span.probability)}`).join("; ") || "nothing"],
      ...STRATEGIES.map((strategy) => [strategy, aggregateSpans(logits, labels, { strategy, alignment, tokens }).map((span) => `${slice(text, span)} ${span.type} ${probability(span.probability)} (exact ${probability(decoded.probabilityOf(span))})`).join("; ") || "nothing"]),
    ]);
    expect(cells[0].slice(2)).toEqual([figures.ways[whole ? "words" : "exact"]].map(({ precision, recall, f1, claimed }) => [precision, recall, f1, claimed].map((share) => percent(share)))[0]);
  }

  test("shows spans, candidates, labellings and strategies with the library's numbers, for texts and words of one's own", async () => {
    await holds(FIRST, false, 0.1);
    await slide(page, "least", 0.03);
    await holds(FIRST, false, 0.03);
    await page.locator("input[name=whole]").check();
    await idle(page);
    await holds(FIRST, true, 0.03);
    await page.locator("input[name=whole]").uncheck();
    const own = "Zoë met 😀 Ada Lovelace in Stockholm, didn't she?";
    await page.locator("input[name=sentence]").fill(own);
    await page.keyboard.press("Enter");
    await expect.poll(() => shown(page, "marked")).toContain("Stockholm");
    await idle(page);
    await holds(own, false, 0.03);
  });

  test("without the constraint it shows each token's best label, and what is not legal about them", async () => {
    const { tokens, alignment, logits } = scoreText(tagger, FIRST), best = bestLabels(labels, logits), broken = tokens.filter((_, t) => illegalAt(best, t));
    await expectShown(page, "broken", `${broken.length}`);
    await page.locator("input[name=constrained]").uncheck();
    const spans = aggregateSpans(logits, labels, { strategy: "simple", alignment });
    await expect.poll(marks).toEqual(spans.map((span) => `${slice(FIRST, span)}${span.type} ${probability(span.probability)}${illegalAt(best, span.from) ? ", no beginning" : ""}`));
    expect(await page.locator("mark.broken").count()).toBe(broken.length);
    expect(await shown(page, "spans-summary")).toContain(`“${broken[0]}”`);
    await page.locator("details.numbers summary").click();
    const cells = await page.locator("table[data-name=tokens] tbody tr").evaluateAll((list) => list.map((row) => [...row.children].map((cell) => cell.textContent)));
    const decoded = decoder.decode(logits).labels;
    expect(cells.map(([piece, alone, , legal, joint]) => [piece, alone, legal, joint])).toEqual(tokens.map((piece, t) => [piece, best[t], illegalAt(best, t) ? "no" : "yes", labels[decoded[t]]]));
  });

  test("an empty text and a text of signs are answered too", async () => {
    await page.locator("input[name=sentence]").fill("");
    await page.locator("button[name=ask]").click();
    await expect.poll(() => shown(page, "spans-summary")).toContain("Nothing to read yet");
    await page.locator("input[name=sentence]").fill("… ?!");
    await page.locator("button[name=ask]").click();
    await expect.poll(() => shown(page, "spans-summary")).toMatch(/name/);
  });
});
