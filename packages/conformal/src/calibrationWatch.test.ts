import { checkGuarantee } from "@logits/testkit";
import { randomSource } from "@logits/tensor";
import { describe, expect, it, vi } from "vitest";
import { RiskMonitor } from "./index.ts";

// 10,000 repetitions of one promise take minutes on a busy machine.
if (process.env.LOGITS_SLOW) vi.setConfig({ testTimeout: 1_200_000 });

const repetitions = process.env.LOGITS_SLOW ? 10000 : 400;

/** Feeds a stream of confidences p in (0.5, 1) that are right with probability p - gap; returns after `rows` or at the alarm. */
function stream(monitor: RiskMonitor, seed: number, rows: number, gap: number, loss: (p: number, right: number) => number): RiskMonitor {
  const random = randomSource(seed, 15);
  for (let t = 0; t < rows && !monitor.alarm; t++) {
    const p = 0.5 + 0.5 * random.uniform();
    monitor.update(loss(p, random.uniform() < p - gap ? 1 : 0));
  }
  return monitor;
}
const overconfident = (p: number, right: number): number => (1 + p - right) / 2, underconfident = (p: number, right: number): number => (1 + right - p) / 2;

// The mean of (1 + p - y) / 2 given p is 1/2 where p is calibrated, and more where it is too high: a betting e-process for calibration is a RiskMonitor at 1/2.
describe("RiskMonitor as a watch over calibration", () => {
  it.each([["too high", overconfident, 0], ["too low", underconfident, 0], ["too high, of confidences that are too low", overconfident, -0.1]] as const)("raises a false alarm in at most `level` of the streams: %s", (_, loss, gap) => {
    checkGuarantee({
      name: "false alarm", repetitions, kind: "probability of exceeding", level: 0.1,
      simulate: (seed) => stream(RiskMonitor.start({ risk: 0.5, level: 0.1 }), seed, 200, gap, loss).alarm,
    });
  });

  it("sees confidences that are 0.1 too high or too low", () => {
    for (let seed = 0; seed < 20; seed++) {
      for (const [loss, gap] of [[overconfident, 0.1], [underconfident, -0.1]] as const) expect(stream(RiskMonitor.start({ risk: 0.5 }), seed, 3000, gap, loss).rows).toBeLessThan(1500);
    }
  });
});
