// uPlot without what the chart does not use: its parts hang together by run-time options, so the build is told which never come. A newer uPlot
// in which a rule finds nothing fails the build.
import type { Plugin } from 'vite'

const rules: [what: string, pattern: RegExp, instead: string][] = [
  ['what it offers beside the chart itself', /^\t?uPlot\.\w+\s*= \w+;$/gm, ''],
  ['lines other than straight ones', /^\t\(paths\.(?:stepped|bars|spline)\s*= \w+\);$/gm, ''],
  ['a legend: ours are the figures above', /const showLegend = [^;]+;/, 'const showLegend = false;'],
  ['a series that comes forward under the pointer', /const cursorFocus = [^;]+;/, 'const cursorFocus = false;'],
  ['points with an x each', /const mode = [^;]+;/g, 'const mode = 1;'],
  ['calendars and time zones: our axis tells the clock', /let isTime\s+= [^;]+;/g, 'let isTime = false;'],
  ['what those are made of', /const (?:\[ time\w+,[^\]]+\]|_time(?:AxisSplits|AxisVals|SeriesVal)\s*) = [^;]+;/g, ''],
  ['logarithmic scales', /\b(?:sc|scale)\.distr\s+(?:==|>=)\s+[34]\b/g, 'false']
]

export function leanUPlot (): Plugin {
  return {
    name: 'lean-uplot',
    transform (code, id) {
      if (!id.endsWith('/uPlot.esm.js')) return null
      for (const [what, pattern, instead] of rules) {
        const before = code
        code = code.replace(pattern, instead)
        if (code === before) this.error(`uPlot has changed: nothing was found of "${what}" (dashboard/lean_uplot.ts)`)
      }
      return { code, map: null }
    }
  }
}
