// Three files with names that stay, and the icon, for the program to carry.
import { defineConfig } from 'vite'
import { leanUPlot } from './lean_uplot.ts'

export default defineConfig({
  base: '/dashboard/',
  plugins: [leanUPlot()],
  build: {
    outDir: '../src/service/dashboard',
    emptyOutDir: true,
    target: 'es2022',
    cssCodeSplit: false,
    modulePreload: { polyfill: false },
    rolldownOptions: {
      output: { entryFileNames: 'app.js', assetFileNames: 'app[extname]', codeSplitting: false }
    }
  },
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } }
})
