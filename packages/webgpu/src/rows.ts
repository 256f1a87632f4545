import { checkAxis, rangeError, sizeOf } from "@logits/tensor";
import type { Family, Gpu, Part } from "./gpu.ts";
import type { GpuTensor } from "./gpuTensor.ts";
import type { Slot } from "./pool.ts";

/** Options of operations over one axis. */
export interface AxisOptions {
  /** Which axis; negative counts from the end. Default -1, the last. */
  readonly axis?: number;
}

/** Options of operations on scores over one axis. */
export interface ScoreOptions extends AxisOptions {
  /** Divides the scores; in [2^-126, 2^126]. Default 1. */
  readonly temperature?: number;
}

/** The rows along one axis: `outer` blocks of `inner` rows of `cols` elements that are `inner` apart. */
export interface Rows {
  readonly outer: number;
  readonly cols: number;
  readonly inner: number;
  /** The shape without the axis. */
  readonly rest: readonly number[];
}

/** The rows of `x` along `axis`, such that a binding holds them. */
export function rowsOf(where: string, x: GpuTensor, axis: number): Rows {
  const { shape } = x;
  const index = checkAxis(where, axis, shape.length);
  const cols = shape[index];
  if (cols === 0) throw rangeError(where, "x", "with elements along the axis", `shape [${shape.join(", ")}]`);
  const inner = sizeOf(shape.slice(index + 1)), { reach } = x.gpu;
  checkFits(where, "x", inner * cols, reach, inner > 1 ? "elements in the axis and those after it" : "elements in a row");
  return { outer: sizeOf(shape.slice(0, index)), cols, inner, rest: shape.filter((_, i) => i !== index) };
}

/** Checks that what must be seen at once is seen by one binding. */
export function checkFits(where: string, argument: string, count: number, most: number, unit: string): void {
  if (count > most) throw rangeError(where, argument, `with at most ${Math.floor(most)} ${unit} (bindingBytes of this backend)`, `${count}`);
}

/** What a tensor is refused with whose shape is another one. */
export function shapeError(where: string, argument: string, expected: string, { shape }: { readonly shape: readonly number[] }, todo?: string): RangeError {
  return rangeError(where, argument, `of shape ${expected}`, `[${shape.join(", ")}]`, todo);
}

/** 1 / T; beyond [2^-126, 2^126] it is no normal float32 any more: an error. */
export function inverseTemperature(where: string, temperature: number): number {
  if (!(temperature >= 2 ** -126 && temperature <= 2 ** 126)) throw rangeError(where, "temperature", "in [2^-126, 2^126]", `${temperature}`);
  return 1 / temperature;
}

/** Parameters of shaders that divide distances by T: 2 / T, half the distance beyond which a weight is 0, and half of that beyond which the quotient is no float32. */
export function distances(temperature: number): [twice: number, limit: number, most: number] {
  return [2 / temperature, Math.min(75 * temperature, 3.4e38), Math.min(1.7014117331926443e38 * temperature, 1.7014117331926443e38)];
}

/** Invocations that share a row of `cols` elements: of the width alone, so that a row has the same bits in any batch. */
export function lanesFor(cols: number): number {
  return cols <= 16 ? 4 : cols <= 256 ? 32 : 256;
}

/** A tensor or scratch of which every row has `width` elements. */
export interface Operand {
  readonly slot: Slot;
  readonly offset: number;
  readonly width: number;
}

/** The tensor as an operand. */
export function operand(x: GpuTensor, width: number): Operand {
  return { slot: x.slot, offset: x.offset, width };
}

/**
 * Runs a kernel over rows, none of them wider than `gpu.reach`, in as many dispatches as the bindings need.
 *
 * @param integers - parameters after the shifts, from the number of rows in a dispatch and the first of them
 * @param whole - bound last, in full, in every dispatch
 */
export function runRows(gpu: Gpu, where: string, family: Family, constants: Readonly<Record<string, number>>, operands: readonly Operand[], { outer, cols, inner }: Pick<Rows, "outer" | "cols" | "inner">, integers: (rows: number, first: number) => readonly number[], floats: readonly number[], whole?: Part): void {
  const most = Math.floor(gpu.reach / (inner * Math.max(...operands.map(({ width }) => width))));
  const lanes = family.rows ? lanesFor(cols) : 256;
  for (let block = 0; block < outer; block += most) {
    const blocks = Math.min(most, outer - block), rows = blocks * inner;
    if (rows === 0) return;
    const parts: Part[] = operands.map(({ slot, offset, width }) => ({ slot, at: offset + block * inner * width, count: Math.max(1, rows * width) }));
    gpu.dispatch(where, family, family.rows ? { LANES: lanes, ...constants } : constants, whole ? [...parts, whole] : parts, integers(rows, block * inner), floats, grid(gpu, Math.ceil((rows * lanes) / 256)));
  }
}

/** Workgroups in two dimensions, where one has no room. */
export function grid(gpu: Gpu, groups: number): [number, number, number] {
  const most = gpu.device.limits.maxComputeWorkgroupsPerDimension;
  const x = Math.min(groups, most);
  return [x, Math.ceil(groups / x), 1];
}
