import { render } from 'preact'
import { useCallback, useState } from 'preact/hooks'
import { App } from './app'
import { forget, restore, type Session } from './session'
import { SignIn } from './sign_in'
import { startTheme } from './theme'
import './style.css'

function Root ({ first }: { first: Session | null }) {
  const [session, enter] = useState(first)
  const [why, setWhy] = useState('')
  const leave = useCallback((sentence: string) => {
    forget()
    setWhy(sentence)
    enter(null)
  }, [])
  return session === null ? <SignIn why={why} enter={enter} /> : <App session={session} leave={leave} />
}

startTheme()
render(<Root first={restore()} />, document.getElementById('app')!)
// A link with another token, in a tab that has the page already.
window.addEventListener('hashchange', () => { if (location.hash.startsWith('#token=')) location.reload() })
