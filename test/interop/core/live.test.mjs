// Cores that change while they are replicated: growth, forks, and connections that are cut at random moments. SCALE multiplies the cuts.
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { Scene, assertSame, block, blocks, download, random, scale, sleep, until } from '../lib/core.mjs'

const timeout = 100000 * Math.max(1, scale)
const cuts = Math.ceil(20 * scale)
const settled = 20000

const holds = (holdfast, core) => until(async () => {
  const info = (await holdfast.objects(['list'])).find(({ key }) => key === core.id) ?? {}
  return info.length === core.length && info.fork === core.fork && info.blocks_held === core.length
}, settled)

test(`Holdfast follows a writer through ${cuts} cuts`, { timeout }, async t => {
  const scene = await Scene.of(t)
  const seed = Date.now() % 100000
  t.diagnostic(`seed ${seed}`)
  const below = random(seed)
  const writer = await scene.written(10)
  const wire = await scene.wire((await scene.listen(writer)).port)
  const reader = await scene.holdfast()
  const following = await reader.follow(wire.port, writer.id)
  for (let i = 0; i < cuts; i++) {
    for (let n = below(6); n > 0; n--) {
      await writer.append(blocks(1 + below(20), writer.length))
      await sleep(below(30))
    }
    await until(() => wire.sockets.size > 0, settled)
    await sleep(below(150))
    wire.cut()
  }
  await writer.append(block(writer.length))
  await holds(reader, writer)
  await following.stop()
  const info = await assertSame(writer, reader)
  assert.equal(info.contiguous_length, writer.length)
})

test(`a reader of the package follows Holdfast through ${cuts} cuts`, { timeout }, async t => {
  const scene = await Scene.of(t)
  const seed = Date.now() % 100000
  t.diagnostic(`seed ${seed}`)
  const below = random(seed)
  const writer = await scene.holdfast()
  const key = await writer.made(10)
  const server = await writer.serve(key)
  const reader = await scene.core(key)
  reader.download({ start: 0, end: -1 })
  let length = 10
  for (let i = 0; i < cuts; i++) {
    const { socket, closed } = await scene.dial(server.port, reader)
    const more = 1 + below(20)
    const appended = writer.append(key, blocks(more, length))
    await sleep(below(150))
    socket.destroy()
    await closed
    await appended
    length += more
  }
  await scene.dial(server.port, reader)
  await download(reader, length)
  await server.stop()
  await assertSame(reader, writer)
})

test('Holdfast follows a writer from fork to fork while it is connected', { timeout }, async t => {
  const scene = await Scene.of(t)
  const below = random(7)
  const writer = await scene.written(100)
  const reader = await scene.holdfast()
  const following = await reader.follow((await scene.listen(writer)).port, writer.id)
  await holds(reader, writer)
  for (let i = 0; i < 8; i++) {
    await writer.truncate(below(writer.length))
    if (i % 2) await sleep(below(100)) // sometimes the fork is seen by itself, sometimes only with what follows
    await writer.append(Array.from({ length: 1 + below(60) }, (_, n) => Buffer.from(`fork ${writer.fork} ${n}`)))
    if (i % 3 === 2) await holds(reader, writer)
  }
  await holds(reader, writer)
  await following.stop()
  await assertSame(writer, reader)
})

test('a fork that is made while the connection is down is taken over from the next one', { timeout }, async t => {
  const scene = await Scene.of(t)
  const writer = await scene.written(1000)
  const listener = await scene.listen(writer)
  const wire = await scene.wire(listener.port)
  const reader = await scene.holdfast()
  const following = await reader.follow(wire.port, writer.id)
  await until(() => writer.uploaded > 200, settled)
  wire.cut()
  await writer.truncate(500)
  await writer.append(blocks(700, 5000))
  await holds(reader, writer)
  await following.stop()
  await assertSame(writer, reader)
})

test('what arrives is printed by tail as it comes, in order, each block once', { timeout }, async t => {
  const scene = await Scene.of(t)
  const writer = await scene.written(5)
  const reader = await scene.holdfast()
  const following = await reader.follow((await scene.listen(writer)).port, writer.id)
  await holds(reader, writer)
  const tails = [reader.start(['tail', writer.id, '--from', 3, '--follow']), reader.start(['tail', writer.id, '--from', 0, '--follow'])]
  for (const [tail, from] of [[tails[0], 3], [tails[1], 0]]) assert.deepEqual((await tail.line()).index, from)
  while (writer.length < 30) {
    await writer.append(blocks(5, writer.length))
    await sleep(50)
  }
  for (const [tail, from] of [[tails[0], 3], [tails[1], 0]]) {
    await tail.line(29 - from)
    const printed = tail.out.trim().split('\n').map(line => JSON.parse(line))
    assert.deepEqual(printed.map(({ index }) => index), Array.from({ length: 30 - from }, (_, i) => from + i))
    for (const { index, value } of printed) assert.deepEqual(Buffer.from(value, 'base64'), block(index))
    await tail.stop()
  }
  await following.stop()
})
