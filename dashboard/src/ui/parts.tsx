// The small parts that panels are made of.
import type { ComponentChildren } from 'preact'
import type { Board, Level } from '../board'
import { short } from '../format'

const shapes: Record<Level, ComponentChildren> = {
  ok: <path d="M2.5 7.5l3 3 6-7" fill="none" stroke="currentColor" stroke-width="2" />,
  off: <path d="M3 7h8" fill="none" stroke="currentColor" stroke-width="2" />,
  watch: <path d="M7 1.2L13.4 12.8H.6zM6.2 5v4h1.6V5zm0 5v1.6h1.6V10z" fill="currentColor" fill-rule="evenodd" />,
  bad: <path d="M4.3.8h5.4l3.5 3.5v5.4l-3.5 3.5H4.3L.8 9.7V4.3zM4 5.1L5.9 7 4 8.9 5.1 10 7 8.1 8.9 10 10 8.9 8.1 7 10 5.1 8.9 4 7 5.9 5.1 4z"
    fill="currentColor" fill-rule="evenodd" />
}

const names: Record<Level, string> = { ok: 'as it should be', off: 'off', watch: 'worth a look', bad: 'not right' }

// A shape for those who do not see colours, a word for those who do not see shapes.
export const Mark = ({ level, named = true }: { level: Level, named?: boolean }) =>
  <span class={`mark ${level}`}>
    <svg viewBox="0 0 14 14" width="14" height="14" aria-hidden="true">{shapes[level]}</svg>
    {named && <span class="unseen">{names[level]}</span>}
  </span>

export const State = ({ level, children }: { level: Level, children: ComponentChildren }) =>
  <span class="state"><Mark level={level} named={false} />{children}</span>

// Of one thing, a name and its value.
export const Facts = ({ facts }: { facts: [string, ComponentChildren][] }) =>
  <dl class="facts">{facts.map(([name, value]) => <div key={name}><dt>{name}</dt><dd>{value}</dd></div>)}</dl>

// Text in which what stands between `backticks` is code.
export const Prose = ({ children }: { children: string }) =>
  <>{children.split('`').map((part, index) => index % 2 === 1 ? <code class="command" key={index}>{part}</code> : part)}</>

// Why there is nothing, and what to do about it.
export const Empty = ({ children }: { children: string | string[] }) =>
  <div class="empty">{[children].flat().map(text => <p key={text}><Prose>{text}</Prose></p>)}</div>

async function copy (text: string): Promise<void> {
  if (navigator.clipboard) return await navigator.clipboard.writeText(text)
  const area = document.body.appendChild(document.createElement('textarea'))
  area.value = text
  area.select()
  document.execCommand('copy')
  area.remove()
}

// Shortened, whole when it is copied. `of` says whose it is.
export const Key = ({ value, of, board }: { value: string, of: string, board: Board }) =>
  <span class="key">
    <code title={value}>{short(value)}</code>
    <button type="button" class="bare" aria-label={`Copy ${of}`} title="Copy"
      onClick={() => { void copy(value).then(() => board.tell(`Copied ${of}.`), () => board.tell(`It cannot be copied here: ${value}`)) }}>
      <svg viewBox="0 0 14 14" width="14" height="14" aria-hidden="true">
        <path d="M4.5 4.5v-3h8v8h-3M1.5 4.5h8v8h-8z" fill="none" stroke="currentColor" />
      </svg>
    </button>
  </span>

// A part of a whole, with words beside it.
export const Meter = ({ part, level, label }: { part: number, level: Level, label: string }) =>
  <svg class={`meter ${level}`} role="img" aria-label={label} viewBox="0 0 100 6" preserveAspectRatio="none">
    <rect class="whole" width="100" height="6" />
    <rect class="part" width={Math.min(100, Math.max(part > 0 ? 0.7 : 0, part * 100))} height="6" />
  </svg>
