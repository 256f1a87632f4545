import { defineConfig } from "vite";
import { offline } from "./build/offline.ts";

export default defineConfig({
  base: "./",
  plugins: [offline()],
  worker: { format: "es" },
  server: { fs: { allow: ["../.."] } },
  build: { target: "es2022", assetsInlineLimit: 0, modulePreload: { polyfill: false } },
});
