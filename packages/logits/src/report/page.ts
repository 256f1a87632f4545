import { figures } from "./figures.ts";
import type { DetectorMeasures, ReportMetrics, Share } from "./types.ts";
import { detectorPromise, findings, promised, worst } from "./words.ts";

const escape = (text: string): string => text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

const STYLE = `
:root { color-scheme: light dark; --ink: #1c2430; --paper: #fff; --soft: #5a6675; --line: #d8dde4; --before: #b94a17; --after: #1f6da3; --plot-1: var(--after); --plot-2: var(--before); --plot-ink: var(--ink); --plot-ground: var(--paper); }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --paper: #12161c; --soft: #9aa7b6; --line: #2d3642; --before: #f0905f; --after: #6ab7e8; } }
body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 56rem; font: 16px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--paper); }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .3rem; } h2 { font-size: 1.2rem; margin: 2.4rem 0 .6rem; }
p.sub { color: var(--soft); margin: 0 0 1.2rem; } table { margin-top: 1rem; display: block; overflow-x: auto; border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
tbody { display: table; width: 100%; } th, td { text-align: right; font-weight: inherit; padding: .35rem .6rem; border-bottom: 1px solid var(--line); } th:first-child, td:first-child { text-align: left; } th[scope=col] { font-weight: 600; vertical-align: bottom; }
.row { display: flex; flex-wrap: wrap; gap: 1.5rem; } figure { margin: 0; } figure svg { display: block; max-width: 100%; height: auto; }
figcaption { color: var(--soft); font-size: .9rem; } figure { max-width: 26.25rem; }
.before { color: var(--before); } .after { color: var(--after); } ul { padding-left: 1.1rem; } li { margin: .5rem 0; }
`;

/** The report as one HTML page: no script, no outside file. */
export function reportPage(metrics: ReportMetrics): string {
  const { before, after, rows } = metrics;
  const drawn = figures(metrics);
  const line = (name: string, a: number, b: number, digits: number): string => `<tr><th scope="row">${name}</th><td class="before">${a.toFixed(digits)}</td><td class="after">${b.toFixed(digits)}</td></tr>`;
  const figure = (svg: string, caption: string): string => `<figure>${svg}<figcaption>${caption}</figcaption></figure>`;
  const setRows = metrics.sets.map((sets) => {
    const least = worst(sets.byClass);
    const covered = `${sets.coverage.share.toFixed(3)} [${sets.coverage.interval.map((x) => x.toFixed(3)).join(", ")}]`;
    return `<tr><td>${sets.method}</td><td>${sets.n}</td><td>${promised(sets.alpha)}</td><td>${covered}</td><td>${sets.meanSize.toFixed(2)}</td><td>${escape(least.label)}: ${least.share.toFixed(2)} of ${least.rows}</td></tr>`;
  });
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="logits ${escape(metrics.versions.logits)}">
<title>${escape(metrics.title)}: calibration report</title>
<style>${STYLE}</style>
</head>
<body>
<main>
<h1>${escape(metrics.title)}</h1>
<p class="sub">${metrics.classes} classes. Temperature fitted on ${rows.fit} rows, sets calibrated on ${rows.calibration}, tested on ${rows.test}; no row is used twice (${escape(rows.split)}).</p>
<h2>What was found</h2>
<ul>${findings(metrics).map((text) => `<li>${escape(text)}</li>`).join("\n")}</ul>
<h2>Before and after</h2>
<table tabindex="0">
<tr><th scope="col">on ${rows.shown} rows the temperature never saw</th><th scope="col" class="before">before</th><th scope="col" class="after">after</th></tr>
${line("accuracy", before.accuracy, after.accuracy, 4)}
${line("mean confidence", before.meanConfidence, after.meanConfidence, 4)}
${line("log-loss (nats)", before.nll, after.nll, 4)}
${line("Brier score (sum over classes)", before.brier, after.brier, 4)}
${line("calibration error, 15 bins (lo, hi]", before.ece, after.ece, 4)}
${line("the same for a perfect model: mean", before.eceNull.mean, after.eceNull.mean, 4)}
${line("the same for a perfect model: 95 % point", before.eceNull.quantile95, after.eceNull.quantile95, 4)}
${line("p-value of perfect calibration", before.eceNull.pValue, after.eceNull.pValue, 3)}
${line("area under the risk-coverage curve", before.aurc, after.aurc, 4)}
</table>
<h2>Reliability</h2>
<div class="row">
${figure(drawn.reliabilityBefore, '<b class="before">Before.</b> A point is a bin of confidences with the exact 95 % interval of its accuracy; on the diagonal the confidence is honest. Bars: the share of the rows in the bin.')}
${figure(drawn.reliabilityAfter, '<b class="after">After</b> dividing the scores by the temperature.')}
</div>
<h2>Answering only when sure, and sets of labels</h2>
<div class="row">
${figure(drawn.riskCoverage, 'Answer the most confident share of rows (x): how many answers are wrong (y), <b class="after">after</b> and <b class="before">before</b> (dashed).')}
${figure(drawn.setSize, `How often ${metrics.sets[0].method} sets hold the right label, by their size, with exact 95 % intervals. Dashed: the promise for all rows together.`)}
${figure(drawn.classes, "Coverage of every class with its exact 95 % interval; a marginal promise does not hold for each class.")}
</div>
<table tabindex="0">
<tr><th scope="col">sets</th><th scope="col">rows behind the promise</th><th scope="col">promised</th><th scope="col">covered</th><th scope="col">mean size</th><th scope="col">worst class</th></tr>
${setRows.join("\n")}
</table>
${metrics.detector ? detectorSection(metrics.detector, figure(drawn.detector, histogramCaption(metrics.detector))) : ""}<p class="sub">Written by logits ${escape(metrics.versions.logits)} (${escape(metrics.versions.variant)}). All numbers are in metrics.json.</p>
</main>
</body>
</html>
`;
}

/** What the detector promises and does. */
function detectorSection(detector: DetectorMeasures, figure: string): string {
  const { method, selection, threshold, falsePositives, answered, outliers } = detector;
  const share = ({ share, interval }: Share): string => `${share.toFixed(3)} [${interval.map((x) => x.toFixed(3)).join(", ")}]`;
  const row = (name: string, value: string): string => `<tr><th scope="row">${name}</th><td>${value}</td></tr>`;
  return `<h2>Rows unlike those of the fit</h2>
${figure}
<table tabindex="0">
${row("detector", escape(method) + (selection ? `, of ${selection.candidates.length} the one with the largest AUROC on ${selection.outliers} outliers` : ""))}
${row("promised share of test-like rows that are flagged", escape(detectorPromise(detector)))}
${row("threshold", threshold === null ? "none" : threshold.toPrecision(4))}
${row(`flagged of ${falsePositives.rows} test rows`, share(falsePositives))}
${row("right and not flagged, of all test rows", share(answered))}
${outliers ? `${row(`flagged of ${outliers.rows} outliers that took no part in any choice`, share(outliers.detected))}
${row("AUROC, outliers against test rows", outliers.auroc.toFixed(4))}
${row("test rows flagged where 95 % of the outliers are", outliers.flaggedAt95Detected.toFixed(3))}
${row("outliers kept where 95 % of the test rows are", outliers.keptAt95Kept.toFixed(3))}` : row("flagged of rows that are unlike", "not known: no outliers were given")}
</table>
`;
}

function histogramCaption({ method, outliers, threshold }: DetectorMeasures): string {
  const rows = outliers ? '<b class="after">Test rows</b> and <b class="before">outliers</b>' : '<b class="after">Test rows</b>';
  return `${rows} by their ${escape(method)} score. ${threshold === null ? "Nothing is flagged" : "Dashed: the threshold; rows to its right are unknown"}. The outermost bars also hold what lies beyond them.`;
}
