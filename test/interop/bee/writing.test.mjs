// Bees that Holdfast writes, read by the package: the same blocks, live, in both roles of the handshake, encrypted and in subs.
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { writeFile } from 'node:fs/promises'
import Hyperbee from 'hyperbee'
import { download, hex, random, until } from '../lib/core.mjs'
import { Scene, all, assertSameBee, bees, entry, theirs } from '../lib/bee.mjs'

const timeout = 60000

async function served (scene, writer, key, options) {
  const server = await writer.serve(key)
  const bee = await theirs(scene, key, options)
  await scene.dial(server.port, bee.core)
  return { server, bee }
}

test('the same changes in the same batches give the same blocks', { timeout }, async t => {
  const scene = await Scene.of(t)
  const seed = Date.now() % 100000
  t.diagnostic(`seed ${seed}`)
  const below = random(seed)
  const writer = await bees(scene)
  const { key } = await writer.create()
  const twin = await theirs(scene)
  let from = 1
  for (let i = 0; i < 25; i++) {
    const changes = Array.from({ length: 1 + below(60) }, () => {
      const [key, value] = entry(below(200))
      return below(4) ? { key, value: `${value} of ${i}` } : { key, type: 'del' }
    })
    await writer.change(key, changes)
    const batch = twin.batch()
    for (const { key, value, type } of changes) await (type ? batch.del(key) : batch.put(key, value))
    await batch.flush()
    if (i === 4) from = twin.version
  }
  const { length } = await writer.info(key)
  assert.equal(length, twin.core.length)
  const { server, bee } = await served(scene, writer, key)
  await download(bee.core, length)
  for (let i = 0; i < length; i++) assert.equal(hex(await bee.core.get(i)), hex(await twin.core.get(i)), `block ${i}`)
  await assertSameBee(bee, writer, { from })
  await server.stop()
})

test('a reader of the package sees each put at once, and watches', { timeout }, async t => {
  const scene = await Scene.of(t)
  const writer = await bees(scene)
  const { key } = await writer.create('--name', 'live')
  await writer.put(key, [entry(1)])
  const { server, bee } = await served(scene, writer, key)
  await until(() => bee.core.length === 2)
  const watcher = bee.watch({ gte: 'key', lt: 'l' })
  await watcher.ready()
  for (let i = 2; i < 12; i++) {
    const change = watcher.next()
    await writer.try(['put', key, ...entry(i)])
    const { value: [now, before] } = await change
    assert.equal(now.version, before.version + 1)
    assert.equal((await now.get(entry(i)[0])).value, entry(i)[1])
    assert.equal(await before.get(entry(i)[0]), null)
  }
  await watcher.close()
  await writer.try(['del', key, entry(5)[0]])
  await until(() => bee.core.length === 13)
  assert.equal(await bee.get(entry(5)[0]), null)
  await assertSameBee(bee, writer, { from: 6 })
  await server.stop()
})

for (const [side, serves, isInitiator] of [['dialled', ['--initiator'], false], ['dialling', ['--connect', '--responder'], true]]) {
  test(`the roles of the handshake may be turned round: ${side}`, { timeout }, async t => {
    const scene = await Scene.of(t)
    const writer = await bees(scene)
    const { key } = await writer.create()
    await writer.put(key, Array.from({ length: 50 }, (_, i) => entry(i)))
    const bee = await theirs(scene, key)
    if (side === 'dialling') {
      const { port } = await scene.listen(bee.core, { isInitiator })
      writer.start(['serve', key, '--tcp', `127.0.0.1:${port}`, ...serves])
    } else {
      const server = writer.start(['serve', key, '--tcp', '127.0.0.1:0', ...serves])
      const { listening } = await server.line()
      await scene.dial(Number(listening.split(':')[1]), bee.core, { isInitiator })
    }
    await until(() => bee.core.length === 51)
    assert.equal((await all(bee.createReadStream())).length, 50)
  })
}

test('encrypted, with values of many sizes', { timeout }, async t => {
  const scene = await Scene.of(t)
  const encryptionKey = randomBytes(32)
  const options = ['--encryption-key', hex(encryptionKey)]
  const writer = await bees(scene)
  const { key } = await writer.create(...options)
  const values = [0, 1, 1000, 1 << 20].map(length => randomBytes(length))
  for (const [i, value] of values.entries()) {
    const path = join(scene.directory, 'value')
    await writeFile(path, value)
    assert.equal((await writer.try(['put', key, `v${i}`, '--file', path, ...options])).code, 0)
  }
  assert.match((await writer.fails(['list', key])).err, /--encryption-key/)
  assert.match((await writer.fails(['put', key, 'x', 'y'])).err, /--encryption-key/)
  const { server, bee } = await served(scene, writer, key, { encryptionKey, encodings: { keyEncoding: 'utf-8' } })
  await until(() => bee.core.length === 5)
  for (const [i, value] of values.entries()) assert.ok((await bee.get(`v${i}`)).value.equals(value), `value ${i}`)
  await server.stop()
})

test('subs and JSON are the package\'s', { timeout }, async t => {
  const scene = await Scene.of(t)
  const writer = await bees(scene)
  const { key } = await writer.create()
  const ofJson = ['--value-encoding', 'json']
  await writer.change(key, [{ key: 'a', value: { x: 1.5 } }, { key: 'b', value: null }], '--sub', 'outer', ...ofJson)
  await writer.change(key, [{ key: 'c', value: ['ä'] }], '--sub', 'outer', '--sub', 'inner', ...ofJson)
  const { server, bee } = await served(scene, writer, key, { encodings: { keyEncoding: 'utf-8', valueEncoding: 'json' } })
  await until(() => bee.core.length === 4)
  const outer = bee.sub('outer')
  assert.deepEqual(await all(outer.createReadStream()), [
    { seq: 1, key: 'a', value: { x: 1.5 } }, { seq: 2, key: 'b', value: null }, { seq: 3, key: 'inner\0c', value: ['ä'] }])
  assert.deepEqual((await outer.sub('inner').get('c')).value, ['ä'])
  await server.stop()
})

test('the package writes on where Holdfast stopped, with the key that both have', { timeout }, async t => {
  const scene = await Scene.of(t)
  const writer = await bees(scene)
  const secret = randomBytes(32)
  const path = join(scene.directory, 'secret')
  await writeFile(path, hex(secret))
  const { key } = await writer.create('--secret-key-file', path)
  await writer.put(key, Array.from({ length: 30 }, (_, i) => entry(i)))
  const server = await writer.serve(key)
  const { default: crypto } = await import('hypercore-crypto')
  const core = await scene.core(key, { keyPair: crypto.keyPair(secret) })
  const connection = await scene.dial(server.port, core)
  await download(core, 31)
  connection.socket.destroy()
  await connection.closed
  await server.stop()
  const bee = new Hyperbee(core, { keyEncoding: 'utf-8', valueEncoding: 'utf-8' })
  await bee.put('by', 'the package')
  await bee.del(entry(3)[0])
  const reader = await bees(scene)
  await reader.fetch((await scene.listen(core)).port, key)
  await assertSameBee(bee, reader, { from: 31 })
})
