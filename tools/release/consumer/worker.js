import { program } from "./program.js";

// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a worker's message goes to the page that started it
globalThis.onmessage = (event) => (event.source ?? globalThis).postMessage(program());
