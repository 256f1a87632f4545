import { DecisionHead, LinearHead, PrototypeHead } from "@logits/head";
import { FormatError } from "@logits/tensor";
import { onnxHeadModel, onnxModel, testRandom } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { HEAD_KEY, readHead } from "./index.ts";

// A model from a stranger brings a head from a stranger: whatever stands in a field, the head is read or refused by name, at once.

const N = 120;
const classes = ["cat", "dog", "bird"];
const random = testRandom(3);
const labels = Int32Array.from({ length: N }, () => random.integer(3));
const drawn = (width: number) => ({ shape: [N, width], data: Float32Array.from({ length: N * width }, (_, i) => random.normal() + (labels[Math.floor(i / width)] === i % width ? 2 : 0)) });
const rows = ({ shape: [, width], data }: ReturnType<typeof drawn>, from: number, to: number) => ({ shape: [to - from, width], data: data.slice(from * width, to * width) });
const [logits, features] = [drawn(3), drawn(4)];
const guarded = { maxFalsePositiveRate: 0.2, confidence: "marginal" } as const;
const second = { features: rows(features, 60, N), labels: labels.slice(60), classes };

const heads: Record<string, DecisionHead> = {
  mahalanobis: DecisionHead.fit({ logits, features, labels, classes }, { detector: "mahalanobis", ...guarded }),
  neighbours: DecisionHead.fit({ logits, features, labels, classes }, { detector: "knn", ...guarded }),
  folds: DecisionHead.fit({ logits, labels, classes }, { crossFit: 4, detector: "msp", maxFalsePositiveRate: 0.2 }),
  linear: DecisionHead.fit({ scorer: LinearHead.fit(rows(features, 0, 60), labels.slice(0, 60)), ...second }),
  prototypes: DecisionHead.fit({ scorer: PrototypeHead.fit(rows(features, 0, 60), labels.slice(0, 60), { kind: "mean" }), ...second }),
};

const HOSTILE: readonly unknown[] = [null, undefined, -1, 0.5, 1e308, 2 ** 31, 2 ** 53, "", "AAAA", "__proto__", [], [null], {}, { length: 1e9 }, true];

type Path = readonly (string | number)[];

/** Every field of a JSON value; of a list the first two elements. */
function* fields(x: unknown, path: Path = []): Generator<Path> {
  if (path.length > 0) yield path;
  if (typeof x !== "object" || x === null) return;
  for (const key of Object.keys(x)) if (!Array.isArray(x) || Number(key) < 2) yield* fields((x as Record<string, unknown>)[key], [...path, key]);
}

const { model } = onnxHeadModel("gemm", { features: 4, classes: 3 });
const withHead = (text: string): Uint8Array => onnxModel({ ...model, metadata: { [HEAD_KEY]: text } });

describe("a head in the metadata of a stranger's model", () => {
  it.each(Object.entries(heads))("%s: every field with every hostile value", (_, head) => {
    const text = JSON.stringify(head);
    const outcomes = { read: 0, refused: 0 };
    for (const path of fields(JSON.parse(text))) {
      for (const value of HOSTILE) {
        const json = JSON.parse(text) as Record<string, unknown>;
        const parent = path.slice(0, -1).reduce<Record<string, unknown>>((at, key) => at[key] as Record<string, unknown>, json);
        parent[path.at(-1)!] = value;
        try {
          readHead(withHead(JSON.stringify(json)));
          outcomes.read++;
        } catch (error) {
          if (!(error instanceof FormatError)) throw new Error(`${path.join(".")} = ${JSON.stringify(value)}`, { cause: error });
          outcomes.refused++;
        }
      }
    }
    // Some fields only describe (the library's version, a seed), nearly all are checked or in the self-test.
    expect(outcomes.refused).toBeGreaterThan(10 * outcomes.read);
  });

  it("text that is damaged anywhere", () => {
    const text = JSON.stringify(heads.mahalanobis);
    const bytes = Buffer.from(heads.mahalanobis.toBytes()).toString("base64");
    for (const whole of [text, bytes]) {
      for (let n = 0; n < 300; n++) {
        const at = random.integer(whole.length);
        const damaged = n % 2 === 0 ? whole.slice(0, at) : `${whole.slice(0, at)}${'{}[]",:0A'[random.integer(9)]}${whole.slice(at + 1)}`;
        try {
          readHead(withHead(damaged));
        } catch (error) {
          if (!(error instanceof FormatError)) throw new Error(damaged.slice(Math.max(0, at - 40), at + 40), { cause: error });
        }
      }
    }
  });

  it("a million brackets", () => {
    const nested = `{"format":${"[".repeat(1e6)}${"]".repeat(1e6)}}`;
    expect(() => readHead(withHead(nested))).toThrowErrorMatchingInlineSnapshot(`[FormatError: DecisionHead.fromJSON: expected \`format\` a string, got Array]`);
  });
});
