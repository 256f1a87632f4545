import clinc from "../../../../data/clinc150/data_full.json.gz?url";
import type { IntentData } from "../data/intents.ts";
import type { Control } from "../worker/protocol.ts";
import { fetched } from "./fetched.ts";

let sentences: Promise<IntentData> | undefined;

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
