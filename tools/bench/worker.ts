import { RedCheckError, type Clock } from "./harness.ts";
import { machine } from "./machine.ts";
import { loadCore } from "./ours.ts";
import { loadPeers } from "./peers/index.ts";
import { SUITES } from "./suites/index.ts";
import { casesOf } from "./suites/suite.ts";
import type { BenchRecord, Variant } from "./types.ts";

/**
 * One process for one variant: ours and its like-for-like peers take turns in it. The two variants need two processes because @logits/core-wasm chooses its
 * binaries once. Whatever a library prints goes to the parent's stderr; records go over the IPC channel.
 */

export interface Job {
  suites: readonly string[];
  variant: Variant;
  filter: string;
  seed: number;
  clock: Clock;
  /** No case is begun after this, milliseconds since 1970. */
  until?: number;
}

export type Message = { record: BenchRecord } | { progress: string } | { left: string } | { red: string };

const send = (message: Message): Promise<void> => new Promise((resolve, reject) => process.send?.(message, (error: Error | null) => (error ? reject(error) : resolve())));

const { suites, variant, filter, seed, clock, until = Infinity } = JSON.parse(process.argv[2]) as Job;
const library = await loadCore(variant);
const peers = await loadPeers(variant);
const meta = machine(seed, clock, { "@logits/core-wasm": library.core.version, ...Object.fromEntries(peers.map(({ name, version }) => [name, version])) });
try {
  for (const suite of SUITES.filter(({ name }) => suites.includes(name))) {
    for (const benchCase of casesOf(suite, filter)) {
      if (Date.now() > until) {
        await send({ left: `${suite.name} ${benchCase.name} ${variant}` });
        continue;
      }
      await send({ progress: `${suite.name} ${benchCase.name} ${variant}` });
      const outcome = await benchCase.run({ variant, library, peers, seed, clock });
      await send({ record: { suite: suite.name, case: benchCase.name, variant, ...outcome, meta } });
      (globalThis as { gc?: () => void }).gc?.();
    }
  }
} catch (error) {
  if (!(error instanceof RedCheckError)) throw error;
  await send({ red: error.message });
  process.exit(1);
}
process.exit(0);
