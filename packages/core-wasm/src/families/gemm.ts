// Matrix products.
export { matmul, type MatmulOptions } from "../matmul.ts";
