import { DecisionHead, type Decision } from "@logits/head";
import { collect, guard } from "@logits/interop/onnxruntime";
import { expectClose, expectExact } from "@logits/testkit";
import * as ort from "onnxruntime-web";
import { beforeAll, describe, expect, expectTypeOf, it } from "vitest";
import { onnxHeadModel } from "../../packages/testkit/src/onnxHeads.ts";
import { onnxModel } from "../../packages/testkit/src/onnxWriter.ts";
import { FLOWERS, FLOWER_WEIGHTS, flowerModel, flowers } from "./models.ts";

const { rows, labels } = flowers(120, 1);
const want = rows.map((row) => Array.from({ length: 3 }, (_, c) => row.reduce((sum, x, i) => sum + Math.max(0, x) * FLOWER_WEIGHTS[3 * i + c], 0)));
const feed = (batch: readonly number[][]): Record<string, ort.Tensor> => ({ input: new ort.Tensor("float32", batch.flat(), [batch.length, 4]) });

let session: ort.InferenceSession;
beforeAll(async () => {
  ort.env.wasm.numThreads = 1;
  session = await ort.InferenceSession.create(onnxModel(flowerModel()));
});

describe("onnxruntime-web", () => {
  it("collects logits and features", async () => {
    const data = await collect(session, rows, labels, { classes: FLOWERS, feed, features: "hidden", batchSize: 7 });
    expectClose(data.logits, { shape: [120, 3], data: want.flat() }, { rtol: 1e-5, atol: 1e-6 }); // float32 sums of four products
    expectExact(data.features!, { shape: [120, 4], data: rows.flat().map((x) => Math.fround(Math.max(0, x))) });
    expectExact(data.labels, labels.map((name) => FLOWERS.indexOf(name)));
  });

  it("gives the head's decisions, one by one as in a batch and on feeds", async () => {
    const data = await collect(session, rows, labels, { classes: FLOWERS, feed });
    const head = DecisionHead.fit(data);
    const decide = guard(session, head, { feed });
    const all = await decide(rows);
    expect(all).toEqual(head.decideAll(data.logits));
    for (const [i, row] of rows.slice(0, 10).entries()) expect(await decide([row])).toEqual([all[i]]);
    expectTypeOf(all).toEqualTypeOf<Decision<(typeof FLOWERS)[number]>[]>();
    // @ts-expect-error a row alone would be taken for a batch of numbers
    await expect(decide(rows[0])).rejects.toThrow();
    const feeds = feed(rows.slice(0, 10));
    const batch = await collect(session, rows, labels, { classes: FLOWERS, feed, batchSize: 10 });
    expect(await guard(session, head)(feeds)).toEqual(head.decideAll(batch.logits).slice(0, 10));
    expect(feeds.input.data).toHaveLength(40);
  });

  it("computes and disposes only what it asks for", async () => {
    const outputs: ort.Tensor[] = [];
    const seen: string[][] = [];
    const watched = {
      inputNames: session.inputNames, outputNames: session.outputNames,
      run: async (feeds: Record<string, ort.Tensor>, fetches: readonly string[]) => {
        const output = await session.run(feeds, fetches);
        seen.push(Object.keys(output));
        outputs.push(...(Object.values(output) as ort.Tensor[]));
        return output;
      },
    };
    await collect(watched, rows.slice(0, 2), labels.slice(0, 2), { classes: FLOWERS, feed });
    await collect(watched, rows.slice(0, 2), labels.slice(0, 2), { classes: FLOWERS, feed, features: "hidden", batchSize: 2 });
    expect(seen).toEqual([["logits"], ["logits"], ["logits", "hidden"]]);
    expect(outputs.map(({ location }) => location)).toEqual(["none", "none", "none", "none"]);
  });

  it("reads float16 outputs", async () => {
    const half = await ort.InferenceSession.create(onnxModel({
      ...flowerModel(), outputs: [{ name: "half", type: "float16", shape: ["batch", 3] }],
      nodes: [...flowerModel().nodes, { type: "Cast", inputs: ["logits"], outputs: ["half"], attributes: { to: 10 } }],
    }));
    const { logits } = await collect(half, rows, labels, { classes: FLOWERS, feed });
    expectClose(logits, { shape: [120, 3], data: want.flat() }, { rtol: 2 ** -11, atol: 2 ** -14 }); // rounding to float16
  });

  it("a dynamically quantised model gives a row other logits in another batch, so rows run alone unless told otherwise", async () => {
    const { model } = onnxHeadModel("dynamic uint8", { classes: 3 });
    const quantised = await ort.InferenceSession.create(onnxModel(model));
    const name = quantised.inputNames[0];
    const options = { classes: FLOWERS, feed: (batch: readonly number[][]) => ({ [name]: new ort.Tensor("float32", batch.flatMap((row) => [...row, ...row, ...row]), [batch.length, 12]) }) };
    const [alone, again, together] = [await collect(quantised, rows, labels, options), await collect(quantised, rows.toReversed(), labels, options), await collect(quantised, rows, labels, { ...options, batchSize: 120 })];
    const difference = (a: Float32Array, b: Float32Array): number => a.reduce((worst, x, i) => Math.max(worst, Math.abs(x - b[i])), 0);
    expectExact(again.logits.row(119), alone.logits.row(0));
    expect(difference(alone.logits.data, together.logits.data)).toBeGreaterThan(1e-3);
  });

  it("classes in another order than the logits are no silent error: nearly nothing is decided", async () => {
    const data = await collect(session, rows, labels, { classes: ["versicolor", "virginica", "setosa"], feed });
    const head = DecisionHead.fit(data);
    const kinds = (await guard(session, head, { feed })(rows)).map(({ kind }) => kind);
    expect(kinds.filter((kind) => kind === "ambiguous").length).toBeGreaterThan(0.9 * rows.length);
    expect(head.evaluate(data).accuracy.all.rate).toBeLessThan(1 / 3);
  });

  it("refuses a tensor that was disposed", async () => {
    const gone = { inputNames: ["input"], outputNames: ["logits"], run: async (feeds: Record<string, ort.Tensor>) => {
      const output = await session.run(feeds);
      output.logits.dispose();
      return output;
    } };
    await expect(collect(gone, rows.slice(0, 1), [0], { classes: FLOWERS, feed })).rejects.toThrowErrorMatchingInlineSnapshot(`[TypeError: collect: expected \`logits\` a tensor with its data, got one that was disposed. Read it before dispose()]`);
  });
});
