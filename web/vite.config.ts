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

/** Two bundles, each one script and one style sheet: the explaining page (`app`), and with `--mode report` the report of a training. */
export default defineConfig(({ mode }) => {
  const report = mode === 'report'
  const name = report ? 'report' : 'app'
  return {
    base: './',
    publicDir: false,
    plugins: [svelte(), ...(report ? [] : [indexPage()])],
    build: {
      outDir: '../src/neocog/app/page/static',
      emptyOutDir: !report,
      target: 'es2022',
      modulePreload: false,
      sourcemap: false,
      cssCodeSplit: false,
      assetsInlineLimit: 0,
      rolldownOptions: {
        input: report ? 'src/report/main.ts' : 'src/main.ts',
        preserveEntrySignatures: 'strict',
        output: { format: 'es', entryFileNames: `${name}.js`, assetFileNames: `${name}.[ext]`, codeSplitting: false },
      },
    },
    server: {
      // `npm run dev` shows sources; questions go to a running `neocog explain --no-browser --port 8765`.
      proxy: { '/ask': process.env.NEOCOG ?? 'http://127.0.0.1:8765' },
    },
    test: { include: ['tests/**/*.test.ts'] },
  } as Parameters<typeof defineConfig>[0] as object
})
