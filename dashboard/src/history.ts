// The last fifteen minutes, a sample a second, as rings: of every measure that a panel has, and the last minute's snapshots whole.
import type { Snapshot } from './snapshot'

export const HISTORY_SECONDS = 900
const WHOLE_SECONDS = 61

// A counter's history is its rate per second.
export interface Measure {
  kind: 'counter' | 'gauge'
  read: (snapshot: Snapshot) => number
}
export type Measures = Record<string, Measure>

export class History {
  private readonly times: number[] = []
  private readonly rows: Record<string, (number | null)[]> = {}
  private readonly whole: Snapshot[] = []
  private readonly measures: Measures

  constructor (measures: Measures) {
    this.measures = measures
    for (const name in measures) this.rows[name] = []
  }

  add (snapshot: Snapshot): void {
    const last = this.whole.at(-1)
    if (last && snapshot.at <= last.at) this.clear()
    const before = last && snapshot.up_ms > last.up_ms ? last : undefined
    if (last && !before) this.whole.length = 0
    const seconds = before ? (snapshot.up_ms - before.up_ms) / 1000 : 0
    if (last && snapshot.at - last.at > 3000) this.push(last.at + 1000, () => null)
    this.push(snapshot.at, ({ kind, read }) => kind === 'gauge' ? read(snapshot)
      : before && seconds > 0.5 && seconds < 3 ? Math.max(0, read(snapshot) - read(before)) / seconds : null)
    this.whole.push(snapshot)
    if (this.whole.length > WHOLE_SECONDS) this.whole.shift()
  }

  private push (at: number, valueOf: (measure: Measure) => number | null): void {
    this.times.push(at / 1000)
    for (const name in this.rows) this.rows[name]!.push(valueOf(this.measures[name]!))
    while (this.times[0]! < at / 1000 - HISTORY_SECONDS) {
      this.times.shift()
      for (const name in this.rows) this.rows[name]!.shift()
    }
  }

  private clear (): void {
    this.times.length = this.whole.length = 0
    for (const name in this.rows) this.rows[name]!.length = 0
  }

  // Times in seconds and then a row for each name, of the newest so many seconds.
  series (names: string[], seconds: number): [number[], ...(number | null)[][]] {
    const from = (this.times.at(-1) ?? 0) - seconds
    const first = Math.max(0, this.times.findIndex(time => time >= from))
    return [this.times.slice(first), ...names.map(name => this.rows[name]!.slice(first))]
  }

  private since (seconds: number): Snapshot | undefined {
    const last = this.whole.at(-1)
    return last && this.whole.find(snapshot => snapshot.up_ms >= last.up_ms - seconds * 1000 - 300)
  }

  // How much a counter grew within the last seconds, at most sixty.
  grown (read: (snapshot: Snapshot) => number, seconds = 60): number {
    const first = this.since(seconds)
    return first ? Math.max(0, read(this.whole.at(-1)!) - read(first)) : 0
  }

  // Per second, over the last few.
  rate (read: (snapshot: Snapshot) => number, seconds = 5): number {
    const first = this.since(seconds)
    const elapsed = first ? this.whole.at(-1)!.up_ms - first.up_ms : 0
    return elapsed > 0 ? this.grown(read, seconds) / elapsed * 1000 : 0
  }
}
