/** What the harness, the suites and the peers agree on. */

/** The instruction set that every contender of one process may use. */
export type Variant = "simd" | "relaxed-simd";

export type Problem =
  | { op: "softmax" | "logsumexp"; rows: number; cols: number; x: Float32Array }
  | { op: "topk"; rows: number; cols: number; k: number; x: Float32Array }
  | { op: "matmul"; m: number; k: number; n: number; a: Float32Array; b: Float32Array };

/** `resident`: data lies in the library's own memory and stays there. `arrays`: typed array in, typed array out, in every run. */
export type Mode = "resident" | "arrays";

export interface Answer {
  values: ArrayLike<number>;
  /** Of top-k only. */
  indices?: ArrayLike<number>;
}

/** One library made ready for one problem. `run` does the whole work once; `read` gives the answer of the last run. */
export interface Contender {
  run(): void | Promise<void>;
  read(): Answer | Promise<Answer>;
  dispose(): void;
}

export interface Peer {
  name: string;
  version: string;
  /** True where it takes part in `ratio`; plain loops are shown, but are no WASM peer. */
  wasm: boolean;
  /** Undefined where the library has no such operation. */
  prepare(problem: Problem, mode: Mode): Promise<Contender | undefined>;
}

export interface BenchRecord {
  suite: string;
  case: string;
  variant: Variant;
  /** Median milliseconds of one run. */
  ours: number;
  peers: Record<string, number>;
  /** Fastest like-for-like WASM peer over ours, both medians; null where no WASM peer has the operation. */
  ratio: number | null;
  fastest: string | null;
  /** Median over the rounds of (fastest peer / ours) within one round: less shaken by other load than `ratio`. */
  pairedRatio: number | null;
  /** Largest error of our result against float64, in units in the last place (README.md says of what). */
  ulp?: number;
  peersUlp?: Record<string, number>;
  /** Peers left out, and why. */
  refused?: Record<string, string>;
  /** Derived figures, for example nanoseconds per element. */
  figures: Record<string, number>;
  rounds: number;
  /** What another system was measured to take elsewhere, in words: not run here. */
  reference?: string;
  meta: Meta;
}

export interface Meta {
  cpu: string;
  cores: number;
  load: number;
  platform: string;
  node: string;
  v8: string;
  seed: number;
  clock: "wall" | "cpu";
  commit: string;
  date: string;
  versions: Record<string, string>;
}
