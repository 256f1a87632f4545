import { render } from "preact";
import { App } from "./app.tsx";
import "./style.css";
import { restoreTheme } from "./theme.ts";

restoreTheme();
const root = document.getElementById("app")!;
root.replaceChildren();
render(<App />, root);
performance.mark("shell");
if (import.meta.env.PROD && "serviceWorker" in navigator) {
  addEventListener("load", () => {
    // Without it the page works as before, but needs its site.
    navigator.serviceWorker.register("./sw.js").catch((cause: Error) => console.info(`Offline use is not available: ${cause.message}`));
  });
}
