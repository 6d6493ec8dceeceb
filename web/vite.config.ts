import { readFileSync } from 'node:fs'
import { svelte } from '@sveltejs/vite-plugin-svelte'
import { defineConfig, type Plugin } from 'vite'

/**
 * One bundle serves three carriers (see ../docs/page.md), so its entry is main.ts, whose default export notebooks need.
 * An HTML entry would lose that export; index.html is therefore written beside the bundle.
 */
function indexPage(): Plugin {
  return {
    name: 'index-page',
    apply: 'build',
    generateBundle() {
      const source = readFileSync(new URL('./index.html', import.meta.url), 'utf8')
        .replace('/src/main.ts', './app.js')
        .replace('</head>', '  <link rel="stylesheet" href="./app.css">\n  </head>')
      this.emitFile({ type: 'asset', fileName: 'index.html', source })
    },
  }
}

/** A bundle is one script, and one style sheet if it needs one. `en` and `zh` are the texts of `app`: scripts that leave no name behind. */
const BUNDLES = {
  app: { input: 'src/main.ts', format: 'es' },
  en: { input: 'src/strings/file.en.ts', format: 'iife' },
  zh: { input: 'src/strings/file.zh.ts', format: 'iife' },
  report: { input: 'src/report/main.ts', format: 'es' },
} as const

/** `vite build` makes the explaining page, `vite build --mode NAME` another bundle, which is put beside it. */
export default defineConfig(({ mode }) => {
  const name = mode in BUNDLES ? (mode as keyof typeof BUNDLES) : 'app'
  const { input, format } = BUNDLES[name]
  return {
    base: './',
    publicDir: false,
    plugins: [svelte(), ...(name === 'app' ? [indexPage()] : [])],
    build: {
      outDir: '../src/neocog/app/page/static',
      emptyOutDir: name === 'app',
      target: 'es2022',
      modulePreload: false,
      sourcemap: false,
      cssCodeSplit: false,
      assetsInlineLimit: 0,
      rolldownOptions: {
        input,
        preserveEntrySignatures: 'strict',
        output: { format, entryFileNames: `${name}.js`, assetFileNames: `${name}.[ext]`, codeSplitting: false },
      },
    },
    server: {
      // `npm run dev` shows sources; questions go to a running `neocog explain --no-browser --port 8765`.
      proxy: { '/ask': process.env.NEOCOG ?? 'http://127.0.0.1:8765' },
    },
    test: { include: ['tests/**/*.test.ts'] },
  } as Parameters<typeof defineConfig>[0] as object
})
