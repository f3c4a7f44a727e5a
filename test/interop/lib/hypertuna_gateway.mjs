// Hypertuna's gateway (G1) as far as its specification says it, on the npm packages: it looks for workers at the meeting point, opens the
// relay channel, asks in JSON, and gives its bee inside of a channel of its own.
import Protomux from 'protomux'
import c from 'compact-encoding'
import Hyperbee from 'hyperbee'
import crypto from 'hypercore-crypto'
import { until } from './command.mjs'

const topic = crypto.hash(Buffer.from('hypertuna-relay-network'))
const bytes = body => body === undefined ? null : [...Buffer.from(JSON.stringify(body))]

export class HypertunaGateway {
  // swarm and store of a peer of lib/swarm.mjs.
  static async start ({ swarm, store }) {
    const gateway = new HypertunaGateway()
    gateway.swarm = swarm
    gateway.workers = new Map()
    gateway.core = store.get({ name: 'relay' })
    await gateway.core.ready()
    gateway.bee = new Hyperbee(gateway.core, { keyEncoding: 'binary', valueEncoding: 'utf-8' })
    await gateway.bee.ready()
    swarm.on('connection', stream => gateway.take(stream))
    gateway.discovery = swarm.join(topic, { server: false, client: true })
    return gateway
  }

  get key () { return Buffer.from(this.swarm.keyPair.publicKey).toString('hex') }

  async put (event) {
    const ts = String(event.created_at).padStart(10, '0'), kind = String(event.kind).padStart(5, '0')
    const batch = this.bee.batch()
    const row = key => batch.put(Buffer.from(`${key}created_at:${ts}:id:${event.id}`), event.id)
    await batch.put(Buffer.from(event.id, 'hex'), JSON.stringify(event))
    await row('')
    await row(`kind:${kind}:`)
    await row(`pubkey:${event.pubkey}:`)
    for (const tag of event.tags) if (typeof tag[1] === 'string') await row(`tagKey:${tag[0]}:tagValue:${tag[1]}:`)
    await batch.flush()
  }

  take (stream) {
    const mux = Protomux.from(stream), worker = { stream, replies: new Map(), next: 0, telemetry: [], registrations: [], frames: [] }
    worker.key = Buffer.from(stream.remotePublicKey).toString('hex')
    const channel = mux.createChannel({
      protocol: 'hypertuna-relay-v2', handshake: c.json,
      onopen: handshake => {
        worker.handshake = handshake
        this.workers.set(worker.key, worker)
        this.openBee(mux, stream)
        worker.identified = this.ask(worker, 'POST', '/identify-gateway', { body: { status: 'identified', payload: {}, peer: this.key, timestamp: Date.now() } })
        worker.identified.catch(() => {})
      },
      onclose: () => {
        this.workers.delete(worker.key)
        for (const { reject } of worker.replies.values()) reject(new Error('closed'))
      }
    })
    if (!channel) return
    const json = onmessage => channel.addMessage({ encoding: c.json, onmessage })
    worker.request = json(request => this.answer(worker, request))
    worker.response = json(response => {
      const waiting = worker.replies.get(response.id)
      worker.replies.delete(response.id)
      waiting?.resolve({ ...response, body: Buffer.from(response.body?.data ?? response.body ?? []) })
    })
    json(frame => worker.frames.push(frame))
    worker.health = json(({ id }) => worker.healthy.send({ id, status: 'healthy', timestamp: new Date().toISOString(), services: {} }))
    worker.healthy = json(() => {})
    json(telemetry => worker.telemetry.push(telemetry))
    channel.open({
      version: '2.0', isServer: false, capabilities: ['http', 'websocket', 'health', 'telemetry'], role: 'gateway', isGateway: true, gatewayReplica: false,
      hyperbeeKey: this.core.key.toString('hex'), hyperbeeDiscoveryKey: this.core.discoveryKey.toString('hex'), hyperbeeLength: this.core.length
    })
  }

  openBee (mux, stream) {
    const nested = this.core.replicate(stream.isInitiator)
    const hex = key => Buffer.from(key).toString('hex')
    const channel = mux.createChannel({
      protocol: 'hypertuna-hyperbee-replication', handshake: c.json,
      onopen: handshake => { this.beeHandshake = handshake },
      onclose: () => nested.destroy()
    })
    if (!channel) return
    const data = channel.addMessage({ encoding: c.buffer, onmessage: buffer => nested.write(buffer) })
    nested.on('data', buffer => data.send(buffer))
    nested.on('error', () => {})
    channel.open({ version: 1, hyperbeeKey: hex(this.core.key), discoveryKey: hex(this.core.discoveryKey), isInitiator: stream.isInitiator, replicationMode: 'upload', role: 'gateway', openedAt: Date.now() })
  }

  answer (worker, { id, method, path, body }) {
    const reply = (statusCode, value) => worker.response.send({ id, statusCode, headers: { 'content-type': 'application/json' }, body: bytes(value) })
    if (path !== '/gateway/register') return reply(404, { error: 'not-found' })
    if (method !== 'POST') return reply(405, { error: 'method-not-allowed' })
    worker.registrations.push(JSON.parse(Buffer.from(body)))
    reply(200, { status: 'ok', hyperbee: { hyperbeeKey: this.core.key.toString('hex'), discoveryKey: this.core.discoveryKey.toString('hex'), gatewayPath: 'relay', pathAliases: ['public-gateway/hyperbee'] } })
  }

  ask (worker, method, path, { headers = {}, body } = {}) {
    const id = worker.next++
    return new Promise((resolve, reject) => {
      worker.replies.set(id, { resolve, reject })
      worker.request.send({ id, method, path, headers, body: bytes(body) })
      setTimeout(() => reject(new Error(`${method} ${path} was not answered`)), 30000).unref()
    })
  }

  async json (worker, method, path, options) {
    const { statusCode, body } = await this.ask(worker, method, path, options)
    return { statusCode, json: JSON.parse(body) }
  }

  // A client's frame, and the frames that answer it.
  async post (worker, relay, connectionKey, frame, headers) {
    const { statusCode, body } = await this.ask(worker, 'POST', `/post/relay/${relay}`, { headers, body: { message: JSON.stringify(frame), connectionKey } })
    return { statusCode, frames: body.toString().split('\n').filter(Boolean).map(line => JSON.parse(line)) }
  }

  async poll (worker, relay, connectionKey, headers) {
    return (await this.json(worker, 'GET', `/get/relay/${relay}/${connectionKey}`, { headers })).json
  }

  // Who joins after the gateway has looked is found when it looks again.
  async worker (key, timeoutMs = 30000) {
    const look = setInterval(() => this.discovery.refresh({ client: true, server: false }).catch(() => {}), 1000)
    return until(() => this.workers.get(key), timeoutMs).finally(() => clearInterval(look))
  }
}
