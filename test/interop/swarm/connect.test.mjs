// Peers of ours and of the npm package hyperdht connect to each other by key, on a loopback network of the package's nodes.
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { after, before, test } from 'node:test'
import c from 'compact-encoding'
import HyperDHT from 'hyperdht'
import Protomux from 'protomux'
import { PeerDriver } from '../lib/peer_driver.mjs'
import { Testnet } from '../lib/testnet.mjs'
import { hashOfSequence, Sequence } from '../lib/udx_driver.mjs'

const MIB = 1 << 20
const BULK_MIB = process.env.SCALE ? 1024 : 64
const COUNT = Number(process.env.CONNECTIONS ?? 100)
const sleep = ms => new Promise(resolve => setTimeout(resolve, ms))
const hex = bytes => Buffer.from(bytes).toString('hex')
const key = text => Buffer.from(text, 'hex')

let net, ours

before(async () => {
  net = await Testnet.of(4)
  ours = await PeerDriver.start({ bootstrap: net.addresses })
})
after(async () => {
  await ours?.end()
  await net?.end()
})

// Our channel on a stream of the package's.
function channel (stream, onmessage = () => {}) {
  const channel = Protomux.from(stream).createChannel({ protocol: 'test' })
  const message = channel.addMessage({ encoding: c.raw, onmessage })
  channel.open()
  stream.on('error', () => {})
  return message
}

// A server of the package's that answers each message with the same, and the streams that it has.
async function echoServer (peer, options = {}) {
  const streams = []
  const server = peer.createServer(options, stream => {
    streams.push(stream)
    const message = channel(stream, bytes => message.send(bytes))
  })
  await server.listen(HyperDHT.keyPair())
  return { server, streams, key: hex(server.publicKey) }
}

// Dials, says something and waits for it to come back; the stream.
async function echoed (peer, to, bytes = randomBytes(100), options = {}) {
  const stream = peer.connect(key(to), options)
  const heard = new Promise((resolve, reject) => {
    const message = channel(stream, resolve)
    stream.on('error', reject)
    stream.on('open', () => message.send(bytes))
  })
  assert.deepEqual(await heard, bytes)
  return stream
}

// Which peer of ours a stream of the package's has come to, once it is open there.
async function acceptedOf (stream) {
  for (let tries = 0; tries < 2000; tries++, await sleep(5)) {
    const { accepted } = await ours.do('server')
    for (const peer of accepted.reverse()) {
      const { key, state } = await ours.do('peer', { peer })
      if (key === hex(stream.publicKey) && state === 'open') return peer
    }
  }
  assert.fail('the server has not noticed the connection')
}

async function pair (peer, to) {
  const stream = await echoed(peer, to)
  return { stream, peer: await acceptedOf(stream) }
}

async function dialled (peer, to, options) {
  const state = await ours.dial(peer, to, options)
  assert.equal(state.state, 'open', `${state.name} ${state.why}`)
  return state
}

test(`${COUNT} connections of the package's to a server of ours`, async t => {
  const to = await ours.listen({ echo: true })
  const peer = await net.peer()
  const times = []
  for (let i = 0; i < COUNT; i++) {
    const start = performance.now()
    const stream = await echoed(peer, to, undefined, { keyPair: HyperDHT.keyPair() })
    times.push(performance.now() - start)
    assert.equal(hex(stream.remotePublicKey), to)
    stream.end()
  }
  times.sort((a, b) => a - b)
  t.diagnostic(`connected and echoed in ${times[COUNT >> 1].toFixed(1)} ms (median), ${times.at(-1).toFixed(1)} ms at most`)
  const { connections } = await ours.do('server')
  assert.equal(connections, COUNT)
  await ours.do('close_server')
  await ours.until('server', {}, ({ closed }) => closed)
})

test(`${COUNT} connections of ours to a server of the package's`, async t => {
  const { server, streams, key } = await echoServer(await net.peer())
  const times = []
  for (let i = 0; i < COUNT; i++) {
    const state = await dialled(i, key)
    times.push(state.open_ms)
    assert.equal(state.key, key)
    const bytes = randomBytes(100)
    await ours.do('send', { peer: i, hex: hex(bytes) })
    const { hash } = await ours.until('peer', { peer: i }, ({ count }) => count === 1)
    assert.equal(hash, createHash('sha256').update(bytes).digest('hex'))
    await ours.do('close', { peer: i })
  }
  times.sort((a, b) => a - b)
  t.diagnostic(`opened in ${times[COUNT >> 1]} ms (median), ${times.at(-1)} ms at most`)
  assert.equal(streams.length, COUNT)
  await server.close()
})

test('connections of ours to ours', async () => {
  const other = await PeerDriver.start({ bootstrap: net.addresses })
  try {
    const to = await ours.listen({ echo: true })
    for (let i = 0; i < 20; i++) {
      const state = await other.dial(i, to)
      assert.equal(state.state, 'open', state.why)
      await other.do('send', { peer: i, hex: 'abcd' })
      await other.until('peer', { peer: i }, ({ count }) => count === 1)
    }
    const to2 = await ours.listen({ server: 1, echo: true })
    const many = Array.from({ length: 50 }, (_, i) => other.dial(100 + i, to2))
    for (const state of await Promise.all(many)) assert.equal(state.state, 'open', state.why)
  } finally {
    await other.end()
  }
})

test('both sides dial at once', async () => {
  const { server, key } = await echoServer(await net.peer())
  const to = await ours.listen({ server: 2, echo: true })
  const dialler = await net.peer()
  await Promise.all(Array.from({ length: 20 }, async (_, i) => {
    await Promise.all([dialled(200 + i, key), echoed(dialler, to)])
    await ours.do('send', { peer: 200 + i, hex: 'ff' })
    await ours.until('peer', { peer: 200 + i }, ({ count }) => count === 1)
  }))
  await server.close()
})

test(`${BULK_MIB} MiB each way at once`, async t => {
  const bytes = BULK_MIB * MIB
  const to = await ours.listen({ server: 3 })
  const peer = await net.peer()
  const stream = peer.connect(key(to))
  const hash = createHash('sha256')
  let received = 0
  let heardAll
  const message = channel(stream, piece => {
    hash.update(piece)
    received += piece.length
    if (received === bytes) heardAll = performance.now()
  })
  await once(stream, 'open')
  const accepted = await acceptedOf(stream)
  const start = performance.now()
  await ours.do('generate', { peer: accepted, bytes, seed: 5 })
  const sequence = new Sequence(6)
  for (let i = 0; i < 16 * BULK_MIB; i++) {
    if (!message.send(sequence.next(65536))) await once(stream, 'drain')
  }
  const state = await ours.until('peer', { peer: accepted }, state => state.received === bytes, 1000 * BULK_MIB)
  const saidAll = performance.now()
  assert.equal(state.hash, hashOfSequence(6, bytes))
  while (received < bytes) await sleep(5)
  assert.equal(hash.digest('hex'), hashOfSequence(5, bytes))
  const rate = end => (bytes / (end - start) / 1000).toFixed(0)
  t.diagnostic(`${rate(heardAll)} MB/s from ours to theirs, ${rate(saidAll)} MB/s from theirs to ours, at once`)
  stream.destroy()
})

test('datagrams beside the stream', async () => {
  const to = await ours.listen({ server: 4, echo: true })
  const stream = (await net.peer()).connect(key(to))
  const heard = []
  channel(stream)
  stream.on('message', bytes => heard.push(hex(bytes)))
  await once(stream, 'open')
  const accepted = await acceptedOf(stream)
  const sent = Array.from({ length: 50 }, () => randomBytes(1 + Math.floor(Math.random() * 1000)))
  for (const bytes of sent) {
    await stream.send(bytes)
    await sleep(1)
  }
  const { datagrams } = await ours.until('peer', { peer: accepted }, ({ datagrams }) => datagrams.length === 50)
  assert.deepEqual(datagrams.sort(), sent.map(hex).sort())
  while (heard.length < 50) await sleep(5)
  assert.deepEqual(heard.sort(), sent.map(hex).sort())
  stream.destroy()
})

test('each side sees the other end and destroy a connection', async () => {
  const to = await ours.listen({ server: 5, echo: true })
  const closed = stream => new Promise(resolve => stream.on('close', resolve))
  const first = await pair(await net.peer(), to)
  first.stream.end()
  assert.equal((await ours.until('peer', first, ({ state }) => state === 'closed')).code, 'HF_ECLOSED')
  const second = await pair(await net.peer(), to)
  second.stream.destroy()
  assert.equal((await ours.until('peer', { peer: second.peer }, ({ state }) => state === 'closed')).code, 'HF_EIO')
  const third = await pair(await net.peer(), to)
  const ended = new Promise(resolve => third.stream.on('end', resolve))
  const gone = closed(third.stream)
  third.stream.resume()
  await ours.do('close', { peer: third.peer })
  await ended
  third.stream.end()
  await gone
  const fourth = await pair(await net.peer(), to)
  const failed = new Promise(resolve => fourth.stream.on('error', resolve))
  await ours.do('close', { peer: fourth.peer, destroy: true })
  assert.equal((await failed).code, 'ECONNRESET')
})

test('who is refused hears nothing, and who is not there is not found', async () => {
  const to = await ours.listen({ server: 6, refuse: true })
  const peer = await net.peer()
  const refused = peer.connect(key(to))
  await assert.rejects(new Promise((resolve, reject) => refused.on('open', resolve).on('error', reject)), { code: 'PEER_CONNECTION_FAILED' })
  assert.ok((await ours.do('server', { server: 6 })).refused > 0)
  const { server, key: gone } = await echoServer(peer, { firewall: () => true })
  const state = await ours.dial(300, gone)
  assert.deepEqual([state.state, state.name, state.code], ['failed', 'PEER_CONNECTION_FAILED', 'HF_ETIMEOUT'])
  await server.close()
  const nobody = await ours.dial(301, hex(HyperDHT.keyPair().publicKey))
  assert.deepEqual([nobody.state, nobody.name, nobody.code], ['failed', 'PEER_NOT_FOUND', 'HF_ENOTFOUND'])
  await ours.do('close_server', { server: 6 })
  await ours.until('server', { server: 6 }, ({ closed }) => closed)
  const late = peer.connect(key(to), { relayAddresses: [] })
  await assert.rejects(new Promise((resolve, reject) => late.on('open', resolve).on('error', reject)), { code: /PEER_NOT_FOUND|PEER_CONNECTION_FAILED/ })
})

test('a server that is suspended is not found, and found again when it is resumed', async () => {
  const to = await ours.listen({ server: 7, echo: true })
  await ours.do('suspend_server', { server: 7 })
  await sleep(500)
  const stream = (await net.peer()).connect(key(to))
  await assert.rejects(new Promise((resolve, reject) => stream.on('open', resolve).on('error', reject)))
  await ours.do('suspend_server', { server: 7, resume: true })
  await ours.until('server', { server: 7 }, ({ listening }) => listening)
  const again = await echoed(await net.peer(), to)
  again.destroy()
})
