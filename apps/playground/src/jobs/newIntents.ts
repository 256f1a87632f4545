import { NEW_INTENT_OPTIONS, addIntents, refusedIntents, type IntentGroup, type NewIntentFigures, type RefusedIntents } from "../../../../packages/logits/src/cli/newIntents.ts";
import type { Control } from "../worker/protocol.ts";
import { intentData } from "./intentFiles.ts";

export type { IntentGroup, NewIntentFigures };

/** What was refused, for a person to look at. */
export interface RefusedInfo {
  readonly known: number;
  readonly heldOut: number;
  readonly stream: number;
  readonly refused: number;
  readonly pValue: number;
  readonly groups: readonly IntentGroup[];
}

let act: RefusedIntents | undefined;

/** Learns all intents but ten, refuses what it does not know, and groups it. */
export async function group(_: null, { signal, progress }: Control): Promise<RefusedInfo> {
  act ??= await refusedIntents(await intentData({ signal, progress }), NEW_INTENT_OPTIONS, { signal, onProgress: progress });
  const { head, heldOut, stream, refused, found, groups } = act;
  return { known: head.classes.length, heldOut: heldOut.length, stream, refused: refused.length, pValue: found.pValue, groups };
}

/** Adds groups as classes, and tests. */
export async function add({ intents }: { readonly intents: readonly string[] }, { signal, progress }: Control): Promise<NewIntentFigures> {
  return addIntents(act!, intents, { signal, onProgress: progress });
}
