// A worker as Hypertuna's first generation is, on the packages, by the text of the protocol: one channel with JSON, bodies as arrays of
// bytes, events only when they are asked for, and the gateway's bee in a replication stream nested in a second channel.
import c from 'compact-encoding'
import crypto from 'hypercore-crypto'
import Protomux from 'protomux'
import { createHash } from 'node:crypto'

export const topic = crypto.hash(Buffer.from('hypertuna-relay-network'))

const bytes = value => [...Buffer.from(typeof value === 'string' || Buffer.isBuffer(value) ? value : JSON.stringify(value))]
const text = body => body ? Buffer.from(body.data ?? body).toString() : ''

export class HypertunaWorker {
  // events: what it holds; file: of its drive; core: its replica of the gateway's bee, once the key is known; host: of a relay that can be
  // joined (hypertuna_join.mjs).
  constructor (swarm, { events = [], file = Buffer.alloc(0), openBee = null, silent = false, host = null } = {}) {
    Object.assign(this, { swarm, events, file, openBee, silent, host, asked: [], frames: [], registered: [], healthChecks: 0, closed: 0, errors: [] })
    this.subscriptions = new Map()
    swarm.on('connection', stream => this.connected(stream))
  }

  async join () {
    await this.swarm.join(topic, { server: true, client: false }).flushed()
  }

  connected (stream) {
    stream.on('error', error => this.errors.push(error))
    const mux = Protomux.from(stream)
    const channel = mux.createChannel({
      protocol: 'hypertuna-relay-v2',
      id: null,
      handshake: c.json,
      onopen: handshake => this.opened(mux, stream, handshake),
      onclose: () => this.closed++,
      messages: [
        { encoding: c.json, onmessage: message => this.request(message) },
        { encoding: c.json, onmessage: message => this.registered.push({ ...message, body: JSON.parse(text(message.body)) }) },
        { encoding: c.json, onmessage: message => this.frames.push(message) },
        { encoding: c.json, onmessage: message => this.health(message) },
        { encoding: c.json, onmessage: () => {} },
        { encoding: c.json, onmessage: () => {} }
      ]
    })
    this.channel = channel
    this.stream = stream
    channel.open({
      version: '2.0', isServer: true, capabilities: ['http', 'websocket', 'health', 'telemetry'], role: 'gateway-replica', isGateway: false,
      gatewayReplica: true, relayPublicKey: this.swarm.keyPair.publicKey.toString('hex'), relayCount: 1, hyperbeeKey: null, telemetry: { queueDepth: 0 }
    })
  }

  opened (mux, stream, handshake) {
    this.handshake = handshake
    if (this.openBee && handshake.hyperbeeKey) this.replicate(mux, stream, Buffer.from(handshake.hyperbeeKey, 'hex'))
    this.channel.messages[5].send({ peerId: 'x', latencyMs: 0, inFlightJobs: 0, failureRate: 0, queueDepth: 3, hyperbeeKey: null, reportedAt: Date.now(), hyperbeeLastFallbackReason: null })
    this.register()
  }

  register () {
    const body = bytes({ publicKey: this.swarm.keyPair.publicKey.toString('hex'), relays: [{ identifier: 'a:b', name: 'é' }], mode: 'hyperswarm' })
    this.channel.messages[0].send({ id: this.registered.length, method: 'POST', path: '/gateway/register', headers: { 'content-type': 'application/json' }, body })
  }

  health ({ id, timestamp }) {
    this.healthChecks++
    if (!this.silent) this.channel.messages[4].send({ id, status: 'healthy', timestamp, services: { relay: 'active', protocol: 'connected' } })
  }

  respond (id, statusCode, body, headers = { 'content-type': 'application/json' }) {
    this.channel.messages[1].send({ id, statusCode, headers, body: body === null ? null : bytes(body) })
  }

  request ({ id, method, path, headers, body }) {
    this.asked.push({ method, path, headers, body: text(body) })
    const words = path.split('/').slice(1)
    if (this.silent) return
    if (path === '/identify-gateway') return this.respond(id, 200, { status: 'identified', timestamp: new Date().toISOString() })
    if (this.host?.takes(path)) return this.respond(id, ...this.host.answer(path, JSON.parse(text(body))))
    if (path === '/health') return this.respond(id, 200, { status: 'healthy' })
    if (words[0] === 'post' && words[1] === 'relay') return this.respond(id, 200, this.post(JSON.parse(text(body))).map(frame => JSON.stringify(frame) + '\n').join(''))
    if (words[0] === 'get' && words[1] === 'relay') return this.respond(id, 200, this.poll(words[3]))
    if (words[0] === 'drive') return this.respond(id, 200, this.file, { 'content-type': 'image/png', 'content-length': String(this.file.length) })
    // Anything else gets no reply.
  }

  // One client's frame; the events of a subscription come with the next poll.
  post ({ message, connectionKey }) {
    const [type, id, ...filters] = JSON.parse(typeof message === 'string' ? message : Buffer.from(message.data).toString())
    const mine = this.subscriptions.get(connectionKey) ?? new Map()
    this.subscriptions.set(connectionKey, mine)
    if (type === 'REQ') { mine.set(id, { filters, at: 0 }); return [['NOTICE', `Subscription ${id} registered`], ['ACK', id, 'registered']] }
    if (type === 'CLOSE') { mine.delete(id); return [['NOTICE', `Subscription ${id} closed`]] }
    this.events.push(id)
    return [['OK', id.id, true, '']]
  }

  poll (connectionKey) {
    const frames = []
    for (const [id, subscription] of this.subscriptions.get(connectionKey) ?? []) {
      for (const event of this.events.slice(subscription.at)) frames.push(['EVENT', id, event])
      subscription.at = this.events.length
      frames.push(['EOSE', id])
    }
    return frames
  }

  replicate (mux, stream, key) {
    const core = this.openBee(key)
    const inner = core.replicate(stream.isInitiator, { live: true })
    const channel = mux.createChannel({
      protocol: 'hypertuna-hyperbee-replication',
      id: null,
      handshake: c.json,
      onopen: handshake => { this.beeHandshake = handshake; inner.on('data', data => message.send(data)) },
      onclose: () => inner.destroy()
    })
    const message = channel.addMessage({ encoding: c.buffer, onmessage: data => inner.write(data) })
    inner.on('error', error => this.errors.push(error))
    channel.open({ version: 1, isInitiator: stream.isInitiator, replicationMode: 'download', role: 'replica', openedAt: Date.now() })
  }
}

export const sha256 = data => createHash('sha256').update(data).digest('hex')
