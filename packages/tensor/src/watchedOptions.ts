import { typeError } from "./errors.ts";
import { describe } from "./tensor.ts";

/** Options that note which of them are read, and the check that follows the reading. */
export interface WatchedOptions<Options extends object> {
  /** To be read in place of what was given. */
  readonly options: Options;
  /** Refuses what was given and not read. `read`: names that were read from what was given itself. */
  refuseUnread(read?: readonly string[]): void;
}

/**
 * Watches the reading of options: one that nobody reads would have no effect, be it misspelt or of another function, and is refused. No list of names is kept beside the code that reads them.
 *
 * What stands for a name in braces (`{ gamma = 2 }`) is a reading; `...rest` and `{ ...options }` read all names, whatever they are. An option that is undefined counts as not given.
 *
 * @param where - for messages
 * @param given - the options of a call
 * @returns `options`, and `refuseUnread()` for when all were read: TypeError with the names that were, and the one that is nearest
 * @throws TypeError for a number, an array or a tensor in the place of options: it would be read as none
 * @example
 *   const { options, refuseUnread } = watchedOptions("focalLoss", { gamma: 3 });
 *   const { gamma = 2 } = options;
 *   refuseUnread(); // fine; of { gama: 3 } it says: Did you mean gamma?
 * Source: this library.
 */
export function watchedOptions<Options extends object>(where: string, given: Options): WatchedOptions<Options> {
  if (typeof given !== "object" || Symbol.iterator in given || "data" in given) throw typeError(where, "options", "an object such as { reduction }", describe(given));
  const seen = new Set<string>();
  const options = new Proxy(given, {
    get(target, name) {
      if (typeof name === "string") seen.add(name);
      return Reflect.get(target, name);
    },
  });
  return {
    options,
    refuseUnread(read = []) {
      for (const [name, value] of Object.entries(given)) {
        if (value === undefined || seen.has(name) || read.includes(name)) continue;
        const names = [...new Set([...seen, ...read])].sort(), near = nearest(name, names);
        throw typeError(where, "options", names.length === 0 ? "without names" : `with names among ${names.join(", ")}`, name, near === undefined ? "It would have no effect here" : `Did you mean ${near}?`);
      }
    },
  };
}

/** The name that differs in the fewest letters, at most a third of them. */
function nearest(name: string, names: readonly string[]): string | undefined {
  const far = names.map((other) => distance(name.toLowerCase(), other.toLowerCase())), least = Math.min(...far);
  return least <= name.length / 3 ? names[far.indexOf(least)] : undefined;
}

/** Letters to insert, leave out or change. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const above = row;
    row = [i];
    for (let j = 1; j <= b.length; j++) row.push(Math.min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1)));
  }
  return row[b.length];
}
