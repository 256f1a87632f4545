/** A promise as data, with the rows it rests on. */
export interface Guarantee {
  /** For people. */
  readonly statement: string;
  /**
   * "marginal coverage": the set of a row holds its class, over all rows together, flagged ones included. "coverage among accepted": over the rows that the detector does not flag.
   * "false-positive rate": the share of rows like the calibration rows that are flagged (of rows without a label, that get it). "missed labels": the share of a row's labels that
   * a `MultiLabelHead` does not give.
   */
  readonly kind: "marginal coverage" | "coverage among accepted" | "false-positive rate" | "missed labels";
  /** What is promised: at least this coverage, at most this rate. */
  readonly level: number;
  /** The probability, over the drawing of the rows, that the rate is kept. Without: the promise is about the mean over drawings of rows and new rows. */
  readonly confidence?: number;
  /** False where the rows are too few: the promise is then kept by answering with all classes or by flagging nothing. */
  readonly attainable: boolean;
  /** Rows that the promise rests on. */
  readonly n: number;
  /** Which rows those are. */
  readonly rows: string;
  /** What must hold. */
  readonly assumes: readonly string[];
}

/** What a head knows about its rows. */
export interface Facts {
  readonly alpha: number;
  readonly guarantee: "all" | "accepted";
  readonly split: number | "given" | "folds";
  readonly seed: number;
  readonly fitRows: number;
  readonly calibrationRows: number;
  /** Rows behind the sets: all calibration rows, or the accepted ones of the second part. */
  readonly setRows: number;
  /** Some set can be smaller than all classes. */
  readonly setsAttainable: boolean;
  readonly folds?: number;
  /** A scorer makes the logits. */
  readonly scorer: boolean;
  readonly detector?: { readonly method: string; readonly n: number; readonly maxFalsePositiveRate: number; readonly confidence: number | "marginal"; readonly attainable: boolean; readonly needed: number };
}

/** A share as people write it. */
export function percent(share: number): string {
  return `${+(100 * share).toPrecision(12)} %`;
}

/** The promises of a head. */
export function guaranteesOf(facts: Facts): Guarantee[] {
  const { alpha, guarantee, calibrationRows, fitRows, split, seed, setRows, setsAttainable, folds, scorer, detector } = facts;
  const total = calibrationRows + fitRows;
  const origin = folds !== undefined
    ? `all ${calibrationRows} rows in ${folds} folds (seed ${seed}); the rows of a fold are scored by fits on the other folds`
    : split === "given"
      ? `the ${calibrationRows} calibration rows that were given; ${fitters(detector)} ${fitRows} others`
      : `the ${calibrationRows} calibration rows (of ${total}, split with seed ${seed}); ${fitters(detector)} the other ${fitRows}`;
  const source = "new rows are exchangeable with the calibration rows (drawn from the same source)";
  const others = `no labelled row trained the model${scorer ? " or the scorer, or" : " or"} served another choice${detector === undefined ? "" : ", and no calibration row fitted a detector that came from elsewhere"}`;
  const assumes = [source, others];
  const coverage = folds === undefined ? 1 - alpha : Math.max(0, 1 - 2 * alpha);
  const few = setsAttainable ? "" : `; ${setRows} rows are too few for that, so every set holds all classes`;
  const list: Guarantee[] = [];
  if (guarantee === "accepted") {
    list.push({
      statement: `Among new rows that are answered (label or ambiguous), the set holds the true class with probability at least ${percent(coverage)}${few}.`,
      kind: "coverage among accepted",
      level: coverage,
      attainable: setsAttainable,
      n: setRows,
      rows: `the ${setRows} accepted rows of the second part of ${origin.replace(/^the /, "")}; the threshold comes from the ${detector!.n} rows of the first part`,
      assumes,
    });
  } else {
    const flagged = detector === undefined ? "over all rows together" : "over all rows together, flagged ones counted with the set they would get: an answer misses the true class";
    list.push({
      statement: `The set of a new row holds its true class with probability at least ${percent(coverage)}, ${flagged}${detector === undefined ? "" : ` for at most ${percent(1 - coverage)} of all rows`}${few}.`,
      kind: "marginal coverage",
      level: coverage,
      attainable: setsAttainable,
      n: setRows,
      rows: origin,
      assumes,
    });
  }
  if (detector !== undefined) {
    const { n, maxFalsePositiveRate, confidence, attainable, needed } = detector;
    const level = folds === undefined ? maxFalsePositiveRate : Math.min(1, 2 * maxFalsePositiveRate);
    const none = attainable ? "" : `; ${n} rows are too few to flag any row at that rate, so none is (${needed} would do)`;
    list.push({
      statement: confidence === "marginal"
        ? `A new row like the calibration rows is \`unknown\` with probability at most ${percent(level)}, over drawings of the rows${none}.`
        : `With probability at least ${percent(confidence)} over the drawing of the rows, at most ${percent(level)} of new rows like them are \`unknown\`${none}.`,
      kind: "false-positive rate",
      level,
      ...(confidence === "marginal" ? {} : { confidence }),
      attainable,
      n,
      rows: guarantee === "accepted" ? `the ${n} rows of the first part of ${origin.replace(/^the /, "")}` : origin,
      assumes: confidence === "marginal" ? assumes : ["calibration rows and new rows are independent draws from one source", others],
    });
  }
  return list;
}

/** What a head does not promise. */
export function notPromisedOf({ alpha, guarantee, folds, detector, setRows, setsAttainable }: Facts): string[] {
  const list = [
    detector === undefined
      ? "anything about rows unlike the calibration rows: without a detector they get an ordinary answer"
      : `which share of rows unlike the calibration rows is flagged: the ${detector.method} detector shows what it shows, and \`evaluate\` with \`outliers\` measures it on rows of one kind`,
    "coverage for each class, each set size or each kind of row: `evaluate` shows it by size and class",
    "coverage among the rows with a single label",
    folds === undefined
      ? "the coverage of these very calibration rows: it is a mean over drawings of calibration rows; `conformal.expectedCoverage` gives its spread"
      : "the usual coverage of 1 - alpha: folds that overlap promise 1 - 2 alpha",
    "that the probabilities are right: they are calibrated on the fit rows, nothing is tested",
  ];
  if (detector !== undefined) {
    list.push(folds !== undefined ? "coverage among the rows that are answered: that needs a split" : guarantee === "all" ? 'coverage among the rows that are answered: `guarantee: "accepted"` promises that' : "coverage over all rows together, flagged ones included");
    if (folds !== undefined) list.push("a false-positive rate with a confidence (PAC): that needs rows of its own, not folds");
    else if (detector.confidence === "marginal") list.push("the false-positive rate of these very calibration rows: it is a mean over drawings of calibration rows");
    if (!detector.attainable) list.push(`any detection: with ${detector.n} rows no row can be flagged`);
  }
  if (!setsAttainable) list.push(`any set smaller than all classes: ${setRows} rows are too few for an alpha of ${alpha}`);
  return list;
}

function fitters(detector: Facts["detector"]): string {
  return detector === undefined ? "the calibrator saw" : "what was fitted or chosen here saw only";
}
