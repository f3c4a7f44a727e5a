// What was done, for a while, and the way back where there is one. Never while it is looked at.
import { useEffect, useRef } from 'preact/hooks'

const SHOWN_MS = 8000
const UNDO_SHOWN_MS = 20000

export interface Toast {
  id: number
  text: string
  undo?: () => void
}

function Item ({ toast, close }: { toast: Toast, close: () => void }) {
  const timer = useRef(0)
  const wait = () => { timer.current = window.setTimeout(close, toast.undo ? UNDO_SHOWN_MS : SHOWN_MS) }
  const hold = () => window.clearTimeout(timer.current)
  useEffect(() => { wait(); return hold }, [])
  return (
    <li onPointerEnter={hold} onPointerLeave={wait} onFocusIn={hold} onFocusOut={wait}
      onKeyDown={event => { if (event.key === 'Escape') close() }}>
      <span>{toast.text}</span>
      {toast.undo && <button type="button" onClick={() => { close(); toast.undo!() }}>Undo</button>}
      <button type="button" class="bare" aria-label="Dismiss" onClick={close}>
        <svg viewBox="0 0 14 14" width="14" height="14" aria-hidden="true"><path d="M3 3l8 8M11 3l-8 8" stroke="currentColor" /></svg>
      </button>
    </li>
  )
}

export const Toasts = ({ toasts, close }: { toasts: Toast[], close: (id: number) => void }) =>
  <section class="toasts" aria-label="What was done">
    <ul role="status">{toasts.map(toast => <Item key={toast.id} toast={toast} close={() => close(toast.id)} />)}</ul>
  </section>
