import type { SegmentItem } from "./segmentItem.ts";

/** Best scores in float64: of segments that end at a boundary, [T + 1, C], and of those that begin there, less the contents before, [T, C]. */
export interface BestScores {
  readonly ends: Float64Array;
  readonly begins: Float64Array;
}

/** The recursion of best scores. Not with sums: maxima need neither exponentials nor scaling, and differences of float64 sums keep 10 digits over 100,000 positions. */
export function bestScores(item: SegmentItem): BestScores {
  const { length: T, sums, model: { labels: C, longest: D, transitions, durations, tail }, sequence: { content, segments } } = item;
  const ends = new Float64Array((T + 1) * C).fill(-Infinity), begins = new Float64Array(T * C), bars = new Int32Array(C), open = new Float64Array(C).fill(-Infinity), best = new Float64Array(C);
  for (let t = 0; t < T; t++) {
    for (let c = 0; c < C; c++) {
      let top = t === 0 ? 0 : -Infinity;
      if (t > 0) for (let b = 0; b < C; b++) top = Math.max(top, ends[t * C + b] + (item.sequence.ends?.[(t - 1) * C + b] ?? 0) + transitions[b * C + c]);
      begins[t * C + c] = top + item.startAt(t, c) - sums[t * C + c];
      if (content[t * C + c] === -Infinity) {
        bars[c] = t + 1;
        open[c] = -Infinity;
      }
    }
    const end = t + 1, reach = Math.min(D, end);
    best.fill(-Infinity);
    for (let d = 1; d <= reach; d++) {
      const s = end - d, at = s * C, row = (d - 1) * C, own = (t * D + d - 1) * C;
      for (let c = 0; c < C; c++) {
        let v = begins[at + c] + durations[row + c];
        if (segments !== undefined) v += segments[own + c];
        if (v > best[c] && s >= bars[c]) best[c] = v;
      }
    }
    if (tail) {
      for (let c = 0; c < C; c++) {
        const s = end - D;
        open[c] = Math.max(content[t * C + c] === -Infinity ? -Infinity : open[c] + tail[c], s >= bars[c] ? begins[s * C + c] + durations[(D - 1) * C + c] : -Infinity);
        best[c] = Math.max(best[c], open[c]);
      }
    }
    for (let c = 0; c < C; c++) ends[end * C + c] = best[c] + sums[end * C + c];
  }
  return { ends, begins };
}

/** The best segmentation, none where nothing has a finite score; among equals, from the end of the sequence, the smallest label, then the shortest segment. */
export function bestSegmentation(item: SegmentItem, { ends, begins }: BestScores): { labels: Int32Array; score: number }[] {
  const { length: T, model: { labels: C, transitions } } = item, labels = new Int32Array(T).fill(-1);
  let t = T, next = -1, from = -1;
  while (t > 0) {
    let top = -Infinity, c = -1;
    for (let b = 0; b < C; b++) {
      const v = ends[t * C + b] + item.endAt(t, b) + (next < 0 ? 0 : transitions[b * C + next]);
      if (v > top) {
        top = v;
        c = b;
      }
    }
    if (c < 0) return [];
    top = -Infinity;
    for (let s = t - 1, least = item.barrier(t, c); s >= least; s--) {
      const v = begins[s * C + c] + item.lengthScore(t, t - s, c);
      if (v > top) {
        top = v;
        from = s;
      }
    }
    labels[from] = c;
    t = from;
    next = c;
  }
  return [{ labels, score: item.score(labels) }];
}

/** One way to a node: through a node before it. */
interface Arc {
  readonly from: number;
  readonly cost: number;
}

interface Way {
  readonly score: number;
  readonly arc: Arc;
  readonly rank: number;
}

interface Node {
  readonly ways: Way[];
  /** Next best ways through each arc, best first. */
  readonly candidates: Way[];
  ended: boolean;
}

/**
 * The k best segmentations, best first, by ways that are found when they are asked for; the best of all with k = 1.
 * Nodes: segments that end at (t, c), 0 ...; segments that begin at (s, c), (T + 1) C ...; the whole, 2 (T + 1) C. Among equals the smallest label comes first, then the shortest segment, from the end of the sequence.
 */
export function bestSegmentations(item: SegmentItem, { ends, begins }: BestScores, k: number): { labels: Int32Array; score: number }[] {
  const { length: T, sums, model: { labels: C, transitions } } = item, base = (T + 1) * C, whole = 2 * base, nodes = new Map<number, Node>();
  const firstOf = (node: number): number => (node === whole ? NaN : node < base ? ends[node] : begins[node - base] + sums[node - base]);
  const arcsOf = (node: number): Arc[] => {
    const out: Arc[] = [];
    if (node === whole) {
      for (let c = 0; c < C; c++) out.push({ from: T * C + c, cost: item.endAt(T, c) });
    } else if (node < base) {
      const t = Math.floor(node / C), c = node % C, least = item.barrier(t, c);
      for (let s = t - 1; s >= least; s--) out.push({ from: base + s * C + c, cost: sums[t * C + c] - sums[s * C + c] + item.lengthScore(t, t - s, c) });
    } else {
      const s = Math.floor((node - base) / C), c = node % C;
      if (s > 0) for (let b = 0; b < C; b++) out.push({ from: s * C + b, cost: item.endAt(s, b) + transitions[b * C + c] + item.startAt(s, c) });
    }
    return out;
  };
  const insert = (list: Way[], way: Way): void => {
    if (way.score === -Infinity) return;
    let low = 0, high = list.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (list[middle].score >= way.score) low = middle + 1;
      else high = middle;
    }
    list.splice(low, 0, way);
  };
  const START: Arc = { from: -1, cost: 0 };
  const nodeOf = (id: number): Node => {
    let node = nodes.get(id);
    if (node === undefined) {
      nodes.set(id, (node = { ways: [], candidates: [], ended: false }));
      if (id >= base && id < base + C) insert(node.candidates, { score: firstOf(id), arc: START, rank: 0 });
      else {
        for (const arc of arcsOf(id)) {
          const score = firstOf(arc.from) + arc.cost;
          if (score > -Infinity) node.candidates.push({ score, arc, rank: 0 });
        }
        // Stable: equal ways keep the order of the arcs.
        node.candidates.sort((a, b) => b.score - a.score);
      }
    }
    return node;
  };
  // A way of rank m asks for ways of the nodes before: a list instead of calls, which have no room for long sequences.
  const way = (id: number, m: number): Way | undefined => {
    const asked: [number, number][] = [[id, m]];
    while (asked.length > 0) {
      const [at, rank] = asked[asked.length - 1], node = nodeOf(at);
      if (node.ways.length > rank || node.ended) {
        asked.pop();
        continue;
      }
      const last = node.ways.at(-1);
      if (last && last.arc.from >= 0) {
        const before = nodeOf(last.arc.from);
        if (before.ways.length <= last.rank + 1 && !before.ended) {
          asked.push([last.arc.from, last.rank + 1]);
          continue;
        }
        const next = before.ways[last.rank + 1];
        if (next) insert(node.candidates, { score: next.score + last.arc.cost, arc: last.arc, rank: last.rank + 1 });
      }
      const chosen = node.candidates.shift();
      if (chosen) node.ways.push(chosen);
      else node.ended = true;
    }
    return nodes.get(id)!.ways[m];
  };
  const out: { labels: Int32Array; score: number }[] = [];
  for (let m = 0; m < k; m++) {
    const top = way(whole, m);
    if (top === undefined) break;
    const labels = new Int32Array(T).fill(-1);
    for (let step = top; step.arc.from >= 0; ) {
      if (step.arc.from >= base) labels[Math.floor((step.arc.from - base) / C)] = step.arc.from % C;
      step = way(step.arc.from, step.rank)!;
    }
    out.push({ labels, score: item.score(labels) });
  }
  return out;
}
