import { rangeError } from "@logits/tensor";

/** The index of each label by its name. */
export function labelIndex(where: string, labels: readonly string[]): ReadonlyMap<string, number> {
  const index = new Map<string, number>();
  for (const [y, name] of labels.entries()) {
    if (index.has(name)) throw rangeError(where, "labels", "with each name once", `"${name}" at index ${index.get(name)} and ${y}`);
    index.set(name, y);
  }
  if (index.size === 0) throw rangeError(where, "labels", "of at least one name", "none");
  return index;
}

/** The indices of some of the labels. */
export function indicesOf(where: string, argument: string, names: readonly string[], index: ReadonlyMap<string, number>): number[] {
  return names.map((name, k) => {
    const y = index.get(name);
    if (y === undefined) throw rangeError(where, `${argument}[${k}]`, `one of ${listed(index.keys())}`, `"${name}"`);
    return y;
  });
}

/** The first of many names. */
export function listed(names: Iterable<string>): string {
  const all = [...names];
  return all.length > 12 ? `${all.slice(0, 12).join(", ")} and ${all.length - 12} more` : all.join(", ");
}
