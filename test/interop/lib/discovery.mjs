// Announcements of gateways as those of the first generation write and read them, on the npm packages; and gateways that announce badly.
import { createHash } from 'node:crypto'
import c from 'compact-encoding'
import crypto from 'hypercore-crypto'

export const topic = crypto.hash(Buffer.from('hypertuna-public-gateway-discovery-v1'))
const base = ['gatewayId', 'timestamp', 'ttl', 'publicUrl', 'wsUrl', 'secretUrl', 'secretHash', 'openAccess', 'sharedSecretVersion', 'displayName',
  'region', 'protocolVersion']
const tail = ['relayKey', 'relayDiscoveryKey', 'relayReplicationTopic', 'relayTokenTtl', 'relayTokenRefreshWindow', 'dispatcherMaxConcurrent',
  'dispatcherInFlightWeight', 'dispatcherLatencyWeight', 'dispatcherFailureWeight', 'dispatcherReassignLagBlocks',
  'dispatcherCircuitBreakerThreshold', 'dispatcherCircuitBreakerTimeoutMs']
const numbers = new Set(['timestamp', 'ttl', 'protocolVersion', ...tail.slice(3)])
const order = [...base, 'signature', 'signatureKey', ...tail]
const type = name => name === 'openAccess' ? c.bool : numbers.has(name) ? c.uint : c.string
const empty = name => name === 'openAccess' ? false : numbers.has(name) ? 0 : ''

export function encode (announcement) {
  const state = { start: 0, end: 0, buffer: null }
  for (const name of order) type(name).preencode(state, announcement[name] ?? empty(name))
  state.buffer = Buffer.alloc(state.end)
  for (const name of order) type(name).encode(state, announcement[name] ?? empty(name))
  return state.buffer
}

// What stands behind what it knows is left alone.
export function decode (buffer) {
  const state = { start: 0, end: buffer.length, buffer }, announcement = {}
  for (const name of order) if (!tail.includes(name) || state.start < state.end) announcement[name] = type(name).decode(state)
  return { announcement, rest: buffer.subarray(state.start) }
}

const signed = a => Buffer.from(JSON.stringify(Object.fromEntries([...base.map(name => [name, a[name]]),
  ...tail.filter(name => a[name]).map(name => [name, a[name]])])))
export const verifies = a => crypto.verify(signed(a), Buffer.from(a.signature, 'hex'), Buffer.from(a.signatureKey, 'hex'))

export const keyPairOf = seed => crypto.keyPair(createHash('sha256').update(seed).digest())

// A whole announcement of the first generation.
export function announce (keyPair, fields = {}, signer = keyPair) {
  const announcement = { gatewayId: keyPair.publicKey.toString('hex'), timestamp: Date.now(), ttl: 60, publicUrl: 'http://127.0.0.1:4430',
    wsUrl: 'ws://127.0.0.1:4430', secretUrl: '', secretHash: '', openAccess: false, sharedSecretVersion: '', displayName: 'First generation',
    region: '', protocolVersion: 1, ...fields }
  announcement.signature = crypto.sign(signed(announcement), signer.secretKey).toString('hex')
  announcement.signatureKey = signer.publicKey.toString('hex')
  return announcement
}

// What a client of the first generation hears within so long: {bytes, key} of each that speaks.
export async function hear (scene, { count = 1, ms = 20000 } = {}) {
  const swarm = scene.swarm(), heard = []
  let enough
  const done = new Promise(resolve => { enough = resolve })
  swarm.on('connection', stream => {
    const parts = [], key = stream.remotePublicKey.toString('hex')
    let ended = false
    const end = () => {
      if (ended) return
      ended = true
      heard.push({ bytes: Buffer.concat(parts), key })
      if (heard.length >= count) enough()
    }
    stream.on('data', data => parts.push(data))
    stream.on('end', end)
    stream.on('close', end)
    stream.on('error', end)
  })
  const session = swarm.join(topic, { server: false, client: true })
  const timer = setTimeout(enough, ms), again = setInterval(() => session.refresh({ client: true, server: false }).catch(() => {}), 1000)
  await done
  clearTimeout(timer)
  clearInterval(again)
  await swarm.destroy()
  return heard
}

// At the topic as a server; speak gets the stream of each who comes.
export async function advertise (scene, keyPair, speak) {
  const swarm = scene.swarm({ keyPair })
  swarm.on('connection', stream => { stream.on('error', () => {}); speak(stream) })
  await swarm.join(topic, { server: true, client: false }).flushed()
  return swarm
}
export const says = bytes => stream => { stream.write(typeof bytes === 'function' ? bytes() : bytes); stream.end() }
