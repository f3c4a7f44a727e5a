// The extension `hyperbee`: a reader of either side tells what it looks for, and the other names the blocks for it.
import { test } from 'node:test'
import assert from 'node:assert/strict'
import messages from 'hyperbee/lib/messages.js'
import { until } from '../lib/core.mjs'
import { Scene, all, bees, entry, filled, theirs } from '../lib/bee.mjs'

const timeout = 60000
const count = 3000

// Every message of the extension that a bee of the package gets.
function overhear (bee) {
  const heard = []
  const { onmessage } = bee.extension
  bee.extension.onmessage = (bytes, from) => {
    heard.push(messages.Extension.decode(bytes))
    return onmessage.call(bee.extension, bytes, from)
  }
  return heard
}

test('Holdfast tells a peer of the package what it looks for', { timeout }, async t => {
  const scene = await Scene.of(t)
  const bee = await filled(scene, count)
  const heard = overhear(bee)
  const ours = await bees(scene)
  const tcp = ['--tcp', `127.0.0.1:${(await scene.listen(bee.core)).port}`]
  assert.equal(await ours.value(bee.core.id, entry(1234)[0], ...tcp), entry(1234)[1])
  assert.deepEqual(heard.map(({ get }) => get && [get.version, get.key.toString()]), [[count + 1, entry(1234)[0]]])
  heard.length = 0
  const range = ['--gt', entry(100)[0], '--lte', entry(900)[0], '--reverse', '--limit', '500']
  assert.equal((await ours.list(bee.core.id, ...range, ...tcp)).length, 500)
  assert.ok(heard.length > 0 && heard.every(({ iterator }) => iterator))
  const { version, gt, lte, limit, reverse } = heard[0].iterator
  assert.deepEqual([version, gt.toString(), lte.toString(), limit, reverse], [count + 1, entry(100)[0], entry(900)[0], 500, true])
})

test('what a peer names without being asked is not fetched, and what cannot be does no harm', { timeout }, async t => {
  const scene = await Scene.of(t)
  const bee = await filled(scene, count)
  const { port } = await scene.listen(bee.core)
  const ours = await bees(scene)
  // The peer answers with what nobody would need for that key; and sends the same unasked.
  const extra = [2000, 2100, 2200, 1 << 30]
  const cache = messages.Extension.encode({ cache: { blocks: extra, start: 2000, end: 2201 } })
  bee.extension.onmessage = (bytes, from) => {
    if (messages.Extension.decode(bytes).get) bee.extension.outgoing.send(cache, from)
  }
  bee.core.on('peer-add', peer => bee.extension.outgoing.send(cache, peer))
  await ours.value(bee.core.id, entry(5)[0], '--tcp', `127.0.0.1:${port}`)
  const before = (await ours.info(bee.core.id)).blocks_held
  const watching = ours.start(['watch', bee.core.id, '--tcp', `127.0.0.1:${port}`])
  await until(() => bee.core.peers.length > 0)
  await new Promise(resolve => setTimeout(resolve, 700))
  await watching.stop()
  const { blocks_held: held } = await ours.info(bee.core.id)
  assert.equal(held, before, 'unasked, nothing is fetched')
})

for (const kind of ['alone', 'among all cores']) {
  test(`Holdfast names the blocks that a reader of the package will come to: served ${kind}`, { timeout }, async t => {
    const scene = await Scene.of(t)
    const ours = await bees(scene)
    const { key } = await ours.create()
    await ours.put(key, Array.from({ length: count }, (_, i) => entry(i)), '--batch', 50)
    const server = await ours.serve(...(kind === 'alone' ? [key] : []))
    const reader = await theirs(scene, key)
    const heard = overhear(reader)
    await scene.dial(server.port, reader.core)
    await until(() => reader.core.length === count + 1)
    const seen = []
    assert.equal((await reader.get(entry(777)[0], { onseq: seq => seen.push(seq) })).value, entry(777)[1])
    await until(() => heard.length > 0)
    const ofGet = heard.splice(0).flatMap(({ cache }) => cache.blocks)
    assert.deepEqual([...new Set(seen)].filter(seq => !ofGet.includes(seq)), [], 'every block that the get came to was named')
    assert.equal((await all(reader.createReadStream({ gte: entry(100)[0], limit: 300 }))).length, 300)
    await until(() => heard.length > 0)
    const { start, end, blocks } = heard[0].cache
    assert.ok(blocks.length <= 128 && blocks.every(seq => seq >= start && seq < end && seq <= count))
    // Once more on a new reader, of the whole in reverse.
    const other = await theirs(scene, key)
    await scene.dial(server.port, other.core)
    await until(() => other.core.length === count + 1)
    assert.equal((await all(other.createReadStream({ reverse: true }))).length, count)
    await server.stop()
  })
}

test('questions that make no sense are not answered, and harm nobody', { timeout }, async t => {
  const scene = await Scene.of(t)
  const ours = await bees(scene)
  const { key } = await ours.create()
  await ours.put(key, Array.from({ length: 100 }, (_, i) => entry(i)))
  const server = await ours.serve()
  const reader = await theirs(scene, key)
  const heard = overhear(reader)
  await scene.dial(server.port, reader.core)
  await until(() => reader.core.length === 101 && reader.core.peers.length === 1)
  const range = { version: 101, gte: null, gt: null, lte: null, lt: null, limit: 0, reverse: false, checkpoint: [] }
  for (const bytes of [
    Buffer.alloc(0), Buffer.from('ffffffff', 'hex'), messages.Extension.encode({ get: { version: 0, key: Buffer.from('a') } }),
    messages.Extension.encode({ get: { version: 102, key: Buffer.from('a') } }),
    ...[[0, 0, 0], [1, 7, 0], [100, 0, 1 << 20], [1], Array(300).fill(50), [2 ** 40, 0, 0]].map(checkpoint => messages.Extension.encode({ iterator: { ...range, checkpoint } })),
    messages.Extension.encode({ cache: { blocks: [1, 2, 2 ** 50], start: 0, end: 3 } })
  ]) reader.extension.outgoing.broadcast(bytes)
  reader.extension.outgoing.broadcast(messages.Extension.encode({ iterator: range }))
  await until(() => heard.some(({ cache }) => cache?.blocks.length > 50))
  assert.equal((await reader.get(entry(50)[0])).value, entry(50)[1])
  await server.stop()
})
