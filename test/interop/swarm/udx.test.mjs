// UDX streams of ours with those of udx-native, both directions.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { test } from 'node:test'
import UDX from 'udx-native'
import { hashOfSequence, Sequence, UdxDriver } from '../lib/udx_driver.mjs'

const MIB = 1 << 20

// A driver and a socket on each side; and a stream on each, connected to each other, as often as asked.
async function pair (run) {
  const driver = new UdxDriver()
  const udx = new UDX()
  const socket = udx.createSocket()
  const open = []
  socket.bind(0, '127.0.0.1')
  const { port } = await driver.do('open')
  const p = {
    driver, udx, socket, port,
    async connect (stream = 0) {
      const id = 1000 + stream
      const js = udx.createStream(id)
      js.on('error', () => {})
      open.push(js)
      const ours = await driver.do('stream', stream)
      await driver.do('connect', stream, { port: socket.address().port, id })
      js.connect(socket, ours.id, port, '127.0.0.1')
      return js
    }
  }
  try {
    await run(p)
  } finally {
    for (const js of open) if (!js.destroyed) js.destroy()
    await driver.end()
    await socket.close()
  }
}

async function write (js, seed, bytes, end = true) {
  const sequence = new Sequence(seed)
  for (let left = bytes; left > 0; left -= 65536) {
    if (!js.write(sequence.next(Math.min(left, 65536)))) await once(js, 'drain')
  }
  if (end) js.end()
}

function read (js) {
  const hash = createHash('sha256')
  const seen = { bytes: 0 }
  js.on('data', data => { hash.update(data); seen.bytes += data.length })
  return once(js, 'end').then(() => ({ ...seen, hash: hash.digest('hex') }))
}

test('64 MiB from ours to theirs', { timeout: 60000 }, () => pair(async ({ driver, connect }) => {
  const js = await connect()
  const got = read(js)
  js.end()
  await driver.do('generate', 0, { bytes: 64 * MIB, seed: 7, end: true })
  assert.deepEqual(await got, { bytes: 64 * MIB, hash: hashOfSequence(7, 64 * MIB) })
  assert.equal((await driver.until(0, s => s.closed !== null)).closed, 'HF_OK')
}))

test('64 MiB from theirs to ours', { timeout: 60000 }, () => pair(async ({ driver, connect }) => {
  const js = await connect()
  js.resume()
  await write(js, 8, 64 * MIB)
  const state = await driver.until(0, s => s.ended)
  assert.deepEqual([state.received, state.hash], [64 * MIB, hashOfSequence(8, 64 * MIB)])
  await driver.do('end')
  assert.equal((await driver.until(0, s => s.closed !== null)).closed, 'HF_OK')
}))

test('both directions at once, the packets grown to the largest size', { timeout: 60000 }, () => pair(async ({ driver, connect }) => {
  const js = await connect()
  const got = read(js)
  await driver.do('generate', 0, { bytes: 16 * MIB, seed: 1 })
  await write(js, 2, 16 * MIB, false)
  const state = await driver.until(0, s => s.received === 16 * MIB && s.pending === 0)
  assert.equal(state.hash, hashOfSequence(2, 16 * MIB))
  assert.equal(state.mtu, 1500)
  assert.equal(js.mtu, 1500)
  await driver.do('end')
  js.end()
  assert.deepEqual(await got, { bytes: 16 * MIB, hash: hashOfSequence(1, 16 * MIB) })
  assert.equal((await driver.until(0, s => s.closed !== null)).closed, 'HF_OK')
}))

const text = s => Buffer.from(s).toString('hex')
const sha256 = (...parts) => parts.reduce((h, part) => h.update(part), createHash('sha256')).digest('hex')
const close = js => new Promise(resolve => js.destroyed ? resolve() : js.once('close', resolve))

test('each side ends first, with its last bytes or without any', { timeout: 60000 }, () => pair(async ({ driver, connect }) => {
  const cases = [
    { ours: 'last words', theirs: 'theirs', first: 'ours' },
    { ours: '', theirs: 'theirs', first: 'ours' },
    { ours: 'ours', theirs: '', first: 'theirs' },
    { ours: '', theirs: '', first: 'theirs' },
    { ours: '', theirs: '', first: 'both' }
  ]
  for (const [stream, { ours, theirs, first }] of cases.entries()) {
    const js = await connect(stream)
    const got = read(js)
    const closed = close(js)
    const end = {
      async ours () {
        if (ours) await driver.do('write', stream, { hex: text(ours) })
        await driver.do('end', stream)
        await got
      },
      async theirs () {
        if (theirs) js.write(Buffer.from(theirs))
        js.end()
        await driver.until(stream, s => s.ended)
      }
    }
    if (first === 'both') await Promise.all([end.ours(), end.theirs()])
    else {
      await end[first]()
      await end[first === 'ours' ? 'theirs' : 'ours']()
    }
    const state = await driver.until(stream, s => s.closed !== null)
    await closed
    assert.deepEqual([state.closed, state.hash, (await got).hash], ['HF_OK', sha256(theirs), sha256(ours)])
  }
}))

test('what one side destroys, the other loses', { timeout: 60000 }, () => pair(async ({ driver, connect }) => {
  const js = await connect(0)
  let error
  js.on('error', e => { error = e })
  js.resume()
  await driver.do('write', 0, { hex: text('x') })
  await once(js, 'data')
  await driver.do('destroy', 0)
  await close(js)
  assert.equal(error.code, 'ECONNRESET')
  assert.equal((await driver.until(0, s => s.closed !== null)).closed, 'HF_ECANCELED')

  const other = await connect(1)
  other.write(Buffer.from('x'))
  await driver.until(1, s => s.received === 1)
  other.destroy()
  assert.equal((await driver.until(1, s => s.closed !== null)).closed, 'HF_ECLOSED')
}))

test('messages go both ways, empty ones and the largest too', { timeout: 60000 }, () => pair(async ({ driver, connect }) => {
  const js = await connect()
  const messages = []
  js.on('message', m => messages.push(m.toString('hex')))
  const sent = [text('hello'), '', '07'.repeat(1100)]
  for (const hex of sent) await driver.do('message', 0, { hex })
  for (const hex of sent) await js.send(Buffer.from(hex, 'hex'))
  const state = await driver.until(0, s => s.messages.length === 3)
  assert.deepEqual(state.messages, sent)
  while (messages.length < 3) await once(js, 'message')
  assert.deepEqual(messages, sent)
}))

test('a firewall hook connects ours to whoever speaks first, data included', { timeout: 60000 }, () => pair(async ({ driver, udx, socket, port }) => {
  const js = udx.createStream(77)
  js.on('error', () => {})
  const { id } = await driver.do('stream', 5)
  await driver.do('accept', 5, { id: 77 })
  js.connect(socket, id, port, '127.0.0.1')
  const got = read(js)
  js.write(Buffer.from('first'))
  assert.equal((await driver.until(5, s => s.received === 5)).connected, true)
  await driver.do('write', 5, { hex: text('answer') })
  await driver.do('end', 5)
  assert.equal((await got).bytes, 6)
  js.destroy()
}))

test('keep-alives of each side are answered by the other', { timeout: 60000 }, () => pair(async ({ driver, connect }) => {
  const js = await connect()
  js.setKeepalive(50)
  await driver.do('keep_alive', 0, { ms: 50 })
  const before = js.packetsReceived
  await new Promise(resolve => setTimeout(resolve, 1000))
  assert.ok(js.packetsReceived - before >= 10, `${js.packetsReceived - before} packets`)
  assert.equal((await driver.do('state', 0)).closed, null)
}))

test('each side moves to another socket in the middle of a transfer', { timeout: 60000 }, () => pair(async ({ driver, connect, socket }) => {
  const js = await connect()
  const got = read(js)
  const second = await driver.do('open')
  const theirs = write(js, 21, 8 * MIB, false)
  await driver.do('generate', 0, { bytes: 8 * MIB, seed: 22 })
  // Packets that come on another socket ask the firewall: ours lets them in.
  await driver.do('accept', 0, { id: 1000 })
  await js.changeRemote(socket, js.remoteId, second.port, '127.0.0.1')
  const state = await driver.until(0, s => s.received === 8 * MIB && s.pending === 0)
  await theirs
  assert.equal(state.hash, hashOfSequence(21, 8 * MIB))
  await driver.do('change', 0, { socket: second.socket, port: socket.address().port, id: 1000 })
  await driver.until(0, s => s.changed)
  await driver.do('write', 0, { hex: text('from the new socket') })
  await driver.do('end')
  js.end()
  const result = await got
  assert.equal(result.bytes, 8 * MIB + 19)
  assert.equal((await driver.until(0, s => s.closed !== null)).closed, 'HF_OK')
}))

test('two streams of theirs, relayed by ours', { timeout: 60000 }, () => pair(async ({ driver, udx, socket, port }) => {
  const streams = []
  for (const n of [0, 1]) {
    const js = udx.createStream(500 + n)
    js.on('error', () => {})
    const { id } = await driver.do('stream', n)
    await driver.do('connect', n, { port: socket.address().port, id: 500 + n })
    js.connect(socket, id, port, '127.0.0.1')
    streams.push(js)
  }
  await driver.do('relay', 0, { to: 1 })
  await driver.do('relay', 1, { to: 0 })
  const results = streams.map(read)
  await Promise.all(streams.map((js, n) => write(js, 31 + n, 4 * MIB)))
  for (const n of [0, 1]) assert.deepEqual(await results[n], { bytes: 4 * MIB, hash: hashOfSequence(32 - n, 4 * MIB) })
  await Promise.all(streams.map(close))
  await driver.do('destroy', 0)
  assert.equal((await driver.until(1, s => s.closed !== null)).closed, 'HF_ECANCELED')
}))

test('ours stops reading, theirs stops sending, and both go on', { timeout: 60000 }, () => pair(async ({ driver, connect }) => {
  const js = await connect()
  js.resume()
  await driver.do('pause', 0, { paused: true })
  const written = write(js, 41, 16 * MIB)
  await new Promise(resolve => setTimeout(resolve, 1500))
  assert.equal((await driver.do('state', 0)).received, 0)
  await driver.do('pause', 0, { paused: false })
  await written
  const state = await driver.until(0, s => s.ended)
  assert.deepEqual([state.received, state.hash], [16 * MIB, hashOfSequence(41, 16 * MIB)])
}))

// A path that loses, repeats and reorders: datagrams of each side go to the other through it.
async function badPath (one, two, { loss, reorder, duplicate }) {
  let random = 1
  const below = n => { random = (Math.imul(random, 1103515245) + 12345) >>> 0; return (random >>> 16) % 1000 < n }
  const sockets = [createSocket('udp4'), createSocket('udp4')]
  const ports = [one, two]
  for (const [i, socket] of sockets.entries()) {
    socket.bind(0, '127.0.0.1')
    await once(socket, 'listening')
    socket.on('message', data => {
      const send = () => { if (!closed) sockets[1 - i].send(data, ports[1 - i], '127.0.0.1') }
      if (below(loss)) return
      if (below(reorder)) setTimeout(send, 3)
      else send()
      if (below(duplicate)) setTimeout(send, 1)
    })
  }
  let closed = false
  return {
    ports: sockets.map(s => s.address().port),
    close () {
      closed = true
      for (const socket of sockets) socket.close()
    }
  }
}

test('both directions over a path that loses, repeats and reorders', { timeout: 120000 }, () => pair(async ({ driver, udx, socket, port }) => {
  const path = await badPath(port, socket.address().port, { loss: 20, reorder: 20, duplicate: 10 })
  const js = udx.createStream(9)
  js.on('error', () => {})
  const { id } = await driver.do('stream', 0)
  // What ours sends to the first socket of the path comes to theirs from the second.
  await driver.do('connect', 0, { port: path.ports[0], id: 9 })
  js.connect(socket, id, path.ports[1], '127.0.0.1')
  const got = read(js)
  await driver.do('generate', 0, { bytes: 4 * MIB, seed: 51, end: true })
  await write(js, 52, 4 * MIB)
  assert.deepEqual(await got, { bytes: 4 * MIB, hash: hashOfSequence(51, 4 * MIB) })
  const state = await driver.until(0, s => s.ended)
  assert.deepEqual([state.received, state.hash], [4 * MIB, hashOfSequence(52, 4 * MIB)])
  await driver.until(0, s => s.closed !== null, 30000)
  path.close()
}))
