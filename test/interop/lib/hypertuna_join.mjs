// How somebody joins a relay in Hypertuna, both sides, by the text of the protocol: a request of kind 9021, a challenge, and its text under
// the secret that two Nostr keys share, in a cipher that is AES with rows and columns exchanged.
import c from 'compact-encoding'
import Protomux from 'protomux'
import { secp256k1 } from '@noble/curves/secp256k1.js'
import { createHash, randomBytes } from 'node:crypto'
import { finalizeEvent, getPublicKey } from 'nostr-tools/pure'
import { until } from './command.mjs'

// ---- The cipher ----

const twice = a => ((a << 1) ^ (a >> 7) * 0x11b) & 0xff
const multiply = (a, b) => { let p = 0; for (; b; b >>= 1, a = twice(a)) if (b & 1) p ^= a; return p }
const rotate = (a, n) => ((a << n) | (a >> (8 - n))) & 0xff
const box = Array.from({ length: 256 }, (_, a) => {
  let inverse = 0
  for (let b = 1; b < 256 && a; b++) if (multiply(a, b) === 1) inverse = b
  return inverse ^ rotate(inverse, 1) ^ rotate(inverse, 2) ^ rotate(inverse, 3) ^ rotate(inverse, 4) ^ 0x63
})
const unbox = box.reduce((table, to, from) => { table[to] = from; return table }, [])

function schedule (key) {
  const words = []
  for (let i = 0; i < 8; i++) words.push([...key.subarray(4 * i, 4 * i + 4)])
  for (let i = 8, round = 1; i < 60; i++) {
    let word = [...words[i - 1]]
    if (i % 8 === 0) word = [...word.slice(1), word[0]]
    if (i % 4 === 0) word = word.map(byte => box[byte])
    if (i % 8 === 0) { word[0] ^= round; round = twice(round) }
    words.push(word.map((byte, k) => byte ^ words[i - 8][k]))
  }
  return Array.from({ length: 15 }, (_, i) => words.slice(4 * i, 4 * i + 4).flat())
}

// By rows: byte 4r+c is row r, column c.
const shift = (block, way) => block.map((_, i) => block[(i & ~3) | ((i + way * (i >> 2)) & 3)])
function mix (block, factors) {
  return block.map((_, i) => {
    const row = i >> 2, column = i & 3
    return [0, 1, 2, 3].reduce((sum, k) => sum ^ multiply(block[4 * k + column], factors[(k - row + 4) % 4]), 0)
  })
}
const add = (a, b) => a.map((byte, i) => byte ^ b[i])

export function encryptBlock (key, block) {
  const keys = schedule(key)
  let state = add([...block], keys[0])
  for (let round = 1; round < 15; round++) {
    state = shift(state.map(byte => box[byte]), 1)
    if (round < 14) state = mix(state, [2, 3, 1, 1])
    state = add(state, keys[round])
  }
  return state
}

function decryptBlock (key, block) {
  const keys = schedule(key)
  let state = add([...block], keys[14])
  for (let round = 13; round >= 0; round--) {
    state = add(shift(state, -1).map(byte => unbox[byte]), keys[round])
    if (round > 0) state = mix(state, [14, 11, 13, 9])
  }
  return state
}

export function encrypt (key, iv, text) {
  const padding = 16 - text.length % 16, input = Buffer.concat([Buffer.from(text), Buffer.alloc(padding, padding)]), out = []
  for (let at = 0, before = [...iv]; at < input.length; at += 16) out.push(...(before = encryptBlock(key, add([...input.subarray(at, at + 16)], before))))
  return Buffer.from(out)
}

function decrypt (key, iv, bytes) {
  const out = []
  for (let at = 0, before = [...iv]; at < bytes.length; at += 16) {
    const block = [...bytes.subarray(at, at + 16)]
    out.push(...add(decryptBlock(key, block), before))
    before = block
  }
  const padding = out.at(-1)
  if (!padding || padding > 16 || out.slice(-padding).some(byte => byte !== padding)) throw new Error('Invalid padding')
  return Buffer.from(out.slice(0, -padding)).toString()
}

export const shared = (secret, pubkey) => Buffer.from(secp256k1.getSharedSecret(secret, Buffer.from('02' + pubkey, 'hex'))).subarray(1)

// ---- Who joins ----

const bytes = body => body === undefined ? null : [...Buffer.from(typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body))]

export class HypertunaJoiner {
  // Of a peer of lib/swarm.mjs, and the key of who is asked. role: what it says that it is, as every worker does.
  static async connect ({ swarm }, key) {
    const joiner = new HypertunaJoiner()
    joiner.replies = new Map()
    joiner.next = 0
    swarm.on('connection', stream => { if (Buffer.from(stream.remotePublicKey).toString('hex') === key) joiner.take(stream) })
    swarm.joinPeer(Buffer.from(key, 'hex'))
    await until(() => joiner.handshake, 20000)
    return joiner
  }

  take (stream) {
    const channel = Protomux.from(stream).createChannel({
      protocol: 'hypertuna-relay-v2', handshake: c.json,
      onopen: handshake => { this.handshake = handshake },
      onclose: () => { this.isClosed = true }
    })
    if (!channel) return
    const json = onmessage => channel.addMessage({ encoding: c.json, onmessage })
    this.request = json(({ id }) => this.response.send({ id, statusCode: 404, headers: {}, body: null }))
    this.response = json(({ id, statusCode, body }) => this.replies.get(id)?.({ status: statusCode, json: JSON.parse(Buffer.from(body?.data ?? body ?? [])) }))
    for (let i = 0; i < 4; i++) json(() => {})
    channel.open({ version: '2.0', isServer: true, capabilities: ['http', 'websocket', 'health', 'telemetry'], role: 'gateway-replica', isGateway: false, gatewayReplica: true })
  }

  ask (method, path, body, headers = {}) {
    const id = this.next++
    return new Promise((resolve, reject) => {
      this.replies.set(id, resolve)
      this.request.send({ id, method, path, headers, body: bytes(body) })
      setTimeout(() => reject(new Error(`${method} ${path} was not answered`)), 20000).unref()
    })
  }

  static event (secret, identifier, changes = {}) {
    return finalizeEvent({ kind: 9021, created_at: Math.floor(Date.now() / 1000), tags: [['h', identifier]], content: '', ...changes }, secret)
  }

  askToJoin (secret, identifier, event = HypertunaJoiner.event(secret, identifier)) {
    return this.ask('POST', `/post/join/${identifier}`, { event })
  }

  meet (secret, { challenge, relayPubkey }, cipher = encrypt) {
    const iv = randomBytes(16), ciphertext = cipher(shared(secret, relayPubkey), iv, challenge)
    return this.ask('POST', '/verify-ownership', { pubkey: getPublicKey(secret), ciphertext: ciphertext.toString('base64'), iv: iv.toString('base64') })
  }
}

// ---- Who is asked ----

const hex = data => Buffer.from(data).toString('hex')

export class HypertunaHost {
  constructor ({ secret, identifier, isOpen = true }) {
    Object.assign(this, { secret, identifier, isOpen, events: [], members: new Map(), challenges: new Map(), relayKey: hex(randomBytes(32)) })
  }

  takes (path) { return path === '/verify-ownership' || path.startsWith('/post/join/') }

  // [status, body]
  answer (path, body) {
    return path === '/verify-ownership' ? this.verify(body) : this.join(path.split('/')[3], body)
  }

  join (identifier, { event }) {
    if (identifier !== this.identifier) return [404, { error: 'Relay not found' }]
    if (!event) return [400, { error: 'Missing required fields' }]
    if (event.kind !== 9021) return [400, { error: 'Invalid event kind' }]
    this.events.push(event)
    if (!this.isOpen) return [200, { status: 'pending' }]
    this.challenges.set(event.pubkey, hex(randomBytes(32)))
    return [200, { challenge: this.challenges.get(event.pubkey), relayPubkey: getPublicKey(this.secret) }]
  }

  verify ({ pubkey, ciphertext, iv }) {
    if (!pubkey || !ciphertext || !iv) return [400, { error: 'Missing required fields' }]
    if (!this.challenges.has(pubkey)) return [400, { error: 'Challenge not found or expired' }]
    try {
      const text = decrypt(shared(this.secret, pubkey), Buffer.from(iv, 'base64'), Buffer.from(ciphertext, 'base64'))
      if (text !== this.challenges.get(pubkey)) return [400, { error: 'Challenge verification failed' }]
    } catch (error) {
      return [400, { error: `Verification error: ${error.message}` }]
    }
    this.challenges.delete(pubkey)
    const authToken = HypertunaHost.token(hex(this.secret), pubkey, Date.now())
    this.members.set(pubkey, authToken)
    const relayUrl = `ws://127.0.0.1:8443/${this.identifier.replace(':', '/')}?token=${authToken}`
    return [200, { success: true, relayKey: this.relayKey, publicIdentifier: this.identifier, authToken, relayUrl }]
  }

  static token (secretHex, pubkey, ms) { return createHash('sha256').update(secretHex + pubkey + ms).digest('hex') }
}
