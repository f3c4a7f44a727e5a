// Who asks: a token kept for this tab, or a browser extension that signs each request (NIP-07, NIP-98).

interface NostrEvent { kind: number, created_at: number, tags: string[][], content: string }
interface NostrSigner { signEvent: (event: NostrEvent) => Promise<object> }
declare global {
  interface Window { nostr?: NostrSigner }
}

const KEY = 'holdfast.session'
const SIGNED = 'nip07'

// By the gateway, with the HTTP status; by the extension, with 0.
export class Refused extends Error {
  readonly status: number

  constructor (status: number, sentence: string) {
    super(sentence)
    this.status = status
  }
}

export type Session = { token: string } | typeof SIGNED

// From the address, which is cleared of it, or from earlier in this tab.
export function restore (): Session | null {
  const token = new URLSearchParams(location.hash.slice(1)).get('token')
  if (token) {
    history.replaceState(null, '', location.pathname + location.search)
    return keep({ token })
  }
  const kept = sessionStorage.getItem(KEY)
  return kept === null ? null : kept === SIGNED ? SIGNED : { token: kept }
}

export function keep (session: Session): Session {
  sessionStorage.setItem(KEY, session === SIGNED ? SIGNED : session.token)
  return session
}

export const forget = (): void => sessionStorage.removeItem(KEY)
export const canSign = (): boolean => window.nostr !== undefined
export const signed: Session = SIGNED

async function sign (url: string, method: string, body: string | undefined): Promise<string> {
  const tags = [['u', url], ['method', method]]
  if (body !== undefined) {
    if (!crypto.subtle) throw new Refused(0, 'Signing needs https, or a token can be used instead.')
    const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(body)))
    tags.push(['payload', Array.from(digest, byte => byte.toString(16).padStart(2, '0')).join('')])
  }
  if (!window.nostr) throw new Refused(0, 'The extension that signs is not there any more. Reload the page, or use a token.')
  const event = await window.nostr.signEvent({ kind: 27235, created_at: Math.floor(Date.now() / 1000), tags, content: '' })
    .catch(() => { throw new Refused(0, 'The extension did not sign.') })
  return 'Nostr ' + btoa(String.fromCharCode(...new TextEncoder().encode(JSON.stringify(event))))
}

export async function ask (session: Session, path: string, body?: object, signal?: AbortSignal): Promise<Response> {
  const url = location.origin + '/api/admin/' + path
  const text = body && JSON.stringify(body)
  const method = body ? 'POST' : 'GET'
  const authorization = session === SIGNED ? await sign(url, method, text) : `Bearer ${session.token}`
  const headers: Record<string, string> = { authorization }
  if (body) headers['content-type'] = 'application/json'
  const answer = await fetch(url, { method, headers, body: text ?? null, signal: signal ?? null, cache: 'no-store', credentials: 'omit' })
  if (answer.ok) return answer
  throw new Refused(answer.status, await sentenceOf(answer))
}

async function sentenceOf (answer: Response): Promise<string> {
  if (answer.status === 404) return 'This gateway is not administered over HTTP: admin.token_file or admin.keys turns it on.'
  const { error } = await answer.json().catch(() => ({})) as { error?: string }
  return error ?? `The gateway answered with HTTP status ${answer.status}.`
}

export const post = async <Answer>(session: Session, path: string, body: object = {}): Promise<Answer> =>
  await (await ask(session, path, body)).json() as Answer

export async function postLines<Line> (session: Session, path: string, body: object): Promise<Line[]> {
  const text = await (await ask(session, path, body)).text()
  return text.split('\n').filter(line => line !== '').map(line => JSON.parse(line) as Line)
}
