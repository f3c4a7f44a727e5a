// Who asks: a token kept for this tab, a browser extension that signs each request (NIP-07, NIP-98), or the certificate that the browser shows.

interface NostrEvent { kind: number, created_at: number, tags: string[][], content: string }
interface NostrSigner { signEvent: (event: NostrEvent) => Promise<object> }
declare global {
  interface Window { nostr?: NostrSigner }
}

const KEY = 'holdfast.session'
const SIGNED = 'nip07'
const SHOWN = 'certificate'

// By the gateway, with the HTTP status; by the extension, with 0.
export class Refused extends Error {
  readonly status: number

  constructor (status: number, sentence: string) {
    super(sentence)
    this.status = status
  }
}

export type Session = { token: string } | typeof SIGNED | typeof SHOWN

// From the address, which is cleared of it, or from earlier in this tab.
export function restore (): Session | null {
  const token = new URLSearchParams(location.hash.slice(1)).get('token')
  if (token) {
    history.replaceState(null, '', location.pathname + location.search)
    return keep({ token })
  }
  const kept = sessionStorage.getItem(KEY)
  return kept === null ? null : kept === SIGNED || kept === SHOWN ? kept : { token: kept }
}

export function keep (session: Session): Session {
  sessionStorage.setItem(KEY, typeof session === 'string' ? session : session.token)
  return session
}

export const forget = (): void => sessionStorage.removeItem(KEY)
export const canSign = (): boolean => window.nostr !== undefined
export const signed: Session = SIGNED
export const shown: Session = SHOWN

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
  const headers: Record<string, string> = {}
  if (session === SIGNED) headers.authorization = await sign(url, method, text)
  else if (session !== SHOWN) headers.authorization = `Bearer ${session.token}`
  if (body) headers['content-type'] = 'application/json'
  const credentials = session === SHOWN ? 'same-origin' : 'omit'
  const answer = await fetch(url, { method, headers, body: text ?? null, signal: signal ?? null, cache: 'no-store', credentials })
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

// A list that comes in pages: at most so many, and a page's worth more.
export async function postPages<Row> (session: Session, path: string, field: string, most = Infinity): Promise<Row[]> {
  const rows: Row[] = []
  for (let after: string | null | undefined = ''; after != null && rows.length < most;) {
    const page: Record<string, Row[]> & { next?: string | null } = await post(session, path, after ? { after } : {})
    rows.push(...page[field] ?? [])
    after = page.next
  }
  return rows
}

export async function postLines<Line> (session: Session, path: string, body: object): Promise<Line[]> {
  const text = await (await ask(session, path, body)).text()
  return text.split('\n').filter(line => line !== '').map(line => JSON.parse(line) as Line)
}
