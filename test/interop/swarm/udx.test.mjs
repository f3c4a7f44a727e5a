// UDX streams of ours with those of udx-native, both directions.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
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

test('64 MiB from ours to theirs', () => pair(async ({ driver, connect }) => {
  const js = await connect()
  const got = read(js)
  js.end()
  await driver.do('generate', 0, { bytes: 64 * MIB, seed: 7, end: true })
  assert.deepEqual(await got, { bytes: 64 * MIB, hash: hashOfSequence(7, 64 * MIB) })
  assert.equal((await driver.until(0, s => s.closed !== null)).closed, 'HF_OK')
}))

test('64 MiB from theirs to ours', () => pair(async ({ driver, connect }) => {
  const js = await connect()
  js.resume()
  await write(js, 8, 64 * MIB)
  const state = await driver.until(0, s => s.ended)
  assert.deepEqual([state.received, state.hash], [64 * MIB, hashOfSequence(8, 64 * MIB)])
  await driver.do('end')
  assert.equal((await driver.until(0, s => s.closed !== null)).closed, 'HF_OK')
}))

test('both directions at once, the packets grown to the largest size', () => pair(async ({ driver, connect }) => {
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
