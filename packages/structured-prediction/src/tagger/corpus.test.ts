import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatConll, formatConllu, labelledBy, parseConll, parseConllu, scoreTags } from "./index.ts";

const message = (run: () => unknown): string => { try { run(); } catch (error) { return String(error); } return "no error"; };

const CONLLU = `# sent_id = 1
# text = I can't go.
1\tI\tI\tPRON\tPRP\t_\t4\tnsubj\t_\t_
2-3\tcan't\t_\t_\t_\t_\t_\t_\t_\t_
2\tca\tcan\tAUX\tMD\t_\t4\taux\t_\t_
3\tn't\tnot\tPART\tRB\t_\t4\tadvmod\t_\t_
4\tgo\tgo\tVERB\tVB\t_\t0\troot\t_\tSpaceAfter=No
4.1\tthere\t_\tADV\t_\t_\t_\t_\t4:advmod\t_
5\t.\t.\tPUNCT\t.\t_\t4\tpunct\t_\t_

# sent_id = 2
0.1\tempty\t_\t_\t_\t_\t_\t_\t_\t_
1\t10 000\t10 000\tNUM\tCD\t_\t0\troot\t_\t_

`;

describe("parseConll", () => {
  it("reads sentences of columns, with any white space or a separator between them", () => {
    const text = "\uFEFFEU  NNP\tB-ORG\r\nrejects VBZ O\r\n\r\n \t\n# CD O\n";
    expect(parseConll(text)).toEqual([{ tokens: [["EU", "NNP", "B-ORG"], ["rejects", "VBZ", "O"]], line: 1 }, { tokens: [["#", "CD", "O"]], line: 5 }]);
    expect(parseConll("10 000;O\nb;O", { separator: ";" })[0].tokens).toEqual([["10 000", "O"], ["b", "O"]]);
    expect(parseConll("")).toEqual([]);
    expect(parseConll("\n\n")).toEqual([]);
  });

  it("reads what formatConll writes, whatever the words", () => {
    const word = fc.string({ unit: "grapheme", minLength: 1, maxLength: 8 }).filter((w) => !/[\t\r\n]/.test(w) && w.trim() !== "" && !w.includes("\uFEFF"));
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 3 }).chain((width) => fc.array(fc.array(fc.array(word, { minLength: width, maxLength: width }), { minLength: 1, maxLength: 5 }), { maxLength: 4 })), (sentences) => {
        const text = formatConll(sentences.map((tokens) => ({ tokens })), { separator: "\t" });
        expect(parseConll(text, { separator: "\t" }).map(({ tokens }) => tokens)).toEqual(sentences);
      }),
      { seed: 1, numRuns: 200 },
    );
  });

  it("takes any column as labels", () => {
    const sentences = parseConll("EU NNP B-ORG\nrejects VBZ O\n");
    expect(labelledBy(sentences)).toEqual([{ tokens: [["EU", "NNP"], ["rejects", "VBZ"]], labels: ["B-ORG", "O"] }]);
    expect(labelledBy(sentences, 1, [0])).toEqual([{ tokens: [["EU"], ["rejects"]], labels: ["NNP", "VBZ"] }]);
    expect(labelledBy([])).toEqual([]);
  });

  it("names what is wrong, with the line", () => {
    expect(message(() => parseConll("EU B-ORG\nrejects\n"))).toMatchInlineSnapshot(`"FormatError: parseConll: expected \`line 2\` to have 2 columns, as line 1 has, got 1 column"`);
    expect(message(() => parseConll("EU\tB-ORG\n\n\nrejects\t\n", { separator: "\t" }))).toMatchInlineSnapshot(`"FormatError: parseConll: expected \`line 4\` to have something in each column, got nothing in column 1"`);
    expect(message(() => parseConll("a", { separator: "" }))).toMatchInlineSnapshot(`"RangeError: parseConll: expected \`separator\` at least one character and no line break, got """`);
    expect(message(() => formatConll([{ tokens: [] }]))).toMatchInlineSnapshot(`"RangeError: formatConll: expected \`sentences[0]\` of at least one token, got none"`);
    expect(message(() => formatConll([{ tokens: [["a b"]] }]))).toMatchInlineSnapshot(`"RangeError: formatConll: expected \`sentences[0].tokens[0]\` of columns that are not empty and hold no line break and no separator, got "a b""`);
    expect(message(() => formatConll([{ tokens: [["a"], ["a", "b"]] }]))).toMatchInlineSnapshot(`"RangeError: formatConll: expected \`sentences[0].tokens[1]\` of 1 columns, got 2"`);
    expect(message(() => formatConll([{ tokens: [[" "]] }], { separator: "\t" }))).toMatchInlineSnapshot(`"RangeError: formatConll: expected \`sentences[0].tokens[0]\` of columns that are not white space alone, got " ""`);
    expect(message(() => labelledBy(parseConll("a b"), 2))).toMatchInlineSnapshot(`"RangeError: labelledBy: expected \`column\` an integer in [-2, 1], got 2"`);
    expect(message(() => labelledBy(parseConll("a b"), 1, [-1]))).toMatchInlineSnapshot(`"RangeError: labelledBy: expected \`keep\` an integer in [0, 1], got -1"`);
  });
});

describe("parseConllu", () => {
  it("reads words, and keeps comments, multiword tokens and empty nodes", () => {
    const [first, second] = parseConllu(CONLLU);
    expect(first.comments).toEqual(["# sent_id = 1", "# text = I can't go."]);
    expect(first.tokens.map((columns) => columns[1])).toEqual(["I", "ca", "n't", "go", "."]);
    expect(first.others.map(({ after, columns }) => [after, columns[0]])).toEqual([[1, "2-3"], [4, "4.1"]]);
    expect([first.line, second.line, second.tokens[0][1], second.others[0].columns[0]]).toEqual([3, 12, "10 000", "0.1"]);
    expect(parseConllu("")).toEqual([]);
  });

  it("gives the same text back", () => {
    expect(formatConllu(parseConllu(CONLLU))).toBe(CONLLU);
    // Without the last blank line, and with the line ends of Windows.
    expect(formatConllu(parseConllu(CONLLU.trimEnd()))).toBe(CONLLU);
    expect(formatConllu(parseConllu(CONLLU.replaceAll("\n", "\r\n")))).toBe(CONLLU);
  });

  it("names what is wrong, with the line", () => {
    const row = (id: string) => `${id}\ta\t_\t_\t_\t_\t_\t_\t_\t_`;
    expect(message(() => parseConllu("1 a b"))).toMatchInlineSnapshot(`"FormatError: parseConllu: expected \`line 1\` to have 10 columns with tabs between them, got 1"`);
    expect(message(() => parseConllu(`${row("1")}\n${row("3")}`))).toMatchInlineSnapshot(`"FormatError: parseConllu: expected \`line 2\` to be word 2, got id 3"`);
    expect(message(() => parseConllu(`${row("1")}\n${row("1-2")}`))).toMatchInlineSnapshot(`"FormatError: parseConllu: expected \`line 2\` to be word 2 or a multiword token that begins there, got id 1-2"`);
    expect(message(() => parseConllu(`${row("1-3")}\n${row("1")}\n\n`))).toMatchInlineSnapshot(`"FormatError: parseConllu: expected \`line 3\` to be word 2 of the multiword token that ends at 3, got the end of the sentence"`);
    expect(message(() => parseConllu(`${row("1")}\n${row("1.2")}`))).toMatchInlineSnapshot(`"FormatError: parseConllu: expected \`line 2\` to be word 2 or empty node 1.1, got id 1.2"`);
    expect(message(() => parseConllu(row("x")))).toMatchInlineSnapshot(`"FormatError: parseConllu: expected \`line 1\` to have an id such as 3, 3-4 or 3.1, got "x""`);
    expect(message(() => parseConllu(`${row("1")}\n# late`))).toMatchInlineSnapshot(`"FormatError: parseConllu: expected \`line 2\` to be a token, got a comment inside a sentence"`);
    expect(message(() => parseConllu("# alone\n\n"))).toMatchInlineSnapshot(`"FormatError: parseConllu: expected \`line 2\` to be a word after comments and tokens without one, got the end of the sentence"`);
    expect(message(() => parseConllu(row("1").replace("a", " ")))).toMatchInlineSnapshot(`"FormatError: parseConllu: expected \`line 1\` to have something in each column, got nothing in column form"`);
    const [sentence] = parseConllu(row("1"));
    expect(message(() => formatConllu([{ ...sentence, tokens: [] }]))).toMatchInlineSnapshot(`"RangeError: formatConllu: expected \`sentences[0]\` of at least one word, got none"`);
    expect(message(() => formatConllu([{ ...sentence, comments: ["no"] }]))).toMatchInlineSnapshot(`"RangeError: formatConllu: expected \`sentences[0].comments\` of lines that begin with #, got "no""`);
    expect(message(() => formatConllu([{ ...sentence, tokens: [["1", "a"]] }]))).toMatchInlineSnapshot(`"RangeError: formatConllu: expected \`sentences[0].tokens\` of ten columns that are not empty and hold no tab and no line break, got 2 columns"`);
    expect(message(() => formatConllu([{ ...sentence, tokens: [[...sentence.tokens[0].slice(0, 9), "a\tb"]] }]))).toMatchInlineSnapshot(`"RangeError: formatConllu: expected \`sentences[0].tokens\` of ten columns that are not empty and hold no tab and no line break, got "a\\tb""`);
  });
});

describe("scoreTags", () => {
  it("counts tokens, sentences and spans as conlleval does", () => {
    const actual = [["B-PER", "I-PER", "O", "B-LOC"], ["O", "O"]], predicted = [["B-PER", "I-PER", "O", "B-PER"], ["O", "B-LOC"]];
    const scores = scoreTags(predicted, actual);
    expect([scores.tokens, scores.accuracy, scores.sentenceAccuracy]).toEqual([6, 4 / 6, 0]);
    expect(scores.spans).toMatchObject({ correct: 1, predicted: 3, gold: 2, precision: 1 / 3, recall: 1 / 2, f1: 2 / 5 });
    expect(scores.spans!.byType).toMatchObject({ LOC: { correct: 0, predicted: 1, gold: 1 }, PER: { correct: 1, predicted: 2, gold: 1 } });
  });

  it("begins a span at a tag that does not fit, and ends one at B, E and S", () => {
    const count = (labels: string[]) => scoreTags([labels], [labels]).spans!.gold;
    expect(count(["I-A", "I-A"])).toBe(1);
    expect(count(["I-A", "I-B"])).toBe(2);
    expect(count(["B-A", "B-A"])).toBe(2);
    expect(count(["O", "I-A", "B-A"])).toBe(2);
    expect(count(["B-A", "E-A", "I-A"])).toBe(2);
    expect(count(["S-A", "S-A", "B-A", "I-A", "E-A"])).toBe(3);
    // The end and the type count, not the tags between.
    expect(scoreTags([["I-A", "I-A"]], [["B-A", "I-A"]]).spans!.f1).toBe(1);
  });

  it("has no spans where labels are no tags, and 0 where there is nothing to divide by", () => {
    expect(scoreTags([["NOUN"]], [["NOUN"]])).toEqual({ tokens: 1, accuracy: 1, sentenceAccuracy: 1 });
    expect(scoreTags([["O"]], [["O"]]).spans).toBe(undefined);
    expect(scoreTags([["O"]], [["B-A"]]).spans).toMatchObject({ precision: 0, recall: 0, f1: 0 });
    expect(message(() => scoreTags([], [["O"]]))).toMatchInlineSnapshot(`"RangeError: scoreTags: expected \`predicted\` of 1 sentences, got 0"`);
    expect(message(() => scoreTags([["O"]], [["O", "O"]]))).toMatchInlineSnapshot(`"RangeError: scoreTags: expected \`predicted[0]\` of 2 labels, got 1"`);
    expect(message(() => scoreTags([[]], [[]]))).toMatchInlineSnapshot(`"RangeError: scoreTags: expected \`actual\` of at least one token, got none"`);
  });
});
