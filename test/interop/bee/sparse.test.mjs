// Bees at a peer, read without fetching them: how many blocks each side fetches for the same, which Holdfast does not exceed.
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { random, until } from '../lib/core.mjs'
import { Scene, all, bees, entry, filled, theirs } from '../lib/bee.mjs'

const timeout = 60000
const count = 10000
const depth = 6 // levels of the tree at most: 9 children each at most, 5 at least

// Blocks that the package has fetched once it is quiet.
async function quiet (core) {
  for (let before = -1; before !== core.downloaded;) {
    before = core.downloaded
    await new Promise(resolve => setTimeout(resolve, 100))
  }
  return core.downloaded
}

// A writer of the package that listens, with keys put in random order.
async function written (scene, extension = true) {
  const bee = await theirs(scene, null, { encodings: { keyEncoding: 'utf-8', valueEncoding: 'utf-8', extension } })
  const below = random(7)
  const order = Array.from({ length: count }, (_, i) => i)
  for (let i = count - 1; i > 0; i--) {
    const other = below(i + 1)
    ;[order[i], order[other]] = [order[other], order[i]]
  }
  const batch = bee.batch()
  for (const i of order) await batch.put(...entry(i))
  await batch.flush()
  return { bee, key: bee.core.id, port: (await scene.listen(bee.core)).port }
}

async function theirReader (scene, { key, port }, extension = false) {
  const bee = await theirs(scene, key, { encodings: { keyEncoding: 'utf-8', valueEncoding: 'utf-8', extension } })
  await scene.dial(port, bee.core)
  await until(() => bee.core.length > 0)
  return bee
}

test('a get fetches a node a level and what is beside it, no more than the package does', { timeout }, async t => {
  const scene = await Scene.of(t)
  const writer = await written(scene)
  const below = random(11)
  for (let i = 0; i < 4; i++) {
    const [name, value] = entry(below(count))
    const reader = await theirReader(scene, writer)
    assert.equal((await reader.get(name)).value, value)
    const theirCount = await quiet(reader.core)
    const ours = await bees(scene)
    const uploaded = writer.bee.core.uploaded
    assert.equal(await ours.value(writer.key, name, '--tcp', `127.0.0.1:${writer.port}`), value)
    const { blocks_held: held } = await ours.info(writer.key)
    t.diagnostic(`${name}: the package fetched ${theirCount}, Holdfast ${held}`)
    // What was still on its way when the answer was there is not kept, but it was sent.
    const sent = writer.bee.core.uploaded - uploaded
    assert.ok(held <= sent && sent <= theirCount, `${held} blocks kept of ${sent}, ${theirCount} by the package`)
    assert.ok(held <= (depth + 2) * 17)
    assert.equal(await ours.value(writer.key, name), value, 'what came is kept')
    assert.equal((await ours.fails(['get', writer.key, entry((below(count) + 5) % count)[0]])).code, 1)
  }
})

test('a range fetches siblings together, no more than the package does', { timeout }, async t => {
  const scene = await Scene.of(t)
  const writer = await written(scene)
  for (const [from, limit] of [[5000, 10], [7345, 200], [0, 1000]]) {
    const reader = await theirReader(scene, writer)
    const range = { gte: entry(from)[0], limit }
    const expected = await all(reader.createReadStream(range))
    const theirCount = await quiet(reader.core)
    const ours = await bees(scene)
    assert.deepEqual(await ours.list(writer.key, '--gte', range.gte, '--limit', limit, '--tcp', `127.0.0.1:${writer.port}`), expected)
    const { blocks_held: held } = await ours.info(writer.key)
    t.diagnostic(`${limit} entries: the package fetched ${theirCount}, Holdfast ${held}`)
    assert.ok(held <= theirCount, `${held} blocks, ${theirCount} by the package`)
    assert.ok(held < limit + (depth + 2) * 17 + limit / 2)
    assert.deepEqual(await ours.list(writer.key, '--gte', range.gte, '--limit', limit), expected, 'what came is kept')
  }
})

test('history, differences and old versions are read at a peer', { timeout }, async t => {
  const scene = await Scene.of(t)
  const bee = await filled(scene, 500)
  for (let i = 0; i < 10; i++) await bee.put(entry(50 * i)[0], 'changed')
  const tcp = ['--tcp', `127.0.0.1:${(await scene.listen(bee.core)).port}`]
  const { id } = bee.core
  const ours = await bees(scene)
  assert.equal((await ours.history(id, '--gte', -10, ...tcp)).length, 10)
  assert.equal((await ours.info(id)).blocks_held, 10)
  const differences = await ours.diff(id, 501, ...tcp)
  assert.deepEqual(differences.map(({ key, before, after }) => [key, before.value, after.value]),
    Array.from({ length: 10 }, (_, i) => [entry(50 * i)[0], entry(50 * i)[1], 'changed']))
  assert.ok((await ours.info(id)).blocks_held < 300, 'what both share is not read')
  assert.equal(await ours.value(id, entry(50)[0], '--at', 501, ...tcp), entry(50)[1])
})

test('a version whose tree was never held is read all the same', { timeout }, async t => {
  const scene = await Scene.of(t)
  const bee = await theirs(scene)
  for (let i = 0; i < 700; i++) await bee.put(...entry(i))
  const tcp = ['--tcp', `127.0.0.1:${(await scene.listen(bee.core)).port}`]
  const ours = await bees(scene)
  const { id } = bee.core
  assert.equal(await ours.value(id, entry(300)[0], '--at', 333, ...tcp), entry(300)[1])
  assert.equal((await ours.fails(['get', id, entry(400)[0], '--at', 333, ...tcp])).code, 1)
  assert.deepEqual((await ours.diff(id, 333, 340, ...tcp)).map(({ key }) => key), Array.from({ length: 7 }, (_, i) => entry(332 + i)[0]))
})

test('a bee that grows at a peer is watched there', { timeout }, async t => {
  const scene = await Scene.of(t)
  const bee = await filled(scene, 2000)
  const ours = await bees(scene)
  const watching = ours.start(['watch', bee.core.id, '--gte', 'key 001', '--tcp', `127.0.0.1:${(await scene.listen(bee.core)).port}`])
  await until(() => bee.core.peers.length > 0)
  await new Promise(resolve => setTimeout(resolve, 500))
  for (let i = 1500; i < 1505; i++) {
    await bee.put(...entry(i - 1000))
    await bee.put(entry(i)[0], 'now')
    assert.deepEqual(await watching.line(i - 1500), { key: entry(i)[0], before: { seq: i + 1, value: entry(i)[1] }, after: { seq: bee.version - 1, value: 'now' } })
  }
  await watching.stop()
})

test('a reader of the package reads sparsely from Holdfast', { timeout }, async t => {
  const scene = await Scene.of(t)
  const ours = await bees(scene)
  const { key } = await ours.create()
  await ours.put(key, Array.from({ length: 5000 }, (_, i) => entry(i)))
  const { port } = await ours.serve(key)
  const reader = await theirReader(scene, { key, port }, true)
  assert.equal((await reader.get(entry(4321)[0])).value, entry(4321)[1])
  assert.ok(await quiet(reader.core) <= (depth + 2) * 17)
  assert.equal((await all(reader.createReadStream({ gte: entry(100)[0], limit: 100 }))).length, 100)
})

test('what cannot be read at a peer is said', { timeout }, async t => {
  const scene = await Scene.of(t)
  const ours = await bees(scene)
  const bee = await filled(scene, 10)
  const { port } = await scene.listen(bee.core)
  const other = await filled(scene, 1)
  const failed = await ours.fails(['get', other.core.id, 'x', '--tcp', `127.0.0.1:${port}`, '--timeout', '1'])
  assert.equal(failed.code, 1)
  assert.match(failed.err, /does not have the core/)
  assert.deepEqual(await ours.core.objects(['list']), [], 'nothing is kept of it')
  assert.match((await ours.fails(['get', bee.core.id, 'x', '--tcp', `127.0.0.1:${port}`])).err, /no such key/)
  assert.equal((await ours.fails(['get', bee.core.id, 'x', '--tcp', 'nowhere'])).code, 2)
  assert.equal((await ours.fails(['get', bee.core.id, 'x', '--tcp', '127.0.0.1:1'])).code, 1)
})
