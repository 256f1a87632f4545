import { expectExact } from "@logits/testkit";
import { describe, expect, it } from "vitest";
import { FakeOnnxTensor, fakeHead } from "./fixtures/runtimes.ts";
import { collect, guard, outputs } from "./onnxruntime.ts";

interface Feeds {
  readonly x: readonly number[];
}

/** logits = x and -x; hidden = x; ids = whole numbers. */
function fakeSession(outputNames: readonly string[] = ["logits"], location = "cpu") {
  const made: FakeOnnxTensor[] = [];
  const asked: (readonly string[])[] = [];
  return {
    made, asked, inputNames: ["x"], outputNames,
    async run({ x }: Feeds, fetches: readonly string[]): Promise<Record<string, FakeOnnxTensor>> {
      asked.push(fetches);
      return Object.fromEntries(fetches.map((name) => {
        const tensor = name === "hidden" ? new FakeOnnxTensor(x, [x.length, 1], location) : new FakeOnnxTensor(x.flatMap((a) => [a, -a]), [x.length, 2], location);
        made.push(tensor);
        return [name, tensor];
      }));
    },
  };
}

const head = fakeHead(["up", "down"]);
const feed = (inputs: readonly number[]): Feeds => ({ x: inputs });

describe("guard", () => {
  it("takes feeds as the session does, and decides each row", async () => {
    expect(await guard(fakeSession(), head)({ x: [1, -1] })).toEqual([{ label: "up", logits: [1, -1] }, { label: "down", logits: [-1, 1] }]);
  });

  it("makes the feeds of an input or of a batch", async () => {
    const session = fakeSession();
    const decide = guard(session, head, { feed, batchSize: 2 });
    expect(await decide(3)).toEqual({ label: "up", logits: [3, -3] });
    expect(await decide([1, -1, 2])).toHaveLength(3);
    expect(session.asked).toHaveLength(3);
    expect(await guard(session, head, { feed: async (inputs: readonly number[]) => feed(inputs) })(1)).toEqual({ label: "up", logits: [1, -1] });
  });

  it("asks for no other output than it needs, downloads it and disposes it", async () => {
    const session = fakeSession(["hidden", "logits"], "gpu-buffer");
    expect(await guard(session, head)({ x: [1] })).toEqual([{ label: "up", logits: [1, -1] }]);
    expect(await guard(session, head, { features: "hidden" })({ x: [1] })).toEqual([{ label: "up", logits: [1, -1], features: [1] }]);
    expect(session.asked).toEqual([["logits"], ["logits", "hidden"]]);
    expect(session.made.map(({ location }) => location)).toEqual(["none", "none", "none"]);
  });

  it("takes the only other output where the head needs features", async () => {
    const needy = fakeHead(["up", "down"], ["logits", "features"]);
    expect(await guard(fakeSession(["logits", "hidden"]), needy)({ x: [1] })).toEqual([{ label: "up", logits: [1, -1], features: [1] }]);
    expect(await guard(fakeSession(["logits", "hidden"]), fakeHead(["a"], ["features"]))({ x: [1] })).toEqual([{ label: "", features: [1] }]);
    expect(() => guard(fakeSession(), needy)).toThrowErrorMatchingInlineSnapshot(`[RangeError: guard: expected \`features\` the name of an output, got none. The head needs features and the session has no output but "logits". Tap the penultimate tensor of the model's file (logits tap) and load the result]`);
    expect(() => guard(fakeSession(["logits", "hidden", "more"]), needy)).toThrowErrorMatchingInlineSnapshot(`[RangeError: guard: expected \`features\` the name of an output, got none. The session has "hidden", "more"]`);
  });

  it("takes the only output of a model without classes for features where it is named so", async () => {
    const session = fakeSession(["hidden"]);
    expect(await guard(session, fakeHead(["a", "b", "c"], ["features"]), { features: "hidden" })({ x: [1] })).toEqual([{ label: "", features: [1] }]);
    expectExact((await outputs(session, [1, 2], { feed, features: "hidden" })).features!, { shape: [2, 1], data: [1, 2] });
    expect(session.asked).toEqual([["hidden"], ["hidden"], ["hidden"]]);
    expect(() => guard(session, fakeHead(["a"], ["features"]))).toThrowErrorMatchingInlineSnapshot(`[RangeError: guard: expected \`features\` the name of an output, got none. The head needs features and the session has no output but "hidden". Pass \`features\` where that is what "hidden" holds]`);
  });

  it("finds the logits under another name", async () => {
    expect(await guard(fakeSession(["y"]), head)({ x: [1] })).toEqual([{ label: "up", logits: [1, -1] }]);
    expect(await guard(fakeSession(["y", "hidden"]), head, { features: "hidden" })({ x: [1] })).toEqual([{ label: "up", logits: [1, -1], features: [1] }]);
    expect(await guard(fakeSession(["y", "z"]), head, { logits: "z" })({ x: [1] })).toEqual([{ label: "up", logits: [1, -1] }]);
  });

  it("says what it refuses", async () => {
    expect(() => guard(null as never, head)).toThrowErrorMatchingInlineSnapshot(`[TypeError: guard: expected \`session\` an ONNX Runtime session, got null. Await it: await InferenceSession.create(model)]`);
    expect(() => guard(Promise.resolve() as never, head)).toThrowErrorMatchingInlineSnapshot(`[TypeError: guard: expected \`session\` an ONNX Runtime session, got Promise. Await it: await InferenceSession.create(model)]`);
    expect(() => guard(fakeSession(["y", "z"]), head)).toThrowErrorMatchingInlineSnapshot(`[RangeError: guard: expected \`logits\` the name of an output, got none. The session has "y", "z"]`);
    expect(() => guard(fakeSession(), head, { logits: "y" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: guard: expected \`logits\` an output of the session ("logits"), got "y"]`);
    expect(() => guard(fakeSession(), head, { features: "y" })).toThrowErrorMatchingInlineSnapshot(`[RangeError: guard: expected \`features\` an output of the session ("logits"), got "y". Tap the penultimate tensor of the model's file (logits tap) and load the result]`);
    expect(() => guard(fakeSession(), head, { feed, batchSize: -1 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: guard: expected \`batchSize\` an integer in [1, 2147483647], got -1]`);
    for (const kept of [undefined, "{}", { format: "logits/head", classes: ["up", "down"] }]) expect(() => guard(fakeSession(), kept as never)).toThrow(/^guard: expected `head` a DecisionHead/);
    expect(() => guard(fakeSession(), { format: "logits/head", classes: ["up", "down"] } as never)).toThrowErrorMatchingInlineSnapshot(`[TypeError: guard: expected \`head\` a DecisionHead, or what has \`classes\` and \`decideAll\`, got Object. Read it: DecisionHead.fromJSON(JSON.parse(text))]`);
    await expect(guard(fakeSession(), fakeHead(["up", "down", "left"]))({ x: [1] })).rejects.toThrowErrorMatchingInlineSnapshot(`[RangeError: guard: expected \`logits\` of 3 classes on the last axis, got shape [1, 2]]`);
    await expect(guard(fakeSession(), head, { feed: () => ({ x: [1, 2] }) })(1)).rejects.toThrowErrorMatchingInlineSnapshot(`[RangeError: guard: expected \`logits\` with a row for each of the 1 inputs, got 2 rows]`);
    await expect(guard({ ...fakeSession(["logits", "hidden"]), run: async () => ({ logits: new FakeOnnxTensor([1, 2], [1, 2]) }) }, head, { features: "hidden" })({ x: [1] })).rejects.toThrowErrorMatchingInlineSnapshot(`[TypeError: guard: expected \`hidden\` a tensor, got undefined]`);
  });
});

describe("collect", () => {
  it("returns what a fit takes", async () => {
    const data = await collect(fakeSession(["logits", "hidden"]), [1, 2, 3], ["down", "up", "up"], { classes: ["up", "down"], feed, features: "hidden", batchSize: 2 });
    expectExact(data.logits, { shape: [3, 2], data: [1, -1, 2, -2, 3, -3] });
    expectExact(data.labels, { shape: [3], data: [1, 0, 0] });
    expectExact(data.features!, { shape: [3, 1], data: [1, 2, 3] });
    expect(data.classes).toEqual(["up", "down"]);
  });

  it("says what it refuses", async () => {
    await expect(collect(fakeSession(), [1], [0], { feed } as never)).rejects.toThrowErrorMatchingInlineSnapshot(`[TypeError: collect: expected \`classes\` an array of names, in the order of the logits, got undefined. An ONNX file does not name its classes]`);
    await expect(collect(fakeSession(), [1], [0], { classes: ["a", "a"], feed })).rejects.toThrowErrorMatchingInlineSnapshot(`[RangeError: collect: expected \`classes\` different names, got "a" twice. Pass \`classes\` with names that tell them apart]`);
    await expect(collect(fakeSession(), [1], [0], { classes: ["a", "b"] } as never)).rejects.toThrowErrorMatchingInlineSnapshot(`[TypeError: collect: expected \`feed\` a function from inputs to feeds, got undefined]`);
    await expect(collect(fakeSession(), [1], [0], { classes: ["a", "b", "c"], feed })).rejects.toThrowErrorMatchingInlineSnapshot(`[RangeError: collect: expected \`logits\` of 3 classes on the last axis, got shape [1, 2]]`);
    await expect(collect(fakeSession(), [1], [[0]] as never, { classes: ["a", "b"], feed })).rejects.toThrowErrorMatchingInlineSnapshot(`[TypeError: collect: expected \`labels\` of one class for each input, got arrays. Where an input has several, fit MultiLabelHead on the logits of outputs()]`);
    await expect(collect(fakeSession(["hidden"]), [1], [0], { classes: ["a", "b"], feed })).rejects.toThrowErrorMatchingInlineSnapshot(`[RangeError: collect: expected \`logits\` of 2 classes on the last axis, got shape [1, 1]. One score for two classes becomes two columns inside the model: [0, z] for a logit z, [1 - p, p] for a probability p]`);
    const tokens = { ...fakeSession(["logits", "tokens"]), run: async () => ({ logits: new FakeOnnxTensor([1, 2], [1, 2]), tokens: new FakeOnnxTensor([1, 2], [1, 2, 1]) }) };
    await expect(collect(tokens, [1], [0], { classes: ["a", "b"], feed, features: "tokens" })).rejects.toThrowErrorMatchingInlineSnapshot(`[RangeError: collect: expected \`features\` of shape [N, F], got [1, 2, 1]. One row of numbers for each input: take the tensor behind the pooling, as what goes into the last layer]`);
  });
});

describe("outputs", () => {
  it("returns what the session says", async () => {
    const { logits, features } = await outputs(fakeSession(["logits", "hidden"]), [1, 2, 3], { feed, features: "hidden", batchSize: 2 });
    expectExact(logits, { shape: [3, 2], data: [1, -1, 2, -2, 3, -3] });
    expectExact(features!, { shape: [3, 1], data: [1, 2, 3] });
    await expect(outputs(fakeSession(), [1], {} as never)).rejects.toThrowErrorMatchingInlineSnapshot(`[TypeError: outputs: expected \`feed\` a function from inputs to feeds, got undefined]`);
  });
});
