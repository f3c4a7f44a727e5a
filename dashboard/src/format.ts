// Figures as people read them.

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 })
const tenth = new Intl.NumberFormat('en', { maximumFractionDigits: 1 })

export const count = (value: number): string => whole.format(value)

// Per second: with a decimal place while it is small.
export const rate = (value: number): string => (value < 9.95 ? tenth : whole).format(value)

const byteUnits = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']

export function bytes (value: number): string {
  let unit = 0
  while (value >= 1024 && unit < byteUnits.length - 1) {
    value /= 1024
    unit++
  }
  return `${(unit > 0 && value < 99.95 ? tenth : whole).format(value)} ${byteUnits[unit]}`
}

const spans: [number, string][] = [[86400000, 'd'], [3600000, 'h'], [60000, 'min'], [1000, 's']]

// The two largest units: "3 d 4 h", "12 s".
export function span (ms: number): string {
  const first = spans.findIndex(([length]) => ms >= length)
  if (first < 0) return ms >= 1 ? `${whole.format(ms)} ms` : '0 s'
  const [length, unit] = spans[first]!
  const rest = spans[first + 1]
  const left = rest ? Math.floor((ms % length) / rest[0]) : 0
  return `${Math.floor(ms / length)} ${unit}` + (rest && left > 0 ? ` ${left} ${rest[1]}` : '')
}

export const latency = (us: number): string => us === 0 ? '–' : us < 999.5 ? `${whole.format(us)} µs` : `${tenth.format(us / 1000)} ms`
export const share = (part: number): string => part > 0 && part < 0.001 ? '< 0.1 %' : `${tenth.format(part * 100)} %`

const clockFormat = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' })
const dayFormat = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' })
export const clock = (at: number): string => clockFormat.format(at)
export const moment = (at: number): string => Math.abs(Date.now() - at) < 43200000 ? clock(at) : dayFormat.format(at)

// Keys are told apart by both ends.
export const short = (key: string): string => key.length > 16 ? `${key.slice(0, 6)}…${key.slice(-6)}` : key

// Names of others can be of any length.
export const clip = (text: string, most = 40): string => text.length > most ? `${text.slice(0, most - 1)}…` : text

const numbers = ['No', 'One', 'Two', 'Three', 'Four', 'Five', 'Six', 'Seven', 'Eight', 'Nine', 'Ten', 'Eleven', 'Twelve']
export const inWords = (value: number): string => numbers[value] ?? whole.format(value)
export const plural = (value: number, one: string, many = one + 's'): string => `${whole.format(value)} ${value === 1 ? one : many}`
