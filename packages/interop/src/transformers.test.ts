import { expectExact } from "@logits/testkit";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { FakeOnnxTensor, fakeHead, shownIds } from "./fixtures/runtimes.ts";
import { collect, guard, outputs, type Pipeline } from "./transformers.ts";

/** As Transformers.js makes them: an object that can be called, of a class whose `_call` works. */
class FakePipeline {
  declare readonly task: string;
  declare readonly model: (inputs: unknown) => Promise<unknown>;
  declare readonly tokenizer: unknown;
  declare readonly processor: unknown;

  constructor({ task, model, tokenizer, processor }: { task: string; model: FakePipeline["model"]; tokenizer?: unknown; processor?: unknown }) {
    const closure = ((inputs: unknown, candidates?: unknown, options?: unknown) => closure.call(inputs, candidates, options)) as unknown as FakePipeline & Record<string, unknown>;
    Object.setPrototypeOf(closure, new.target.prototype as object);
    Object.assign(closure, { task, model, tokenizer, processor, entailment_id: 2, contradiction_id: 0 });
    return closure;
  }

  async call(inputs: unknown, candidates?: unknown, options?: unknown): Promise<unknown> {
    const prepared = { inputs: await (this.processor as (x: unknown) => Promise<unknown>)(inputs), candidates, options };
    const { logits } = (await this.model(prepared)) as { logits: { data: Float32Array } };
    return [...logits.data];
  }
}

interface Seen {
  inputs: number[][] | number[];
  candidates?: string[];
  options?: unknown;
}

const seen: Seen[] = [];
const made: FakeOnnxTensor[] = [];
/** A tensor of the runtime, which the tests look at afterwards. */
function tensor(rows: readonly (readonly number[])[], location = "cpu"): FakeOnnxTensor {
  const created = new FakeOnnxTensor(rows.flat(), [rows.length, rows[0].length], location);
  made.push(created);
  return created;
}

interface FakeModel {
  readonly output?: (inputs: number[][]) => Record<string, unknown>;
  readonly id2label?: unknown;
  readonly outputNames?: readonly string[];
}

const mirrored = (inputs: number[][]): number[][] => inputs.map(([a]) => [a, -a]);

/** A pipeline whose inputs are numbers in lists; by default its logits are the number and its opposite. */
function fake(task: string, { output = (x) => ({ logits: tensor(mirrored(x)) }), id2label = { 0: "up", 1: "down" }, outputNames = ["logits"] }: FakeModel = {}): Pipeline {
  const model = Object.assign(async (prepared: Seen) => {
    seen.push(prepared);
    return output(prepared.inputs as number[][]);
  }, { config: { id2label }, sessions: { model: { outputNames } } });
  return new FakePipeline({ task, model: model as never, processor: async (x: unknown) => x }) as unknown as Pipeline;
}

/** One whose model has a second output, which Transformers.js puts among the attentions. */
function tapped(task: string, features: (inputs: number[][]) => FakeOnnxTensor): Pipeline {
  return fake(task, { outputNames: ["logits", "hidden"], output: (x) => ({ logits: tensor(mirrored(x)), attentions: [features(x)] }) });
}

beforeEach(() => {
  seen.length = made.length = 0;
});

// An input of these pipelines is a list of one number, so that [[1], [2]] are two of them: `guard` takes an array for a batch.
type Input = never;
const inputs = (...numbers: number[]): Input[] => numbers.map((x) => [x] as unknown as Input);

describe("guard", () => {
  it("prepares with the pipeline, runs the model and leaves out the scores", async () => {
    const pipeline = fake("text-classification");
    const call = vi.spyOn(FakePipeline.prototype, "call");
    const decide = guard(pipeline, fakeHead(["up", "down"]));
    expect(await decide(inputs(3, -2))).toEqual([{ label: "up", logits: [3, -3] }, { label: "down", logits: [-2, 2] }]);
    expect(seen.map(({ inputs }) => inputs)).toEqual([[[3]], [[-2]]]);
    for (const { value } of call.mock.results) await expect(value).rejects.toMatchObject({ inputs: {} });
    call.mockRestore();
  });

  it("runs batches where it is told to, and nothing for no input", async () => {
    const decide = guard(fake("image-classification"), fakeHead(["up", "down"]), { batchSize: 2 });
    expect(await decide(inputs(1, 2, 3))).toHaveLength(3);
    expect(seen.map(({ inputs }) => inputs)).toEqual([[[1], [2]], [[3]]]);
    expect(await decide([])).toEqual([]);
  });

  it("downloads tensors from a GPU and disposes every output", async () => {
    const pipeline = fake("text-classification", { output: (x) => ({ logits: tensor(mirrored(x), "gpu-buffer") }) });
    expect(await guard(pipeline, fakeHead(["up", "down"]))(inputs(1))).toEqual([{ label: "up", logits: [1, -1] }]);
    expect(made.map(({ location }) => location)).toEqual(["none"]);
    const more = tapped("text-classification", (x) => tensor(x));
    made.length = 0;
    await guard(more, fakeHead(["up", "down"]))(inputs(1));
    await expect(guard(more, fakeHead(["up", "down"]), { features: "no" })(inputs(1))).rejects.toThrow("features");
    expect(made.map(({ location }) => location)).toEqual(["none", "none", "none", "none"]);
  });

  it("leaves logits on the GPU for tasks of one run, and says so of others", async () => {
    const there = { ...fakeHead(["up", "down"]), decideAllAsync: async () => [{ label: "there" }] };
    const gpu = { tensor: (x: { readonly dims: readonly number[] }) => ({ shape: x.dims, location: "gpu-buffer", operations: {}, dispose: () => undefined }) as never };
    const pipeline = fake("text-classification", { output: (x) => ({ logits: { ort_tensor: tensor(mirrored(x), "gpu-buffer") } }) });
    expect(await guard(pipeline, there, { gpu })(inputs(1))).toEqual([{ label: "there" }]);
    await expect(guard(fake("image-classification"), there, { gpu })(inputs(1))).rejects.toThrowErrorMatchingInlineSnapshot(`[TypeError: guard: expected \`logits\` on the GPU, as \`gpu\` says, got a tensor at location cpu. Load the model with device "webgpu" and preferredOutputLocation "gpu-buffer", or leave \`gpu\` out]`);
    expect(() => guard(fake("audio-classification"), there, { gpu })).toThrowErrorMatchingInlineSnapshot(`[TypeError: guard: expected \`gpu\` nothing with a task whose rows come from several runs of the model, got audio-classification]`);
  });

  it("asks for features where the head needs them", async () => {
    const pipeline = tapped("text-classification", (x) => tensor(x));
    expect(await guard(pipeline, fakeHead(["up", "down"], ["logits", "features"]))(inputs(1))).toEqual([{ label: "up", logits: [1, -1], features: [1] }]);
    // A head with a scorer of its own: the classes are not the model's.
    expect(await guard(pipeline, fakeHead(["a", "b", "c"], ["features"]))(inputs(1))).toEqual([{ label: "", features: [1] }]);
  });

  it("finds features by name, or in the list of attentions by the order of the session's outputs", async () => {
    const attentions = fake("text-classification", { outputNames: ["squashed", "logits", "hidden"], output: (x) => ({ logits: tensor(mirrored(x)), attentions: [tensor(x.map(([a]) => [10 * a])), tensor(x)] }) });
    const named = fake("text-classification", { output: (x) => ({ logits: tensor(mirrored(x)), hidden: tensor(x), squashed: tensor(x.map(([a]) => [10 * a])) }) });
    for (const pipeline of [attentions, named]) {
      expect((await guard(pipeline, fakeHead(["up", "down"]), { features: "hidden" })(inputs(1)))[0].features).toEqual([1]);
      expect((await guard(pipeline, fakeHead(["up", "down"]), { features: "squashed" })(inputs(1)))[0].features).toEqual([10]);
    }
  });

  it("runs sounds one by one", async () => {
    const decide = guard(fake("audio-classification"), fakeHead(["up", "down"]), { batchSize: 3 });
    expect(await decide(inputs(1, 2))).toHaveLength(2);
    expect(seen.map(({ inputs }) => inputs)).toEqual([[[1]], [[2]]]);
  });

  it("asks a zero-shot model about each class of the head", async () => {
    const inference = (x: unknown): Record<string, unknown> => ({ logits: tensor([[(x as number[])[0], 0, 2 * (x as number[])[0]]]) });
    const pipeline = fake("zero-shot-classification", { output: inference });
    expect(await guard(pipeline, fakeHead(["a", "b"]), { hypothesisTemplate: "It is {}" })(inputs(4))).toEqual([{ label: "a", logits: [8, 8] }]);
    expect(await guard(pipeline, fakeHead(["a", "b"]), { multiLabel: true })(inputs(4))).toEqual([{ label: "a", logits: [4, 4] }]);
    expect(seen.map(({ candidates, options }) => [candidates, options])).toEqual([[["a"], { hypothesis_template: "It is {}" }], [["b"], { hypothesis_template: "It is {}" }], [["a"], {}], [["b"], {}]]);
  });

  it("compares an image with all classes of the head at once", async () => {
    const pipeline = fake("zero-shot-image-classification", { output: (x) => ({ logits_per_image: tensor(mirrored(x)) }) });
    expect(await guard(pipeline, fakeHead(["a", "b"]), { batchSize: 2 })(inputs(1, -1))).toEqual([{ label: "a", logits: [1, -1] }, { label: "b", logits: [-1, 1] }]);
    expect(seen).toMatchObject([{ candidates: ["a", "b"] }]);
  });

  it("numbers the rows, for heads that draw by row", async () => {
    shownIds.length = 0;
    const decide = guard(fake("text-classification"), fakeHead(["up", "down"]), { batchSize: 2 });
    await decide(inputs(1, 2, 3));
    await decide(inputs(4));
    expect(shownIds).toEqual([0, 1, 2, 3]);
  });

  it("passes on what the pipeline's preparation throws", async () => {
    const broken = new FakePipeline({ task: "text-classification", model: Object.assign(async () => ({}), { config: {} }), processor: async () => { throw new Error("no such file"); } }) as unknown as Pipeline;
    await expect(guard(broken, fakeHead(["up"]))(inputs(1))).rejects.toThrow("no such file");
  });

  it("says what it refuses", async () => {
    const head = fakeHead(["up", "down"]);
    expect(() => guard(undefined as never, head)).toThrowErrorMatchingInlineSnapshot(`[TypeError: guard: expected \`pipeline\` a Transformers.js pipeline, got undefined. Await it: await pipeline(task, model)]`);
    expect(() => guard(fake("fill-mask"), head)).toThrowErrorMatchingInlineSnapshot(`[TypeError: guard: expected \`pipeline\` of one of the tasks text-classification, image-classification, audio-classification, zero-shot-classification, zero-shot-image-classification, got fill-mask]`);
    expect(() => guard(fake("text-classification"), fakeHead(["up", "down", "left"]))).toThrowErrorMatchingInlineSnapshot(`[RangeError: guard: expected \`head\` of the 2 classes of the model, got 3]`);
    expect(() => guard(fake("text-classification"), fakeHead(["down", "up"]))).toThrowErrorMatchingInlineSnapshot(`[RangeError: guard: expected \`head\` of the classes of the model, in their order, got "down" at index 0, where it has "up". For names of your own pass the same \`classes\` to collect and guard]`);
    expect(() => guard(fake("text-classification"), fakeHead(["a", "b"]), { classes: ["a", "c"] })).toThrowErrorMatchingInlineSnapshot(`[RangeError: guard: expected \`head\` of the classes of \`classes\`, in their order, got "b" at index 1, where it has "c". For names of your own pass the same \`classes\` to collect and guard]`);
    expect(() => guard(fake("text-classification"), head, { hypothesisTemplate: "{}" })).toThrowErrorMatchingInlineSnapshot(`[TypeError: guard: expected \`hypothesisTemplate\` only with a zero-shot pipeline, got text-classification]`);
    expect(() => guard(fake("text-classification"), head, { multiLabel: true })).toThrowErrorMatchingInlineSnapshot(`[TypeError: guard: expected \`multiLabel\` only with zero-shot-classification, got text-classification]`);
    expect(() => guard(fake("zero-shot-classification"), head, { features: true })).toThrowErrorMatchingInlineSnapshot(`[TypeError: guard: expected \`features\` nothing with zero-shot-classification, whose model runs once per class, got true]`);
    expect(() => guard(fake("text-classification"), head, { batchSize: 0 })).toThrowErrorMatchingInlineSnapshot(`[RangeError: guard: expected \`batchSize\` an integer in [1, 2147483647], got 0]`);
    await expect(guard(fake("text-classification", { output: () => ({ logits: tensor([[1, 2], [3, 4]]) }) }), head)(inputs(1))).rejects.toThrowErrorMatchingInlineSnapshot(`[RangeError: guard: expected \`logits\` with a row for each of the 1 inputs, got 2 rows]`);
    await expect(guard(fake("text-classification", { id2label: null, output: () => ({ logits: tensor([[1, 2, 3]]) }) }), head)(inputs(1))).rejects.toThrowErrorMatchingInlineSnapshot(`[RangeError: guard: expected \`logits\` of 2 classes on the last axis, got shape [1, 3]]`);
    await expect(guard(fake("text-classification", { output: () => ({ logits: new FakeOnnxTensor([1, 2], [1, 2, 1]) }) }), head)(inputs(1))).rejects.toThrowErrorMatchingInlineSnapshot(`[RangeError: guard: expected \`logits\` of shape [N, C], got [1, 2, 1]]`);
    await expect(guard(fake("text-classification", { output: () => ({ scores: tensor([[1, 2]]) }) }), head)(inputs(1))).rejects.toThrowErrorMatchingInlineSnapshot(`[TypeError: guard: expected \`logits\` a tensor, got undefined]`);
    await expect(guard(fake("zero-shot-classification", { output: () => ({ logits: tensor([[1, 2]]) }) }), head)(inputs(1))).rejects.toThrowErrorMatchingInlineSnapshot(`[RangeError: guard: expected \`logits\` of shape [1, C] with columns 2 and 0, got [1, 2]]`);
    const silent = new FakePipeline({ task: "text-classification", model: Object.assign(async () => ({}), { config: {} }) }) as unknown as Pipeline;
    vi.spyOn(FakePipeline.prototype, "call").mockImplementationOnce(async () => []);
    await expect(guard(silent, head)(inputs(1))).rejects.toThrowErrorMatchingInlineSnapshot(`[TypeError: guard: expected \`pipeline\` that calls its model, got one that does not]`);
    vi.restoreAllMocks();
  });
});

describe("collect", () => {
  it("returns what a fit takes", async () => {
    const data = await collect(fake("text-classification"), inputs(1, -2, 3), ["up", "down", "up"]);
    expectExact(data.logits, { shape: [3, 2], data: [1, -1, -2, 2, 3, -3] });
    expectExact(data.labels, { shape: [3], data: [0, 1, 0] });
    expect(data.classes).toEqual(["up", "down"]);
    expect(Object.keys(data)).toEqual(["logits", "labels", "classes"]);
  });

  it.each([[[0, 1]], [Int32Array.of(0, 1)], [Int8Array.of(0, 1)], [["up", "down"]]])("takes labels %j", async (labels) => {
    expectExact((await collect(fake("text-classification"), inputs(1, 2), labels as never)).labels, [0, 1]);
  });

  it("collects features batch by batch", async () => {
    const pipeline = tapped("text-classification", (x) => tensor(x.map(([a]) => [a, a * a, 1])));
    const { features } = await collect(pipeline, inputs(1, 2, 3), [0, 0, 1], { features: true, batchSize: 2 });
    expectExact(features!, { shape: [3, 3], data: [1, 1, 1, 2, 4, 1, 3, 9, 1] });
  });

  it("stacks features of sounds", async () => {
    const pipeline = tapped("audio-classification", (x) => tensor(x));
    expectExact((await collect(pipeline, inputs(1, 2), [0, 1], { features: true, batchSize: 2 })).features!, { shape: [2, 1], data: [1, 2] });
  });

  it("takes names of its own for a model without good ones", async () => {
    const twice = fake("image-classification", { id2label: { 0: "crane", 1: "crane" } });
    const classes = ["crane (bird)", "crane (machine)"] as const;
    expect((await collect(twice, inputs(1), ["crane (bird)"], { classes })).classes).toBe(classes);
    expect(() => guard(twice, fakeHead(classes), { classes })).not.toThrow();
    await expect(collect(twice, inputs(1), [0])).rejects.toThrowErrorMatchingInlineSnapshot(`[RangeError: collect: expected \`classes\` different names, got "crane" twice. Pass \`classes\` with names that tell them apart]`);
  });

  it("reports progress, stops on abort and gives the thread back", async () => {
    const shares: number[] = [];
    await collect(fake("text-classification"), inputs(1, 2, 3, 4), [0, 0, 0, 0], { onProgress: (share) => shares.push(share) });
    expect(shares).toEqual([0, 0.25, 0.5, 0.75, 1]);
    await expect(collect(fake("text-classification"), inputs(1), [0], { signal: AbortSignal.abort(new Error("stop")) })).rejects.toThrow("stop");
    let ticks = 0;
    const timer = setInterval(() => ticks++, 1);
    const slow = fake("text-classification", { output: (x) => {
      for (const start = performance.now(); performance.now() - start < 10; );
      return { logits: tensor(mirrored(x)) };
    } });
    await collect(slow, inputs(1, 2, 3, 4, 5), [0, 0, 0, 0, 0]);
    clearInterval(timer);
    expect(ticks).toBeGreaterThanOrEqual(2);
  });

  it("says what it refuses", async () => {
    const pipeline = fake("text-classification");
    await expect(collect(pipeline, [], [])).rejects.toThrowErrorMatchingInlineSnapshot(`[RangeError: collect: expected \`inputs\` with at least one input, got none]`);
    await expect(collect(pipeline, "a" as never, [0])).rejects.toThrowErrorMatchingInlineSnapshot(`[TypeError: collect: expected \`inputs\` an array, got String]`);
    await expect(collect(pipeline, inputs(1, 2), [0])).rejects.toThrowErrorMatchingInlineSnapshot(`[RangeError: collect: expected \`labels\` one for each of the 2 inputs, got 1]`);
    await expect(collect(pipeline, inputs(1, 2), [0, 2])).rejects.toThrowErrorMatchingInlineSnapshot(`[RangeError: collect: expected \`labels\` in [0, 2), got 2 at index 1]`);
    await expect(collect(pipeline, inputs(1, 2), ["up", "left"])).rejects.toThrowErrorMatchingInlineSnapshot(`[RangeError: collect: expected \`labels\` names of classes ("up", "down"), got "left" at index 1]`);
    await expect(collect(pipeline, inputs(1), [0], { batchSize: 1.5 })).rejects.toThrowErrorMatchingInlineSnapshot(`[RangeError: collect: expected \`batchSize\` an integer in [1, 2147483647], got 1.5]`);
    await expect(collect(fake("zero-shot-classification"), inputs(1), [0])).rejects.toThrowErrorMatchingInlineSnapshot(`[TypeError: collect: expected \`classes\` an array of names, in the order of the logits, got undefined. They are the candidate labels]`);
    await expect(collect(fake("text-classification", { id2label: null }), inputs(1), [0])).rejects.toThrowErrorMatchingInlineSnapshot(`[TypeError: collect: expected \`classes\` an array of names, in the order of the logits, got undefined. The model has no config.id2label: pass \`classes\`]`);
    await expect(collect(tapped("text-classification", ([[width]]) => tensor([Array.from({ length: width }, () => 1)])), inputs(1, 2), [0, 0], { features: true })).rejects.toThrowErrorMatchingInlineSnapshot(`[RangeError: collect: expected \`features\` of shape [N, 1], as the first batch has, got [1, 2]]`);
    await expect(collect(tapped("text-classification", () => new FakeOnnxTensor([1, 2, 3, 4], [1, 2, 2])), inputs(1), [0], { features: true })).rejects.toThrowErrorMatchingInlineSnapshot(`[RangeError: collect: expected \`features\` of shape [N, F], got [1, 2, 2]. One row of numbers for each input: take the tensor behind the pooling, as what goes into the last layer]`);
  });
});

describe("outputs", () => {
  it("returns what the model says, whatever its classes are called", async () => {
    const { logits, features } = await outputs(tapped("text-classification", (x) => tensor(x)), inputs(1, -2), { features: true });
    expectExact(logits, { shape: [2, 2], data: [1, -1, -2, 2] });
    expectExact(features!, { shape: [2, 1], data: [1, -2] });
    expect(Object.keys(await outputs(fake("text-classification", { id2label: null }), inputs(1)))).toEqual(["logits"]);
    const clip = fake("zero-shot-image-classification", { output: (x) => ({ logits_per_image: tensor(mirrored(x)) }) });
    expectExact((await outputs(clip, inputs(1), { classes: ["a", "b"] })).logits, { shape: [1, 2], data: [1, -1] });
  });

  it("says what it refuses", async () => {
    await expect(outputs(undefined as never, inputs(1))).rejects.toThrowErrorMatchingInlineSnapshot(`[TypeError: outputs: expected \`pipeline\` a Transformers.js pipeline, got undefined. Await it: await pipeline(task, model)]`);
    await expect(outputs(fake("text-classification"), [])).rejects.toThrowErrorMatchingInlineSnapshot(`[RangeError: outputs: expected \`inputs\` with at least one input, got none]`);
    await expect(outputs(fake("zero-shot-classification"), inputs(1))).rejects.toThrowErrorMatchingInlineSnapshot(`[TypeError: outputs: expected \`classes\` an array of names, in the order of the logits, got undefined. They are the candidate labels]`);
    await expect(outputs(fake("text-classification", { output: ([[width]]) => ({ logits: tensor([Array.from({ length: width }, () => 1)]) }) }), inputs(2, 3))).rejects.toThrowErrorMatchingInlineSnapshot(`[RangeError: outputs: expected \`logits\` of shape [N, 2], as the first batch has, got [1, 3]]`);
  });
});
