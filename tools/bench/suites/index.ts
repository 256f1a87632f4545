import { attention } from "./attention.ts";
import { calibration } from "./calibration.ts";
import { losses } from "./losses.ts";
import { matmul } from "./matmul.ts";
import { ood } from "./ood.ts";
import { latency, logsumexp, softmax, topk } from "./rows.ts";
import { sampling } from "./sampling.ts";
import { segments } from "./segments.ts";
import { structured } from "./structured.ts";
import type { Suite } from "./suite.ts";
import { temperature } from "./temperature.ts";

export const SUITES: readonly Suite[] = [softmax, logsumexp, topk, matmul, temperature, calibration, structured, segments, ood, losses, sampling, attention, latency];
