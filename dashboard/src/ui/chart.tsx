// Lines over time. Each has a dash pattern of its own, so that they are told apart without colour.
import { useEffect, useRef } from 'preact/hooks'
import uPlot from 'uplot'
import { clock, rate } from '../format'

export interface Line {
  name: string
  colour: 'accent' | 'ink' | 'muted'
  dash?: number[]
}

interface Properties {
  data: uPlot.AlignedData
  lines: Line[]
  // At most; less while there is less.
  seconds: number
  label: string
  // The sample under the pointer, null when there is none.
  onPoint?: (index: number | null) => void
}

const HEIGHT = 190
// Between two marks on the axis of time, in seconds.
const CLOCK_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600]

function colours (element: Element): Record<string, string> {
  const style = getComputedStyle(element)
  return Object.fromEntries(['accent', 'ink', 'muted', 'rule', 'font'].map(name => [name, style.getPropertyValue(`--${name}`).trim()]))
}

function options (element: HTMLElement, { lines, onPoint }: Properties, seconds: () => number): uPlot.Options {
  const c = colours(element)
  const font = `11px ${c.font}`
  const grid = { stroke: c.rule!, width: 1 }
  const fill = c.accent + '1c'
  return {
    width: Math.max(element.clientWidth, 100),
    height: HEIGHT,
    padding: [8, 24, 0, 0],
    legend: { show: false },
    cursor: { y: false, drag: { setScale: false, x: false, y: false }, points: { size: 6 } },
    scales: {
      x: { time: false, range: (_, min, max) => [max - Math.min(seconds(), Math.max(60, max - min)), max] },
      y: { range: (_, __, max) => [0, Math.max(4, max * 1.1)] }
    },
    axes: [
      { stroke: c.muted!, font, grid: { show: false }, ticks: { ...grid, size: 4 }, size: 28, space: 90, incrs: CLOCK_STEPS,
        values: (_, ticks, __, ___, step) => ticks.map(tick => clock(tick * 1000).slice(0, step % 60 === 0 ? 5 : 8)) },
      { stroke: c.muted!, font, grid, ticks: { show: false }, size: 44, space: 36, values: (_, ticks) => ticks.map(rate) }
    ],
    series: [{}, ...lines.map(({ name, colour, dash }, index) => ({
      label: name, stroke: c[colour]!, width: 1.5, points: { show: false }, spanGaps: false, ...(dash && { dash }), ...(index === 0 && { fill })
    }))],
    hooks: { setCursor: [plot => onPoint?.(plot.cursor.idx ?? null)] }
  }
}

export function Chart (properties: Properties) {
  const box = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot | null>(null)
  const latest = useRef(properties)
  latest.current = properties

  useEffect(() => {
    const element = box.current!
    const draw = () => {
      plot.current?.destroy()
      plot.current = new uPlot(options(element, latest.current, () => latest.current.seconds), latest.current.data, element)
    }
    draw()
    const size = new ResizeObserver(() => plot.current?.setSize({ width: Math.max(element.clientWidth, 100), height: HEIGHT }))
    const theme = new MutationObserver(draw)
    size.observe(element)
    theme.observe(document.documentElement, { attributeFilter: ['data-theme'] })
    return () => {
      size.disconnect()
      theme.disconnect()
      plot.current?.destroy()
      plot.current = null
    }
  }, [])
  useEffect(() => { plot.current?.setData(properties.data) }, [properties.data])
  return <div class="chart" ref={box} role="img" aria-label={properties.label} />
}
