// A table that becomes a list of cards where there is no room for it. The roles are written out because that takes them from the elements.
import type { ComponentChildren } from 'preact'

export interface Column<Row> {
  name: string
  cell: (row: Row) => ComponentChildren
  isNumber?: boolean
  // The heading is for screen readers only: what stands there explains itself.
  isPlain?: boolean
}

export interface TableProperties<Row> {
  caption: string
  columns: Column<Row>[]
  rows: Row[]
  keyOf: (row: Row) => string | number
}

// The first column is what the row is about.
export function Table<Row> ({ caption, columns, rows, keyOf }: TableProperties<Row>) {
  return (
    <table role="table">
      <caption class="unseen">{caption}</caption>
      <thead role="rowgroup">
        <tr role="row">{columns.map(({ name, isNumber, isPlain }) =>
          <th key={name} role="columnheader" scope="col" class={isNumber ? 'number' : ''}>
            {isPlain ? <span class="unseen">{name}</span> : name}
          </th>)}
        </tr>
      </thead>
      <tbody role="rowgroup">{rows.map(row =>
        <tr key={keyOf(row)} role="row">{columns.map((column, index) => index === 0
          ? <th key={column.name} role="rowheader" scope="row">{column.cell(row)}</th>
          : <td key={column.name} role="cell" class={(column.isNumber ? 'number' : '') + (column.isPlain ? ' plain' : '')}>
              {!column.isPlain && <span class="cell-name" aria-hidden="true">{column.name}</span>}
              <span class="cell-value">{column.cell(row)}</span>
            </td>)}
        </tr>)}
      </tbody>
    </table>
  )
}
