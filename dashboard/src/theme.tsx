// Light or dark: as the system has it, unless chosen here.
import { useState } from 'preact/hooks'

type Theme = 'system' | 'light' | 'dark'
const KEY = 'holdfast.theme'
const dark = matchMedia('(prefers-color-scheme: dark)')

const chosen = (): Theme => {
  const theme = localStorage.getItem(KEY)
  return theme === 'light' || theme === 'dark' ? theme : 'system'
}

function apply (): void {
  const theme = chosen()
  document.documentElement.dataset.theme = theme === 'system' ? (dark.matches ? 'dark' : 'light') : theme
}

export function startTheme (): void {
  apply()
  dark.addEventListener('change', apply)
}

export function ThemeChoice () {
  const [theme, setTheme] = useState(chosen)
  const choose = (theme: Theme) => {
    localStorage.setItem(KEY, theme)
    setTheme(theme)
    apply()
  }
  return (
    <select aria-label="Colours" value={theme} onChange={event => choose(event.currentTarget.value as Theme)}>
      <option value="system">System colours</option>
      <option value="light">Light</option>
      <option value="dark">Dark</option>
    </select>
  )
}
