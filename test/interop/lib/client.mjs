// A raw relay client on the `ws` package: says exactly what the test wants said, and keeps all that comes back.
import WebSocket from 'ws'
import { finalizeEvent, generateSecretKey, getPublicKey } from 'nostr-tools/pure'

export class Client {
  static async connect (url, options = {}) {
    const client = new Client()
    client.messages = []
    client.waiters = []
    client.socket = new WebSocket(url, options)
    client.socket.on('message', data => client.take(JSON.parse(data)))
    client.closed = new Promise(resolve => client.socket.once('close', (code, reason) => {
      client.closeCode = code
      for (const waiter of client.waiters.splice(0)) waiter.reject(new Error(`closed with ${code} ${reason}`))
      resolve(code)
    }))
    await new Promise((resolve, reject) => {
      client.socket.once('open', resolve)
      client.socket.once('error', reject)
    })
    client.socket.on('error', () => {})
    return client
  }

  take (message) {
    this.messages.push(message)
    for (const waiter of [...this.waiters]) {
      if (!waiter.matches(message)) continue
      this.waiters.splice(this.waiters.indexOf(waiter), 1)
      waiter.resolve(message)
    }
  }

  // The next message that matches; not one that came before the call.
  next (matches, timeoutMs = 10000) {
    return new Promise((resolve, reject) => {
      const waiter = { matches, resolve, reject }
      this.waiters.push(waiter)
      setTimeout(() => {
        if (!this.waiters.includes(waiter)) return
        this.waiters.splice(this.waiters.indexOf(waiter), 1)
        reject(new Error(`nothing came; seen: ${JSON.stringify(this.messages.slice(-5))}`))
      }, timeoutMs).unref()
    })
  }

  // The code that it is closed with; not being closed is an error.
  async end (timeoutMs = 30000) {
    const late = new Promise((resolve, reject) => setTimeout(() => reject(new Error('it was not closed')), timeoutMs).unref())
    return Promise.race([this.closed, late])
  }

  send (message) {
    this.socket.send(typeof message === 'string' ? message : JSON.stringify(message))
  }

  // Sends the event and gives [accepted, reason].
  async publish (event, { verb = 'EVENT', timeoutMs } = {}) {
    const answer = this.next(m => m[0] === 'OK' && m[1] === event.id, timeoutMs)
    this.send([verb, event])
    const [, , accepted, reason] = await answer
    return [accepted, reason]
  }

  // All stored events of a REQ; ends the subscription unless told to keep it.
  async query (filters, { id = `q${Math.random()}`, keep = false, timeoutMs } = {}) {
    const from = this.messages.length
    const end = this.next(m => (m[0] === 'EOSE' || m[0] === 'CLOSED') && m[1] === id, timeoutMs)
    this.send(['REQ', id, ...[filters].flat()])
    const last = await end
    if (last[0] === 'CLOSED') throw new Error(last[2])
    if (!keep) this.send(['CLOSE', id])
    return this.messages.slice(from).filter(m => m[0] === 'EVENT' && m[1] === id).map(m => m[2])
  }

  async ids (filters) {
    return (await this.query(filters)).map(event => event.id)
  }

  async count (filters, id = `c${Math.random()}`) {
    const answer = this.next(m => (m[0] === 'COUNT' || m[0] === 'CLOSED') && m[1] === id)
    this.send(['COUNT', id, ...[filters].flat()])
    return (await answer)
  }

  close () {
    this.socket.terminate()
  }
}

export class Author {
  constructor (secret = generateSecretKey()) {
    this.secret = secret
    this.pubkey = getPublicKey(this.secret)
  }

  event ({ kind = 1, content = '', tags = [], created_at: createdAt = now() } = {}) {
    return finalizeEvent({ kind, content, tags, created_at: createdAt }, this.secret)
  }
}

export const now = () => Math.floor(Date.now() / 1000)
export const sleep = ms => new Promise(resolve => setTimeout(resolve, ms))
