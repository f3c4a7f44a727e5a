// Who gets which job, and what becomes of it.
import type { Board, Finding, Panel } from '../board'
import { count, plural } from '../format'
import { Empty, Facts } from '../ui/parts'
import { Table } from '../ui/table'
import { jobMoves, jobRefusals } from '../words'

function findings ({ snapshot: { dispatcher }, history }: Board): Finding[] {
  return Object.keys(dispatcher?.jobs.refused ?? {}).flatMap(reason => {
    const grown = history.grown(s => s.dispatcher?.jobs.refused[reason] ?? 0)
    const [why, todo] = jobRefusals[reason] ?? [reason, 'The log says more.']
    return grown > 0 ? [{ level: 'watch' as const, text: `${plural(grown, 'job was', 'jobs were')} refused in the last minute: ${why}.`, todo }] : []
  })
}

function View ({ board: { snapshot: { dispatcher }, history } }: { board: Board }) {
  if (!dispatcher) return <Empty>{'There is nothing to hand out without workers.'}</Empty>
  const { jobs, sessions } = dispatcher
  const rows = [
    ...Object.entries(jobs.refused).map(([reason, total]) => ({ kind: 'refused', reason, words: jobRefusals[reason]?.[0] ?? reason, total,
      recent: history.grown(s => s.dispatcher?.jobs.refused[reason] ?? 0) })),
    ...Object.entries(jobs.reassigned).map(([reason, total]) => ({ kind: 'moved', reason, words: jobMoves[reason] ?? reason, total,
      recent: history.grown(s => s.dispatcher?.jobs.reassigned[reason] ?? 0) }))
  ].filter(row => row.total > 0)
  return (
    <>
      <Facts facts={[
        ['Jobs in work', count(jobs.in_flight)],
        ['Waiting', count(jobs.waiting)],
        ['Done', count(jobs.done)],
        ['Failed', count(jobs.failed)],
        ['Open sessions', count(sessions.open)],
        ['Subscriptions', count(sessions.subscriptions)],
        ['Delivered', count(sessions.delivered)],
        ['Published', count(sessions.published)],
        ['Moved to another worker', count(sessions.moved)],
        ['Given up by clients', count(jobs.abandoned)]
      ]} />
      {rows.length > 0
        ? <Table caption="Jobs refused, and jobs moved to another worker" rows={rows} keyOf={row => row.kind + row.reason}
            columns={[
              { name: 'Jobs', cell: row => <>{row.kind}: {row.words}</> },
              { name: 'Last minute', isNumber: true, cell: row => count(row.recent) },
              { name: 'Since the start', isNumber: true, cell: row => count(row.total) }
            ]} />
        : <p class="quiet">No job was refused, and none had to move.</p>}
    </>
  )
}

export const dispatcher: Panel = {
  id: 'dispatcher',
  title: 'Dispatcher',
  summary: ({ snapshot: { dispatcher } }) => dispatcher
    ? { level: 'ok', words: dispatcher.jobs.waiting > 0 ? `${count(dispatcher.jobs.waiting)} waiting` : plural(dispatcher.sessions.open, 'session') }
    : { level: 'off', words: 'no workers' },
  findings,
  View
}
