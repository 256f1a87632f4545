import { DecisionHead, HashedNgrams } from "@logits/head";
import about from "../../generated/intents.json?url";
import artefact from "../../generated/intents.safetensors?url";
import type { IntentFigures, Intents } from "../data/intents.ts";
import type { Control } from "../worker/protocol.ts";
import { fetched } from "./fetched.ts";

export { intentLabels, textsOf } from "../data/intents.ts";
export { intentData } from "./intentSentences.ts";

let carried: Promise<Intents & { readonly figures: IntentFigures }> | undefined;

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
