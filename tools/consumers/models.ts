/** Tiny models of every kind that a page names, written by the tests: nothing is downloaded. Weights are chosen by hand or drawn with a seed, never trained. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { randomSource } from "@logits/tensor";
import { onnxModel, type OnnxModel, type OnnxNode, type OnnxTensor } from "../../packages/testkit/src/onnxWriter.ts";

const floats = (name: string, shape: readonly number[], data: readonly number[]): OnnxTensor => ({ name, type: "float32", shape, data });
const ints = (name: string, data: readonly number[]): OnnxTensor => ({ name, type: "int64", shape: [data.length], data });
const node = (type: string, inputs: readonly string[], output: string, attributes?: OnnxNode["attributes"]): OnnxNode => ({ type, inputs, outputs: [output], attributes });

export const INTENTS = ["flight", "music", "alarm"] as const;
const WORDS: Readonly<Record<(typeof INTENTS)[number], readonly string[]>> = {
  flight: ["book", "fly", "ticket", "airport"], music: ["play", "song", "louder", "band"], alarm: ["wake", "clock", "morning", "ring"],
};
const FILLERS = ["please", "the", "a", "me", "now", "can", "you", "to"];
const VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", ...Object.values(WORDS).flat(), ...FILLERS, ...INTENTS, "this", "is", "example", "photo", "of", "red", "green", "blue", "."];

/** Labelled sentences, no two of the same words: one to three words of their intent, the rest fillers; sometimes a word of another intent, so that the model errs. */
export function intents(n: number, seed: number): { texts: string[]; labels: (typeof INTENTS)[number][] } {
  const random = randomSource(seed);
  const pick = <T>(list: readonly T[]): T => list[random.integer(list.length)];
  const sentences = new Map<string, { text: string; label: (typeof INTENTS)[number] }>();
  while (sentences.size < n) {
    const label = pick(INTENTS);
    const own = Array.from({ length: 1 + random.integer(3) }, () => pick(WORDS[label]));
    const noise = Array.from({ length: random.integer(6) }, () => (random.uniform() < 0.3 ? pick(WORDS[pick(INTENTS)]) : pick(FILLERS)));
    const text = [...own, ...noise].map((word) => [random.uniform(), word] as const).sort(([a], [b]) => a - b).map(([, word]) => word).join(" ");
    sentences.set(text.split(" ").sort().join(" "), { text, label });
  }
  const list = [...sentences.values()];
  return { texts: list.map(({ text }) => text), labels: list.map(({ label }) => label) };
}

function tokenizer(folder: string): void {
  const token = (content: string) => ({ id: VOCABULARY.indexOf(content), content, special: true, single_word: false, lstrip: false, rstrip: false, normalized: false });
  const special = (id: string) => ({ SpecialToken: { id, type_id: 0 } });
  writeFileSync(join(folder, "tokenizer.json"), JSON.stringify({
    version: "1.0", truncation: null, padding: null, added_tokens: ["[PAD]", "[UNK]", "[CLS]", "[SEP]"].map(token),
    normalizer: { type: "Lowercase" }, pre_tokenizer: { type: "BertPreTokenizer" },
    post_processor: {
      type: "TemplateProcessing",
      single: [special("[CLS]"), { Sequence: { id: "A", type_id: 0 } }, special("[SEP]")],
      pair: [special("[CLS]"), { Sequence: { id: "A", type_id: 0 } }, special("[SEP]"), { Sequence: { id: "B", type_id: 1 } }, { SpecialToken: { id: "[SEP]", type_id: 1 } }],
      special_tokens: Object.fromEntries(["[CLS]", "[SEP]"].map((id) => [id, { id, ids: [VOCABULARY.indexOf(id)], tokens: [id] }])),
    },
    decoder: null, model: { type: "WordLevel", vocab: Object.fromEntries(VOCABULARY.map((word, i) => [word, i])), unk_token: "[UNK]" },
  }));
  writeFileSync(join(folder, "tokenizer_config.json"), JSON.stringify({ tokenizer_class: "BertTokenizer", pad_token: "[PAD]", unk_token: "[UNK]", cls_token: "[CLS]", sep_token: "[SEP]", model_max_length: 32 }));
}

/** A folder as the Hub has it. */
function write(folder: string, config: object, model: OnnxModel, preprocessor?: object): void {
  mkdirSync(join(folder, "onnx"), { recursive: true });
  writeFileSync(join(folder, "config.json"), JSON.stringify(config));
  writeFileSync(join(folder, "onnx", "model.onnx"), onnxModel(model));
  if (preprocessor) writeFileSync(join(folder, "preprocessor_config.json"), JSON.stringify(preprocessor));
  else tokenizer(folder);
  if (preprocessor && "crop_size" in preprocessor) tokenizer(folder);
}

const named = (names: readonly string[]) => ({ id2label: Object.fromEntries(names.map((name, i) => [i, name])), label2id: Object.fromEntries(names.map((name, i) => [name, i])) });

/** [V, 3]: each word says how much it speaks for each intent. */
const EMBEDDING_ROWS = VOCABULARY.map((word) => INTENTS.map((intent) => (WORDS[intent].includes(word) || word === intent ? 1 : 0)));
const EMBEDDING = floats("embedding", [VOCABULARY.length, 3], EMBEDDING_ROWS.flat());

const pooled = (ids: string, mask: string, output: string): OnnxNode[] => [
  node("Gather", ["embedding", ids], `${output}_words`),
  node("Cast", [mask], `${output}_mask`, { to: 1 }),
  node("Unsqueeze", [`${output}_mask`, "last"], `${output}_mask3`),
  node("Mul", [`${output}_words`, `${output}_mask3`], `${output}_masked`),
  node("ReduceSum", [`${output}_masked`, "middle"], output, { keepdims: 0 }),
];

/** [V, 8]: the same and five numbers of its own. */
const WORD_VECTORS = floats("embedding", [VOCABULARY.length, 8], ((random) => VOCABULARY.flatMap((_, word) => [...EMBEDDING_ROWS[word], ...Array.from({ length: 5 }, () => random.uniform() - 0.5)]))(randomSource(7)));

/** Sentence classifier: hidden = sum of the words' vectors, logits = twice the first three numbers. `taps` are further outputs. */
export function textModel(taps: readonly string[] = []): OnnxModel {
  return {
    inputs: [{ name: "input_ids", type: "int64", shape: ["batch", "sequence"] }, { name: "attention_mask", type: "int64", shape: ["batch", "sequence"] }],
    outputs: [{ name: "logits", shape: ["batch", 3] }, ...taps.map((name) => ({ name }))],
    nodes: [
      ...pooled("input_ids", "attention_mask", "hidden"),
      node("Tanh", ["hidden"], "squashed"),
      node("Gemm", ["hidden", "weights", "bias"], "logits"),
    ],
    initializers: [WORD_VECTORS, ints("last", [-1]), ints("middle", [1]), floats("weights", [8, 3], Array.from({ length: 24 }, (_, i) => (i % 4 === 0 && i < 9 ? 2 : 0))), floats("bias", [3], [0, 0.1, 0.2])],
  };
}

export function writeText(folder: string, taps: readonly string[] = []): void {
  write(folder, { model_type: "bert", architectures: ["BertForSequenceClassification"], ...named(INTENTS) }, textModel(taps));
}

export const TAGS = ["O", "B-ROUTE", "I-ROUTE", "B-SONG", "I-SONG"] as const;

/** Token classifier: a word of flights starts or goes on with a route, one of music with a song, in half as sure a way. */
export function writeTokens(folder: string): void {
  const rows = VOCABULARY.map((word) => (WORDS.flight.includes(word) ? [0, 5, 4, 0, 0] : WORDS.music.includes(word) ? [0, 0, 0, 1.5, 2] : [4, 0, 0, 0, 0]));
  write(folder, { model_type: "bert", architectures: ["BertForTokenClassification"], ...named(TAGS) }, {
    inputs: [{ name: "input_ids", type: "int64", shape: ["batch", "sequence"] }, { name: "attention_mask", type: "int64", shape: ["batch", "sequence"] }],
    outputs: [{ name: "logits", shape: ["batch", "sequence", TAGS.length] }],
    nodes: [node("Gather", ["embedding", "input_ids"], "words"), node("Cast", ["attention_mask"], "mask", { to: 1 }), node("Unsqueeze", ["mask", "last"], "mask3"), node("Mul", ["words", "mask3"], "logits")],
    initializers: [floats("embedding", [VOCABULARY.length, TAGS.length], rows.flat()), ints("last", [-1])],
  });
}

/** Natural language inference: entailment = the product of the two sentences' vectors. */
export function writeInference(folder: string): void {
  write(folder, { model_type: "bert", architectures: ["BertForSequenceClassification"], ...named(["contradiction", "neutral", "entailment"]) }, {
    inputs: ["input_ids", "attention_mask", "token_type_ids"].map((name) => ({ name, type: "int64" as const, shape: ["batch", "sequence"] })),
    outputs: [{ name: "logits", shape: ["batch", 3] }],
    nodes: [
      ...pooled("input_ids", "token_type_ids", "hypothesis"),
      ...pooled("input_ids", "attention_mask", "both"),
      node("Sub", ["both", "hypothesis"], "premise"),
      node("Mul", ["premise", "hypothesis"], "agreement"),
      node("ReduceSum", ["agreement", "one"], "score", { keepdims: 1 }),
      node("Gemm", ["score", "weights", "bias"], "logits"),
    ],
    initializers: [EMBEDDING, ints("last", [-1]), ints("middle", [1]), ints("one", [1]), floats("weights", [1, 3], [-3, 0, 3]), floats("bias", [3], [0.5, 0, -0.5])],
  });
}

const SIZE = 8;
export const COLOURS = ["red", "green", "blue"] as const;

/** Image classifier: the mean of each channel. */
export function writeImage(folder: string): void {
  write(folder, { model_type: "vit", architectures: ["ViTForImageClassification"], ...named(COLOURS) }, {
    inputs: [{ name: "pixel_values", shape: ["batch", 3, SIZE, SIZE] }],
    outputs: [{ name: "logits", shape: ["batch", 3] }, { name: "hidden", shape: ["batch", 3] }],
    nodes: [node("GlobalAveragePool", ["pixel_values"], "means"), node("Flatten", ["means"], "hidden"), node("Gemm", ["hidden", "weights"], "logits")],
    initializers: [floats("weights", [3, 3], [4, 0, 0, 0, 4, 0, 0, 0, 4])],
  }, { image_processor_type: "ViTImageProcessor", do_resize: false, do_rescale: true, rescale_factor: 1 / 255, do_normalize: false, size: { height: SIZE, width: SIZE } });
}

/** Image against texts. */
export function writeClip(folder: string): void {
  write(folder, { model_type: "clip", architectures: ["CLIPModel"] }, {
    inputs: [{ name: "input_ids", type: "int64", shape: ["texts", "sequence"] }, { name: "attention_mask", type: "int64", shape: ["texts", "sequence"] }, { name: "pixel_values", shape: ["images", 3, SIZE, SIZE] }],
    outputs: [{ name: "logits_per_image", shape: ["images", "texts"] }, { name: "image_embeds", shape: ["images", 3] }, { name: "text_embeds", shape: ["texts", 3] }],
    nodes: [
      ...pooled("input_ids", "attention_mask", "text_embeds"),
      node("GlobalAveragePool", ["pixel_values"], "means"), node("Flatten", ["means"], "image_embeds"),
      node("Transpose", ["text_embeds"], "transposed", { perm: { ints: [1, 0] } }), node("MatMul", ["image_embeds", "transposed"], "cosines"), node("Mul", ["cosines", "scale"], "logits_per_image"),
    ],
    initializers: [
      { ...EMBEDDING, data: VOCABULARY.flatMap((word) => COLOURS.map((colour) => (word === colour ? 1 : 0))) },
      ints("last", [-1]), ints("middle", [1]), floats("scale", [1], [10]),
    ],
  }, { image_processor_type: "CLIPImageProcessor", do_resize: false, do_center_crop: false, crop_size: SIZE, do_rescale: true, rescale_factor: 1 / 255, do_normalize: false, size: SIZE });
}

/** Sound classifier: loud or quiet. */
export function writeAudio(folder: string): void {
  write(folder, { model_type: "wav2vec2", architectures: ["Wav2Vec2ForSequenceClassification"], ...named(["quiet", "loud"]) }, {
    inputs: [{ name: "input_values", shape: ["batch", "samples"] }],
    outputs: [{ name: "logits", shape: ["batch", 2] }, { name: "hidden", shape: ["batch", 1] }],
    nodes: [node("Abs", ["input_values"], "loudness"), node("ReduceMean", ["loudness", "middle"], "hidden", { keepdims: 1 }), node("Gemm", ["hidden", "weights", "bias"], "logits")],
    initializers: [ints("middle", [1]), floats("weights", [1, 2], [-8, 8]), floats("bias", [2], [2, -2])],
  }, { feature_extractor_type: "Wav2Vec2FeatureExtractor", sampling_rate: 16000, do_normalize: false, return_attention_mask: false, feature_size: 1, padding_value: 0 });
}

export const FLOWERS = ["setosa", "versicolor", "virginica"] as const;

/** Labelled rows of four numbers in three overlapping groups. */
export function flowers(n: number, seed: number): { rows: number[][]; labels: (typeof FLOWERS)[number][] } {
  const random = randomSource(seed);
  const noise = (): number => random.uniform() + random.uniform() + random.uniform() - 1.5;
  const groups = Array.from({ length: n }, () => random.integer(3));
  return { rows: groups.map((group) => Array.from({ length: 4 }, (_, i) => (i === group ? 1 : 0) + 0.8 * noise())), labels: groups.map((group) => FLOWERS[group]) };
}

/** [4, 3], as ONNX's Gemm and TensorFlow.js's dense layer have it. */
export const FLOWER_WEIGHTS = [3, 0, 0, 0, 3, 0, 0, 0, 3, 0.1, 0.2, 0.3];

/** A classifier of four numbers; hidden = relu(input). */
export function flowerModel(): OnnxModel {
  return {
    inputs: [{ name: "input", shape: ["batch", 4] }],
    outputs: [{ name: "logits", shape: ["batch", 3] }, { name: "hidden", shape: ["batch", 4] }],
    nodes: [node("Relu", ["input"], "hidden"), node("Gemm", ["hidden", "weights"], "logits")],
    initializers: [floats("weights", [4, 3], FLOWER_WEIGHTS)],
  };
}

/** Logits of the next word for each word: a language model that looks at the last word alone. float32 [V, V]; the four special tokens never follow. */
export function nextWord(seed = 3): { words: readonly string[]; logits: Float32Array } {
  const random = randomSource(seed), size = VOCABULARY.length;
  const logits = Float32Array.from({ length: size * size }, (_, i) => (i % size < 4 ? -20 : 6 * (random.uniform() + random.uniform() + random.uniform() - 1.5)));
  return { words: VOCABULARY, logits };
}

/** That model; `half`: its logits in half precision. */
export function languageModel(half = false): OnnxModel {
  const size = VOCABULARY.length;
  return {
    inputs: [{ name: "input_ids", type: "int64", shape: ["batch", "sequence"] }],
    outputs: [{ name: "logits", type: half ? "float16" : "float32", shape: ["batch", "sequence", size] }],
    nodes: half ? [node("Gather", ["table", "input_ids"], "wide"), node("Cast", ["wide"], "logits", { to: 10 })] : [node("Gather", ["table", "input_ids"], "logits")],
    initializers: [floats("table", [size, size], [...nextWord().logits])],
  };
}

/** That model as a folder; `config` goes into generation_config.json. The logits are looked up, so that they are the same bits in every runtime. */
export function writeLanguageModel(folder: string, config: object = {}): void {
  write(folder, { model_type: "gpt2", architectures: ["GPT2LMHeadModel"], n_layer: 1, n_head: 1, n_embd: 1, vocab_size: VOCABULARY.length, eos_token_id: null, bos_token_id: 2 }, languageModel());
  writeFileSync(join(folder, "generation_config.json"), JSON.stringify(config));
}
