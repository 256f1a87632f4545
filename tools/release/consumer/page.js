import { program } from "./program.js";

globalThis.result = new Promise((resolve) => {
  try {
    resolve(program());
  } catch (error) {
    resolve(`error: ${error.stack ?? error}`);
  }
});
