// Three files with names that stay, for the program to carry.
import { defineConfig } from 'vite'

export default defineConfig({
  base: '/dashboard/',
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
