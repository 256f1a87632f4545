/** What is wrong with the class names; undefined if nothing. */
export function namesProblem(names: readonly string[], width: number): string | undefined {
  if (!Array.isArray(names) || names.some((name) => typeof name !== "string")) return "no list of strings";
  if (names.length !== width) return `${names.length}`;
  const first = new Map<string, number>(names.map((name, i) => [name, i]));
  const twice = first.size === names.length ? undefined : names.find((name, i) => first.get(name) !== i);
  return twice === undefined ? undefined : `${JSON.stringify(twice)} twice`;
}
