export { AssertionError, expectClose, expectExact, ulpDistance, type Closeness, type Comparable } from "./compare.ts";
