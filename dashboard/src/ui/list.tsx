// A list that the gateway gives when it is asked: asked again when `stamp` changes.
import { useEffect, useRef, useState } from 'preact/hooks'
import type { ComponentChildren } from 'preact'
import type { Board } from '../board'
import { count } from '../format'
import { postPages, signed } from '../session'
import { Rows } from './rows'
import type { Column } from './table'

const SELF_LOADED_MAX = 1000
const LOADED_MAX = 20000
const AGAIN_MS = 1000

interface Properties<Row> {
  board: Board
  path: string
  field: string
  // How many there are, and what changes when they do.
  size: number
  stamp: string
  caption: string
  columns: Column<Row>[]
  keyOf: (row: Row) => string
  // What is looked at for what is typed.
  words: (row: Row) => string
  empty: ComponentChildren
}

export function List<Row> ({ board, path, field, size, stamp, caption, columns, keyOf, words, empty }: Properties<Row>) {
  const [rows, setRows] = useState<Row[] | null>(null)
  const [fault, setFault] = useState('')
  const asked = useRef(0)
  const isSelfLoaded = size <= SELF_LOADED_MAX && board.live.session !== signed
  const isLive = board.live.link.phase === 'live'

  async function load (): Promise<void> {
    const turn = ++asked.current
    try {
      const answer = await postPages<Row>(board.live.session, path, field, LOADED_MAX)
      if (turn === asked.current) { setRows(answer); setFault('') }
    } catch (error) {
      if (turn === asked.current && error instanceof Error) setFault(error.message)
    }
  }

  useEffect(() => {
    if (!isLive || !(isSelfLoaded || rows)) return
    const timer = window.setTimeout(load, rows ? AGAIN_MS : 0)
    return () => window.clearTimeout(timer)
  }, [stamp, isSelfLoaded, isLive])

  if (fault) return <p class="fault">{fault} <button type="button" onClick={() => void load()}>Ask again</button></p>
  if (!rows && isSelfLoaded) return <p class="quiet">Asking the gateway…</p>
  if (!rows) return <button type="button" onClick={() => void load()}>{size > LOADED_MAX ? `Show ${count(LOADED_MAX)} of` : 'Show all'} {count(size)}</button>
  if (rows.length === 0) return <>{empty}</>
  return <Rows caption={caption} columns={columns} rows={rows} keyOf={keyOf} words={words}
    {...(rows.length >= LOADED_MAX && { all: `the first ${count(rows.length)}` })} />
}
