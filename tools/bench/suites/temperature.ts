import { PLAN, RedCheckError, alternate, compare, type Check, gate } from "../harness.ts";
import { labelsFor, logits } from "../inputs.ts";
import type { Contender } from "../types.ts";
import type { Case, Suite } from "./suite.ts";

/** Newton's method on b = 1 / T in float64, as a careful person writes it: mean NLL has slope E[x_p] - x_label and curvature Var_p[x]. */
export function temperatureLoop(x: Float32Array, cols: number, labels: Int32Array): number {
  let inverse = 1;
  for (let iteration = 0; iteration < 50; iteration++) {
    let slope = 0, curvature = 0;
    for (let r = 0; r < labels.length; r++) {
      const start = r * cols, end = start + cols;
      let max = -Infinity, s0 = 0, s1 = 0, s2 = 0;
      for (let i = start; i < end; i++) if (x[i] > max) max = x[i];
      for (let i = start; i < end; i++) {
        const d = x[i] - max, w = Math.exp(inverse * d);
        s0 += w;
        s1 += w * d;
        s2 += w * d * d;
      }
      const mean = s1 / s0;
      slope += mean - (x[start + labels[r]] - max);
      curvature += s2 / s0 - mean * mean;
    }
    const step = slope / curvature;
    inverse = inverse - step > 0 ? inverse - step : inverse / 2;
    if (Math.abs(step) <= 1e-9 * inverse) break;
  }
  return 1 / inverse;
}

function temperatureCase(rows: number, cols: number, reference?: string): Case {
  const name = `${rows}x${cols}`;
  return {
    name,
    async run({ variant, library, seed, clock }) {
      const { TemperatureScaling } = await import("@logits/calibration");
      const { core, softmax } = library;
      const data = logits(rows * cols, seed), labels = labelsFor(data, cols, 1.7, seed + 1);
      const x = core.alloc([rows, cols], "float32"), out = core.alloc([rows, cols], "float32");
      x.data.set(data);
      const fit = (read: () => number): Contender => {
        let temperature = Number.NaN;
        return { run: () => { temperature = read(); }, read: () => ({ values: [temperature] }), dispose: () => {} };
      };
      const want = temperatureLoop(data, cols, labels);
      const check: Check = ({ values }) => (Math.abs(values[0] / want - 1) <= 1e-6 ? {} : { failure: `T = ${values[0]} instead of ${want}` });
      const ours = fit(() => TemperatureScaling.fit(x, labels).temperature);
      const loops = fit(() => temperatureLoop(data, cols, labels));
      const { refused } = await gate(`${name} (${variant})`, ours, new Map(), check);
      const pass: Contender = { run: () => void softmax(x, { out }), read: () => ({ values: out.data }), dispose: () => {} };
      const typed = fit(() => TemperatureScaling.fit({ data, shape: [rows, cols] }, labels).temperature);
      const timings = await alternate(new Map([["ours", ours], ["loops", loops], ["pass", pass], ["typed array", typed]]), { ...PLAN, clock, rounds: 7 });
      const after = check(await ours.read(), "ours");
      if (after.failure !== undefined) throw new RedCheckError(`${name} (${variant}): our result went wrong while timing: ${after.failure}`);
      x.dispose();
      out.dispose();
      const of = (who: string): NonNullable<ReturnType<typeof timings.get>> => timings.get(who) as NonNullable<ReturnType<typeof timings.get>>;
      return {
        ours: of("ours").median,
        peers: { loops: of("loops").median },
        ...compare(of("ours"), new Map([["loops", of("loops")]])),
        refused,
        figures: {
          softmaxPassMs: of("pass").median,
          softmaxPasses: of("ours").median / of("pass").median,
          fromTypedArrayMs: of("typed array").median,
          temperature: want,
        },
        rounds: 7,
        ...(reference !== undefined && { reference }),
      };
    },
  };
}

export const temperature: Suite = {
  name: "temperature",
  about: "TemperatureScaling.fit, logits resident in WASM memory, beside one softmax over the same data",
  cases: [temperatureCase(5000, 1000), temperatureCase(50_000, 1000, "scikit-learn 1.9.1: 11.0 s, T wrong by 1.7e-4; L-BFGS with strong Wolfe in torch: 12 to 17 s")],
};
