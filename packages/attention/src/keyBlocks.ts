import { Tensor, asInt32, checkInteger, rangeError, type TensorLike } from "@logits/tensor";

/**
 * Which keys the queries of each block see: for `blocks` of `attention`. A query at position p (of query i: i + queryOffset) is in block floor(p / size); block n sees the keys [from[r], to[r]) for r in
 * [offsets[n], offsets[n + 1]), in ascending order and apart; keys beyond S are none. What else is given (`causal`, `windowSize`, `mask`, ...) narrows it.
 */
export interface KeyBlocks {
  /** Queries of a block. */
  readonly size: number;
  /** int32 [N + 1] for N blocks. */
  readonly offsets: TensorLike;
  /** int32 [R] each. */
  readonly from: TensorLike;
  readonly to: TensorLike;
}

const MOST = 2147483647;

/** Lists from runs of each block of queries, in order; those that touch become one. */
function made(size: number, runs: readonly (readonly (readonly [from: number, to: number])[])[]): KeyBlocks {
  const offsets = new Int32Array(runs.length + 1), from: number[] = [], to: number[] = [];
  for (let n = 0; n < runs.length; n++) {
    for (const [low, high] of runs[n]) {
      if (from.length > offsets[n] && to[to.length - 1] === low) to[to.length - 1] = high;
      else {
        from.push(low);
        to.push(high);
      }
    }
    offsets[n + 1] = from.length;
  }
  return { size, offsets: new Tensor("int32", [offsets.length], offsets), from: new Tensor("int32", [from.length], Int32Array.from(from)), to: new Tensor("int32", [to.length], Int32Array.from(to)) };
}

/**
 * Explicit lists: block n of the queries sees the blocks keys[offsets[n]], ..., keys[offsets[n + 1] - 1] of the keys, which have the same size.
 *
 * @param size - queries, and keys, of a block
 * @param offsets - int32 [N + 1], ascending from 0, for N blocks of queries
 * @param keys - int32 [R], indices of blocks of keys, ascending for each block of queries
 * @returns for `blocks` of `attention`
 * @throws RangeError for another order or length
 * @example
 *   blockList(64, [0, 1, 3], [0, 0, 1]); // causal, two blocks
 * Source: compressed sparse rows; Child, Gray, Radford, Sutskever, "Generating Long Sequences with Sparse Transformers", 2019, section 5.5.
 */
export function blockList(size: number, offsets: TensorLike, keys: TensorLike): KeyBlocks {
  const where = "blockList", starts = asInt32(where, "offsets", offsets).data, list = asInt32(where, "keys", keys).data, count = starts.length - 1;
  checkInteger(where, "size", size, 1, MOST);
  if (count < 0 || starts[0] !== 0 || starts[count] !== list.length || starts.some((at, n) => n > 0 && at < starts[n - 1])) throw rangeError(where, "offsets", `ascending from 0 to ${list.length}, the length of keys`, `[${starts.join(", ")}]`);
  return made(size, Array.from({ length: count }, (_, n) => {
    for (let r = starts[n]; r < starts[n + 1]; r++) {
      if (list[r] < 0 || (r > starts[n] && list[r] <= list[r - 1])) throw rangeError(where, "keys", "indices that ascend for each block of queries", `${list[r]} at index ${r}`);
    }
    return Array.from(list.subarray(starts[n], starts[n + 1]), (block) => [block * size, (block + 1) * size] as const);
  }));
}

/** Options of fixedBlocks. */
export interface FixedBlocksOptions {
  /** "local": the first pattern alone; "far": the second; for heads of their own. Default "both". */
  readonly part?: "both" | "local" | "far";
}

/** Options of stridedBlocks. */
export interface StridedBlocksOptions extends FixedBlocksOptions {
  /** Tokens of a block; divides `stride`. 1: the paper's pattern token by token. Default the largest divisor of the stride up to an eighth of it and 64. */
  readonly size?: number;
}

function checkPattern(where: string, length: number, stride: number, part: "both" | "local" | "far"): void {
  checkInteger(where, "length", length, 0, MOST);
  checkInteger(where, "stride", stride, 1, MOST);
  if (part !== "both" && part !== "local" && part !== "far") throw rangeError(where, "part", '"both", "local" or "far"', `${part as string}`);
}

/**
 * The strided pattern of sparse transformers, over blocks: what lies at most one stride back, and every block a multiple of the stride back. For `causal` attention.
 *
 *   local: n - k <= stride / size;   far: (n - k) mod (stride / size) = 0;   for blocks n of queries and k <= n of keys
 *
 * With size 1 it is the paper's pattern token by token; a larger size sees the blocks in which its tokens lie, everything where it is the stride itself. Every earlier token is reached in two steps.
 *
 * @param length - of the sequence
 * @param stride - l, about the root of the length
 * @param options - `size`, `part`
 * @returns for `blocks` of `attention`, with `causal: true`
 * @throws RangeError for a size that does not divide the stride
 * @example
 *   attention(q, k, v, { causal: true, blocks: stridedBlocks(4096, 128) });
 * Source: Child, Gray, Radford, Sutskever, "Generating Long Sequences with Sparse Transformers", 2019, section 4.3.
 */
export function stridedBlocks(length: number, stride: number, options: StridedBlocksOptions = {}): KeyBlocks {
  const where = "stridedBlocks", { part = "both" } = options;
  checkPattern(where, length, stride, part);
  let size = options.size ?? Math.max(1, Math.min(64, Math.floor(stride / 8)));
  if (options.size === undefined) while (stride % size !== 0) size--;
  checkInteger(where, "size", size, 1, MOST);
  if (stride % size !== 0) throw rangeError(where, "size", `a divisor of the stride ${stride}`, `${size}`);
  const steps = stride / size;
  return made(size, Array.from({ length: Math.ceil(length / size) }, (_, n) => {
    const runs: [number, number][] = [], near = Math.max(0, n - steps), end = part === "far" ? n + 1 : near;
    if (part !== "local") for (let k = n % steps; k < end; k += steps) runs.push([k * size, (k + 1) * size]);
    if (part !== "far") runs.push([near * size, (n + 1) * size]);
    return runs;
  }));
}

/**
 * The fixed pattern of sparse transformers: the own segment of `stride` tokens, and of every segment the last `summary` tokens. For `causal` attention.
 *
 *   local: floor(j / stride) = floor(i / stride);   far: j mod stride >= stride - summary
 *
 * @param length - of the sequence
 * @param stride - l
 * @param summary - c, 1 to the stride; 8 to 32 in the paper, for strides of 128 and 256
 * @param options - `part`
 * @returns for `blocks` of `attention`, with `causal: true`
 * @throws RangeError for a summary outside [1, stride]
 * @example
 *   attention(q, k, v, { causal: true, blocks: fixedBlocks(4096, 128, 32) });
 * Source: Child, Gray, Radford, Sutskever, "Generating Long Sequences with Sparse Transformers", 2019, section 4.3.
 */
export function fixedBlocks(length: number, stride: number, summary: number, options: FixedBlocksOptions = {}): KeyBlocks {
  const where = "fixedBlocks", { part = "both" } = options;
  checkPattern(where, length, stride, part);
  checkInteger(where, "summary", summary, 1, stride);
  return made(stride, Array.from({ length: Math.ceil(length / stride) }, (_, n) => {
    const first = part === "local" ? n : 0;
    return Array.from({ length: n + 1 - first }, (_run, r) => [(first + r + 1) * stride - (first + r === n && part !== "far" ? stride : summary), (first + r + 1) * stride] as const);
  }));
}

/** What haloBlocks gives. */
export interface HaloBlocks {
  /** int32 [height width]: which token of the grid, row by row, each query is: queries come block by block. */
  readonly order: Tensor<"int32">;
  /** For `blocks` of `attention`, over keys row by row. */
  readonly blocks: KeyBlocks;
}

/**
 * Blocks with a halo on a grid: the queries of each block of `block` by `block` tokens see the block and `halo` tokens around it, as far as the grid goes.
 *
 * Queries have to stand block by block, keys stay as they are: gather the queries by `order`, and put row n of the output where order[n] says. On a line: `ranges`.
 *
 * @param height - rows of the grid, a multiple of `block`
 * @param width - columns, a multiple of `block`
 * @param block - side of a block
 * @param halo - tokens on each side, 0 or more
 * @returns `order` and `blocks`
 * @throws RangeError for a grid that is no multiple of the block
 * @example
 *   haloBlocks(4, 4, 2, 1).blocks; // the first block sees three runs of three keys
 * Source: Vaswani et al., "Scaling Local Self-Attention for Parameter Efficient Visual Backbones" (HaloNet), CVPR 2021, section 2.2.
 */
export function haloBlocks(height: number, width: number, block: number, halo: number): HaloBlocks {
  const where = "haloBlocks";
  checkInteger(where, "block", block, 1, MOST);
  checkInteger(where, "halo", halo, 0, MOST);
  for (const [argument, size] of [["height", height], ["width", width]] as const) {
    checkInteger(where, argument, size, 0, MOST);
    if (size % block !== 0) throw rangeError(where, argument, `a multiple of the block ${block}`, `${size}`);
  }
  const order: number[] = [], runs: (readonly [number, number])[][] = [];
  for (let y = 0; y < height; y += block) {
    for (let x = 0; x < width; x += block) {
      for (let i = y; i < y + block; i++) for (let j = x; j < x + block; j++) order.push(i * width + j);
      const from = Math.max(0, x - halo), to = Math.min(width, x + block + halo), first = Math.max(0, y - halo), last = Math.min(height, y + block + halo);
      runs.push(Array.from({ length: last - first }, (_, r) => [(first + r) * width + from, (first + r) * width + to] as const));
    }
  }
  return { order: new Tensor("int32", [order.length], Int32Array.from(order)), blocks: made(block * block, runs) };
}
