// What was refused to those who publish, and why.
import type { Board, Finding, Panel } from '../board'
import { count, plural } from '../format'
import { Table } from '../ui/table'
import { eventRefusals } from '../words'

function findings ({ history }: Board): Finding[] {
  const errors = history.grown(s => s.refusals.error ?? 0)
  return errors > 0 ? [{
    level: 'bad',
    text: `${plural(errors, 'event was', 'events were')} refused in the last minute for no fault of the publisher’s.`,
    todo: 'Mostly the disk: look at Store, and at the log.'
  }] : []
}

function View ({ board: { snapshot, history } }: { board: Board }) {
  const rows = Object.entries(snapshot.refusals).map(([reason, total]) => ({ reason, total, recent: history.grown(s => s.refusals[reason] ?? 0) }))
    .sort((a, b) => b.total - a.total)
  return (
    <Table caption="Refusals by reason" rows={rows} keyOf={row => row.reason}
      columns={[
        { name: 'Reason', cell: ({ reason }) => <><code>{reason}</code> <span class="quiet">{eventRefusals[reason]}</span></> },
        { name: 'Last minute', isNumber: true, cell: row => count(row.recent) },
        { name: 'Since the start', isNumber: true, cell: row => count(row.total) }
      ]} />
  )
}

const total = (board: Board) => Object.keys(board.snapshot.refusals).reduce((sum, reason) => sum + board.history.grown(s => s.refusals[reason] ?? 0), 0)

export const refusals: Panel = {
  id: 'refusals',
  title: 'Refusals',
  summary: board => ({ level: 'ok', words: `${count(total(board))} in a minute` }),
  findings,
  View
}
