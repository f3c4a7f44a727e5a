// Many rows: found by what is typed, shown in parts.
import { useState } from 'preact/hooks'
import { count } from '../format'
import { Table, type TableProperties } from './table'

const SHOWN_FIRST = 10
const FOUND_FROM = 5

interface Properties<Row> extends TableProperties<Row> {
  // What is looked at for what is typed.
  words: (row: Row) => string
  // Of how many, in words, while nothing is typed.
  all?: string
}

export function Rows<Row> ({ rows, words, all, ...table }: Properties<Row>) {
  const [filter, setFilter] = useState('')
  const [shown, setShown] = useState(SHOWN_FIRST)
  const found = filter ? rows.filter(row => words(row).toLowerCase().includes(filter.toLowerCase())) : rows
  return (
    <>
      {rows.length > FOUND_FROM && <div class="list-bar">
        <label>Find <input type="search" value={filter} onInput={event => setFilter(event.currentTarget.value)} /></label>
        <span class="quiet" role="status">{filter ? `${count(found.length)} of ${count(rows.length)}` : all ?? `${count(rows.length)} in all`}</span>
      </div>}
      {found.length > 0 && <Table {...table} rows={found.slice(0, shown)} />}
      {found.length > shown && <button type="button" onClick={() => setShown(shown * 4)}>Show more</button>}
    </>
  )
}
