import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { expectClose, expectExact } from "@logits/testkit";
import { riskCoverage } from "../riskCoverage.ts";
import { auroc } from "../auroc.ts";
import { riskCoveragePlot, rocCurve, rocPlot, svg, thresholdPlot, type Plot, type PlotColour, type PlotSeries, type PlotShape } from "../plot.ts";

const plot = (series: readonly PlotSeries[], change: Partial<Plot> = {}): Plot => ({ title: "A title", x: { label: "x" }, y: { label: "y" }, series, ...change });
const line = (x: ArrayLike<number>, y: ArrayLike<number>): PlotSeries => ({ kind: "line", x, y });

/** Numbers inside attributes that hold coordinates; texts are left aside. */
const geometry = (text: string): string[] => [...text.matchAll(/ (?:d|x|y|viewBox|width|height)="([^"]*)"/g)].flatMap((match) => match[1].split(/[\s,MLHVhvlmaZ]+/).filter((part) => part !== ""));
const ticks = (text: string): string[] => [...text.matchAll(/<g fill-opacity="0.8">(.*?)<\/g>/g)].flatMap((match) => [...match[1].matchAll(/>([^<]+)<\/text>/g)].map((found) => found[1]));

/** Well formed: tags open and close in order, attributes are quoted, no bare ampersand. */
function checkXml(text: string): void {
  const open: string[] = [];
  const rest = text.replace(/<(\/?)([a-z]+)((?: [\w:-]+="[^"<>&]*(?:&#\d+;[^"<>&]*)*")*)(\/?)>/g, (_, end: string, name: string, attributes: string, alone: string) => {
    const names = [...attributes.matchAll(/ ([\w:-]+)="/g)].map((match) => match[1]);
    expect(new Set(names).size, attributes).toBe(names.length);
    if (end) expect(open.pop()).toBe(name);
    else if (!alone) open.push(name);
    return "";
  });
  expect(open).toEqual([]);
  expect(rest.replaceAll(/&#\d+;/g, "")).not.toMatch(/[<>&"]/);
}

const hostile = fc.oneof(fc.double(), fc.constantFrom(0, -0, 1, NaN, Infinity, -Infinity, 5e-324, Number.MAX_VALUE, -Number.MAX_VALUE, 1e-300, 1e300));
const text = fc.string({ unit: "binary", maxLength: 12 });
const axis = fc.record({ label: text, zero: fc.boolean(), log: fc.boolean(), percent: fc.boolean() });
const colour = fc.constantFrom<PlotColour | undefined>(undefined, 1, 6, "ink", "soft"), shape = fc.constantFrom<PlotShape>("circle", "square", "triangle", "diamond", "cross");
const lists = (names: readonly string[], optional: readonly string[] = []) =>
  fc.integer({ min: 0, max: 12 }).chain((n) => fc.record(Object.fromEntries([...names, ...optional].map((name) => [name, fc.array(hostile, { minLength: n, maxLength: n })])), { requiredKeys: [...names] }));
const named = <Kind extends string>(kind: Kind, values: fc.Arbitrary<Record<string, number[] | undefined>>) => fc.record({ values, name: fc.option(text, { nil: undefined }), colour, dashed: fc.boolean(), shape, along: fc.constantFrom("x", "y"), label: fc.option(text, { nil: undefined }) })
    .map(({ values, label, ...rest }) => ({ kind, ...rest, ...values, ...(label !== undefined && { labels: (values["low"] ?? values["x"])!.map(() => label) }) }) as unknown as PlotSeries);
const series = fc.oneof(
  named("line", lists(["x", "y"])), named("points", lists(["x", "y"], ["low", "high", "size"])), named("bars", lists(["low", "high", "value"], ["base"])), named("band", lists(["x", "low", "high"])),
  fc.record({ kind: fc.constant("rule" as const), axis: fc.constantFrom("x" as const, "y" as const), at: hostile, label: text, colour, dashed: fc.boolean() }),
);

describe("svg", () => {
  it("draws a small plot as it always did", () => {
    expect(svg(plot([{ kind: "points", name: "a & b", x: [0, 1, 2], y: [0.5, 0.75, 1], low: [0.25, 0.5, 0.75], high: [0.75, 1, 1] }], { y: { label: "share", domain: [0, 1], percent: true } }), { width: 200, height: 120 })).toMatchInlineSnapshot(`"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 200 120" width="200" height="120" role="img" aria-labelledby="plot-u54lba-title plot-u54lba-description" font-family="system-ui,sans-serif" font-size="12" fill="var(--plot-ink,currentColor)"><title id="plot-u54lba-title">A title</title><desc id="plot-u54lba-description">a &#38; b: points, 3, x 0 to 2, share 50 % to 100 %.</desc><path fill="none" stroke="var(--plot-ink,currentColor)" stroke-opacity="0.13" d="M47,80H190M47,62H190M47,44H190"/><path fill="none" stroke="var(--plot-ink,currentColor)" stroke-opacity="0.5" d="M47,80H190"/><g fill-opacity="0.8"><text x="41" y="84" text-anchor="end">0 %</text><text x="41" y="66" text-anchor="end">50 %</text><text x="41" y="48" text-anchor="end">100 %</text><text x="47" y="96" text-anchor="middle">0</text><text x="118.5" y="96" text-anchor="middle">1</text><text x="190" y="96" text-anchor="middle">2</text><text x="2" y="31">share</text><text x="190" y="114" text-anchor="end">x</text></g><path fill="none" stroke="var(--plot-1,#2a7fb8)" stroke-opacity="0.75" stroke-width="1.5" d="M47,71V53M118.5,62V44M190,53V44"/><path fill="var(--plot-1,#2a7fb8)" fill-opacity="0.85" d="M43,62a4,4 0 1,0 8,0a4,4 0 1,0 -8,0ZM114.5,53a4,4 0 1,0 8,0a4,4 0 1,0 -8,0ZM186,44a4,4 0 1,0 8,0a4,4 0 1,0 -8,0Z"/><path fill="var(--plot-1,#2a7fb8)" fill-opacity="0.85" d="M5,9a4,4 0 1,0 8,0a4,4 0 1,0 -8,0Z"/><text x="21" y="13">a &#38; b</text></svg>"`);
  });

  it("gives the same bytes twice, whatever the kind of the arrays", () => {
    expect(svg(plot([line([0, 1, 2], [3, 1, 2])]))).toBe(svg(plot([line(Float64Array.of(0, 1, 2), Float32Array.of(3, 1, 2))])));
  });

  it("has a title, a description that says what is in it, and ids of its own for another plot", () => {
    const text = svg(plot([line([0, 1, NaN], [3, 1, 2]), { kind: "rule", axis: "y", at: 2, name: "aim" }]));
    const [, id] = /aria-labelledby="([\w-]+)-title \1-description"/.exec(text)!;
    expect(text).toContain(`role="img"`);
    expect(text).toContain(`<title id="${id}-title">A title</title>`);
    expect(text).toContain(`<desc id="${id}-description">Data: line through 3, x 0 to 1, y 1 to 3. aim: at y 2. Not drawn, because no number stands for them: 1.</desc>`);
    expect(svg(plot([line([0, 1], [3, 2])]))).not.toContain(id);
    expect(svg(plot([]), { id: "mine" })).toContain('aria-labelledby="mine-title mine-description"');
  });

  it("has no number that is none, is well formed and escapes every text, whatever the values", () => {
    fc.assert(
      fc.property(fc.array(series, { maxLength: 4 }), axis, axis, text, fc.integer({ min: 120, max: 900 }), (series, x, y, title, width) => {
        const drawn = svg({ title, description: undefined, x, y, series }, { width });
        for (const number of geometry(drawn)) expect(Number.isFinite(Number(number)), `${number} in ${drawn}`).toBe(true);
        checkXml(drawn);
      }),
      { seed: 1, numRuns: 400 },
    );
  });

  it("draws inside its frame, and leaves out what lies beyond the axes", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.integer({ min: -50, max: 50 }), fc.integer({ min: -50, max: 50 })), { minLength: 1, maxLength: 30 }), (points) => {
        const drawn = svg(plot([line(points.map(([x]) => x), points.map(([, y]) => y))], { x: { label: "x", domain: [-10, 10] }, y: { label: "y", domain: [-10, 10] } }));
        const path = /stroke-linejoin="round"[^>]* d="([^"]*)"/.exec(drawn)?.[1] ?? "";
        for (const [, x, y] of path.matchAll(/[ML](-?[\d.]+),(-?[\d.]+)/g)) {
          expect(Number(x)).toBeGreaterThanOrEqual(0);
          expect(Number(x)).toBeLessThanOrEqual(400);
          expect(Number(y)).toBeGreaterThanOrEqual(20);
          expect(Number(y)).toBeLessThanOrEqual(220.01);
        }
      }),
      { seed: 2, numRuns: 200 },
    );
    const beyond = svg(plot([{ kind: "points", x: [0, 5], y: [0, 500] }], { y: { label: "y", domain: [0, 1] } }));
    expect(beyond).toContain("Beyond the axes: 1.");
    expect(beyond.match(/a4,4/g)).toHaveLength(2);
  });

  it("a line that crosses the frame is cut where it leaves", () => {
    const drawn = svg(plot([line([0, 1, 2], [0, 10, 0])], { x: { label: "", domain: [0, 2] }, y: { label: "", domain: [0, 5] } }), { width: 240, height: 140 });
    // The frame: from 8 to 118 in height; the line leaves at half its way up and comes back as far behind.
    const [a, b] = [...drawn.matchAll(/M([\d.]+),([\d.]+)L([\d.]+),([\d.]+)/g)].map((match) => match.slice(1).map(Number));
    expect(a[3]).toBe(8);
    expect(b[1]).toBe(8);
    expectClose(a[2] - a[0], b[2] - b[0], { atol: 0.02 });
  });

  it("long lines keep the highest and the lowest point of each column", () => {
    const n = 200_000, y = Float64Array.from({ length: n }, (_, i) => (i === 123_456 ? 9 : i === 77_777 ? -9 : (i % 7) / 7));
    const drawn = svg(plot([line(Float64Array.from(y, (_, i) => i), y)], { y: { label: "", domain: [-10, 10] } }));
    expect(drawn.length).toBeLessThan(40_000);
    const heights = [...drawn.matchAll(/[ML]([\d.]+),([\d.]+)/g)].map((match) => Number(match[2]));
    // 9 and -9 on an axis from -10 to 10, 212 pixels high, below 8 pixels of room.
    expectClose([Math.min(...heights.filter((height) => height > 10)), Math.max(...heights.filter((height) => height < 215))], [8 + 212 * 0.05, 8 + 212 * 0.95], { atol: 0.01 });
  });

  it.each<[string, PlotSeries[], Partial<Plot>, string[]]>([
    ["nothing", [], {}, ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]],
    ["one point", [line([3], [7])], {}, ["2", "4", "6", "8", "10", "12"]],
    ["equal values", [line([1, 1], [2, 2])], {}, ["1.0", "1.5", "2.0", "2.5", "3.0"]],
    ["zeros", [line([0, 1], [0, -0])], {}, ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]],
    ["only infinities", [line([0, 1], [Infinity, -Infinity])], {}, ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]],
    ["the largest numbers count as infinite", [line([0, 1, 2], [1, 2, Number.MAX_VALUE])], {}, ["1.0", "1.2", "1.4", "1.6", "1.8", "2.0"]],
    ["large numbers", [line([0, 1], [0, 40000])], {}, ["0", "10,000", "20,000", "30,000", "40,000"]],
    ["very large numbers", [line([0, 1], [0, 4e9])], {}, ["0", "1e9", "2e9", "3e9", "4e9"]],
    ["small numbers", [line([0, 1], [0, -2e-9])], {}, ["−2.0e−9", "−1.5e−9", "−1.0e−9", "−5e−10", "0"]],
    ["shares", [line([0, 1], [0.901, 0.914])], { y: { label: "y", percent: true } }, ["90.0\u00a0%", "90.5\u00a0%", "91.0\u00a0%", "91.5\u00a0%"]],
    ["a logarithmic axis", [line([0, 1], [0.02, 700])], { y: { label: "y", log: true } }, ["0.1", "1", "10", "100"]],
    ["less than a power of ten", [line([0, 1], [2, 9])], { y: { label: "y", log: true } }, ["2", "5", "10"]],
    ["at least two numbers", [], { y: { label: "y", domain: [0.65, 1.4] } }, ["0.8", "1.0", "1.2", "1.4"]],
    ["a domain rounded twice", [line([0, 1], [0.75, 1.24])], {}, ["0.6", "0.8", "1.0", "1.2", "1.4"]],
    ["names", [], { y: { label: "y", categories: ["a", "b<"] } }, ["a", "b&#60;"]],
  ])("names its ticks: %s", (_, series, change, want) => {
    const found = ticks(svg(plot(series, change))), across = ticks(svg(plot(series, { ...change, y: { label: "y", categories: [] } })));
    expect(found.slice(0, found.length - across.length)).toEqual(want);
  });

  it("infinite ends of intervals and bars end where the axis does", () => {
    const axes = { x: { label: "", domain: [0, 2] as const }, y: { label: "", domain: [0, 1] as const } };
    const interval = svg(plot([{ kind: "points", x: [1], y: [0.5], low: [-Infinity], high: [Infinity] }], axes), { height: 140 });
    expect(interval).toMatch(/M[\d.]+,118V8"/);
    const bar = svg(plot([{ kind: "bars", low: [0], high: [1], value: [Infinity] }], axes), { height: 140 });
    expect(bar).toMatch(/M[\d.]+,118V8H[\d.]+V118Z/);
  });

  it("bars lie along x, and carry words at their ends", () => {
    const drawn = svg(plot([{ kind: "bars", along: "x", low: [-0.25], high: [0.25], value: [2], labels: ["two <"] }], { x: { label: "", domain: [0, 2] }, y: { label: "", categories: ["a"] } }), { width: 200, height: 130 });
    // The frame: 100 pixels high below 8 of room; the bar fills half of it around its middle, less half a pixel at each side.
    const [, from, upper, to, lower, word] = /M([\d.]+),([\d.]+)H([\d.]+)V([\d.]+)H\1Z.*<text x="([\d.]+)"[^>]*>two &#60;</.exec(drawn)!.map(Number);
    expect([upper, lower]).toEqual([33.5, 82.5]);
    expect(to).toBeGreaterThan(from);
    expect(word).toBe(to + 4);
    expect(to + 4 + 5 * 7).toBeLessThanOrEqual(200);
  });

  it("a file of its own has colours for light and dark; a picture in a page those of the page", () => {
    expect(svg(plot([]), { standalone: true })).toContain("prefers-color-scheme:dark");
    expect(svg(plot([]))).not.toContain("<style");
    expect(svg(plot([line([0, 1], [0, 1])]))).toContain('stroke="var(--plot-1,#2a7fb8)"');
  });

  it("names two numbers at least on each axis, however small", () => {
    fc.assert(
      fc.property(fc.double({ min: -1e6, max: 1e6, noNaN: true }), fc.double({ min: 1e-6, max: 1e6, noNaN: true }), fc.boolean(), fc.integer({ min: 120, max: 400 }), (low, span, given, width) => {
        const drawn = svg(plot([line([low, low + span], [0, 1])], { x: { label: "", ...(given && { domain: [low, low + span] as const }) }, y: { label: "", categories: [] } }), { width });
        const across = [...drawn.matchAll(/text-anchor="middle">([^<]+)</g)].map((match) => match[1]);
        expect(new Set(across).size).toBe(across.length);
        expect(across.length).toBeGreaterThanOrEqual(width > 250 ? 2 : 1);
      }),
      { seed: 4, numRuns: 300 },
    );
  });

  it("at 390 pixels names do not run into each other: ticks are left out, long names cut", () => {
    const names = Array.from({ length: 30 }, (_, i) => `class number ${i}`);
    const shown = ticks(svg(plot([], { x: { label: "", categories: names } }), { width: 390 })).filter((name) => name.startsWith("clas"));
    expect(shown.length).toBeLessThan(9);
    expect(shown.length).toBeGreaterThan(3);
  });

  it("says what is wrong", () => {
    const says = (run: () => unknown): string => {
      try {
        run();
      } catch (cause) {
        return `${(cause as Error).name}: ${(cause as Error).message}`;
      }
      return "nothing";
    };
    expect(says(() => svg(plot([line([0, 1], [0])])))).toMatchInlineSnapshot(`"RangeError: svg: expected \`series[0].y\` of the length of \`x\`, 2, got 1"`);
    expect(says(() => svg(plot([], { x: { label: "", domain: [1, 1] } })))).toMatchInlineSnapshot(`"RangeError: svg: expected \`x.domain\` [low, high], finite, low below high by more than rounding, got [1, 1]"`);
    expect(says(() => svg(plot([], { y: { label: "", log: true, domain: [0, 1] } })))).toMatchInlineSnapshot(`"RangeError: svg: expected \`y.domain\` [low, high], positive, finite, low below high by more than rounding, got [0, 1]"`);
    expect(says(() => svg(plot([], { y: { label: "", log: true, categories: ["a"] } })))).toMatchInlineSnapshot(`"RangeError: svg: expected \`y\` with either \`categories\` or \`domain\`, \`log\`, \`percent\`, got both"`);
    expect(says(() => svg(plot([]), { width: 100 }))).toMatchInlineSnapshot(`"RangeError: svg: expected \`width\` at least 120, got 100"`);
    expect(says(() => svg(plot([]), { height: NaN }))).toMatchInlineSnapshot(`"RangeError: svg: expected \`height\` a finite number > 0, got NaN"`);
    expect(says(() => riskCoveragePlot({}))).toMatchInlineSnapshot(`"RangeError: riskCoveragePlot: expected \`curves\` with 1 to 6 curves, got 0"`);
    expect(says(() => rocCurve([1, 2], [1]))).toMatchInlineSnapshot(`"RangeError: rocCurve: expected \`positives\` of shape [2], got [1]"`);
    expect(says(() => rocCurve([1, 2], [1, 1]))).toMatchInlineSnapshot(`"RangeError: rocCurve: expected \`positives\` with at least one positive and one negative row, got 2 of 2 positive"`);
  });
});

describe("rocCurve", () => {
  const rows = fc.array(fc.tuple(fc.integer({ min: 0, max: 9 }), fc.boolean()), { minLength: 2, maxLength: 60 }).filter((list) => list.some(([, mark]) => mark) && list.some(([, mark]) => !mark));

  it("agrees with the definition at every threshold, from nothing to everything", () => {
    fc.assert(
      fc.property(rows, (list) => {
        const scores = list.map(([score]) => score), positives = list.map(([, mark]) => Number(mark));
        const curve = rocCurve(scores, positives);
        const rate = (mark: number, at: number): number => list.filter(([score, own]) => Number(own) === mark && score >= at).length / list.filter(([, own]) => Number(own) === mark).length;
        expectExact(curve.threshold, [Infinity, ...[...new Set(scores)].sort((a, b) => b - a)]);
        expectExact(curve.falsePositiveRate, Array.from(curve.threshold, (at) => rate(0, at)));
        expectExact(curve.truePositiveRate, Array.from(curve.threshold, (at) => rate(1, at)));
        expect(curve.auroc).toBe(auroc(scores, positives));
        // The area under the line through the points is the auroc: ties count one half.
        let area = 0;
        for (let i = 1; i < curve.threshold.length; i++) area += ((curve.falsePositiveRate[i] - curve.falsePositiveRate[i - 1]) * (curve.truePositiveRate[i] + curve.truePositiveRate[i - 1])) / 2;
        expectClose(area, curve.auroc, { atol: 1e-14 });
      }),
      { seed: 3, numRuns: 200 },
    );
  });

  it("takes infinities as scores", () => {
    expectExact(rocCurve([-Infinity, Infinity, 0, -0], [0, 1, 1, 0]).threshold, [Infinity, Infinity, 0, -Infinity]);
  });
});

describe("plots of results", () => {
  it("riskCoveragePlot: one line for each curve, names only where there are several", () => {
    const curve = riskCoverage([0.9, 0.8, 0.7, 0.6], [0, 0, 1, 0]);
    expect(riskCoveragePlot({ model: curve }).series).toEqual([{ kind: "line", x: curve.coverage, y: curve.risk, colour: 1, dashed: false }]);
    const two = riskCoveragePlot({ before: curve, after: curve });
    expect(two.series.map((part) => part.name)).toEqual(["before", "after"]);
    expect(two.description).toContain("before: area 0.1458, 25.0 % errors where every row is answered.");
    expect(svg(two)).toContain("coverage: share of rows answered");
  });

  it("rocPlot and thresholdPlot: the curve as it is, a rule at the threshold in use", () => {
    const curve = rocCurve([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]);
    expect(rocPlot(curve).description).toBe("Area under the curve: 0.7500; chance gives 0.5.");
    expect(rocPlot(curve).series[1]).toMatchObject({ x: curve.falsePositiveRate, y: curve.truePositiveRate });
    expect(thresholdPlot(curve, { threshold: 0.5 }).series.at(-1)).toEqual({ kind: "rule", axis: "x", at: 0.5, dashed: true, label: "in use" });
    expect(thresholdPlot(curve, { threshold: Infinity }).series).toHaveLength(2);
    // The threshold Infinity, at which nothing is flagged, has no place on the axis.
    expect(svg(thresholdPlot(curve))).toContain("Not drawn, because no number stands for them: 2.");
  });
});
