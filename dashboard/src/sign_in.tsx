// Asks who you are: a token, a key that a browser extension keeps, or a certificate that the browser does.
import { useEffect, useState } from 'preact/hooks'
import { canSign, keep, shown, signed, type Session } from './session'
import { Prose } from './ui/parts'

const EXTENSION_WAIT_MS = 2000

export function SignIn ({ why, enter }: { why: string, enter: (session: Session) => void }) {
  const [token, setToken] = useState('')
  const [hasSigner, setSigner] = useState(canSign)
  // Extensions put themselves into the page after it is there.
  useEffect(() => {
    const timer = window.setInterval(() => setSigner(canSign()), 200)
    const end = window.setTimeout(() => window.clearInterval(timer), EXTENSION_WAIT_MS)
    return () => { window.clearInterval(timer); window.clearTimeout(end) }
  }, [])
  return (
    <main class="alone">
      <h1>Holdfast</h1>
      <p>To see how this gateway does, and to steer it.</p>
      <form onSubmit={event => { event.preventDefault(); if (token.trim()) enter(keep({ token: token.trim() })) }}>
        <label for="token">Token</label>
        <div class="field">
          <input id="token" type="password" autocomplete="current-password" spellcheck={false} required autofocus
            aria-describedby={why ? 'why token-help' : 'token-help'} aria-invalid={why !== ''}
            value={token} onInput={event => setToken(event.currentTarget.value)} />
          <button type="submit" class="primary">Sign in</button>
        </div>
        {why && <p id="why" class="fault" role="alert">{why}</p>}
        <p id="token-help" class="quiet"><Prose>{'It is in the file of `admin.token_file`. On the gateway’s machine `holdfast admin link` prints an address that signs in by itself. The token is kept for this tab only.'}</Prose></p>
      </form>
      {hasSigner && <>
        <h2>Or with your Nostr key</h2>
        <p class="quiet">Your extension signs each request. The gateway lets in the keys of <code>admin.keys</code>.</p>
        <button type="button" onClick={() => enter(keep(signed))}>Sign in with the extension</button>
      </>}
      {location.protocol === 'https:' && <>
        <h2>Or with your certificate</h2>
        <p class="quiet">Your browser shows it when it connects. The gateway lets in those that <code>admin.certificates</code> names.</p>
        <button type="button" onClick={() => enter(keep(shown))}>Sign in with the certificate</button>
      </>}
    </main>
  )
}
