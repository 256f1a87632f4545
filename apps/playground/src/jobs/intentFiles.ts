import { DecisionHead, HashedNgrams } from "@logits/head";
import clinc from "../../../../data/clinc150/data_full.json.gz?url";
import about from "../../generated/intents.json?url";
import artefact from "../../generated/intents.safetensors?url";
import type { IntentData, IntentFigures, Intents } from "../data/intents.ts";
import type { Control } from "../worker/protocol.ts";
import { fetched } from "./fetched.ts";

export { intentLabels, textsOf } from "../data/intents.ts";

let carried: Promise<Intents & { readonly figures: IntentFigures }> | undefined;
let sentences: Promise<IntentData> | undefined;

/** The classifier that was trained when the page was built. */
export function carriedIntents(control: Control): Promise<Intents & { readonly figures: IntentFigures }> {
  carried ??= readCarried(control);
  carried.catch(() => {
    carried = undefined;
  });
  return carried;
}

async function readCarried(control: Control): Promise<Intents & { readonly figures: IntentFigures }> {
  const text = new TextDecoder().decode(await fetched(about, "Loading the classifier", control));
  const { ngrams, figures } = JSON.parse(text) as { readonly ngrams: unknown; readonly figures: IntentFigures };
  const bytes = await fetched(artefact, "Loading the classifier, 2.5 MB", control);
  return { ngrams: HashedNgrams.fromJSON(ngrams), head: DecisionHead.fromBytes(bytes), figures };
}

/** The sentences of CLINC150. */
export function intentData(control: Control): Promise<IntentData> {
  sentences ??= readSentences(control);
  sentences.catch(() => {
    sentences = undefined;
  });
  return sentences;
}

async function readSentences(control: Control): Promise<IntentData> {
  const bytes = await fetched(clinc, "Loading sentences, 0.3 MB", control);
  // Some hosts announce the file as compressed in transit, and then the browser has unpacked it.
  const packed = bytes[0] === 0x1f && bytes[1] === 0x8b;
  const stream = new Blob([bytes as Uint8Array<ArrayBuffer>]).stream();
  return (await new Response(packed ? stream.pipeThrough(new DecompressionStream("gzip")) : stream).json()) as IntentData;
}
