// Eigenvalues and eigenvectors of symmetric matrices in float64.
export { symmetricEigen, symmetricEigenSteps, type SymmetricEigen, type SymmetricEigenOptions } from "../symmetricEigen.ts";
export { principalEigen, principalEigenSteps, type PrincipalEigen, type PrincipalEigenOptions } from "../principalEigen.ts";
