import { Sampler, tokenScores, type SampleContext, type SamplerOptions, type Samples } from "@logits/sampling";
import type { Page } from "playwright-core";
import { beforeEach, describe, expect, test } from "vitest";
import { END, ngramModel, wordsOf } from "../src/data/ngramModel.ts";
import { count, fixed, percent } from "../src/ui/format.ts";
import { expectShown, idle, panelOpener, shown, slide } from "./browser.ts";
import { trigrams } from "./data.ts";

const model = trigrams();

describe("the language model", () => {
  test("has the probabilities of interpolated Kneser-Ney, by hand", () => {
    const { words, logits } = ngramModel(["a b", "a c"]), p = (prefix: number[]) => Array.from(logits(prefix), Math.exp);
    expect(words).toEqual([END, "a", "b", "c"]);
    // One word, by how many different words it follows: end 2, a, b, c 1 of 5. One word back: "a" is the one that begins.
    const first = (1 - 0.75) / 5 + ((0.75 * 4) / 5) / 4, begins = 1 - 0.75 + 0.75 * first;
    expect(p([])[1]).toBeCloseTo((2 - 0.75) / 2 + (0.75 / 2) * begins, 6);
    // Behind "a" come b and c, once each; both contexts say so.
    const behind = (1 - 0.75) / 2 + 0.75 * first;
    expect(p([1])[2]).toBeCloseTo((1 - 0.75) / 2 + 0.75 * behind, 6);
    expect(p([1])[3]).toBeCloseTo(p([1])[2], 12);
  });

  test("sums to 1 and gives every word a chance, also behind words that it has never seen", () => {
    for (const text of ["", "what is the", "book a", "zebra crossing", "the the the"]) {
      const row = model.logits(wordsOf(text).map((word) => model.idOf(word) ?? -1));
      // 5,864 float32 logarithms: each within 1e-6.
      expect(Math.abs(row.reduce((sum, z) => sum + Math.exp(z), 0) - 1)).toBeLessThan(1e-5);
      expect(row.every(Number.isFinite)).toBe(true);
    }
  });
});

const ORDER: readonly (readonly [title: string, options: readonly (keyof SamplerOptions)[]])[] = [
  ["The model", []], ["Penalties", ["repetitionPenalty", "presencePenalty", "frequencyPenalty"]], ["Temperature", ["temperature"]], ["Top-k", ["topK"]], ["Top-p", ["topP"]], ["Min-p", ["minP"]], ["Typical p", ["typicalP"]], ["Eta", ["eta"]],
];

/** What the library draws from a prompt whose words it knows. */
function drawn(prompt: string, rules: SamplerOptions) {
  const sampler = new Sampler(rules), start = wordsOf(prompt).map((word) => model.idOf(word)!), tokens = [...start];
  const steps: { readonly logits: Float32Array; readonly given: SampleContext & { readonly position: number }; readonly id: number; readonly sample: Samples; readonly word: string }[] = [];
  while (steps.length < 20 && (steps.length === 0 || tokens.at(-1) !== 0)) {
    const logits = model.logits(tokens), given = { tokens: [...tokens], promptLength: start.length, position: steps.length }, sample = sampler.sample(logits, given), id = sample.tokens.item();
    steps.push({ logits, given, id, sample, word: model.words[id] });
    tokens.push(id);
  }
  return steps;
}

describe("Decoding", () => {
  const open = panelOpener();
  let page: Page;
  beforeEach(async () => {
    page = await open("decoding");
    await page.locator("[data-name=decoding-summary]").waitFor({ timeout: 30_000 });
  });

  const words = (): Promise<(string | null)[]> => page.locator("[data-name=text] button").allTextContents();
  const table = (): Promise<(string | null)[][]> => page.locator("table[data-name=stages] tbody tr").evaluateAll((list) => list.map((row) => [...row.children].map((cell) => cell.textContent)));

  /** Holds what is shown of a step against the library, rule by rule. */
  async function holds(prompt: string, rules: SamplerOptions, at: number): Promise<void> {
    const steps = drawn(prompt, rules), { logits, given, id, sample, word } = steps[at], active = ORDER.filter(([title, options]) => title === "The model" || options.some((option) => rules[option] !== undefined));
    await expect.poll(words).toEqual(steps.map((step) => step.word));
    const scores = tokenScores([[...logits]], [id]);
    await expect.poll(() => shown(page, "step")).toContain(`Word ${at + 1}: “${word === END ? "⏎ end" : word}”`);
    await expectShown(page, "entropy", `${fixed(scores.entropies.item(), 3)} nats`);
    await expectShown(page, "margin", fixed(scores.margins.item(), 3));
    await expectShown(page, "candidates", count(sample.candidates.item()));
    await expectShown(page, "nucleus", count(new Sampler({ topP: 0.9, seed: 0 }).sample(logits, { position: 0 }).candidates.item()));
    const head = await page.locator("table[data-name=stages] thead th").allTextContents();
    expect(head).toEqual(["Word", ...active.map(([title]) => title)]);
    let soFar: SamplerOptions = { seed: rules.seed! };
    const columns = active.map(([, options]) => {
      soFar = { ...soFar, ...Object.fromEntries(options.filter((option) => rules[option] !== undefined).map((option) => [option, rules[option]])) };
      return new Sampler(soFar).distribution(logits, given).data;
    });
    const rows = await table();
    expect(rows.length).toBeGreaterThanOrEqual(9);
    expect(rows.map(([name]) => name)).toContain(word === END ? "⏎ end" : word);
    expect(rows).toEqual(rows.map(([name]) => [name, ...columns.map((p) => {
      const q = p[model.idOf(name === "⏎ end" ? END : name!)!];
      return q > 0 ? percent(q, 3) : "out";
    })]));
  }

  test("shows the distribution after each rule, the draw and its numbers as the library gives them, step by step", async () => {
    const rules = { temperature: 0.8, topK: 20, topP: 0.9, seed: 0 };
    await holds("what is the", rules, 0);
    await page.locator("button[name=next]").click();
    await holds("what is the", rules, 1);
    // The number that was drawn lies within the part of the word that was drawn.
    const u = Number(await shown(page, "u")), last = drawn("what is the", rules)[1], p = new Sampler(rules).distribution(last.logits, last.given).data, before = p.subarray(0, last.id).reduce((sum, q) => sum + q, 0);
    expect(u).toBeGreaterThan(before - 1e-4);
    expect(u).toBeLessThan(before + p[last.id] + 1e-4);
    await page.locator("button[name=previous]").click();
    await holds("what is the", rules, 0);
    await page.locator("button[name=reseed]").click();
    await holds("what is the", { ...rules, seed: 1 }, 0);
  });

  test("every slider is the option of its name, and its neutral value turns it off", async () => {
    await page.locator("button[name=all-off]").click();
    await holds("what is the", { seed: 0 }, 0);
    await page.locator("button", { hasText: "please tell me how" }).first().click();
    const rules = { repetitionPenalty: 1.3, presencePenalty: 0.5, frequencyPenalty: 0.2, temperature: 1.2, topK: 30, topP: 0.95, minP: 0.02, typicalP: 0.9, eta: 0.004 };
    for (const [name, value] of Object.entries(rules)) await slide(page, name, value);
    await idle(page);
    await holds("please tell me how", { ...rules, seed: 0 }, 0);
    expect(await page.locator("ol.stages > li").count()).toBe(8);
    for (const [name, value] of [["topK", 51], ["eta", 0], ["typicalP", 1], ["minP", 0]] as const) await slide(page, name, value);
    await expectShown(page, "topK-shown", "off");
    const { repetitionPenalty, presencePenalty, frequencyPenalty, temperature, topP } = rules;
    await holds("please tell me how", { repetitionPenalty, presencePenalty, frequencyPenalty, temperature, topP, seed: 0 }, 0);
  });

  test("temperature 0 draws nothing; a word is chosen by keyboard; unknown words are named", async () => {
    await page.locator("button[name=greedy]").click();
    await holds("what is the", { temperature: 0, seed: 0 }, 0);
    expect(await page.locator("[data-name=strip]").count()).toBe(0);
    await page.locator("[data-name=text] button").nth(2).focus();
    await page.keyboard.press("Enter");
    await holds("what is the", { temperature: 0, seed: 0 }, 2);
    await page.locator("input[name=prompt]").fill("zyzzyva is the");
    await page.keyboard.press("Enter");
    await expect.poll(() => page.locator("form .hint").first().textContent()).toContain("never seen “zyzzyva”");
  });
});
