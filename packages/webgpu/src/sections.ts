import { GpuTensor, type Verify } from "./gpuTensor.ts";
import { checkFits, type Rows } from "./rows.ts";

/** A tensor for several numbers of each row: a section of it for each of `names`. The sections of a row lie far apart, so that one binding holds them all. */
export function sectionsFor(where: string, inputs: readonly [GpuTensor, ...GpuTensor[]], { outer }: Rows, names: readonly string[]): GpuTensor {
  const [{ gpu }] = inputs;
  checkFits(where, "logits", outer, gpu.reach / names.length, "rows");
  return gpu.result(where, "float32", [names.length * outer], inputs);
}

/**
 * Its sections as tensors, which share the buffer; the whole is disposed of.
 *
 * @param int32 - those that are, with what verifies them
 * @param select - the names that are wanted
 */
export function sectionsOf<Name extends string>(all: GpuTensor, { outer, rest }: Rows, names: readonly Name[], int32: Readonly<Partial<Record<Name, Verify | true>>>, select: readonly Name[] = names): Record<Name, GpuTensor> {
  const results = {} as Record<Name, GpuTensor>;
  for (const name of select) {
    const kind = int32[name];
    all.slot.users++;
    results[name] = new GpuTensor(all.gpu, kind ? "int32" : "float32", rest, all.slot, names.indexOf(name) * outer, all.doubtful, kind === true ? undefined : kind);
  }
  all.dispose();
  return results;
}
