// Exact nearest neighbours of one query at a quarter of the memory traffic.
export { Int8Bank } from "../int8Bank.ts";
