import { typeError } from "./errors.ts";
import { describe } from "./tensor.ts";

/** Options that note which of them are read, and the check that follows the reading. */
export interface WatchedOptions<Options extends object> {
  /** To be read in place of what was given. */
  readonly options: Options;
  /** Refuses what was given and not read. */
  refuseUnread(): void;
}

/**
 * Watches the reading of options: one that nobody reads would have no effect, be it misspelt or of another function, and is refused. No list of names is kept beside the code that reads them.
 *
 * What stands for a name in braces (`{ gamma = 2 }`) is a reading; `...rest` and `{ ...options }` read all names, whatever they are. An option that is undefined counts as not given.
 *
 * @param where - for messages
 * @param given - the options of a call
 * @param read - names that are read from what was given itself. Default: none
 * @returns `options`, and `refuseUnread()` for when all were read: TypeError with the names that were, and one that differs in few letters
 * @throws TypeError for null, a number, an array or a tensor in the place of options: it would be read as none
 * @example
 *   const { options, refuseUnread } = watchedOptions("focalLoss", { gamma: 3 });
 *   const { gamma = 2 } = options;
 *   refuseUnread(); // fine; of { gama: 3 } it says: Did you mean gamma?
 * Source: this library.
 */
export function watchedOptions<Options extends object>(where: string, given: Options, read: readonly string[] = []): WatchedOptions<Options> {
  if (typeof given !== "object" || given === null || Symbol.iterator in given || "data" in given) throw typeError(where, "options", "an object such as { reduction }", describe(given));
  const seen = new Set<PropertyKey>(read);
  return {
    options: new Proxy(given, { get: (target, name) => (seen.add(name), target[name as keyof Options]) }),
    refuseUnread() {
      for (const [name, value] of Object.entries(given)) {
        if (value === undefined || seen.has(name)) continue;
        const names = Array.from(seen, String).sort(), near = names.find((other) => within(Math.min(3, 0.4 * name.length), name.toLowerCase(), other.toLowerCase()));
        throw typeError(where, "options", `with names among [${names.join(", ")}]`, name, near && `Did you mean ${near}?`);
      }
    },
  };
}

/** Whether so many letters, inserted, left out or changed, make `b` of `a`. Work grows by a factor of three with each: for few. */
function within(letters: number, a: string, b: string): boolean {
  if (letters < 0 || a === b) return letters >= 0;
  const c = a.slice(1), d = b.slice(1);
  return a[0] === b[0] ? within(letters, c, d) : within(--letters, c, d) || within(letters, c, b) || within(letters, a, d);
}
