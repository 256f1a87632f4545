import { describe, expect, it } from "vitest";
import { runSteps, runStepsAsync, type Steps } from "./index.ts";

function* count(to: number, ms: number): Steps<number> {
  for (let i = 1; i <= to; i++) {
    for (const start = performance.now(); performance.now() - start < ms; );
    yield i / to;
  }
  return to;
}

describe("runSteps and runStepsAsync", () => {
  it("return the same result", async () => {
    expect(runSteps(count(5, 0))).toBe(5);
    expect(await runStepsAsync(count(5, 0), {})).toBe(5);
  });

  it("pauses, so that other work gets its turn before the end", async () => {
    let turns = 0;
    const other = setInterval(() => turns++, 0);
    await runStepsAsync(count(20, 3), {});
    clearInterval(other);
    expect(turns).toBeGreaterThan(2); // 60 ms of work in pauses of 8 ms and a piece
  });

  it("reports a share that grows from 0 to 1, and stops on abort with the reason", async () => {
    const shares: number[] = [];
    await runStepsAsync(count(10, 3), { onProgress: (share) => shares.push(share) });
    expect([shares[0], shares.at(-1)]).toEqual([0, 1]);
    expect(shares.every((share, i) => i === 0 || share >= shares[i - 1])).toBe(true);
    const controller = new AbortController();
    const stopped = runStepsAsync(count(10, 3), { signal: controller.signal, onProgress: (share) => share > 0 && controller.abort(new Error("enough")) });
    await expect(stopped).rejects.toThrow("enough");
  });

  it("closes work that stops early", async () => {
    let closed = 0;
    const work = function* (): Steps<void> {
      try {
        for (;;) yield 0;
      } finally {
        closed++;
      }
    };
    await expect(runStepsAsync(work(), { signal: AbortSignal.abort(new Error("no")) })).rejects.toThrow("no");
    expect(closed).toBe(0); // it had not begun
    const controller = new AbortController();
    const stopped = runStepsAsync(work(), { signal: controller.signal });
    setTimeout(() => controller.abort(new Error("enough")));
    await expect(stopped).rejects.toThrow("enough");
    expect(closed).toBe(1);
  });

  it("passes errors on", async () => {
    const fail = function* (): Steps<number> {
      yield 0.5;
      throw new RangeError("bad");
    };
    expect(() => runSteps(fail())).toThrow("bad");
    await expect(runStepsAsync(fail(), {})).rejects.toThrow("bad");
  });
});
