// What a panel is and what it is given. A panel is one file in panels/, and one line in panels/index.ts.
import type { FunctionComponent } from 'preact'
import type { Measures } from './history'
import type { Live } from './live'
import type { Snapshot } from './snapshot'

// off: not turned on, which is no fault.
export type Level = 'ok' | 'off' | 'watch' | 'bad'

// Something that is not as it should be: what, and what to do about it. `Backticks` make code.
export interface Finding {
  level: 'watch' | 'bad'
  text: string
  todo: string
}

export interface Board {
  live: Live
  snapshot: Snapshot
  history: Live['history']
  propose: (act: Act) => void
  tell: (text: string) => void
}

// more: a greater thing that can be chosen instead.
export interface Prepared {
  says: string[]
  possible: boolean
  more?: string
}

// Something that is done after the dialog that says what will happen.
export interface Act {
  title: string
  says: string[]
  confirm: string
  isDangerous?: boolean
  // Asked of the gateway before it can be confirmed.
  prepare?: () => Promise<Prepared>
  // What is said when it is done. isMore: with what `more` says.
  run: (isMore: boolean) => Promise<string>
  undo?: () => Promise<string>
}

export interface Panel {
  id: string
  title: string
  // Over both columns.
  isWide?: boolean
  measures?: Measures
  // Reasons of the gateway's health that belong here, and what to do about each.
  reasons?: Record<string, Pick<Finding, 'level' | 'todo'>>
  // In two or three words, for the list of panels.
  summary: (board: Board) => { level: 'ok' | 'off', words: string }
  findings?: (board: Board) => Finding[]
  View: FunctionComponent<{ board: Board }>
}

export interface Judgement {
  panel: Panel
  level: Level
  words: string
  findings: Finding[]
}

const ranks: Level[] = ['off', 'ok', 'watch', 'bad']

export function judge (panel: Panel, board: Board): Judgement {
  const told = board.snapshot.health.reasons.filter(({ name }) => panel.reasons?.[name])
    .map(({ name, why }) => ({ text: why, ...panel.reasons![name]! }))
  const findings = [...told, ...panel.findings?.(board) ?? []]
  const { level, words } = panel.summary(board)
  const worst = findings.reduce<Level>((worst, { level }) => ranks.indexOf(level) > ranks.indexOf(worst) ? level : worst, level)
  return { panel, level: worst, words, findings }
}
