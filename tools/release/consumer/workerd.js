import { program } from "./program.js";

export default { fetch: () => new Response(program()) };
