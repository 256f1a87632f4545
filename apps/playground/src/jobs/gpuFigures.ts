/** What the GPU and WebAssembly made of the same numbers, and in which time. */
export interface GpuFigure {
  readonly name: string;
  readonly size: string;
  /** By which sizes are in order: elements of the scores, or what takes about as long. */
  readonly work: number;
  readonly differences: Differences;
  /** Median milliseconds of one call; absent where the results differ by more than is allowed. */
  readonly times?: GpuTimes;
}

export interface GpuTimes {
  /** On the GPU, many dispatched before one wait. */
  readonly gpu: number;
  /** The same, waiting each time for a small result. */
  readonly read: number;
  readonly wasm: number;
  /** Of copying as many bytes from buffer to buffer on the GPU. */
  readonly copy?: number;
  /** Samples behind each median. */
  readonly rounds: number;
}

/** How far two results are apart. */
export interface Differences {
  /** Largest difference of floats, and what is allowed. */
  readonly largest: number;
  readonly allowed: number;
  /** Whether it is a share of the value. */
  readonly relative: boolean;
  /** Integers that are not the same, and how many there are. */
  readonly differing: number;
  readonly integers: number;
}

interface Numbers {
  readonly dtype: string;
  readonly data: ArrayLike<number>;
}

/** Compares the results of both under the names of `want`. NaN on one side, and another length, are infinitely far. */
export function compare(got: Readonly<Record<string, Numbers>>, want: Readonly<Record<string, Numbers>>, { allowed, relative }: Pick<Differences, "allowed" | "relative">): Differences {
  let largest = 0, differing = 0, integers = 0;
  for (const [name, { dtype, data }] of Object.entries(want)) {
    const other = got[name].data;
    if (dtype === "int32") integers += data.length;
    if (other.length !== data.length) largest = Infinity;
    for (let i = 0; i < data.length; i++) {
      if (other[i] === data[i]) continue;
      if (dtype === "int32") {
        differing++;
        continue;
      }
      const apart = Math.abs(other[i] - data[i]) / (relative ? Math.abs(data[i]) : 1);
      largest = apart >= 0 ? Math.max(largest, apart) : Infinity;
    }
  }
  return { largest, allowed, relative, differing, integers };
}

export function agrees({ largest, allowed, differing }: Differences): boolean {
  return largest <= allowed && differing === 0;
}

/** The smallest size from which on the GPU takes less time than WebAssembly, of the figures of one operation; undefined where it does not at the largest. */
export function worthFrom(figures: readonly GpuFigure[], way: "gpu" | "read"): GpuFigure | undefined {
  const sorted = [...figures].sort((a, b) => a.work - b.work), last = sorted.findLastIndex(({ times }) => times === undefined || times[way] >= times.wasm);
  return sorted[last + 1];
}
