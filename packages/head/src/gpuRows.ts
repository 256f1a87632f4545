import type { TemperatureScaling } from "@logits/calibration";
import type { Detector } from "@logits/ood";
import { log, exp } from "@logits/statistics";
import { Tensor, UnsupportedKernelError, isOnGpu, rangeError, typeError } from "@logits/tensor";
import type { InvalidWhy } from "./decision.ts";
import type { RowFields } from "./rows.ts";

/** A tensor of a GPU that brings its operations, as @logits/webgpu makes them; its own type is not needed here. */
export interface GpuLogits {
  readonly shape: readonly number[];
  readonly location: "gpu-buffer";
  /** Where several tensors are read at once. */
  readonly gpu: { read(tensors: object, options?: object): Promise<object> };
  readonly operations: {
    logitStatistics(logits: GpuLogits, options: object): object;
    topK(x: GpuLogits, k: number): object;
  };
  reshape(shape: readonly number[]): GpuLogits;
  row(i: number): GpuLogits;
  dispose(): void;
}

/** Rows whose logits are on a GPU; features are in memory. */
export interface GpuRowFields extends Pick<RowFields, "features"> {
  readonly logits: GpuLogits;
}

/** What was read of rows that stay on a GPU: their largest logits, and one number for each statistic that the head asks for. */
export interface Sketch {
  /** int32 [N, k], the columns of the largest logits. */
  readonly columns: Int32Array;
  readonly k: number;
  /** Rows that are no distribution. */
  readonly invalid: ReadonlyMap<number, InvalidWhy>;
  /** Calibrated logits, float32 [N, C]: the k largest as they are; the others share what is left of the sum, evenly, and none is above the k-th. */
  calibrated(calibrator: TemperatureScaling): Tensor<"float32">;
  /** The detector's scores; undefined where it looks at features alone. */
  scores(detector: Detector): Float32Array | undefined;
}

/** Words of 4 bytes that are read of a row at first: under 64 bytes. */
const WORDS = 15;
/** Beyond it whole rows are read. */
const MOST = 4096;

/** The logits of the argument, if they are on a GPU. */
export function gpuLogitsOf(where: string, rows: unknown): GpuLogits | undefined {
  const logits = isOnGpu(rows) ? rows : (rows as { readonly logits?: unknown } | null | undefined)?.logits;
  if (!isOnGpu(logits)) return undefined;
  if (typeof (logits as Partial<GpuLogits>).operations?.topK !== "function") throw typeError(where, "logits", "a tensor that brings its operations", "a GPU tensor of another library", "Adopt it: gpu.tensor(logits) with gpu = await webgpu({ device }) of @logits/webgpu");
  return logits as GpuLogits;
}

/** A synchronous form refuses what is on a GPU. */
export function refuseGpu(where: string, rows: unknown, asynchronous: string): void {
  if (isOnGpu(rows) || isOnGpu((rows as { readonly logits?: unknown } | null | undefined)?.logits)) throw typeError(where, "logits", "in memory", "a tensor on the GPU", `Use await head.${asynchronous}(logits), or read it: await logits.read()`);
}

/** How many of the largest logits are read at first beside `statistics` numbers; all of a row where that is as short. */
export function firstWidth(classes: number, statistics: number): number {
  return classes <= WORDS ? classes : Math.max(2, Math.floor((WORDS - statistics) / 2));
}

/** A wider one where sets did not end within `k`. */
export function nextWidth(classes: number, k: number): number {
  const next = 4 * k;
  return 2 * next >= classes || next > MOST ? classes : next;
}

/** The statistics that a head asks for, each once: [name, temperature]. */
export function statisticsOf(where: string, calibrators: readonly TemperatureScaling[], detectors: readonly Detector[]): readonly (readonly [name: string, temperature: number])[] {
  const wanted = new Map<string, readonly [string, number]>();
  const ask = (name: string, temperature: number): void => void wanted.set(`${name} ${temperature}`, [name, temperature]);
  for (const { temperature } of calibrators) ask("maxProbability", temperature);
  for (const { needs, statistic, method } of detectors) {
    if (!needs.includes("logits")) continue;
    if (statistic === undefined) throw new UnsupportedKernelError(`${where}: expected a detector that is one statistic of the logits, got "${method}". Read the rows: head.decideAll(await logits.read())`);
    ask(statistic.name, statistic.temperature);
  }
  return [...wanted.values()];
}

/** Reads whole rows. */
export async function wholeRows(logits: GpuLogits): Promise<Tensor<"float32">> {
  const { x } = (await logits.gpu.read({ x: logits })) as { x: Tensor<"float32"> };
  return x;
}

/** Reads the k largest logits of each row, k < C, and its statistics, with one wait. */
export async function sketched(logits: GpuLogits, k: number, statistics: ReturnType<typeof statisticsOf>): Promise<Sketch> {
  const [count, classes] = logits.shape, { operations, gpu } = logits;
  const made: Record<string, GpuLogits> = {};
  let read: Readonly<Record<string, Tensor>>;
  try {
    Object.assign(made, operations.topK(logits, k));
    for (const [name, temperature] of statistics) made[`${name} ${temperature}`] = (operations.logitStatistics(logits, { temperature, select: [name] }) as Record<string, GpuLogits>)[name];
    read = (await gpu.read(made, { refused: "keep" })) as Readonly<Record<string, Tensor>>;
  } finally {
    for (const tensor of Object.values(made)) tensor.dispose();
  }
  const values = read.values.data, columns = read.indices.data as Int32Array, invalid = new Map<number, InvalidWhy>();
  for (let row = 0; row < count; row++) {
    const column = columns[row * k], top = values[row * k];
    const text = column < 0 ? `NaN in column ${-1 - column}` : top === Infinity ? `Infinity in column ${column}` : top === -Infinity ? "no finite score" : undefined;
    if (text !== undefined) invalid.set(row, { code: "NO_DISTRIBUTION", text });
  }
  const numbers = (name: string, temperature: number): ArrayLike<number> => read[`${name} ${temperature}`].data;
  return {
    columns, k, invalid,
    calibrated: ({ temperature }) => {
      const z = new Float32Array(count * classes), most = numbers("maxProbability", temperature);
      for (let row = 0; row < count; row++) {
        if (invalid.has(row)) continue;
        const at = row * k, first = values[at] / temperature;
        let left = 1 / most[row];
        for (let j = 0; j < k; j++) left -= exp(values[at + j] / temperature - first);
        const even = left > 0 ? Math.min(first + log(left / (classes - k)), values[at + k - 1] / temperature) : -Infinity;
        z.fill(even, row * classes, (row + 1) * classes);
        for (let j = 0; j < k; j++) z[row * classes + columns[at + j]] = values[at + j] / temperature;
      }
      return new Tensor("float32", [count, classes], z);
    },
    scores: ({ needs, statistic }) => {
      if (!needs.includes("logits")) return undefined;
      const { name, sign, temperature } = statistic!;
      // 0 - x, not -x: no negative zero. An invalid row has no score, and none is asked for.
      return Float32Array.from(numbers(name, temperature), (value, row) => (invalid.has(row) ? 0 : sign < 0 ? 0 - value : value));
    },
  };
}

/** Checks the shape of logits on a GPU; a single row as a batch of one, which is to be disposed of. */
export function gpuBatch(where: string, logits: GpuLogits, classes: number, single: boolean): GpuLogits {
  const { shape } = logits;
  const wanted = single ? "[C]" : "[N, C]";
  if (shape.length !== (single ? 1 : 2)) throw rangeError(where, "logits", `of shape ${wanted}`, `[${shape.join(", ")}]`, single ? "For a batch use decideAllAsync" : undefined);
  if (shape[shape.length - 1] !== classes) throw rangeError(where, "logits", `of ${classes} classes on the last axis`, `shape [${shape.join(", ")}]`);
  return logits.reshape(single ? [1, classes] : shape);
}

/** Whether the set of a row may hold classes beyond those that were read: it holds the last of them. Sets take the most probable classes, so that the others are out where it is. */
export function spills({ columns, k }: Sketch, mask: Uint8Array, row: number, classes: number): boolean {
  return mask[row * classes + columns[row * k + k - 1]] === 1;
}
