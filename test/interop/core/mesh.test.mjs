// More than two: chains of mixed peers with Holdfast in the middle and at the ends, sources that each hold a part, stores with many cores.
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { Scene, assertSame, block, blocks, counting, download, scale, sleep, until } from '../lib/core.mjs'

const timeout = 120000

test('a writer of the package, Holdfast, a reader of the package: live', { timeout }, async t => {
  const scene = await Scene.of(t)
  const writer = await scene.written(50)
  const middle = await scene.holdfast()
  const following = await middle.follow((await scene.listen(writer)).port, writer.id, '--serve', '127.0.0.1:0')
  const port = Number((await following.line()).listening.split(':')[1])
  const reader = await scene.core(writer.id)
  await until(async () => (await middle.objects(['list'])).some(({ key, length }) => key === writer.id && length === 50))
  await scene.dial(port, reader)
  await download(reader, 50)
  await writer.append(blocks(50, 50))
  await download(reader, 100)
  await writer.truncate(80)
  await writer.append(blocks(10, 1000))
  await download(reader, 90, { fork: 1 })
  await assertSame(reader, middle)
  assert.deepEqual([reader.state.hash(), reader.state.signature], [writer.state.hash(), writer.state.signature])
  assert.equal(writer.uploaded, 110, 'the writer gave each block once')
  await following.stop()
})

test('Holdfast, a peer of the package, Holdfast: live', { timeout }, async t => {
  const scene = await Scene.of(t)
  const writer = await scene.holdfast()
  const key = await writer.made(50)
  const server = await writer.serve(key)
  const middle = await scene.core(key)
  await scene.dial(server.port, middle)
  middle.download({ start: 0, end: -1 })
  const reader = await scene.holdfast()
  const following = await reader.follow((await scene.listen(middle)).port, key)
  await download(middle, 50)
  await writer.append(key, blocks(50, 50))
  await writer.object(['truncate', key, 70])
  await writer.append(key, blocks(10, 1000))
  await until(async () => {
    const info = (await reader.objects(['list'])).find(core => core.key === key) ?? {}
    return info.length === 80 && info.fork === 1 && info.blocks_held === 80
  }, 20000)
  await following.stop()
  await server.stop()
  await assertSame(middle, reader)
  await assertSame(middle, writer)
})

test('a writer of the package, then Holdfast twice, then a reader of the package', { timeout }, async t => {
  const scene = await Scene.of(t)
  const writer = await scene.written(300)
  const [first, second] = [await scene.holdfast(), await scene.holdfast()]
  await first.fetch((await scene.listen(writer)).port, writer.id)
  let server = await first.serve(writer.id)
  assert.equal((await second.fetch(server.port, writer.id)).blocks_fetched, 300)
  await server.stop()
  server = await second.serve(writer.id)
  const reader = await scene.core(writer.id)
  await scene.dial(server.port, reader)
  await download(reader, 300)
  await server.stop()
  await assertSame(reader, first)
  await assertSame(reader, second)
})

test('a reader takes from each of two sources what it has', { timeout }, async t => {
  const scene = await Scene.of(t)
  const writer = await scene.written(100)
  const { port } = await scene.listen(writer)
  const [ours, theirs, reader] = [await scene.holdfast(), await scene.core(writer.id), await scene.core(writer.id)]
  await ours.fetch(port, writer.id, '--blocks', '0..50')
  const { socket } = await scene.dial(port, theirs)
  await until(() => theirs.length === 100)
  await theirs.download({ start: 50, end: 100 }).done()
  socket.destroy()
  const server = await ours.serve(writer.id)
  await scene.dial(server.port, reader)
  await scene.dial((await scene.listen(theirs)).port, reader)
  await until(() => reader.peers.length === 2)
  await download(reader, 100)
  assert.deepEqual([theirs.uploaded, reader.downloaded], [50, 100])
  await server.stop()
  for (let i = 0; i < 100; i++) assert.deepEqual(await reader.get(i), block(i))
})

test('Holdfast fills its holes from one source after the other', { timeout }, async t => {
  const scene = await Scene.of(t)
  const writer = await scene.written(100)
  const half = await scene.core(writer.id)
  const { port } = await scene.listen(writer)
  const { socket } = await scene.dial(port, half)
  await until(() => half.length === 100)
  await half.download({ start: 0, end: 64 }).done()
  socket.destroy()
  const reader = await scene.holdfast()
  assert.equal((await reader.fetch((await scene.listen(half)).port, writer.id, '--blocks', '0..64')).blocks_fetched, 64)
  assert.equal((await reader.fetch(port, writer.id)).blocks_fetched, 36)
  await assertSame(writer, reader)
})

test('a corestore opens 50 cores of Holdfast over one stream, on demand', { timeout }, async t => {
  const scene = await Scene.of(t)
  const writer = await scene.holdfast()
  const server = await writer.serve()
  const keys = []
  for (let i = 0; i < 50; i++) keys.push(await writer.made(1 + i % 7, '--name', `core ${i}`))
  assert.equal(new Set(keys).size, 50)
  assert.equal((await writer.create('--name', 'core 3')).key, keys[3], 'the same name is the same core')
  const store = await scene.store()
  const { closed, socket } = await scene.dial(server.port, store)
  const missing = store.get(Buffer.alloc(32, 7))
  const readers = []
  for (const [i, key] of keys.entries()) {
    readers.push(counting(store.get(key)))
    if (i % 10 === 9) await sleep(20)
  }
  await Promise.all(readers.map(async (reader, i) => {
    await reader.ready()
    await download(reader, 1 + i % 7)
    assert.deepEqual(await reader.get(i % 7), block(i % 7))
  }))
  assert.deepEqual(readers.map(reader => reader.downloaded), keys.map((_, i) => 1 + i % 7))
  assert.equal(missing.peers.length, 0)
  const late = await writer.made(3)
  assert.deepEqual(await store.get(late).get(2), block(2), 'a core that came to be while the stream was open')
  assert.equal((await writer.objects(['list'])).length, 51)
  socket.destroy()
  await closed
  await server.stop()
})

test('Holdfast takes many cores of a corestore', { timeout }, async t => {
  const scene = await Scene.of(t)
  const store = await scene.store()
  const count = 10 * Math.min(10, Math.ceil(scale))
  const writers = Array.from({ length: count }, (_, i) => store.get({ name: `${i}` }))
  for (const [i, writer] of writers.entries()) await writer.append(blocks(1 + i))
  const { port } = await scene.listen(store)
  const reader = await scene.holdfast()
  for (const [i, writer] of writers.entries()) assert.equal((await reader.fetch(port, writer.id)).length, 1 + i)
  for (const writer of writers) await assertSame(writer, reader)
})

test('ten readers at once are served alike', { timeout }, async t => {
  const scene = await Scene.of(t)
  const writer = await scene.holdfast()
  const key = await writer.made(200)
  const server = await writer.serve(key)
  const readers = await Promise.all(Array.from({ length: 10 }, () => scene.core(key)))
  await Promise.all(readers.map(async reader => {
    await scene.dial(server.port, reader)
    await download(reader, 200)
  }))
  for (const reader of readers) assert.deepEqual([reader.downloaded, reader.contiguousLength], [200, 200])
  await server.stop()
  await assertSame(readers[0], writer)
})
