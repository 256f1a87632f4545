/**
 * Whether an argument is a tensor on a GPU (`location: "gpu-buffer"`), of whichever library.
 *
 * @param x - any argument
 * @example
 *   isOnGpu({ location: "gpu-buffer", dims: [3] }); // true
 * Source: the name is ONNX Runtime's.
 */
export function isOnGpu(x: unknown): boolean {
  return (x as { readonly location?: unknown } | null | undefined)?.location === "gpu-buffer";
}
