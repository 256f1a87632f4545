import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ExchangeabilityMonitor, PValueMonitor, RiskMonitor, SplitConformal } from "@logits/conformal";
import { DecisionHead } from "@logits/head";
import { randomSource } from "@logits/tensor";
import { testRandom } from "@logits/testkit";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { monitor, type MonitorOptions, type MonitorSummary } from "./monitor.ts";

// The built command line, as a user runs it.
const cli = join(import.meta.dirname, "../../dist/cli.js");
const folder = mkdtempSync(join(tmpdir(), "logits-monitor-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function run(args: readonly string[], input = ""): { code: number | null; out: string; err: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [cli, "monitor", ...args], { cwd: folder, encoding: "utf8", maxBuffer: 1 << 28, input });
  return { code: status, out: stdout, err: stderr };
}
const write = (name: string, content: string): string => {
  writeFileSync(join(folder, name), content);
  return name;
};
const read = (name: string): string => readFileSync(join(folder, name), "utf8");
const ndjson = (rows: readonly unknown[]): string => `${rows.map((row) => JSON.stringify(row)).join("\n")}\n`;
const stateOf = (name: string): { rows: number; watches: { name: string; since: number; state: unknown }[] } => JSON.parse(read(name)) as never;
const summaryOf = (out: string): MonitorSummary => JSON.parse(out.trimEnd().split("\n").at(-1)!) as MonitorSummary;

const random = testRandom(3);
const normal = (count: number, shift = 0): number[] => Array.from({ length: count }, () => random.normal() + shift);
const reference = normal(800), before = normal(600), after = normal(300, 1);

/** What the command says before it has read a row of the file `rows.ndjson` that counts, without a process of its own. */
async function refusal(options: Partial<MonitorOptions>, rows = "0.5\n"): Promise<string> {
  write("rows.ndjson", rows);
  try {
    await monitor([join(folder, "rows.ndjson")], { state: join(folder, "state.json"), ...options });
  } catch (error) {
    return (error as Error).message.replaceAll(`${folder}/`, "");
  }
  return "nothing";
}

beforeAll(() => expect(existsSync(cli), "build first: pnpm run build").toBe(true));
beforeEach(() => rmSync(join(folder, "state.json"), { force: true }));

describe("monitor --reference", () => {
  it("is an ExchangeabilityMonitor of the shuffled reference, run by run", () => {
    write("reference.csv", reference.join("\n"));
    const order = randomSource(5).permutation(800), whole = ExchangeabilityMonitor.start(Float32Array.from(order, (i) => reference[i]), { level: 0.02, bins: 40, seed: 5 });
    const first = run(["--state", "state.json", "--reference", "reference.csv", "--level", "0.02", "--bins", "40", "--seed", "5"], ndjson(before));
    expect(first).toEqual({ code: 0, out: expect.stringMatching(/^ok {4}scores: 600 rows, p \d\.\d{4}\n$/), err: "" });
    const second = run(["--state", "state.json"], ndjson(after.map((score) => ({ score }))));
    let since = -1;
    [...before, ...after].forEach((score, row) => {
      if (whole.update(score).alarm && since < 0) since = row;
    });
    expect(since).toBeGreaterThan(600);
    expect(stateOf("state.json")).toMatchObject({ rows: 900, watches: [{ name: "scores", since, state: JSON.parse(JSON.stringify(whole)) as object }] });
    expect(second).toEqual({ code: 1, err: "", out: expect.stringMatching(new RegExp(`^ALARM scores: row ${since}, p 0\\.\\d{4}\nALARM scores: 900 rows, p (< )?0\\.\\d{4}, since row ${since}\n$`)) });
    // An alarm stays on.
    expect(run(["--state", "state.json"], "")).toMatchObject({ code: 1, out: expect.stringContaining("ALARM scores: 900 rows") });
  });

  it("keeps a state of one size, whatever the stream", () => {
    const args = ["--state", "state.json", "--reference", write("reference.ndjson", ndjson(reference.map((score) => ({ score }))))];
    run(args, ndjson(before));
    const size = read("state.json").length;
    run(args, ndjson([...before, ...before, ...before, ...before]));
    expect(Math.abs(read("state.json").length - size)).toBeLessThan(40); // digits of a few numbers
    expect(stateOf("state.json").rows).toBe(3000);
    expect(readdirSync(folder).filter((name) => name.includes("partial"))).toEqual([]);
  });

  it("reads decisions: scores of those of logits decide, from the same in the reference", () => {
    const decision = (p: number): object => (p > 0.8 ? { kind: "label", label: "a", probability: p, set: ["a"] } : p > 0.3 ? { kind: "ambiguous", set: ["a", "b"], probabilities: [p, 1 - p] } : p > 0.1 ? { kind: "unknown", pValue: p / 10, nearest: "a" } : { kind: "invalid", why: {} });
    const draws = (count: number, power: number): number[] => Array.from({ length: count }, () => random.uniform() ** power);
    write("decisions.ndjson", ndjson(draws(500, 0.2).map(decision)));
    expect(run(["--state", "state.json", "--reference", "decisions.ndjson"], ndjson(draws(500, 0.2).map(decision))).code).toBe(0);
    expect(run(["--state", "state.json"], ndjson(draws(300, 0.6).map(decision))).code).toBe(1);
  });
});

describe("monitor --risk", () => {
  it("is a RiskMonitor of losses, true and false, a field or decisions", () => {
    const losses = Array.from({ length: 200 }, () => (random.uniform() < 0.3 ? 1 : 0)), want = RiskMonitor.start({ risk: 0.1 });
    for (const loss of losses) want.update(loss);
    for (const [args, rows] of [
      [[], losses], [[], losses.map((loss) => loss === 1)], [["--field", "miss"], losses.map((miss) => ({ miss }))],
      [[], losses.map((loss, i) => ({ row: i, kind: loss ? (i % 2 ? "unknown" : "invalid") : i % 2 ? "label" : "ambiguous" }))],
    ] as const) {
      rmSync(join(folder, "state.json"), { force: true });
      const { code, out } = run(["--state", "state.json", "--risk", "0.1", "--json", ...args], ndjson(rows));
      expect(code).toBe(1);
      expect(JSON.parse(out.split("\n")[0])).toMatchObject({ alarm: "losses" });
      expect(summaryOf(out)).toMatchObject({ ok: false, rows: 200, watches: [{ name: "losses", rows: 200, mean: want.mean, risk: 0.1, pValue: want.pValue }] });
    }
    expect(run(["--state", "b.json", "--risk", "2", "--bound", "5"], ndjson([5, 0, 1]))).toMatchObject({ code: 0, out: "ok    losses: 3 rows, mean 2.0000 (allowed 2), p 0.7484\n" });
  });
});

describe("monitor --p-values", () => {
  it("is a PValueMonitor, of files and in runs", () => {
    const p = Array.from({ length: 300 }, () => random.uniform()), want = PValueMonitor.start({ level: 0.05, calibrationRows: 400 });
    for (const value of p) want.update(value);
    write("a.ndjson", ndjson(p.slice(0, 100)));
    write("b.ndjson", `\n${ndjson(p.slice(100, 200)).trimEnd()}`);
    expect(run(["--state", "state.json", "--p-values", "--calibration-rows", "400", "--level", "0.05", "a.ndjson", "b.ndjson"]).code).toBe(0);
    expect(run(["--state", "state.json", "-"], ndjson(p.slice(200).map((pValue) => ({ pValue })))).code).toBe(0);
    expect(stateOf("state.json").watches[0].state).toEqual(JSON.parse(JSON.stringify(want)));
  });
});

describe("monitor --head", () => {
  const centres = [[0, 0, 0], [4, 0, 0], [0, 4, 0]];
  const rows = (count: number, shift = 0) => Array.from({ length: count }, () => {
    const label = random.integer(3), features = centres[label].map((x, i) => x + random.normal() + (i === 2 ? shift : 0));
    return { label, features, logits: centres.map((c) => c.reduce((sum, value, i) => sum + value * features[i] - value ** 2 / 2, 0)) };
  });
  const table = (list: readonly (readonly number[])[]) => ({ shape: [list.length, list[0].length], data: Float32Array.from(list.flat()) });
  const fit = (guarded: boolean): DecisionHead => {
    const data = rows(1200);
    return DecisionHead.fit({ logits: table(data.map((r) => r.logits)), labels: data.map((r) => r.label), classes: ["a", "b", "c"], ...(guarded && { features: table(data.map((r) => r.features)) }) }, guarded ? { detector: "mahalanobis" } : {});
  };
  const guarded = fit(true), plain = fit(false);
  beforeAll(() => {
    write("guarded.json", JSON.stringify(guarded));
    write("plain.json", JSON.stringify(plain));
  });
  const args = (head: string, ...more: string[]) => ["--state", "state.json", "--head", head, "--json", ...more];

  it("sees features that move, by the detector's p-values, without a label", () => {
    const quiet = run(args("guarded.json"), ndjson(rows(400).map(({ features, logits }) => ({ features, logits }))));
    expect([quiet.code, quiet.err]).toEqual([0, ""]);
    expect(summaryOf(quiet.out).watches.map(({ name, rows: count }) => [name, count])).toEqual([["drift", 400], ["coverage", 0]]);
    const moved = run(args("guarded.json"), ndjson(rows(100, 3)));
    expect(moved.code).toBe(1);
    expect(summaryOf(moved.out).watches.map(({ name, ok, rows: count }) => [name, ok, count])).toEqual([["drift", false, 500], ["coverage", true, 100]]);
  });

  it("sees labels that the sets miss, where rows have one; the misses are those of the sets", () => {
    const good = rows(300), names = ["a", "b", "c"];
    expect(run(args("plain.json"), ndjson(good.map(({ logits, label }) => ({ logits, label: names[label] })))).code).toBe(0);
    const [coverage] = stateOf("state.json").watches, z = plain.calibrator.transform(table(good.map((r) => r.logits)));
    const sets = SplitConformal.fromJSON(plain.conformal.toJSON()).predictionSet(z, { alpha: plain.alpha });
    expect((coverage.state as { sum: number }).sum).toBe(good.filter(({ label }, n) => !sets.labels(n).includes(label)).length);
    const wrong = run(args("plain.json"), ndjson(rows(200).map(({ logits, label }) => ({ logits, label: (label + 1) % 3 }))));
    expect(wrong.code).toBe(1);
    expect(summaryOf(wrong.out).watches).toMatchObject([{ name: "coverage", ok: false, rows: 500 }]);
  });

  it("takes a row that is no distribution as the smallest p-value, and a label that is null as none", () => {
    const out = run(args("guarded.json"), ndjson(Array.from({ length: 30 }, () => ({ logits: [null, 1, 2], features: [0, 0, 0], label: null })))).out;
    expect(summaryOf(out).watches).toMatchObject([{ name: "drift", ok: false, rows: 30 }, { name: "coverage", rows: 0 }]);
  });

  it("refuses another head, none, a row without what it needs, a label that is no class, a cross-fitted head", async () => {
    const [row] = rows(1), of = (head: string, list: readonly unknown[], more: Partial<MonitorOptions> = {}) => refusal({ head: join(folder, head), ...more }, ndjson(list)), other = { state: join(folder, "other.json") };
    expect(run(args("guarded.json"), ndjson([row])).code).toBe(0);
    expect(run(args("plain.json"), ndjson([row]))).toEqual({ code: 2, out: "", err: "logits: expected --head with the content that state.json was started with, got another one. Name another state, or leave the option out\n" });
    expect(await refusal({}, ndjson([row]))).toBe("logits: expected --head, which state.json watches the rows of, got none");
    expect(await of("guarded.json", [row, { logits: row.logits }])).toMatch(/^logits: expected `line 2 of rows\.ndjson` to have `features`, 3 numbers, which the head needs, got ".*"\. state\.json holds the 2 rows before it$/);
    expect(await of("guarded.json", [{ ...row, label: "d" }])).toContain('to have a class of the head as `label`, a name or an index in [0, 3), got "\\"d\\""');
    expect(await of("plain.json", [{ logits: row.logits }], other)).toContain("to have a `label`, as the head has no detector");
    const crossed = rows(60);
    write("crossed.json", JSON.stringify(DecisionHead.fit({ logits: table(crossed.map((r) => r.logits)), labels: crossed.map((r) => r.label), classes: ["a", "b", "c"] }, { crossFit: 3 })));
    expect(await of("crossed.json", [row], other)).toBe("logits: expected a head that was fitted with a split, got crossed.json, which is cross-fitted");
    expect(existsSync(join(folder, "other.json"))).toBe(false);
  });
});

describe("a state", () => {
  it("is refused where the options are others than it was started with", async () => {
    run(["--state", "state.json", "--risk", "0.1", "--level", "0.05"], ndjson([0, 1]));
    const kept = read("state.json");
    for (const [options, text] of [
      [{ level: 0.01 }, "--level 0.05 that state.json was started with, got 0.01"], [{ risk: 0.2 }, "--risk 0.1 that state.json was started with, got 0.2"], [{ field: "x" }, "--field not given that state.json was started with, got x"],
      [{ pValues: true }, "the options of losses that state.json was started with, got those of p-values"], [{ calibrationRows: 9 }, "--calibration-rows not given that state.json was started with, got 9"],
    ] as const) expect(await refusal(options)).toBe(`logits: expected ${text}. Name another state, or leave the option out`);
    expect(run(["--state", "state.json", "--level", "0.01"], ndjson([0]))).toEqual({ code: 2, out: "", err: "logits: expected --level 0.05 that state.json was started with, got 0.01. Name another state, or leave the option out\n" });
    expect(read("state.json")).toBe(kept);
    expect(run(["--state", "state.json", "--risk", "0.1", "--level", "0.05"], ndjson([0])).code).toBe(0);
    expect(stateOf("state.json").rows).toBe(3);
  });

  it("that is damaged, of another kind or not a file is refused, and left alone", async () => {
    run(["--state", "state.json", "--p-values"], ndjson([0.5]));
    const good = JSON.parse(read("state.json")) as { watches: { state: object }[] };
    for (const [content, text] of [
      ["", "expected `state.json` to be the state of a monitor, got an empty file"], ["{", "expected `state.json` to be the state of a monitor, got damaged JSON"], ["[]", "in state.json: expected"],
      [JSON.stringify({ ...good, version: 2 }), "`version`"], [JSON.stringify({ ...good, rows: -1 }), "`rows`"], [JSON.stringify({ ...good, watches: [] }), "`watches`"],
      [JSON.stringify({ ...good, watches: [{ ...good.watches[0], since: 0 }] }), "`since`"], [JSON.stringify({ ...good, watches: [{ ...good.watches[0], state: { ...good.watches[0].state, capital: [1] } }] }), "`capital`"],
    ] as const) {
      write("state.json", content);
      expect(await refusal({ pValues: true })).toContain(text);
      expect(read("state.json")).toBe(content);
    }
    expect(await refusal({ state: folder, pValues: true })).toContain("to be a readable file, got EISDIR");
  });

  it("holds the rows before a bad one, and nothing where the first is bad", async () => {
    expect(run(["--state", "state.json", "--p-values"], "x\n")).toEqual({ code: 2, out: "", err: 'logits: expected `line 1 of stdin` to be JSON, got "x"\n' });
    expect(existsSync(join(folder, "state.json"))).toBe(false);
    for (const [line, text] of [["2", "to have a p-value in [0, 1], got 2"], ['"a"', "to be a number or to have a `pValue`"], ["{}", "to be a number or to have a `pValue`"], ["null", "to be a number or to have a `pValue`"]] as const) {
      rmSync(join(folder, "state.json"), { force: true });
      const said = await refusal({ pValues: true }, `0.5\n0.25\n${line}\n0.5\n`);
      expect(said).toMatch(/^logits: expected `line 3 of rows\.ndjson` to .*\. state\.json holds the 2 rows before it$/);
      expect(said).toContain(text);
      expect(stateOf("state.json").rows).toBe(2);
    }
    rmSync(join(folder, "state.json"));
    expect(await refusal({ risk: 0.1 }, "2\n")).toContain("to have a loss in [0, 1], got 2");
  });

  it("is written before an alarm is printed, and at the end where the stream is told to stop", async () => {
    const child = spawn(process.execPath, [cli, "monitor", "--state", "state.json", "--p-values", "--json"], { cwd: folder });
    const out: string[] = [];
    const alarm = new Promise<{ rows: number }>((resolve) => child.stdout.setEncoding("utf8").on("data", (text: string) => {
      if (out.push(text) === 1) resolve(stateOf("state.json"));
    }));
    child.stdin.write("0.001\n".repeat(30));
    const { rows: atAlarm } = await alarm;
    expect(atAlarm).toBeGreaterThan(5);
    expect(atAlarm).toBeLessThanOrEqual(30);
    child.stdin.write("0.5\n".repeat(5));
    await new Promise((resume) => setTimeout(resume, 200));
    child.kill("SIGTERM");
    expect(await new Promise((resolve) => child.on("close", resolve))).toBe(1);
    const { rows } = summaryOf(out.join(""));
    expect(rows).toBeGreaterThanOrEqual(atAlarm);
    expect(stateOf("state.json").rows).toBe(rows);
  });

  it("is refused where another process wrote it meanwhile", async () => {
    const child = spawn(process.execPath, [cli, "monitor", "--state", "state.json", "--risk", "0.5"], { cwd: folder });
    let err = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => (err += text));
    child.stdin.write("0\n".repeat(1000));
    for (let i = 0; i < 100 && !existsSync(join(folder, "state.json")); i++) await new Promise((resume) => setTimeout(resume, 50));
    await new Promise((resume) => setTimeout(resume, 500));
    const { rows } = stateOf("state.json");
    expect(run(["--state", "state.json"], ndjson([0])).code).toBe(0);
    child.stdin.end("0\n");
    expect(await new Promise((resolve) => child.on("close", resolve))).toBe(2);
    expect(err).toBe("logits: expected `state.json` to be as this process left it, got another content. One process at a time for a state\n");
    expect(stateOf("state.json").rows).toBe(rows + 1);
  });
});

describe("usage", () => {
  it("says what is wrong, with nothing written", async () => {
    for (const [options, text] of [
      [{}, "expected --reference, --risk, --p-values or --head to start state.json, which is not there, got none of them"], [{ risk: 0.1, pValues: true }, "expected one of --reference, --risk, --p-values and --head, got --risk and --p-values"],
      [{ risk: 0.1, bins: 5 }, "expected --bins with --reference only, got it with --risk"], [{ pValues: true, bound: 2 }, "expected --bound with --risk only, got it with --p-values"],
      [{ pValues: true, calibrationRows: 5 }, "PValueMonitor.start: expected `calibrationRows` at least 9 at level 0.01, got 5. With fewer no stream could raise an alarm"], [{ risk: 3 }, "RiskMonitor.start: expected `risk` in (0, 1), got 3"],
      [{ reference: join(folder, write("two.csv", "1,2\n3,4\n")) }, "expected `two.csv` to hold one score a row, got 2 columns"],
    ] as const) {
      expect(await refusal(options)).toContain(text);
      expect(existsSync(join(folder, "state.json"))).toBe(false);
    }
    for (const [args, text] of [
      [["--state", "state.json", "--p-values", "missing.ndjson"], "expected `missing.ndjson` to be readable, got ENOENT"], [["--state", "state.json", "--p-values", "."], "expected `.` to be readable, got EISDIR"],
      [["--state", "state.json", "--level", "1"], "expected `--level` a number in (0, 1)"], [["--state", "state.json", "--risk", "3"], "expected `risk` in (0, 1), got 3"], [[], "--state"],
    ] as const) {
      const { code, out, err } = run(args, "0.5\n");
      expect([code, out]).toEqual([2, ""]);
      expect(err).toContain(text);
      expect(err.trimEnd()).not.toContain("\n");
      expect(existsSync(join(folder, "state.json"))).toBe(false);
    }
  });
});
