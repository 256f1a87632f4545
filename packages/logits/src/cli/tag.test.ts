import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

// The built command line, as a user runs it.
const cli = join(import.meta.dirname, "../../dist/cli.js");
const folder = mkdtempSync(join(tmpdir(), "logits-tag-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function run(args: readonly string[], input = ""): { code: number | null; out: string; err: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [cli, "tag", ...args], { cwd: folder, encoding: "utf8", input });
  return { code: status, out: stdout, err: stderr };
}
const write = (name: string, content: string | Uint8Array): string => {
  writeFileSync(join(folder, name), content);
  return name;
};

const SENTENCES = ["Ana/B-PER Silva/I-PER visited/O Rio/B-LOC ./O", "the/O river/O is/O wide/O ./O", "Silva/B-PER met/O Ana/B-PER in/O Rio/B-LOC ./O", "Rio/B-LOC is/O wide/O ./O"];
const conll = `${SENTENCES.map((text) => text.split(" ").map((pair) => pair.replace("/", "\t")).join("\n")).join("\n\n")}\n`;
const conllu = (rows: readonly (readonly [string, string])[]): string => `# text\n${rows.map(([word, tag], i) => `${i + 1}\t${word}\t_\t${tag}\t_\t_\t_\t_\t_\t_`).join("\n")}\n\n`;
const treebank = conllu([["the", "DET"], ["dog", "NOUN"], ["runs", "VERB"]]) + conllu([["dogs", "NOUN"], ["see", "VERB"], ["the", "DET"], ["cat", "NOUN"]]);

beforeAll(() => {
  expect(existsSync(cli), "build first: pnpm run build").toBe(true);
  write("train.conll", conll);
  write("train.conllu.gz", gzipSync(treebank));
});

describe("logits tag", () => {
  it("trains on CoNLL, measures spans, and labels what comes on stdin with probabilities", () => {
    const trained = run(["train", "train.conll", "--dev", "train.conll", "--model", "models/ner.tagger", "--json"]);
    expect(trained.code).toBe(0);
    expect(trained.err).toMatch(/4 sentences, 20 tokens\n/);
    expect(trained.err).toMatch(/step 0: loss \d/);
    expect(JSON.parse(trained.out)).toMatchObject({ format: "logits/tag-train", version: 1, labels: ["B-PER", "I-PER", "O", "B-LOC"], training: { method: "lbfgs" }, dev: { tokens: 20, accuracy: 1, spans: { f1: 1 } } });
    expect(readdirSync(join(folder, "models"))).toEqual(["ner.tagger"]);

    const evaluated = run(["evaluate", "train.conll", "--model", "models/ner.tagger"]);
    expect(evaluated).toEqual({ code: 0, err: "", out: expect.stringMatching(/^tokens {5}100\.00 % of 20 right\nsentences {2}100\.00 % wholly right\nspans .*F1 100\.00 % \(6 right of 6 found and 6 there\)\n {2}LOC .*\n {2}PER .*\n$/) as string });

    const applied = run(["apply", "--model", "models/ner.tagger"], "Ana\nvisited\nRio\n\nriver\n");
    expect(applied).toEqual({ code: 0, err: "", out: "Ana B-PER\nvisited O\nRio B-LOC\n\nriver O\n\n" });
    const rows = run(["apply", "--model", "models/ner.tagger", "--probabilities", "-"], "Rio\n").out.trim().split(" ");
    expect(rows.slice(0, 2)).toEqual(["Rio", "B-LOC"]);
    expect(Number(rows[2])).toBeGreaterThan(0.5);
  }, 120_000);

  it("trains on CoNLL-U, and replaces the tags of another file", () => {
    const trained = run(["train", "train.conllu.gz", "--method", "averaged-perceptron", "--epochs", "5", "--model", "pos.tagger"]);
    expect([trained.code, trained.out]).toEqual([0, expect.stringMatching(/^pos\.tagger: 3 labels, \d+ bytes, \d passes, ended by separated\n$/)]);
    write("new.conllu", treebank.replaceAll(/\t(DET|NOUN|VERB)\t/g, "\tX\t"));
    expect(run(["apply", "new.conllu", "--model", "pos.tagger"]).out).toBe(treebank);
    expect(run(["apply", "new.conllu", "--model", "pos.tagger", "--probabilities"]).out).toMatch(/^1\tthe\t_\tDET\t.*\tProbability=[01]\.\d{4}$/m);
    expect(JSON.parse(run(["evaluate", "train.conllu.gz", "--model", "pos.tagger", "--json"]).out)).toEqual({ format: "logits/tag-evaluate", version: 1, tokens: 7, accuracy: 1, sentenceAccuracy: 1 });
  }, 120_000);

  it("takes templates, a penalty and columns", () => {
    write("templates.txt", "w=%x[0,0]\np=%x[0,1]\n");
    write("columns.conll", "the;D;1;X\ndog;N;2;Y\n");
    const trained = run(["train", "columns.conll", "--separator", ";", "--columns", "0,2", "--features", "templates.txt", "--l1", "0.01", "--l2", "0", "--model", "columns.tagger", "--json"]);
    expect([trained.code, (JSON.parse(trained.out) as { training: unknown }).training]).toMatchObject([0, { method: "owlqn" }]);
    expect(run(["apply", "columns.conll", "--separator", ";", "--columns", "0,2", "--model", "columns.tagger"]).out).toBe("the;D;1;X;X\ndog;N;2;Y;Y\n\n");
    expect(run(["train", "columns.conll", "--separator", ";", "--label-column", "1", "--model", "second.tagger", "--json"]).out).toMatch('"labels":["D","N"]');
  }, 120_000);

  it("says in one line what is wrong, and writes nothing", () => {
    write("bad.conll", "a B-X\nb\n");
    write("one.conll", "a\nb\n");
    write("same.conll", "a X\nb X\n");
    write("empty.conll", "\n");
    write("bad.templates", "%nothing[0,0]");
    write("damaged.tagger", "LGTG and no more");
    write("latin1.conll", Uint8Array.of(0xe9, 0x20, 0x58, 0x0a));
    const said = (...args: string[]): string => {
      const { code, out, err } = run(args);
      expect([code, out, err.trimEnd().split("\n").length]).toEqual([2, "", 1]);
      return err.replace(/^ +[\d.]+ s .*\n/gm, "").trimEnd();
    };
    const train = (file: string, ...more: string[]): string => said("train", file, "--model", "never.tagger", ...more);
    expect(train("bad.conll")).toMatchInlineSnapshot(`"logits: expected \`bad.conll:2\` to have 2 columns, as line 1 has, got 1 column"`);
    expect(train("one.conll")).toMatchInlineSnapshot(`"logits: expected \`one.conll\` to have a column of labels beside the words, got one column"`);
    expect(train("empty.conll")).toMatchInlineSnapshot(`"logits: expected \`empty.conll\` to hold at least one sentence, got none"`);
    expect(train("absent.conll")).toMatchInlineSnapshot(`"logits: expected \`absent.conll\` to be a readable file, got ENOENT"`);
    expect(train("latin1.conll")).toMatchInlineSnapshot(`"logits: expected \`latin1.conll\` to be text in UTF-8, got other bytes"`);
    expect(train("train.conll", "--label-column", "7")).toMatchInlineSnapshot(`"logits: expected \`--label-column\` a column in [-2, 1], got "7""`);
    expect(train("train.conll", "--columns", "form")).toMatchInlineSnapshot(`"logits: expected \`--columns\` a column in [-2, 1], got "form""`);
    expect(train("train.conllu.gz", "--separator", ";")).toMatchInlineSnapshot(`"logits: expected \`--separator\` only with conll, got conllu"`);
    expect(train("train.conll", "--l2", "-1")).toMatchInlineSnapshot(`"logits: expected \`--l2\` a finite number >= 0, got "-1""`);
    expect(said("apply", "--model", "damaged.tagger")).toMatchInlineSnapshot(`"logits: expected \`damaged.tagger\` of at least 64 bytes, got 16"`);
    expect(existsSync(join(folder, "never.tagger"))).toBe(false);
    // After the line that says what was read.
    for (const args of [["same.conll"], ["train.conll", "--features", "bad.templates"], ["train.conll", "--method", "owlqn", "--epochs", "3"]]) {
      const { code, err } = run(["train", ...args, "--model", "never.tagger"]);
      expect([code, err.split("\n").length]).toEqual([2, 3]);
      expect(err).toMatch(/two different labels|macros among|not with method/);
    }
    expect(readFileSync(join(folder, "train.conll"), "utf8")).toBe(conll);
  }, 120_000);
});
