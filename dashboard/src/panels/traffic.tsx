// What comes in and goes out, per second, over the last fifteen minutes.
import { useMemo, useState } from 'preact/hooks'
import type { Board, Finding, Panel } from '../board'
import { bytes, clock, count, plural, rate } from '../format'
import { Chart, type Line } from '../ui/chart'
import { Table } from '../ui/table'
import { connectionRefusals } from '../words'

const lines: (Line & { measure: 'in' | 'delivered' | 'queries', stroke: string })[] = [
  { measure: 'in', name: 'Events in', colour: 'accent', stroke: 'solid' },
  { measure: 'delivered', name: 'Delivered', colour: 'ink', dash: [7, 3], stroke: 'dashed' },
  { measure: 'queries', name: 'Queries', colour: 'muted', dash: [2, 3], stroke: 'dotted' }
]
const ranges: [number, string][] = [[60, '1 min'], [300, '5 min'], [900, '15 min']]

function findings ({ snapshot, history }: Board): Finding[] {
  return Object.keys(snapshot.sockets_refused).flatMap(reason => {
    const grown = history.grown(s => s.sockets_refused[reason] ?? 0)
    const [why, todo] = connectionRefusals[reason] ?? [reason, 'The log says more.']
    return grown > 0 ? [{ level: 'watch' as const, text: `${plural(grown, 'connection was', 'connections were')} refused in the last minute: ${why}.`, todo }] : []
  })
}

// A row a minute, newest first, for those to whom a picture says nothing.
function minutes ([times, ...rows]: (number | null)[][]) {
  const found = new Map<number, { sums: number[], counts: number[] }>()
  times!.forEach((time, index) => {
    const minute = Math.floor(time! / 60) * 60
    const entry = found.get(minute) ?? { sums: rows.map(() => 0), counts: rows.map(() => 0) }
    rows.forEach((row, line) => {
      if (row[index] == null) return
      entry.sums[line]! += row[index]
      entry.counts[line]!++
    })
    found.set(minute, entry)
  })
  return [...found].reverse().map(([minute, { sums, counts }]) => ({ minute, means: sums.map((sum, line) => counts[line] ? sum / counts[line]! : null) }))
}

function View ({ board: { snapshot, history } }: { board: Board }) {
  const [seconds, setSeconds] = useState(300)
  const [point, setPoint] = useState<number | null>(null)
  const [isTable, setTable] = useState(false)
  const data = useMemo(() => history.series(lines.map(line => line.measure), seconds), [snapshot, seconds])
  const at = point !== null && data[0][point] !== undefined ? point : null
  const traffic = snapshot.traffic
  const now = {
    in: history.rate(s => s.traffic.events_in),
    delivered: history.rate(s => s.traffic.delivered),
    queries: history.rate(s => s.traffic.queries)
  }
  return (
    <>
      <div class="figures">
        {lines.map(({ measure, name, stroke, colour }, index) => <div key={measure} class="figure" data-figure={measure}>
          <span class="figure-name"><i class={`swatch ${stroke} ${colour}`} />{name}</span>
          <span class="figure-value">{rate(at === null ? now[measure] : data[index + 1]![at] ?? 0)}<small>/s</small></span>
        </div>)}
        <div class="figure" data-figure="clients">
          <span class="figure-name">Clients</span>
          <span class="figure-value">{count(traffic.websockets)}</span>
        </div>
        <div class="figure" data-figure="received">
          <span class="figure-name">Received</span>
          <span class="figure-value">{bytes(history.rate(s => s.traffic.bytes_received))}<small>/s</small></span>
        </div>
        <div class="figure" data-figure="sent">
          <span class="figure-name">Sent</span>
          <span class="figure-value">{bytes(history.rate(s => s.traffic.bytes_sent))}<small>/s</small></span>
        </div>
      </div>
      <div class="chart-bar">
        <fieldset class="segments">
          <legend class="unseen">Time shown</legend>
          {ranges.map(([length, name]) => <label key={length}>
            <input type="radio" name="range" checked={seconds === length} onChange={() => setSeconds(length)} /><span>{name}</span>
          </label>)}
        </fieldset>
        <span class="quiet point" aria-hidden="true">{at === null ? 'means of the last 5 s' : `at ${clock(data[0][at]! * 1000)}`}</span>
      </div>
      <Chart data={data} lines={lines} seconds={seconds} onPoint={setPoint}
        label={`Events per second over time. Now ${rate(now.in)} in, ${rate(now.delivered)} delivered, ${rate(now.queries)} queries. The numbers are in the table below.`} />
      <details onToggle={event => setTable(event.currentTarget.open)}>
        <summary>Minute by minute, and since the start</summary>
        {isTable && <Table caption="Per second, means of each minute" keyOf={row => row.minute}
          rows={minutes(history.series(lines.map(line => line.measure), 900) as (number | null)[][])}
          columns={[
            { name: 'Minute', cell: row => clock(row.minute * 1000).slice(0, 5) },
            ...lines.map(({ name }, line) => ({ name, isNumber: true, cell: (row: { means: (number | null)[] }) => row.means[line] == null ? '–' : `${rate(row.means[line])}/s` }))
          ]} />}
        <p>Since the start: {count(traffic.events_in)} events in, {count(traffic.events_stored)} of them stored; {count(traffic.delivered)} delivered;
          {' '}{plural(traffic.queries, 'query', 'queries')}; {plural(traffic.http_requests, 'HTTP request')}; {plural(traffic.sockets_accepted, 'connection')},
          {' '}{count(traffic.sockets)} open now; {bytes(traffic.bytes_received)} received, {bytes(traffic.bytes_sent)} sent.</p>
      </details>
    </>
  )
}

export const traffic: Panel = {
  id: 'traffic',
  title: 'Traffic',
  isWide: true,
  measures: {
    in: { kind: 'counter', read: s => s.traffic.events_in },
    delivered: { kind: 'counter', read: s => s.traffic.delivered },
    queries: { kind: 'counter', read: s => s.traffic.queries }
  },
  summary: ({ snapshot }) => ({ level: 'ok', words: plural(snapshot.traffic.websockets, 'client') }),
  findings,
  View
}
