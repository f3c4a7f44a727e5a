// The page: who it is about, how it is, and all panels.
import { useCallback, useEffect, useRef, useState } from 'preact/hooks'
import { judge, type Act, type Board, type Finding, type Judgement, type Level } from './board'
import { clock, inWords, span } from './format'
import { Live, type Link } from './live'
import { panels } from './panels'
import type { Session } from './session'
import { ThemeChoice } from './theme'
import { ActDialog } from './ui/dialog'
import { Mark, Prose } from './ui/parts'
import { Toasts, type Toast } from './ui/toasts'

const measures = Object.assign({}, ...panels.map(panel => panel.measures ?? {}))

export function App ({ session, leave }: { session: Session, leave: (sentence: string) => void }) {
  const [, redraw] = useState(0)
  const [act, propose] = useState<Act | null>(null)
  const [toasts, setToasts] = useState<Toast[]>([])
  const nextToast = useRef(1)

  const tell = useCallback((text: string, undo?: () => void) => {
    const toast = { id: nextToast.current++, text, ...(undo && { undo }) }
    setToasts(toasts => [...toasts.slice(-3), toast])
  }, [])
  const live = useRef<Live | undefined>(undefined)
  useEffect(() => {
    live.current = new Live(session, measures, {
      changed: () => { if (!document.hidden) redraw(turn => turn + 1) },
      back: (afterMs, restarted) => tell(`Connected again after ${span(afterMs)}.` + (restarted ? ' The gateway was started anew: counters begin at 0.' : '')),
      refused: leave
    })
    redraw(turn => turn + 1)
    return () => live.current?.close()
  }, [session])

  const snapshot = live.current?.snapshot
  useEffect(() => {
    document.title = (snapshot?.relays[0]?.title || 'Holdfast') + (live.current?.link.phase === 'lost' ? ' – no connection' : '')
  })
  if (!live.current || !snapshot) return <Waiting link={live.current?.link} leave={() => leave('')} tryNow={() => live.current?.tryNow()} />

  const board: Board = { live: live.current, snapshot, history: live.current.history, propose, tell }
  const judgements = panels.map(panel => judge(panel, board))
  const done = (text: string, { undo }: Act) => tell(text, undo && (() => {
    undo().then(text => tell(text), error => tell(error instanceof Error ? error.message : String(error)))
  }))
  const isStale = live.current.link.phase !== 'live'
  return (
    <>
      <a class="skip" href="#panels">Skip to the panels</a>
      <Header board={board} leave={() => leave('')} />
      <LinkBar live={live.current} />
      <main class={`page${isStale ? ' stale' : ''}`}>
        <Verdict board={board} judgements={judgements} />
        <Contents judgements={judgements} />
        <div id="panels" class="panels" tabIndex={-1}>{judgements.map(({ panel, level, findings }) =>
          <section key={panel.id} id={panel.id} class={`panel${panel.isWide ? ' wide' : ''}`} aria-labelledby={`${panel.id}-title`}>
            <h2 id={`${panel.id}-title`}>{panel.title}{level !== 'ok' && level !== 'off' && <Mark level={level} />}</h2>
            {findings.length > 0 && <ul class="notes">{findings.map(finding => <Note key={finding.text} finding={finding} />)}</ul>}
            <panel.View board={board} />
          </section>)}
        </div>
      </main>
      {act && <ActDialog act={act} close={() => propose(null)} done={done} />}
      <Toasts toasts={toasts} close={id => setToasts(toasts => toasts.filter(toast => toast.id !== id))} />
    </>
  )
}

const Contents = ({ judgements }: { judgements: Judgement[] }) =>
  <nav aria-label="Panels">
    <ul>{judgements.map(({ panel, level, words }) => <li key={panel.id}>
      <a href={`#${panel.id}`}><Mark level={level} /><span class="nav-title">{panel.title}</span><span class="nav-words">{words}</span></a>
    </li>)}</ul>
  </nav>

function Waiting ({ link, leave, tryNow }: { link: Link | undefined, leave: () => void, tryNow: () => void }) {
  return (
    <main class="alone">
      <h1>Holdfast</h1>
      <p role="status">{link?.phase === 'lost' ? `${link.why} It is tried again by itself.` : 'Connecting with the gateway…'}</p>
      {link?.phase === 'lost' && <div class="buttons">
        <button type="button" class="primary" onClick={tryNow}>Try now</button>
        <button type="button" onClick={leave}>Sign in otherwise</button>
      </div>}
    </main>
  )
}

function Header ({ board: { live, snapshot }, leave }: { board: Board, leave: () => void }) {
  const relay = snapshot.relays[0]
  return (
    <header>
      <div class="name">
        <h1>{relay?.title || 'Holdfast'}</h1>
        <p>{relay?.url || location.host}</p>
      </div>
      <p class="about">
        <span class={`link ${live.link.phase}`}><i />{live.link.phase === 'live' ? 'Live' : 'Not connected'}</span>
        <span>up {span(snapshot.up_ms)}</span>
        <span>Holdfast {snapshot.version}</span>
      </p>
      <div class="controls">
        <ThemeChoice />
        <button type="button" onClick={leave}>Sign out</button>
      </div>
    </header>
  )
}

// Said once, when the connection is lost; how long ago is for the eyes.
function LinkBar ({ live }: { live: Live }) {
  const { link } = live
  const now = performance.now()
  return (
    <div class="link-bar" role="alert">
      {link.phase === 'lost' && <div>
        <p><Mark level="bad" named={false} /><b>No connection with the gateway.</b> {link.why}
          <span aria-hidden="true"> The figures are {span(Math.max(0, Math.floor(live.ageMs() / 1000) * 1000))} old.
            {' '}{link.tryAt === null ? 'Trying…' : `Next try in ${Math.max(0, Math.ceil((link.tryAt - now) / 1000))} s.`}</span></p>
        <button type="button" disabled={link.tryAt === null} onClick={live.tryNow}>Try now</button>
      </div>}
    </div>
  )
}

const Note = ({ finding: { level, text, todo } }: { finding: Finding }) =>
  <li><Mark level={level} /><p><Prose>{text}</Prose> <span class="todo"><Prose>{todo}</Prose></span></p></li>

// The answer to the first question: is it well, and if not, what is it?
function Verdict ({ board: { live, snapshot }, judgements }: { board: Board, judgements: Judgement[] }) {
  const unclaimed = snapshot.health.reasons.filter(({ name }) => !panels.some(panel => panel.reasons?.[name]))
    .map(({ why }): Finding => ({ level: 'watch', text: why, todo: '' }))
  const told = [...judgements.flatMap(({ panel, findings }) => findings.map(finding => ({ finding, panel }))), ...unclaimed.map(finding => ({ finding, panel: null }))]
    .sort((a, b) => Number(b.finding.level === 'bad') - Number(a.finding.level === 'bad'))
  const bad = told.filter(({ finding }) => finding.level === 'bad').length
  const level: Level = bad > 0 ? 'bad' : told.length > 0 ? 'watch' : 'ok'
  const isKnown = live.link.phase === 'live'
  const words = isKnown ? verdict(snapshot.draining, bad, told.length - bad) : 'How it is now is not known.'
  return (
    <section class="verdict" aria-labelledby="verdict">
      <h2 id="verdict" aria-live={isKnown ? 'polite' : 'off'}><Mark level={isKnown ? level : 'off'} named={false} />{words}</h2>
      {!isKnown && <p class="quiet">The gateway is not reached; all below is how it was at {clock(snapshot.at)}.</p>}
      {told.length > 0 && <ul>{told.map(({ finding, panel }) => <li key={finding.text}>
        <Mark level={finding.level} />
        <p><Prose>{finding.text}</Prose>{panel && <> <a href={`#${panel.id}`}>{panel.title}</a></>}<span class="todo"><Prose>{finding.todo}</Prose></span></p>
      </li>)}</ul>}
    </section>
  )
}

function verdict (draining: boolean, bad: number, watch: number): string {
  const notRight = `${bad === 1 ? 'One thing is not as it should be' : `${inWords(bad)} things are not as they should be`}`
  if (draining) return 'The gateway is ending.'
  if (bad === 0 && watch === 0) return 'All is as it should be.'
  if (bad === 0) return `It serves; ${inWords(watch).toLowerCase()} ${watch === 1 ? 'thing wants' : 'things want'} a look.`
  return notRight + (watch > 0 ? `, and ${inWords(watch).toLowerCase()} more ${watch === 1 ? 'wants' : 'want'} a look.` : '.')
}
