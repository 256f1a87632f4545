import { unified } from "@astrojs/markdown-remark";
import starlight from "@astrojs/starlight";
import { defineConfig } from "astro/config";
import rehypeKatex from "rehype-katex";
import remarkMath from "remark-math";
import { figures, linksBetweenPages, scrollingBoxes, withoutTitle } from "./src/markdown.ts";
import { sidebar } from "./src/sidebar.ts";

const base = "/";

export default defineConfig({
  base,
  outDir: "dist",
  devToolbar: { enabled: false },
  markdown: { processor: unified({ remarkPlugins: [withoutTitle, [linksBetweenPages, { base }], figures, remarkMath], rehypePlugins: [rehypeKatex, scrollingBoxes] }) },
  integrations: [
    starlight({
      title: "Logits",
      logo: { src: "./src/assets/logo.svg", alt: "" },
      favicon: "/favicon.svg",
      customCss: ["./src/styles/site.css"],
      sidebar: sidebar(),
      tableOfContents: { minHeadingLevel: 2, maxHeadingLevel: 3 },
      pagefind: true,
      credits: false,
      components: { Head: "./src/components/Head.astro", Search: "./src/components/Search.astro" },
    }),
  ],
});
