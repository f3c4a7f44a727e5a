// The connection with the gateway, and what came over it. It says within three seconds when nothing comes any more, and tries again.
import { History, type Measures } from './history'
import type { Message } from './messages'
import { postLines, Refused, type Session } from './session'
import type { AuditRecord, Snapshot } from './snapshot'
import { follow } from './stream'

const SILENCE_MS = 2600
const WAIT_FIRST_MS = 500
const WAIT_MAX_MS = 10000
const CROWDED_WAIT_MS = 20000
const AUDIT_MAX = 200

export type Link =
  | { phase: 'connecting' }
  | { phase: 'live' }
  | { phase: 'lost', since: number, why: string, tryAt: number | null }

export interface LiveEvents {
  changed: () => void
  back: (afterMs: number, restarted: boolean) => void
  refused: (sentence: string) => void
}

export class Live {
  link: Link = { phase: 'connecting' }
  snapshot: Snapshot | null = null
  heardAt = 0
  audit: AuditRecord[] = []
  readonly session: Session
  readonly history: History
  private readonly events: LiveEvents
  private attempt = 0
  private waitingSince = 0
  private stop = new AbortController()
  private timer = 0
  private readonly watch: number

  constructor (session: Session, measures: Measures, events: LiveEvents) {
    this.session = session
    this.events = events
    this.history = new History(measures)
    this.watch = window.setInterval(() => this.look(), 250)
    document.addEventListener('visibilitychange', this.onVisible)
    window.addEventListener('online', this.tryNow)
    void this.connect()
  }

  close (): void {
    this.events.changed = this.events.back = this.events.refused = () => {}
    window.clearInterval(this.watch)
    window.clearTimeout(this.timer)
    document.removeEventListener('visibilitychange', this.onVisible)
    window.removeEventListener('online', this.tryNow)
    const stop = this.stop
    this.stop = new AbortController()
    stop.abort()
  }

  // How old what is shown is.
  ageMs (): number {
    return this.snapshot ? performance.now() - this.heardAt : 0
  }

  readonly tryNow = (): void => {
    if (this.link.phase !== 'lost' || this.link.tryAt === null) return
    window.clearTimeout(this.timer)
    void this.connect()
  }

  // A tab that was hidden may have been put to sleep, with what came still waiting for it.
  private readonly onVisible = (): void => {
    if (document.hidden) return
    this.heardAt = performance.now()
    this.tryNow()
    this.events.changed()
  }

  private async connect (): Promise<void> {
    const stop = this.stop = new AbortController()
    if (this.link.phase === 'lost') this.link = { ...this.link, tryAt: null }
    this.heardAt = this.snapshot ? this.heardAt : performance.now()
    this.waitingSince = performance.now()
    this.events.changed()
    try {
      await follow(this.session, message => this.take(message), stop.signal)
      this.lose(stop, 'The gateway ended the connection.')
    } catch (error) {
      this.fail(stop, error)
    }
  }

  private fail (stop: AbortController, error: unknown): void {
    const isFirst = this.snapshot === null
    if (error instanceof Refused && (error.status === 0 || error.status === 401 || (isFirst && error.status < 500))) {
      this.events.refused(error.status === 401 && !isFirst ? 'The gateway does not take this sign-in any more.' : error.message)
    } else if (error instanceof Refused) {
      this.lose(stop, error.message, error.status === 429 || error.status === 503 ? CROWDED_WAIT_MS : 0)
    } else {
      this.lose(stop, 'The gateway does not answer.')
    }
  }

  private lose (stop: AbortController, why: string, waitMinMs = 0): void {
    if (stop !== this.stop) return
    stop.abort()
    this.stop = new AbortController()
    const backoff = Math.min(WAIT_MAX_MS, WAIT_FIRST_MS * 2 ** this.attempt++) * (0.8 + Math.random() * 0.4)
    const wait = Math.max(waitMinMs, backoff)
    if (this.snapshot?.draining) why = 'The gateway was told to end, and has ended.'
    const since = this.link.phase === 'lost' ? this.link.since : this.snapshot ? this.heardAt : performance.now()
    this.link = { phase: 'lost', since, why, tryAt: performance.now() + wait }
    this.timer = window.setTimeout(() => void this.connect(), wait)
    this.events.changed()
  }

  // Four times a second: has it gone silent? What is lost is shown with its age, so that changes by itself.
  private look (): void {
    const now = performance.now()
    const isWaiting = this.link.phase === 'live' || this.link.phase === 'connecting' || this.link.tryAt === null
    const silentMs = now - Math.max(this.link.phase === 'live' ? this.heardAt : 0, this.waitingSince)
    if (isWaiting && silentMs > (this.link.phase === 'live' ? SILENCE_MS : 3 * SILENCE_MS)) {
      this.lose(this.stop, 'Nothing has come from the gateway.')
    } else if (this.link.phase === 'lost') {
      this.events.changed()
    }
  }

  private take ({ event, data }: Message): void {
    const now = performance.now()
    if (event === 'snapshot') {
      const snapshot = JSON.parse(data) as Snapshot
      const restarted = this.snapshot !== null && snapshot.up_ms < this.snapshot.up_ms
      this.snapshot = snapshot
      this.heardAt = now
      this.history.add(snapshot)
      this.arrive(restarted)
    } else if (event === 'audit') {
      this.addAudit([JSON.parse(data) as AuditRecord])
    }
    this.events.changed()
  }

  private arrive (restarted: boolean): void {
    const before = this.link
    this.attempt = 0
    this.link = { phase: 'live' }
    if (before.phase === 'lost') this.events.back(performance.now() - before.since, restarted)
    if (before.phase !== 'live' && this.snapshot!.audit) void this.loadAudit()
  }

  private async loadAudit (): Promise<void> {
    try {
      this.addAudit(await postLines<AuditRecord>(this.session, 'audit/tail', { count: AUDIT_MAX / 2 }))
      this.events.changed()
    } catch {
      // What comes from now on is shown all the same.
    }
  }

  private addAudit (records: AuditRecord[]): void {
    const known = new Set(this.audit.map(record => record.seq))
    const added = records.filter(record => typeof record.seq === 'number' && !known.has(record.seq))
    this.audit = [...this.audit, ...added].sort((a, b) => b.seq - a.seq).slice(0, AUDIT_MAX)
  }
}
