import { program } from "./program.js";

globalThis.onmessage = (event) => (event.source ?? globalThis).postMessage(program());
