// Statistics of logits in one pass.
export { logitStatistics, type DefaultLogitStatistic, type LogitStatistic, type LogitStatistics, type LogitStatisticsOptions } from "../logitStatistics.ts";
