import { randomSource, type Tensor } from "@logits/tensor";
import { HeadDetector, type HeadDetectorMethod } from "./headDetector.ts";
import { KLMatchingDetector } from "./klMatchingDetector.ts";
import { NeighborGuidedDetector } from "./neighborGuidedDetector.ts";
import { ShapedEnergyDetector, type ShapedEnergyMethod } from "./shapedEnergyDetector.ts";

const random = randomSource(5);
const head = { weights: { data: Float32Array.from({ length: 2048000 }, () => random.uniform() - 0.5), shape: [2048, 1000] } };
const fitted = { data: Float32Array.from({ length: 1000 * 2048 }, () => Math.max(0, random.uniform() - 0.5)), shape: [1000, 2048] };
const logits = { data: Float32Array.from({ length: 1000 * 1000 }, () => 8 * random.uniform()), shape: [1000, 1000] };
const shaped = new Map<string, ShapedEnergyDetector>(), read = new Map<string, HeadDetector>();
let templates: KLMatchingDetector | undefined, guided: NeighborGuidedDetector | undefined;

/** Activations after a ReLU from scores in [-10, 10). */
const activations = (x: Tensor<"float32">): { data: Float32Array; shape: readonly number[] } => ({ data: x.data.map((v) => Math.max(0, v)), shape: x.shape });

/** A ResNet's features and the head of ImageNet, 200 rows; the same of logits. Compare with matmul of the size. */
export const cases: readonly { name: string; rows: number; cols: number; run(x: Tensor<"float32">): unknown }[] = [
  ...(["react", "ashS", "scale", "dice"] as const).map((method: ShapedEnergyMethod) => ({
    name: `${method}, 200 x 2048, 1000 classes`, rows: 200, cols: 2048,
    run: (x: Tensor<"float32">) => {
      if (!shaped.has(method)) shaped.set(method, ShapedEnergyDetector.fit(method, head, { features: fitted }));
      return shaped.get(method)!.score({ features: activations(x) });
    },
  })),
  ...(["fdbd", "nci", "gradNorm"] as const).map((method: HeadDetectorMethod) => ({
    name: `${method}, 200 x 2048, 1000 classes`, rows: 200, cols: 2048,
    run: (x: Tensor<"float32">) => {
      if (!read.has(method)) read.set(method, HeadDetector.fit(method, head, { features: fitted }));
      return read.get(method)!.score({ features: activations(x) });
    },
  })),
  { name: "klMatching, 200 x 1000", rows: 200, cols: 1000, run: (x) => (templates ??= KLMatchingDetector.fit(logits)).score({ logits: x }) },
  { name: "nnGuide, 200 x 2048, bank of 1000", rows: 200, cols: 2048, run: (x) => (guided ??= NeighborGuidedDetector.fit(fitted, logits)).score({ features: x, logits: { data: logits.data.subarray(0, 200000), shape: [200, 1000] } }) },
];
