import { logits } from "../inputs.ts";
import { peak, peakGflops } from "../peak.ts";
import { problemCase, type Suite } from "./suite.ts";

const SIZES = [[512, 512, 512], [1024, 768, 1024]] as const;
const RATE = "multiply-add rate";

export const matmul: Suite = {
  name: "matmul",
  about: "[M, K] x [K, N], data resident in WASM memory, beside the core's own 128-bit multiply-add rate",
  cases: SIZES.map(([m, k, n]) => problemCase(`${m}x${k}x${n}`, {
    problem: (seed) => ({ op: "matmul", m, k, n, a: logits(m * k, seed), b: logits(k * n, seed + 1) }),
    extra: (variant) => new Map([[RATE, peak(variant)]]),
    plan: { rounds: 9, sampleMs: 40 },
    shownOnly: (name) => name.includes("constant weights"),
    figures(median) {
      const gflops = (2 * m * k * n) / median("ours") / 1e6, rate = peakGflops(median(RATE));
      return { gflops, peakGflops: rate, fractionOfPeak: gflops / rate };
    },
  })),
};
