// Clients as there are: publishers on nostr-tools, subscribers on ws, and those that sit at a relay's own home.
import WebSocket from 'ws'
import { Relay, useWebSocketImplementation } from 'nostr-tools/relay'
import { now, sleep } from '../../interop/lib/client.mjs'

export const OVERLAP_S = 60
const PATIENCE_MS = 20000 // how long a publisher says an event again until it gives it up
const IN_FLIGHT_MAX = 40
const BEACON = 20001 // ephemeral: it is where it was published, and nowhere later

useWebSocketImplementation(WebSocket)

// A WebSocket that comes again. Not compressed: Node inflates on the threads that sync the follower's files, and waits for them.
class Steady {
  constructor (url) {
    this.url = url
    this.isEnding = false
    this.delay = 100
    this.connect()
  }

  connect () {
    this.isOpen = false
    const socket = this.socket = new WebSocket(this.url, { handshakeTimeout: 5000, perMessageDeflate: false })
    socket.on('open', () => { this.isOpen = true; this.opened() })
    socket.on('message', data => { this.delay = 100; if (socket === this.socket) this.take(JSON.parse(data)) })
    socket.on('error', () => {})
    socket.on('close', () => {
      this.isOpen = false
      this.lost()
      if (!this.isEnding) setTimeout(() => this.isEnding || this.connect(), this.delay)
      this.delay = Math.min(this.delay * 2, 1000)
    })
  }

  opened () {}
  lost () {}
  take () {}
  send (message) { if (this.isOpen) this.socket.send(JSON.stringify(message)) }

  end () {
    this.isEnding = true
    this.socket.terminate()
  }
}

export class Subscriber extends Steady {
  constructor (ledger, name, relay, url, author) {
    super(url)
    Object.assign(this, { ledger, name, relay, author, start: now() - 10, lastSeen: 0, number: 0, seen: new Set(), here: new Set(), isSubscribed: false })
    this.got = new Set() // over all its connections
    this.reopened = 0
  }

  opened () { this.subscribe() }
  lost () { this.isSubscribed = false }

  subscribe () {
    this.id = `s${++this.number}`
    this.here = new Set()
    this.isSubscribed = true
    this.send(['REQ', this.id, { kinds: [1, BEACON], authors: [this.author], since: Math.max(this.start, this.lastSeen - OVERLAP_S) }])
  }

  take ([type, id, value]) {
    if (id !== this.id) return
    if (type === 'CLOSED') {
      this.isSubscribed = false
      this.reopened++
      this.ledger.refused(`CLOSED ${value}`)
      setTimeout(() => this.isOpen && !this.isSubscribed && this.subscribe(), 300)
    }
    if (type !== 'EVENT') return
    if (this.here.has(value.id)) this.ledger.violate(`${this.name} got ${value.id} twice within ${id}: ${value.content}`)
    this.here.add(value.id)
    this.got.add(value.id)
    if (value.kind === 1) this.lastSeen = Math.max(this.lastSeen, value.created_at)
    this.ledger.delivered(this, value.id)
  }
}

export class Publisher {
  constructor (ledger, name, relay, url, author) {
    Object.assign(this, { ledger, name, relay, url, author, count: 0, inFlight: 0, givenUp: 0 })
  }

  begin (everyMs) { this.timer = setInterval(() => { if (this.inFlight < IN_FLIGHT_MAX) this.publish(`${this.name} ${++this.count}`) }, everyMs) }
  stop () { clearInterval(this.timer) }

  async connection () {
    if (!this.connecting || this.failed) {
      this.failed = false
      this.connecting = Relay.connect(this.url).then(relay => {
        relay.publishTimeout = 5000
        relay.onclose = () => { this.failed = true }
        relay.onnotice = () => {}
        return relay
      })
      this.connecting.catch(() => { this.failed = true })
    }
    return this.connecting
  }

  // Its id when it was answered OK true; null when it was given up.
  async publish (content, patienceMs = PATIENCE_MS) {
    const event = this.author.event({ content })
    this.ledger.note(event, this.relay)
    this.inFlight++
    try {
      for (const end = performance.now() + patienceMs; performance.now() < end; await sleep(300)) {
        try {
          const relay = await this.connection()
          await relay.publish(event)
          this.ledger.acked.set(event.id, this.relay)
          return event.id
        } catch (error) {
          this.ledger.refused(String(error?.message ?? error?.type ?? error))
        }
      }
      this.givenUp++
      return null
    } finally {
      this.inFlight--
    }
  }

  async end () {
    this.stop()
    const relay = await Promise.resolve(this.connecting).catch(() => null)
    relay?.close()
  }
}

// At the machine that has the relay: sends beacons, which reach whoever is served from there, and copies to the relay's other homes what
// comes new, as the members' own replication would do.
export class Home extends Steady {
  constructor (ledger, relay, name, url, author) {
    super(url)
    Object.assign(this, { ledger, relay, name, author, others: [], owed: new Map(), has: new Set(), since: now() - 10 })
  }

  copyTo (others) {
    this.others = others
    this.timer = setInterval(() => { for (const event of this.owed.values()) this.send(['EVENT', event]) }, 1000)
    if (this.isOpen) this.opened()
  }

  opened () {
    if (!this.others?.length) return
    this.send(['REQ', 'all', { kinds: [1], since: this.since - 300 }])
    for (const event of this.owed.values()) this.send(['EVENT', event])
  }

  take ([type, id, value]) {
    if (type === 'EVENT') {
      this.since = Math.max(this.since, value.created_at)
      this.have(value.id)
      for (const other of this.others) other.owe(value)
    }
    if (type === 'OK' && value === true) this.have(id)
  }

  have (id) {
    this.has.add(id)
    this.owed.delete(id)
  }

  owe (event) {
    if (this.has.has(event.id) || this.owed.has(event.id)) return
    this.owed.set(event.id, event)
    this.send(['EVENT', event])
  }

  makeBeacon () {
    const event = this.author.event({ kind: BEACON, content: `${this.name} ${++this.ledger.beacons}` })
    this.ledger.note(event, this.relay)
    return event
  }

  beacon () {
    const event = this.makeBeacon()
    this.send(['EVENT', event])
    return event.id
  }

  end () {
    clearInterval(this.timer)
    super.end()
  }
}
