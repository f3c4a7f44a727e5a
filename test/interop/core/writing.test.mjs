// The packages read cores that Holdfast writes: `core serve` as the responder, and `core fetch --live`, which serves as well, as the initiator.
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { Scene, assertSame, block, blocks, download, random, scale, sleep, until } from '../lib/core.mjs'

const timeout = 120000
const long = Math.min(100000, 10000 * scale)

for (const count of [0, 1, 2, 100, long]) {
  test(`a core of ${count} blocks is served whole, each block once`, { timeout }, async t => {
    const scene = await Scene.of(t)
    const writer = await scene.holdfast()
    const key = await writer.made(count)
    const server = await writer.serve(key)
    const reader = await scene.core(key)
    await scene.dial(server.port, reader)
    await until(() => reader.peers[0]?.remoteSynced)
    await download(reader, count)
    assert.deepEqual([reader.length, reader.fork, reader.contiguousLength, reader.downloaded], [count, 0, count, count])
    await server.stop()
    const info = await assertSame(reader, writer)
    assert.deepEqual([info.contiguous_length, info.blocks_held, info.writable], [count, count, true])
    for (let i = 0; i < Math.min(count, 100); i++) assert.deepEqual(await reader.get(i), block(i))
  })
}

test('the package reads as the responder, too', { timeout }, async t => {
  const scene = await Scene.of(t)
  const writer = await scene.holdfast()
  const key = await writer.made(100)
  const reader = await scene.core(key)
  const { port } = await scene.listen(reader)
  const following = await writer.follow(port, key)
  await download(reader, 100)
  await following.stop()
  await assertSame(reader, writer)
})

test('blocks of 0 bytes, 1 byte, 64 KiB and 8 MiB are served as they are', { timeout }, async t => {
  const scene = await Scene.of(t)
  const writer = await scene.holdfast()
  const { key } = await writer.create()
  const written = [0, 1, 65536, 8 << 20].map(size => randomBytes(size))
  for (const bytes of written) await writer.appendFile(key, bytes)
  assert.equal((await writer.append(key, [Buffer.alloc(0), Buffer.from('x'), Buffer.alloc(0)])).length, 7)
  const pieces = randomBytes(300000)
  assert.equal((await writer.appendFile(key, pieces, '--block-size', '65536')).length, 12)
  const server = await writer.serve(key)
  const reader = await scene.core(key)
  await scene.dial(server.port, reader)
  await download(reader, 12)
  const expected = [...written, Buffer.alloc(0), Buffer.from('x'), Buffer.alloc(0)]
  for (let at = 0; at < pieces.length; at += 65536) expected.push(pieces.subarray(at, at + 65536))
  for (let i = 0; i < 12; i++) assert.ok((await reader.get(i)).equals(expected[i]), `block ${i}`)
  await server.stop()
  await assertSame(reader, writer)
})

test('a reader that wants few blocks takes few, and learns of holes', { timeout }, async t => {
  const scene = await Scene.of(t)
  const writer = await scene.holdfast()
  const key = await writer.made(100)
  assert.equal((await writer.object(['clear', key, '40', '60'])).blocks_held, 80)
  const server = await writer.serve(key)
  const reader = await scene.core(key)
  await scene.dial(server.port, reader)
  for (const i of [0, 3, 39, 60, 99]) assert.deepEqual(await reader.get(i), block(i))
  assert.equal(reader.downloaded, 5)
  await assert.rejects(reader.get(45, { timeout: 300 }), { code: 'REQUEST_TIMEOUT' })
  await reader.download({ start: 0, end: 40 }).done()
  await reader.download({ start: 60, end: 100 }).done()
  assert.equal(reader.downloaded, 80)
  assert.equal(reader.core.bitfield.count(0, 100, true), 80)
  await server.stop()
})

test('a reader finds offsets of bytes in a core of which it has no block', { timeout }, async t => {
  const scene = await Scene.of(t)
  const writer = await scene.holdfast()
  const below = random(2)
  const written = Array.from({ length: 100 }, () => Buffer.alloc(below(5) === 0 ? 0 : below(300), 97 + below(26)))
  const { key } = await writer.create()
  await writer.append(key, written)
  const total = written.reduce((sum, bytes) => sum + bytes.length, 0)
  const server = await writer.serve(key)
  for (const bytes of [0, 1, total - 1, total, ...Array.from({ length: 12 }, () => below(total))]) {
    const reader = await scene.core(key)
    const { closed, socket } = await scene.dial(server.port, reader)
    await until(() => reader.length === 100)
    const [index, offset] = await reader.seek(bytes)
    assert.equal(written.slice(0, index).reduce((sum, bytes) => sum + bytes.length, 0) + offset, bytes)
    assert.ok(offset === 0 || offset < written[index].length)
    assert.deepEqual(await writer.object(['seek', key, bytes]), { block: index, offset })
    socket.destroy()
    await closed
  }
  await server.stop()
})

test('an encrypted core is written, served to one without the key, and read by one with it', { timeout }, async t => {
  const scene = await Scene.of(t)
  const encryptionKey = randomBytes(32)
  const encryption = ['--encryption-key', encryptionKey.toString('hex')]
  const writer = await scene.holdfast()
  const { key } = await writer.create(...encryption)
  await writer.append(key, blocks(50), ...encryption)
  await writer.object(['truncate', key, '40', '--fork', '3'])
  await writer.append(key, blocks(10, 40), ...encryption)
  const server = await writer.serve(key)
  const [reader, blind] = [await scene.core(key, { encryptionKey }), await scene.core(key)]
  await scene.dial(server.port, reader)
  await scene.dial(server.port, blind)
  await Promise.all([download(reader, 50, { fork: 3 }), download(blind, 50, { fork: 3 })])
  for (let i = 0; i < 50; i++) {
    assert.deepEqual(await reader.get(i), block(i))
    const stored = await blind.get(i)
    assert.equal(stored.length, block(i).length + 8)
    assert.ok(!stored.includes('block'))
  }
  assert.equal(reader.byteLength, blocks(50).reduce((sum, bytes) => sum + bytes.length, 0))
  const [index, offset] = await reader.seek(700)
  assert.equal(blocks(index).reduce((sum, bytes) => sum + bytes.length, 0) + offset, 700)
  await server.stop()
  assert.deepEqual(await writer.get(key, 0, 50, ...encryption), blocks(50))
  await assertSame(blind, writer)
})

test('a reader follows to a fork, between two connections and while it is connected', { timeout }, async t => {
  const scene = await Scene.of(t)
  const writer = await scene.holdfast()
  const key = await writer.made(100)
  const reader = await scene.core(key)
  let truncations = 0
  reader.on('truncate', () => truncations++)
  let server = await writer.serve()
  await scene.dial(server.port, reader)
  await download(reader, 100)
  await server.stop()
  assert.deepEqual(await writer.object(['truncate', key, '60']), { length: 60, fork: 1 })
  await writer.append(key, blocks(10, 1000))
  server = await writer.serve()
  await scene.dial(server.port, reader)
  await download(reader, 70, { fork: 1 })
  await assertSame(reader, writer)
  assert.deepEqual([reader.downloaded, truncations], [110, 1])
  await writer.object(['truncate', key, '65', '--fork', '9'])
  await writer.append(key, blocks(100, 2000))
  await until(() => reader.fork === 9 && reader.length === 165)
  await download(reader, 165, { fork: 9 })
  await assertSame(reader, writer)
  await writer.object(['truncate', key, '0'])
  await writer.append(key, blocks(3)) // a reader of the package goes to no fork of length 0
  await download(reader, 3, { fork: 10 })
  await assertSame(reader, writer)
  await server.stop()
})

test('a reader that has nothing asks for the tree of a fork once', { timeout }, async t => {
  const scene = await Scene.of(t)
  const writer = await scene.holdfast()
  const key = await writer.made(10)
  await writer.object(['truncate', key, '4'])
  await writer.append(key, blocks(7, 4))
  const server = await writer.serve(key)
  const reader = await scene.core(key)
  await scene.dial(server.port, reader)
  await download(reader, 11, { fork: 1 })
  assert.equal(reader.core.replicator.stats.wireRequest.tx, 12)
  await server.stop()
})

test('a core whose serving was stopped and a core that is not there are not served', { timeout }, async t => {
  const scene = await Scene.of(t)
  const writer = await scene.holdfast()
  const [shown, hidden] = [await writer.made(1), await writer.made(1)]
  const server = await writer.serve(shown)
  const store = await scene.store()
  const [first, second, third] = [store.get(shown), store.get(hidden), store.get(randomBytes(32))]
  await scene.dial(server.port, store)
  assert.deepEqual(await first.get(0), block(0))
  await sleep(300)
  assert.deepEqual([second.peers.length, third.peers.length], [0, 0])
  await server.stop()
  for (const core of [first, second, third]) await core.close()
})
