// Asks before something is done, says what will happen, and shows when it cannot be.
import { useEffect, useRef, useState } from 'preact/hooks'
import type { Act, Prepared } from '../board'

interface Properties {
  act: Act
  close: () => void
  done: (text: string, act: Act) => void
}

interface Stage extends Pick<Prepared, 'says' | 'more'> {
  name: 'preparing' | 'ready' | 'running' | 'impossible'
  fault?: string
}

const sentence = (error: unknown): string => error instanceof Error && error.message !== 'Failed to fetch' ? error.message
  : 'The gateway does not answer. Whether it was done is not known: look at the audit log when it is back.'

export function ActDialog ({ act, close, done }: Properties) {
  const dialog = useRef<HTMLDialogElement>(null)
  const [stage, setStage] = useState<Stage>({ name: act.prepare ? 'preparing' : 'ready', says: [] })
  const [isMore, setMore] = useState(false)

  useEffect(() => {
    dialog.current!.showModal()
    act.prepare?.().then(
      ({ possible, ...prepared }) => setStage({ name: possible ? 'ready' : 'impossible', ...prepared }),
      error => setStage({ name: 'impossible', says: [], fault: sentence(error) }))
  }, [act])

  async function confirm (): Promise<void> {
    setStage({ ...stage, name: 'running' })
    try {
      const text = await act.run(isMore)
      dialog.current?.close()
      done(text, act)
    } catch (error) {
      setStage({ ...stage, name: 'ready', fault: sentence(error) })
    }
  }

  return (
    <dialog ref={dialog} aria-labelledby="act-title" aria-describedby="act-says" onClose={close}>
      <form method="dialog" onSubmit={event => { event.preventDefault(); void confirm() }}>
        <h2 id="act-title">{act.title}</h2>
        <div id="act-says" aria-live="polite">
          {act.says.map(text => <p key={text}>{text}</p>)}
          {stage.name === 'preparing' && <p>Asking the gateway…</p>}
          {stage.says.map(text => <p key={text}>{text}</p>)}
          {act.undo && <p class="quiet">It can be undone.</p>}
        </div>
        {stage.more && <label class="more"><input type="checkbox" checked={isMore} onChange={event => setMore(event.currentTarget.checked)} /> {stage.more}</label>}
        {stage.fault && <p class="fault" role="alert">{stage.fault}</p>}
        <div class="buttons">
          <button type="button" autofocus onClick={() => dialog.current!.close()}>{stage.name === 'impossible' ? 'Close' : 'Cancel'}</button>
          {stage.name !== 'impossible' &&
            <button type="submit" class={act.isDangerous ? 'danger' : 'primary'} disabled={stage.name !== 'ready'}>
              {stage.name === 'running' ? 'Doing it…' : act.confirm}
            </button>}
        </div>
      </form>
    </dialog>
  )
}
