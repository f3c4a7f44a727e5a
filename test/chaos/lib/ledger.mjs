// What clients were told and what they got; the judge of the storm. It knows nothing of faults but their names.
export class Ledger {
  constructor () {
    this.sent = new Map() // id: {relay, born}; also beacons
    this.acked = new Map() // id: relay
    this.violations = []
    this.pending = new Map() // subscriber: [{kind, since, record}]
    this.recoveries = new Map() // kind: milliseconds
    this.beacons = 0
    this.deliveries = 0
    this.refusals = new Map() // reason: count
  }

  note (event, relay) { this.sent.set(event.id, { relay, born: performance.now() }) }

  refused (reason) {
    const text = reason.replace(/[0-9a-f]{16,}|\d+/g, '…').slice(0, 80)
    this.refusals.set(text, (this.refusals.get(text) ?? 0) + 1)
  }

  violate (text) {
    this.violations.push(text)
    console.log(`VIOLATION: ${text}`)
  }

  // From now on it counts how long it takes until each of the subscribers gets something that is newer than now.
  await (kind, subscribers, done) {
    const since = performance.now()
    for (const subscriber of subscribers) {
      const list = this.pending.get(subscriber) ?? []
      list.push({ kind, since, done })
      this.pending.set(subscriber, list)
    }
  }

  delivered (subscriber, id) {
    this.deliveries++
    const list = this.pending.get(subscriber)
    if (!list) return
    const { born = 0 } = this.sent.get(id) ?? {}
    const waits = list.filter(({ since }) => since > born)
    for (const { kind, since, done } of list.filter(({ since }) => since <= born)) {
      const ms = performance.now() - since
      if (!this.recoveries.has(kind)) this.recoveries.set(kind, [])
      this.recoveries.get(kind).push(ms)
      done(ms)
    }
    if (waits.length) this.pending.set(subscriber, waits)
    else this.pending.delete(subscriber)
  }

  table () {
    const rows = [...this.recoveries].sort(([a], [b]) => a < b ? -1 : 1).map(([kind, list]) => {
      list.sort((a, b) => a - b)
      return `  ${kind.padEnd(34)} ${String(list.length).padStart(5)}  median ${median(list).toFixed(0).padStart(6)} ms  max ${list.at(-1).toFixed(0).padStart(6)} ms`
    })
    return ['Until the next delivery to a subscription that the fault touched:', ...rows].join('\n')
  }
}

export const median = sorted => sorted.length === 0 ? 0 : (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2
