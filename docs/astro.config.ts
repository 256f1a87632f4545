import { unified } from "@astrojs/markdown-remark";
import starlight from "@astrojs/starlight";
import { defineConfig } from "astro/config";
import rehypeKatex from "rehype-katex";
import remarkMath from "remark-math";
import { linksBetweenPages, withoutTitle } from "./src/markdown.ts";
import { sidebar } from "./src/sidebar.ts";

const base = "/";

export default defineConfig({
  base,
  outDir: "dist",
  devToolbar: { enabled: false },
  markdown: { processor: unified({ remarkPlugins: [withoutTitle, [linksBetweenPages, { base }], remarkMath], rehypePlugins: [rehypeKatex] }) },
  integrations: [
    starlight({
      title: "Logits",
      customCss: ["katex/dist/katex.min.css"],
      sidebar: [{ label: "All pages", slug: "pages" }, ...sidebar(), { label: "Methods of the literature", link: "/papers/" }],
      pagefind: true,
      credits: false,
    }),
  ],
});
