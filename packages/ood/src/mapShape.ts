import { asFloat32, rangeError, type Tensor, type TensorLike } from "@logits/tensor";

/** Maps, float32 [..., H, W], and how many they are. */
export function mapsOf(where: string, map: TensorLike): { x: Tensor<"float32">; lead: number[]; count: number; height: number; width: number } {
  const x = asFloat32(where, "map", map), [height, width] = x.shape.slice(-2);
  if (x.shape.length < 2 || height === 0 || width === 0) throw rangeError(where, "map", "of shape [..., H, W], H >= 1 and W >= 1", `[${x.shape.join(", ")}]`);
  return { x, lead: x.shape.slice(0, -2), count: x.size / (height * width), height, width };
}
