// Holdfast reads drives that the package writes: fetched, followed live, checked out, encrypted, in a namespace, with maps of blocks.
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { hex, random, sleep, until } from '../lib/core.mjs'
import { Scene, all, assertSameDrive, drives, file, filled, theirs } from '../lib/drive.mjs'

const timeout = 60000

for (const [kind, make] of [['plain', () => ({})], ['in a namespace', () => ({ name: 'inner' })], ['encrypted', () => ({ encryptionKey: randomBytes(32) })]]) {
  test(`a drive that is ${kind} is fetched, and reads alike`, { timeout }, async t => {
    const scene = await Scene.of(t)
    const options = make()
    const drive = await filled(scene, options)
    const reader = await drives(scene)
    const sealed = options.encryptionKey ? ['--encryption-key', hex(options.encryptionKey)] : []
    const { port } = await scene.listen(drive.whole)
    const { files } = await reader.fetch(port, drive.core.id, ...sealed)
    assert.equal(files, 6)
    assert.equal((await reader.fetch(port, drive.core.id, '/', ...sealed)).files, 6)
    await assertSameDrive(drive, reader, { from: 4, options: sealed })
    const then = drive.checkout(5)
    await assertSameDrive(then, reader, { id: drive.core.id, from: 2, at: ['--at', 5], options: sealed, reads: false })
    await then.close()
    assert.match((await reader.fails(['cat', drive.core.id, '/gone', ...sealed])).err, /no file "\/gone"/)
    assert.match((await reader.fails(['put', drive.core.id, '/mine', ...sealed])).err, /secret key/)
  })
}

test('an encrypted drive is passed on by who cannot read it', { timeout }, async t => {
  const scene = await Scene.of(t)
  const encryptionKey = randomBytes(32)
  const drive = await filled(scene, { encryptionKey })
  const blind = await drives(scene)
  const { port } = await scene.listen(drive.whole)
  await blind.fetch(port, drive.core.id, '--all')
  assert.match((await blind.fails(['ls', drive.core.id])).err, /encrypted/)
  const server = await blind.serve(drive.core.id)
  const reader = await drives(scene)
  const sealed = ['--encryption-key', hex(encryptionKey)]
  await reader.fetch(server.port, drive.core.id, ...sealed)
  await assertSameDrive(drive, reader, { options: sealed })
})

test('a connection that is lost before the drive is known is told as that', { timeout }, async t => {
  const scene = await Scene.of(t)
  const drive = await filled(scene)
  await drive.core.clear(0, 1) // which tells where the blobs are
  const listener = await scene.listen(drive.whole)
  const reader = await drives(scene)
  const reading = reader.try(['fetch', drive.core.id, '--tcp', `127.0.0.1:${listener.port}`])
  await until(() => drive.core.peers.some(peer => peer.remoteSynced))
  await sleep(500)
  for (const { stream } of listener.connections) stream.noiseStream.write(Buffer.from('0101', 'hex')) // a message that ends too early
  const { code, err } = await reading
  assert.equal(code, 1)
  assert.match(err, /The connection to 127\.0\.0\.1:\d+ ended/)
  assert.doesNotMatch(err, /no drive/)
})

test('a drive is followed live, and passed on', { timeout }, async t => {
  const scene = await Scene.of(t)
  const drive = await filled(scene)
  const reader = await drives(scene)
  const { port } = await scene.listen(drive.whole)
  const following = await reader.follow(port, drive.core.id)
  await drive.put('/news', file(9, 300000))
  await until(async () => (await reader.try(['cat', drive.core.id, '/news'])).code === 0, 20000)
  await assertSameDrive(drive, reader)
  const copy = await theirs(scene, drive.core.id)
  const wait = reader.start(['watch', drive.core.id, '/folder'])
  await new Promise(resolve => setTimeout(resolve, 500))
  await drive.put('/folder/new', file(10, 10))
  await drive.put('/other', file(11, 10))
  const seen = await wait.line()
  assert.equal(seen.before, null)
  assert.equal(seen.after.path, '/folder/new')
  await wait.stop()
  await following.stop()
  await scene.dial((await reader.serve(drive.core.id)).port, copy.whole)
  await until(() => copy.core.length === drive.core.length, 20000)
  assert.deepEqual(await copy.get('/other'), file(11, 10))
})

test('files whose blocks are in a map are read, in part and whole', { timeout }, async t => {
  const scene = await Scene.of(t)
  const drive = await theirs(scene)
  const bytes = Buffer.concat([file(1, 65536), file(2, 65536), file(1, 65536), file(3, 1000)])
  const stream = drive.createWriteStream('/deduped', { dedup: true })
  for (let at = 0; at < bytes.length; at += 65536) stream.write(bytes.subarray(at, at + 65536))
  stream.end()
  await new Promise((resolve, reject) => stream.on('close', resolve).on('error', reject))
  assert.equal((await drive.entry('/deduped')).value.blob.blockMap, true)
  const reader = await drives(scene)
  const { port } = await scene.listen(drive.whole)
  const remote = ['--tcp', `127.0.0.1:${port}`]
  assert.ok((await reader.cat(drive.core.id, '/deduped', '--start', 65530, '--length', 20, ...remote)).equals(bytes.subarray(65530, 65550)))
  await reader.fetch(port, drive.core.id)
  assert.ok((await reader.cat(drive.core.id, '/deduped')).equals(bytes))
  assert.ok((await reader.cat(drive.core.id, '/deduped', '--start', 131000, '--length', 70000)).equals(bytes.subarray(131000)))
})

test('ranges of a file are what the package gives', { timeout }, async t => {
  const scene = await Scene.of(t)
  const seed = Date.now() % 100000
  t.diagnostic(`seed ${seed}`)
  const below = random(seed)
  const drive = await theirs(scene)
  const bytes = randomBytes(1000000)
  await drive.put('/before', file(0, 12345))
  await drive.put('/file', bytes)
  const reader = await drives(scene)
  await reader.fetch((await scene.listen(drive.whole)).port, drive.core.id)
  for (let i = 0; i < 20; i++) {
    const start = below(bytes.length)
    const length = 1 + below(bytes.length - start)
    const stream = drive.createReadStream('/file', { start, length })
    const expected = Buffer.concat(await all(stream))
    assert.ok(expected.equals(bytes.subarray(start, start + length)))
    assert.ok((await reader.cat(drive.core.id, '/file', '--start', start, '--length', length)).equals(expected), `${start}, ${length}`)
  }
  assert.equal((await reader.cat(drive.core.id, '/file', '--start', 1000000)).length, 0)
  assert.equal((await reader.cat(drive.core.id, '/file', '--start', 2000000, '--length', 5)).length, 0)
})
