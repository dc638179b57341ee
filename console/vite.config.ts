/// <reference types="vitest/config" />
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

const COMPRESSED = /\.(js|css|svg)$/;
const MINIMUM_BYTES = 512;

/** Writes a `.br` and a `.gz` beside each text file, so that the server compresses nothing. */
function precompress(): Plugin {
  let folder = "";
  return {
    name: "precompress",
    apply: "build",
    configResolved: (config) => {
      folder = join(config.root, config.build.outDir);
    },
    closeBundle: () => {
      for (const name of readdirSync(folder, { recursive: true, encoding: "utf8" })) {
        if (COMPRESSED.test(name)) compress(join(folder, name));
      }
    },
  };
}

function compress(path: string) {
  const text = readFileSync(path);
  if (text.length < MINIMUM_BYTES) return;
  writeFileSync(`${path}.gz`, gzipSync(text, { level: 9 }));
  const quality = { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: text.length };
  writeFileSync(`${path}.br`, brotliCompressSync(text, { params: quality }));
}

/** `npm run dev` asks this server. */
const server = process.env.AGENTHALL_URL ?? "http://127.0.0.1:2024";

export default defineConfig({
  // Addresses are relative to the base that the server writes into the page, so that any path prefix works.
  base: "./",
  plugins: [react(), tailwindcss(), precompress()],
  // Inlined files would be data: addresses, which the Content-Security-Policy refuses for fonts and scripts.
  build: {
    outDir: process.env.CONSOLE_OUT ?? "dist",
    emptyOutDir: true,
    assetsInlineLimit: 0,
    manifest: "manifest.json",
  },
  server: { proxy: { "^/(?!src|@|node_modules|console|favicon).*": server } },
  test: { environment: "jsdom", setupFiles: "./src/testing/setup.ts", include: ["src/**/*.test.{ts,tsx}"] },
});
