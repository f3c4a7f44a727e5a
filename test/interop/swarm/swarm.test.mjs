// Cores, bees and drives are served and fetched by their key alone, between Holdfast and Hyperswarm, on networks of our nodes, of the package's,
// and of both.
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import Hyperbee from 'hyperbee'
import Hyperdrive from 'hyperdrive'
import { assertSame, blocks, download, sleep, until } from '../lib/core.mjs'
import { Scene } from '../lib/swarm.mjs'

const timeout = 90000
const kinds = [['theirs', 'of the package'], ['ours', 'of ours'], ['mixed', 'of both']]

async function serving (holdfast, options, ...words) {
  const server = holdfast.start(['serve', ...options, ...words])
  await until(() => /"announced"/.test(server.out) || server.code !== undefined, 20000)
  assert.equal(server.code, undefined, server.log)
  return server
}

for (const [kind, told] of kinds) {
  test(`a core of the package is fetched by its key, on nodes ${told}`, { timeout }, async t => {
    const scene = await Scene.of(t, kind)
    const { swarm, store } = await scene.peer()
    const core = store.get({ name: 'one' })
    await core.append(blocks(100))
    await swarm.join(core.discoveryKey).flushed()
    const holdfast = await scene.holdfast()
    const { length } = await holdfast.object(['fetch', core.id, ...scene.options])
    assert.equal(length, 100)
    await assertSame(core, holdfast)
  })

  test(`a core of ours is found by the package by its key, on nodes ${told}`, { timeout }, async t => {
    const scene = await Scene.of(t, kind)
    const holdfast = await scene.holdfast()
    const key = await holdfast.made(100)
    await serving(holdfast, scene.options, key)
    const { swarm, store } = await scene.peer()
    const core = store.get(key)
    await core.ready()
    swarm.join(core.discoveryKey, { server: false })
    await download(core, 100)
    await holdfast.append(key, blocks(20, 100))
    await download(core, 120)
    await assertSame(core, holdfast)
  })

  test(`two of ours find each other, on nodes ${told}`, { timeout }, async t => {
    const scene = await Scene.of(t, kind)
    const [writer, reader] = [await scene.holdfast(), await scene.holdfast()]
    const key = await writer.made(50)
    await serving(writer, scene.options, key)
    assert.equal((await reader.object(['fetch', key, ...scene.options])).length, 50)
  })
}

test('a drive and a bee go by key, both ways', { timeout }, async t => {
  const scene = await Scene.of(t)
  const { swarm, store } = await scene.peer()
  const bytes = randomBytes(300000)
  const drive = new Hyperdrive(store)
  await drive.put('/deep/file', bytes)
  await drive.put('/small', Buffer.from('small'))
  const bee = new Hyperbee(store.get({ name: 'bee' }), { keyEncoding: 'utf-8', valueEncoding: 'utf-8' })
  for (let i = 0; i < 50; i++) await bee.put(`key ${i}`, `value ${i}`)
  await Promise.all([drive.discoveryKey, bee.core.discoveryKey].map(topic => swarm.join(topic).flushed()))
  const holdfast = await scene.holdfast()
  holdfast.family = 'drive'
  assert.equal((await holdfast.object(['fetch', drive.core.id, ...scene.options])).files, 2)
  assert.deepEqual(Buffer.from((await holdfast.try(['cat', drive.core.id, '/small'])).out), Buffer.from('small'))
  holdfast.family = 'bee'
  const reader = await scene.holdfast()
  reader.family = 'bee'
  assert.equal((await reader.object(['get', bee.core.id, 'key 7', ...scene.options])).value, 'value 7')

  const ours = await scene.holdfast()
  ours.family = 'drive'
  const { key } = await ours.create()
  await ours.object(['put', key, '/mine'], { input: bytes })
  await serving(ours, scene.options, key)
  const theirs = await scene.peer()
  const copy = new Hyperdrive(theirs.store, key)
  await copy.ready()
  theirs.swarm.join(copy.discoveryKey, { server: false })
  await until(() => copy.version > 1, 30000)
  assert.ok((await copy.get('/mine')).equals(bytes))
})

test('a reader follows live through the death of the writer and its coming back', { timeout }, async t => {
  const scene = await Scene.of(t)
  const holdfast = await scene.holdfast()
  const key = await holdfast.made(10)
  const server = await serving(holdfast, scene.options, key)
  const { swarm, store } = await scene.peer()
  const core = store.get(key)
  await core.ready()
  swarm.join(core.discoveryKey, { server: false })
  await download(core, 10)
  await server.kill()
  await holdfast.append(key, blocks(10, 10))
  await serving(holdfast, scene.options, key)
  await swarm.flush()
  await until(async () => { for (const { topic } of swarm.topics()) await swarm.join(topic, { server: false }).flushed(); return core.length >= 20 }, 60000)
})

test('both sides that dial at once end with one connection', { timeout }, async t => {
  const scene = await Scene.of(t)
  const holdfast = await scene.holdfast()
  const key = await holdfast.made(5)
  for (let round = 0; round < 5; round++) {
    const { swarm, store } = await scene.peer()
    const core = store.get(key)
    await core.ready()
    swarm.join(core.discoveryKey)
    const server = holdfast.start(['serve', key, ...scene.options])
    await download(core, 5)
    await until(() => swarm.connections.size === 1 && core.peers.length === 1, 10000)
    await sleep(500)
    assert.equal(swarm.connections.size, 1)
    assert.equal(core.peers.length, 1)
    await server.stop()
    await until(() => swarm.connections.size === 0, 10000)
    await swarm.destroy()
  }
})

test('a node that is a blind relay joins peers of the package who do not punch, and keeps its key', { timeout }, async t => {
  const scene = await Scene.of(t)
  const data = scene.place()
  const start = () => scene.program(['dht', 'serve', '--relay', '--host', '127.0.0.1', '--data', data, '--metrics', '127.0.0.1:0', ...scene.options])
  const first = start()
  const key = await first.found(/"relay":"([0-9a-f]{64})"/)
  await first.stop()
  const second = start()
  assert.equal(await second.found(/"relay":"([0-9a-f]{64})"/), key)
  const [a, b] = [scene.dht(), scene.dht()]
  const server = a.createServer({ shareLocalAddress: false, holepunch: () => false }, stream => { stream.on('error', () => {}); stream.pipe(stream) })
  await server.listen()
  const stream = b.connect(server.publicKey, { relayThrough: Buffer.from(key, 'hex'), localConnection: false })
  const bytes = randomBytes(100000)
  stream.write(bytes)
  let back = Buffer.alloc(0)
  await new Promise((resolve, reject) => stream.on('error', reject).on('data', data => {
    back = Buffer.concat([back, data])
    if (back.length === bytes.length) resolve()
  }))
  assert.ok(back.equals(bytes))
  const url = await second.found(/"metrics":"([^"]*)"/)
  const numbers = Object.fromEntries((await (await fetch(url)).text()).split('\n').filter(line => /^[a-z]/.test(line))
    .map(line => line.split(/ (?=[0-9]+$)/)))
  assert.equal(numbers['holdfast_blind_relay_pairs_total{result="joined"}'], '1')
  assert.equal(numbers['holdfast_blind_relay_sessions_total{result="taken"}'], '2')
  assert.equal(numbers['holdfast_blind_relay_sessions_total{result="refused"}'], '0')
  assert.ok(Number(numbers.holdfast_blind_relay_bytes_total) >= 0) // a direct way may be there first
  stream.destroy()
})

test('what nobody has is told as that, and a network that is not there', { timeout }, async t => {
  const scene = await Scene.of(t)
  const holdfast = await scene.holdfast()
  const key = await (await scene.holdfast()).made(1)
  assert.match((await holdfast.fails(['fetch', key, '--timeout', 3, ...scene.options])).err, /Nobody was found in the swarm/)
  assert.match((await holdfast.fails(['fetch', key])).err, /--bootstrap/)
  assert.equal((await holdfast.fails(['fetch', key])).code, 2)
  assert.match((await holdfast.fails(['fetch', key, '--timeout', 3, '--bootstrap', '127.0.0.1:9'])).err, /Nobody was found/)
})
