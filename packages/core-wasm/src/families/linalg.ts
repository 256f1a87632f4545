// Symmetric positive definite matrices in float64.
export { addGram, addGramSteps, addOuterProducts } from "../addGram.ts";
export { cholesky, choleskySteps, type CholeskyOptions } from "../cholesky.ts";
export { solveTriangular, solveTriangularSteps } from "../solveTriangular.ts";
