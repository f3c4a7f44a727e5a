// The workers that are here, what they serve, and how they do.
import type { Board, Finding, Panel } from '../board'
import { clip, count, latency, plural, share, short, span } from '../format'
import type { Worker } from '../snapshot'
import { Empty, Key, State } from '../ui/parts'
import { revokingAll } from './tokens'
import { Rows } from '../ui/rows'

// What is not as it should be with a worker, of one and of several.
const troubles = {
  drained: ['gets no more work', 'get no more work'],
  rests: ['rests: it failed several times in a row', 'rest: they failed several times in a row'],
  tried: ['is tried again', 'are tried again'],
  silent: ['does not answer', 'do not answer']
} as const
type Trouble = keyof typeof troubles

function troubleOf ({ healthy, dispatch }: Worker): Trouble | null {
  if (dispatch?.drained) return 'drained'
  if (dispatch?.breaker === 'open') return 'rests'
  if (dispatch && dispatch.breaker !== 'closed') return 'tried'
  return healthy ? null : 'silent'
}

function StateOf ({ worker }: { worker: Worker }) {
  const trouble = troubleOf(worker)
  return <State level={trouble ? 'watch' : 'ok'}>{!trouble ? 'works' : trouble === 'rests' ? `rests ${span(worker.dispatch!.rests_ms)}` : troubles[trouble][0]}</State>
}

const listed = (names: string[], most: number) => names.slice(0, most).join(', ') + (names.length > most ? ` and ${names.length - most} more` : '')
const nameOf = ({ relays, peer }: Worker) => relays.length > 0 ? listed(relays.map(relay => clip(relay)), 3) : short(peer)

function findings ({ snapshot: { workers, registrations } }: Board): Finding[] {
  const found = (Object.keys(troubles) as Trouble[]).flatMap((trouble): Finding[] => {
    const names = workers.filter(worker => troubleOf(worker) === trouble).map(nameOf)
    const [one, several] = troubles[trouble]
    return names.length === 0 ? [] : [{
      level: 'watch',
      text: names.length === 1 ? `The worker of ${names[0]} ${one}.` : `${count(names.length)} workers ${several}: those of ${listed(names, 4)}.`,
      todo: 'Others that have the relays take over. If it stays, the owner looks at that machine: is it overloaded, or asleep?'
    }]
  })
  if (workers.length === 0 && registrations && registrations.count > 0) {
    found.push({
      level: 'bad',
      text: `${plural(registrations.count, 'relay is', 'relays are')} registered, and no worker that serves ${registrations.count === 1 ? 'it' : 'them'} is here: clients get 1013.`,
      todo: 'A worker comes back by itself when its machine wakes. If not: does it run, and does the swarm answer?'
    })
  }
  return found
}

function View ({ board }: { board: Board }) {
  const { snapshot, history } = board
  if (!snapshot.dispatcher) {
    return <Empty>{'Relays on members’ machines are not served. To let workers come, set `workers.enabled = yes` and restart.'}</Empty>
  }
  if (snapshot.workers.length === 0) {
    return <Empty>{['No worker is here. On a member’s machine:', '`holdfast worker --data worker --worker-gateways KEY`', 'KEY is this gateway’s key of purpose swarm in `holdfast key show`; the worker prints its own, for `registration.allow`.']}</Empty>
  }
  const assigned = (peer: string) => history.rate(s => s.workers.find(worker => worker.peer === peer)?.dispatch?.assigned ?? 0)
  return (
    <Rows caption="Workers and their load" rows={[...snapshot.workers].sort((a, b) => Number(troubleOf(b) !== null) - Number(troubleOf(a) !== null))}
      keyOf={worker => worker.peer} words={worker => `${worker.peer} ${worker.relays.join(' ')}`}
      columns={[
        { name: 'Worker', cell: worker => <><b>{worker.relays.length > 0 ? nameOf(worker) : 'no relay now'}</b><small class="under">
          <Key value={worker.peer} of={`the key of the worker of ${nameOf(worker)}`} board={board} />{worker.hypertuna && ' Hypertuna'}</small></> },
        { name: 'State', cell: worker => <StateOf worker={worker} /> },
        { name: 'Sessions', isNumber: true, cell: ({ dispatch, streams }) => count(dispatch?.sessions ?? streams) },
        { name: 'In work', isNumber: true, cell: ({ dispatch, peer }) => dispatch
          ? <>{count(dispatch.in_flight)}<small class="under">{rateOf(assigned(peer))}</small></> : '–' },
        { name: 'Answers in', isNumber: true, cell: ({ dispatch }) => dispatch
          ? <>{latency(dispatch.p50_us)}<small class="under">95 %: {latency(dispatch.p95_us)}</small></> : '–' },
        { name: 'Failed', isNumber: true, cell: ({ dispatch }) => dispatch
          ? <>{share(dispatch.failure_permille / 1000)}<small class="under">{count(dispatch.failed)} of {count(dispatch.assigned)}</small></> : '–' },
        { name: 'Copy behind', isNumber: true, cell: ({ dispatch, telemetry }) => {
          const lag = dispatch?.lag_blocks ?? telemetry?.lag_blocks
          return lag === undefined ? '–' : lag === 0 ? 'nothing' : plural(lag, 'block')
        } },
        { name: 'Here for', isNumber: true, cell: worker => span(Math.max(0, snapshot.at - worker.connected_at)) },
        ...snapshot.tokens ? [{ name: 'Act', isPlain: true, cell: (worker: Worker) =>
          <button type="button" class="danger-quiet" aria-label={`Revoke tokens of the worker of ${nameOf(worker)}`}
            onClick={() => board.propose(revokingAll(board, worker.peer, `the worker of ${nameOf(worker)}`))}>Revoke tokens…</button> }] : []
      ]} />
  )
}

const rateOf = (value: number) => value > 0 ? `${value < 10 ? value.toFixed(1) : count(value)} jobs/s` : 'no jobs now'

export const workers: Panel = {
  id: 'workers',
  title: 'Workers',
  isWide: true,
  summary: ({ snapshot: { workers, dispatcher } }) => !dispatcher ? { level: 'off', words: 'not let in' } : { level: workers.length > 0 ? 'ok' : 'off', words: `${count(workers.length)} here` },
  findings,
  View
}
