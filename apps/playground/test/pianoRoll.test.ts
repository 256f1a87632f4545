import type { Page } from "playwright-core";
import { beforeEach, describe, expect, test } from "vitest";
import { FRAME, intervalNotes, matchedNotes, noisyRoll, pitchName, thresholdNotes, weightsFor, type Excerpt } from "../src/data/pianoRoll.ts";
import carried from "../src/data/pianoRoll.json";
import { fixed, percent } from "../src/ui/format.ts";
import { expectShown, idle, panelOpener, shown, slide } from "./browser.ts";

const excerpts: readonly Excerpt[] = carried.excerpts;

function f1({ found, given, right }: ReturnType<typeof matchedNotes>): string {
  return percent((2 * right) / (found + given));
}

describe("Piano roll", () => {
  const open = panelOpener();
  let page: Page;
  beforeEach(async () => {
    page = await open("roll");
  });

  async function holds(melody: number, level: number, threshold: number, seed: number): Promise<void> {
    const excerpt = excerpts[melody], { tracks, low, notes } = excerpt, roll = noisyRoll(excerpt, level, seed), own = intervalNotes(roll, tracks, weightsFor(level, carried.weights));
    await expectShown(page, "intervals-f1", f1(matchedNotes(own, notes, true)));
    await expectShown(page, "threshold-f1", f1(matchedNotes(thresholdNotes(roll, tracks, threshold), notes, true)));
    await idle(page);
    const cells = await page.locator("table[data-name=notes] tbody tr").evaluateAll((list) => list.map((row) => [...row.children].map((cell) => cell.textContent)));
    expect(cells).toEqual(own.toSorted((a, b) => a.first - b.first || a.track - b.track).map(({ track, first, last }) => [pitchName(low + track), fixed((first * FRAME) / 1000, 2), fixed(((last + 1) * FRAME) / 1000, 2)]));
  }

  test("shows the library's notes and scores along noise, threshold, melody and draw", async () => {
    await holds(0, 0.75, 0.5, 1);
    await slide(page, "threshold", 0.7);
    await holds(0, 0.75, 0.7, 1);
    await slide(page, "level", 0.4);
    await holds(0, 0.4, 0.7, 1);
    await page.locator("select[name=melody]").selectOption("2");
    await page.locator("button[name=again]").click();
    await holds(2, 0.4, 0.7, 2);
  });

  test("without noise intervals find the melody, and the picture says what it shows", async () => {
    await slide(page, "level", 0);
    await holds(0, 0, 0.5, 1);
    const { right, given } = matchedNotes(intervalNotes(noisyRoll(excerpts[0], 0, 1), excerpts[0].tracks, weightsFor(0, carried.weights)), excerpts[0].notes, true);
    expect(right / given).toBeGreaterThan(0.8);
    expect(await shown(page, "roll-summary")).toContain(`${right} of ${given} found`);
    expect(await page.locator("figure svg[role=img] title").textContent()).toContain("The melody");
  });
});
