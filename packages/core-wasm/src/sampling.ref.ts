/** What a rule keeps: tokens in the order in which it takes them, and how many, between the counts that a relative error of 1e-6 in every sum allows. */
export interface KeptRef { readonly order: readonly number[]; readonly least: number; readonly most: number }

/** Distances below the largest score in temperatures, as float32 has them; impossible tokens are left out. */
export function distancesRef(x: ArrayLike<number>, temperature: number): Map<number, number> {
  const top = Math.max(...Array.from(x)), scale = Math.fround(1 / temperature);
  return new Map(Array.from(x, (v, c) => [c, Math.fround(Math.fround(top - v) * scale)] as const).filter(([c]) => x[c] !== -Infinity));
}

/** The rules in float64, on tokens with their distances; `rule` one of TokenRules. */
export function ruleRef(x: ArrayLike<number>, d: ReadonlyMap<number, number>, rule: string, value: number): KeptRef {
  const z = [...d.values()].reduce((sum, v) => sum + Math.exp(-v), 0), mean = [...d.values()].reduce((sum, v) => sum + (v * Math.exp(-v)) / z, 0);
  const key = (c: number): number => (rule === "typicalP" ? Math.abs(d.get(c)! - mean) : -x[c]);
  const order = [...d.keys()].sort((a, b) => key(a) - key(b) || a - b);
  const mass = (p: number): number => { let sum = 0; const i = order.findIndex((c) => (sum += Math.exp(-d.get(c)!) / z) >= p); return i < 0 ? order.length : i + 1; };
  const near = (bound: number): number => Math.max(1, order.filter((c) => d.get(c)! <= bound).length);
  if (rule === "topK") return { order, least: Math.min(value, order.length), most: Math.min(value, order.length) };
  if (rule === "topP" || rule === "typicalP") return { order, least: mass(value * (1 - 1e-6)), most: mass(value * (1 + 1e-6)) };
  const bound = rule === "minP" ? -Math.log(value) : rule === "surprise" ? value - Math.log(z) : Math.max(-Math.log(value), Math.log(z) + mean - 0.5 * Math.log(value)) - Math.log(z);
  return { order, least: near(bound - 1e-6 * (1 + Math.abs(bound))), most: near(bound + 1e-6 * (1 + Math.abs(bound))) };
}
