import type { ComponentType, JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { PANELS } from "./panels/index.ts";
import { currentTheme, setTheme } from "./theme.ts";
import type { PanelProps } from "./ui/shared.ts";
import { run } from "./worker/client.ts";
import { useJob } from "./worker/useJob.ts";

/** Where the documentation is, as seen from this page; set when the page is built as a part of the site. */
const SITE = import.meta.env.VITE_SITE as string | undefined;

function panelOfAddress(): string {
  const id = location.hash.slice(1);
  return PANELS.some((panel) => panel.id === id) ? id : PANELS[0].id;
}

/** Header, navigation, and the panel that the address names. */
export function App(): JSX.Element {
  const [id, setId] = useState(panelOfAddress);
  const [theme, setShown] = useState(currentTheme);
  const [chosen, choose] = useState<string | undefined>();
  const [seed, setSeed] = useState(0);
  const [loaded, setLoaded] = useState<Readonly<Record<string, ComponentType<PanelProps>>>>({});
  const [failed, setFailed] = useState<string | undefined>();
  const heading = useRef<HTMLHeadingElement>(null);
  const panel = PANELS.find((entry) => entry.id === id)!, set = chosen ?? panel.prefers ?? "densenet";
  const setJob = useJob((control) => run("data", "describe", { key: set }, control), [set]);
  useEffect(() => {
    const moved = (): void => {
      setId(panelOfAddress());
      heading.current?.focus();
    };
    addEventListener("hashchange", moved);
    return () => removeEventListener("hashchange", moved);
  }, []);
  useEffect(() => {
    document.title = `${panel.title} · Logits playground`;
    setFailed(undefined);
    panel.load().then((module) => setLoaded((last) => ({ ...last, [id]: module.default })), (cause: Error) => setFailed(cause.message));
  }, [id]);
  const Panel = loaded[id];
  const info = setJob.value?.key === set ? setJob.value : undefined;
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => { event.preventDefault(); heading.current?.focus(); }}>Skip to the panel</a>
      <header>
        <h1>Logits <span>playground</span></h1>
        <p>From raw scores to a decision one can trust. Everything is computed in this page; nothing is uploaded.</p>
        <button type="button" class="theme" name="theme" onClick={() => {
          const other = theme === "dark" ? "light" : "dark";
          setTheme(other);
          setShown(other);
        }}>{theme === "dark" ? "Light" : "Dark"} colours</button>
      </header>
      <nav aria-label="Panels">
        <ul>{PANELS.map((entry) => <li key={entry.id}><a href={`#${entry.id}`} aria-current={entry.id === id ? "page" : undefined}>{entry.title}</a></li>)}</ul>
      </nav>
      <main id="main" data-panel={id}>
        <h2 ref={heading} tabIndex={-1}>{panel.heading}</h2>
        {failed !== undefined ? <div class="message bad" role="alert"><p>The panel could not be loaded: {failed}</p></div>
          : Panel ? <Panel key={id} shared={{ set, choose, info, setJob, seed, setSeed }} /> : <p class="hint">Loading the panel…</p>}
      </main>
      <footer><p>{SITE !== undefined && <><a href={SITE}>Documentation</a> · </>}Computed by the packages <code>@logits/*</code>: WebAssembly in a Worker. MIT licence. The data sets carry their own licences, named with each.</p></footer>
    </>
  );
}
