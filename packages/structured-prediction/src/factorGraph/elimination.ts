import { exp, log } from "@logits/statistics";

/** Scores of the joint values of some variables, the last one fastest. */
export interface Table {
  readonly variables: readonly number[];
  readonly scores: Float64Array;
}

/** A variable to be summed out: its table is over `before`, the variables that are summed out later, and itself, which is fastest. */
export interface Bucket {
  readonly variable: number;
  readonly before: readonly number[];
  /** Elements of the table. */
  readonly size: number;
  /** The bucket that takes the message; -1: none. */
  parent: number;
}

/** An order of elimination: at each step the variable whose neighbours need the fewest new edges, the smallest among equals. */
export function eliminationOrder(cardinalities: Int32Array, scopes: readonly (readonly number[])[]): Bucket[] {
  const n = cardinalities.length, neighbours = Array.from({ length: n }, () => new Set<number>());
  for (const scope of scopes) for (const u of scope) for (const v of scope) if (u !== v) neighbours[u].add(v);
  const fill = (v: number): number => {
    const list = [...neighbours[v]];
    let missing = 0;
    for (let a = 0; a < list.length; a++) for (let b = a + 1; b < list.length; b++) if (!neighbours[list[a]].has(list[b])) missing++;
    return missing;
  };
  const cost = Float64Array.from({ length: n }, (_, v) => fill(v)), position = new Int32Array(n);
  const buckets: Bucket[] = [];
  for (let step = 0; step < n; step++) {
    let variable = -1;
    for (let v = 0; v < n; v++) if (cost[v] < Infinity && (variable < 0 || cost[v] < cost[variable])) variable = v;
    const before = [...neighbours[variable]].sort((a, b) => a - b), touched = new Set(before);
    for (const u of before) {
      neighbours[u].delete(variable);
      for (const w of before) if (w !== u) neighbours[u].add(w);
    }
    for (const u of before) for (const w of neighbours[u]) touched.add(w);
    cost[variable] = Infinity;
    for (const u of touched) cost[u] = fill(u);
    position[variable] = step;
    buckets.push({ variable, before, size: before.reduce((size, u) => size * cardinalities[u], cardinalities[variable]), parent: -1 });
  }
  for (const bucket of buckets) bucket.parent = bucket.before.reduce((first, u) => (first < 0 || position[u] < first ? position[u] : first), -1);
  return buckets;
}

/** For each element of a table over `variables`, the element of a table over `some` of them. */
export function projection(cardinalities: Int32Array, variables: readonly number[], some: readonly number[]): Int32Array {
  const strides = variables.map((v) => { const at = some.indexOf(v); return at < 0 ? 0 : some.slice(at + 1).reduce((size, u) => size * cardinalities[u], 1); });
  const size = variables.reduce((product, v) => product * cardinalities[v], 1), out = new Int32Array(size), value = new Int32Array(variables.length);
  for (let k = 1, at = 0; k < size; k++) {
    for (let a = variables.length - 1; ; a--) {
      at += strides[a];
      if (++value[a] < cardinalities[variables[a]]) break;
      at -= strides[a] * value[a];
      value[a] = 0;
    }
    out[k] = at;
  }
  return out;
}

/** What elimination leaves: the table of each bucket with all that came into it, and the message that it sent. */
export interface Eliminated {
  /** log Z, or the best score. */
  readonly value: number;
  readonly tables: readonly Float64Array[];
  readonly messages: readonly Float64Array[];
}

/** Sums (or maximises) variable by variable. Every table goes to the bucket of its variable that is eliminated soonest. */
export function eliminate(cardinalities: Int32Array, buckets: readonly Bucket[], tables: readonly Table[], best: boolean): Eliminated {
  const position = new Int32Array(cardinalities.length);
  buckets.forEach(({ variable }, k) => (position[variable] = k));
  const full = buckets.map(({ size }) => new Float64Array(size)), messages: Float64Array[] = [];
  const add = (k: number, { variables, scores }: Table): void => {
    const to = full[k], from = projection(cardinalities, [...buckets[k].before, buckets[k].variable], variables);
    for (let e = 0; e < to.length; e++) to[e] += scores[from[e]];
  };
  let value = 0;
  for (const table of tables) {
    if (table.variables.length === 0) value += table.scores[0];
    else add(Math.min(...table.variables.map((v) => position[v])), table);
  }
  buckets.forEach(({ variable, before, parent }, k) => {
    const width = cardinalities[variable], table = full[k], message = new Float64Array(table.length / width);
    for (let s = 0; s < message.length; s++) {
      let top = -Infinity, sum = 0;
      for (let e = s * width; e < (s + 1) * width; e++) if (table[e] > top) top = table[e];
      if (!best && top > -Infinity) {
        for (let e = s * width; e < (s + 1) * width; e++) sum += exp(table[e] - top);
        top += log(sum);
      }
      message[s] = top;
    }
    messages.push(message);
    if (parent < 0) value += message[0];
    else add(parent, { variables: before, scores: message });
  });
  return { value, tables: full, messages };
}

/** The joint probabilities of the variables of each bucket, from the last to the first. */
export function joints(cardinalities: Int32Array, buckets: readonly Bucket[], { tables, messages }: Eliminated): Float64Array[] {
  const out = new Array<Float64Array>(buckets.length);
  for (let k = buckets.length - 1; k >= 0; k--) {
    const { variable, before, parent } = buckets[k], width = cardinalities[variable], own = new Float64Array(tables[k].length), outer = new Float64Array(messages[k].length);
    if (parent < 0) outer[0] = 1;
    else {
      const to = projection(cardinalities, [...buckets[parent].before, buckets[parent].variable], before);
      for (let e = 0; e < to.length; e++) outer[to[e]] += out[parent][e];
    }
    for (let s = 0; s < outer.length; s++) if (outer[s] > 0) for (let e = s * width; e < (s + 1) * width; e++) own[e] = outer[s] * exp(tables[k][e] - messages[k][s]);
    out[k] = own;
  }
  return out;
}

/** Values from the last bucket to the first: `choose` picks one of the scores of a variable given the values after it; `total` is their log sum or their best. */
export function assign(cardinalities: Int32Array, buckets: readonly Bucket[], { tables, messages }: Eliminated, choose: (scores: Float64Array, total: number) => number): Int32Array {
  const values = new Int32Array(cardinalities.length);
  for (let k = buckets.length - 1; k >= 0; k--) {
    const { variable, before } = buckets[k], width = cardinalities[variable];
    const row = before.reduce((at, u) => at * cardinalities[u] + values[u], 0);
    values[variable] = choose(tables[k].subarray(row * width, (row + 1) * width), messages[k][row]);
  }
  return values;
}
