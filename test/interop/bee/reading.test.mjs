// Holdfast reads bees that the package writes: fetched whole, followed live, checked out, in every encoding.
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import Hyperbee from 'hyperbee'
import { hex, random, until } from '../lib/core.mjs'
import { Scene, all, assertSameBee, bees, entry, filled, theirs } from '../lib/bee.mjs'

const timeout = 60000

for (const count of [0, 1, 9, 1000]) {
  test(`a bee of ${count} keys is fetched, and reads alike`, { timeout }, async t => {
    const scene = await Scene.of(t)
    const bee = await filled(scene, count)
    const reader = await bees(scene)
    const { port } = await scene.listen(bee.core)
    await reader.fetch(port, bee.core.id)
    const info = await reader.info(bee.core.id)
    assert.deepEqual([info.version, info.writable], [bee.version, false])
    await assertSameBee(bee, reader)
    if (count) assert.equal(await reader.value(bee.core.id, entry(count >> 1)[0]), entry(count >> 1)[1])
    assert.equal((await reader.fails(['get', bee.core.id, 'missing'])).code, 1)
  })
}

test('random changes read alike, at every version that is the end of a batch', { timeout }, async t => {
  const scene = await Scene.of(t)
  const seed = Date.now() % 100000
  t.diagnostic(`seed ${seed}`)
  const below = random(seed)
  const bee = await theirs(scene)
  const versions = []
  for (let i = 0; i < 30; i++) {
    const batch = bee.batch()
    for (let n = 1 + below(20); n > 0; n--) {
      const [key, value] = entry(below(80))
      if (below(3) === 0) await batch.del(key)
      else await batch.put(key, `${value} of ${i}`)
    }
    await batch.flush()
    versions.push(bee.version)
  }
  const reader = await bees(scene)
  await reader.fetch((await scene.listen(bee.core)).port, bee.core.id)
  await assertSameBee(bee, reader, { from: versions[3] })
  for (let i = 0; i < 4; i++) {
    const [from, to] = [versions[below(30)], versions[below(30)]].sort((a, b) => a - b)
    const then = bee.checkout(to)
    await assertSameBee(then, reader, { from, at: ['--at', to] })
    await then.close()
  }
  for (let i = 0; i < 4; i++) {
    const bounds = [entry(below(80))[0], entry(below(80))[0]].sort()
    const [low, high] = [['gt', 'gte'][below(2)], ['lt', 'lte'][below(2)]]
    const reverse = below(2) === 1
    const range = { [low]: bounds[0], [high]: bounds[1], reverse, limit: 1 + below(40) }
    assert.deepEqual(await reader.list(bee.core.id, `--${low}`, bounds[0], `--${high}`, bounds[1], '--limit', range.limit, ...(reverse ? ['--reverse'] : [])),
      await all(bee.createReadStream(range)), JSON.stringify(range))
  }
})

test('keys and values in binary and in JSON', { timeout }, async t => {
  const scene = await Scene.of(t)
  const binary = await theirs(scene, null, { encodings: {} })
  const key = randomBytes(20)
  const value = randomBytes(300)
  await binary.put(key, value)
  await binary.put(Buffer.alloc(0), Buffer.alloc(0))
  await binary.put(Buffer.from([0]), null)
  const json = await theirs(scene, null, { encodings: { keyEncoding: 'json', valueEncoding: 'json' } })
  const thing = { a: [1, 2.5, 'ä"\n', null, true], b: {} }
  await json.put([1, 'x'], thing)
  const reader = await bees(scene)
  for (const bee of [binary, json]) await reader.fetch((await scene.listen(bee.core)).port, bee.core.id)
  const ofBinary = ['--key-encoding', 'binary', '--value-encoding', 'binary']
  assert.deepEqual(await reader.list(binary.core.id, ...ofBinary),
    [{ seq: 2, key: '', value: '' }, { seq: 3, key: '00', value: null }, { seq: 1, key: hex(key), value: hex(value) }].sort((a, b) => a.key < b.key ? -1 : 1))
  assert.equal(await reader.value(binary.core.id, hex(key), ...ofBinary), hex(value))
  assert.match((await reader.fails(['get', binary.core.id, hex(key), '--key-encoding', 'binary'])).err, /not utf-8/)
  const ofJson = ['--key-encoding', 'json', '--value-encoding', 'json']
  assert.deepEqual(await reader.list(json.core.id, ...ofJson), [{ seq: 1, key: [1, 'x'], value: thing }])
  assert.deepEqual(await reader.value(json.core.id, ' [ 1, "\\u0078" ] ', ...ofJson), thing)
})

test('sub-databases, and those within them', { timeout }, async t => {
  const scene = await Scene.of(t)
  const bee = await theirs(scene)
  const people = bee.sub('people')
  const mail = people.sub('mail')
  await bee.put('top', '0')
  await people.put('ada', '1')
  await people.put('bob', '2')
  await mail.put('ada', '3')
  await mail.put('zoe', '4')
  const reader = await bees(scene)
  const { id } = bee.core
  await reader.fetch((await scene.listen(bee.core)).port, id)
  const [ofPeople, ofMail] = [['--sub', 'people'], ['--sub', 'people', '--sub', 'mail']]
  assert.deepEqual(await reader.list(id, ...ofPeople), await all(people.createReadStream()))
  assert.deepEqual(await reader.list(id, ...ofMail), await all(mail.createReadStream()))
  assert.deepEqual(await reader.list(id, ...ofMail, '--gt', 'ada'), await all(mail.createReadStream({ gt: 'ada' })))
  assert.equal(await reader.value(id, 'ada', ...ofMail), '3')
  assert.deepEqual(await reader.diff(id, 2, ...ofMail), [
    { key: 'ada', before: null, after: { seq: 4, value: '3' } }, { key: 'zoe', before: null, after: { seq: 5, value: '4' } }])
})

test('an encrypted bee reads with its key alone', { timeout }, async t => {
  const scene = await Scene.of(t)
  const encryptionKey = randomBytes(32)
  const bee = await filled(scene, 100, { encryptionKey })
  const [reader, stranger] = [await bees(scene), await bees(scene)]
  const { port } = await scene.listen(bee.core)
  const options = ['--encryption-key', hex(encryptionKey)]
  await reader.fetch(port, bee.core.id, ...options)
  await assertSameBee(bee, reader, { options })
  await stranger.fetch(port, bee.core.id)
  const { code, err } = await stranger.fails(['list', bee.core.id])
  assert.equal(code, 1)
  assert.match(err, /encrypted/)
})

test('what the package puts is seen while it is followed, and watched', { timeout }, async t => {
  const scene = await Scene.of(t)
  const bee = await filled(scene, 20)
  const reader = await bees(scene)
  const { id } = bee.core
  const following = await reader.follow((await scene.listen(bee.core)).port, id)
  await until(async () => (await reader.info(id)).contiguous_length === 21)
  const [whole, one] = [reader.start(['watch', id]), reader.start(['watch', id, entry(7)[0]])]
  await until(async () => (await reader.info(id)).version === 21)
  await new Promise(resolve => setTimeout(resolve, 500))
  await bee.put(entry(3)[0], 'new')
  assert.deepEqual(await whole.line(0), { key: entry(3)[0], before: { seq: 4, value: 'value 3' }, after: { seq: 21, value: 'new' } })
  await bee.del(entry(7)[0])
  const gone = { key: entry(7)[0], before: { seq: 8, value: 'value 7' }, after: null }
  assert.deepEqual(await whole.line(1), gone)
  assert.deepEqual(await one.line(0), gone)
  await bee.put(entry(30)[0], 'another')
  assert.equal((await whole.line(2)).key, entry(30)[0])
  await assertSameBee(bee, reader, { from: 21 })
  await one.stop()
  await whole.stop()
  await following.stop()
})

test('a bee that went back is followed to its fork', { timeout }, async t => {
  const scene = await Scene.of(t)
  const bee = await theirs(scene)
  for (let i = 0; i < 40; i++) await bee.put(...entry(i % 25))
  const reader = await bees(scene)
  const { port } = await scene.listen(bee.core)
  await reader.fetch(port, bee.core.id)
  await bee.core.truncate(30)
  await bee.put('after', 'the fork')
  await reader.fetch(port, bee.core.id)
  await assertSameBee(bee, reader, { from: 20 })
})

test('a core that is no bee is named as one, whatever it has', { timeout }, async t => {
  const scene = await Scene.of(t)
  const reader = await bees(scene)
  for (const count of [1, 3]) {
    const core = await scene.written(count)
    await reader.fetch((await scene.listen(core)).port, core.id)
    for (const words of [['list', core.id], ['get', core.id, 'x'], ['history', core.id], ['diff', core.id, 1]]) {
      const { code, err } = await reader.fails(words)
      assert.equal(code, 1)
      assert.match(err, /is no bee/)
    }
  }
})
