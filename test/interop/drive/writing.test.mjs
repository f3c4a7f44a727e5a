// The package reads drives that Holdfast writes, over TCP, with either side dialling and either beginning the handshake.
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { hex, until } from '../lib/core.mjs'
import { Scene, all, assertSameDrive, drives, file, theirs } from '../lib/drive.mjs'

const timeout = 60000

async function written (scene, ...options) {
  const ours = await drives(scene)
  const { key } = await ours.object(['create', '--name', 'photos', ...options])
  const sealed = options.filter((_, i) => options[i] === '--encryption-key' || options[i - 1] === '--encryption-key')
  await ours.put(key, '/hello.txt', 'hello', ...sealed)
  await ours.put(key, 'folder//./a.bin', file(1, 200000), ...sealed)
  await ours.put(key, '/folder/x/../b', file(2, 65536), '--executable', '--metadata', '{ "a": [1, 2.5, "ä"] }', ...sealed)
  await ours.put(key, '/empty', '', ...sealed)
  await ours.object(['put', key, '/link', '--link', '/folder/a.bin', ...sealed])
  await ours.put(key, '/gone', 'gone', ...sealed)
  await ours.put(key, '/hello.txt', 'hello again', ...sealed)
  await ours.object(['rm', key, '/gone', ...sealed])
  return { ours, key, sealed }
}

async function read (scene, ours, key, options) {
  const drive = await theirs(scene, key, options)
  const server = await ours.serve(key)
  await scene.dial(server.port, drive.whole)
  await until(() => drive.core.length >= 9, 20000)
  return { drive, server }
}

test('a drive that Holdfast writes reads alike in the package', { timeout }, async t => {
  const scene = await Scene.of(t)
  const { ours, key } = await written(scene)
  const { drive, server } = await read(scene, ours, key)
  assert.deepEqual(await drive.get('/hello.txt'), Buffer.from('hello again'))
  assert.deepEqual((await drive.entry('/folder/b')).value.metadata, { a: [1, 2.5, 'ä'] })
  assert.equal((await drive.entry('/folder/b')).value.executable, true)
  assert.deepEqual(await drive.get(await drive.entry('/link', { follow: true })), file(1, 200000))
  assert.equal(await drive.get('/gone'), null)
  await assertSameDrive(drive, ours, { from: 3 })
  const then = drive.checkout(3)
  await assertSameDrive(then, ours, { id: key, from: 2, at: ['--at', 3] })
  await then.close()
  await server.stop()
})

test('an encrypted drive reads alike with its key, and not without', { timeout }, async t => {
  const scene = await Scene.of(t)
  const encryptionKey = randomBytes(32)
  const { ours, key, sealed } = await written(scene, '--encryption-key', hex(encryptionKey))
  const { drive } = await read(scene, ours, key, { encryptionKey })
  await assertSameDrive(drive, ours, { options: sealed })
  assert.match((await ours.fails(['ls', key])).err, /encrypted/)
  assert.match((await ours.fails(['ls', key, '--encryption-key', hex(randomBytes(32))])).err, /not the encryption key/)
})

test('what is put, linked and deleted while a package follows is seen by it', { timeout }, async t => {
  const scene = await Scene.of(t)
  const { ours, key } = await written(scene)
  const { drive } = await read(scene, ours, key)
  const watcher = drive.watch('/news')
  t.after(() => watcher.destroy())
  const next = watcher.next()
  await ours.put(key, '/news/today', 'fresh')
  await next
  await until(async () => await drive.exists('/news/today'), 10000)
  assert.deepEqual(await drive.get('/news/today'), Buffer.from('fresh'))
  await ours.object(['rm', key, '/news/today'])
  await until(async () => !await drive.exists('/news/today'), 10000)
  assert.deepEqual(await all(drive.readdir('/news')), [])
})

test('a drive is served to a package that waits to be dialled', { timeout }, async t => {
  const scene = await Scene.of(t)
  const { ours, key } = await written(scene)
  const drive = await theirs(scene, key)
  const { port } = await scene.listen(drive.whole, { isInitiator: true })
  ours.start(['serve', key, '--tcp', `127.0.0.1:${port}`, '--connect', '--responder'])
  await until(() => drive.core.length >= 9, 20000)
  await assertSameDrive(drive, ours)
})

test('a name gives the drive of the namespace, and a second create gives it again', { timeout }, async t => {
  const scene = await Scene.of(t)
  const { ours, key } = await written(scene)
  assert.equal((await ours.object(['create', '--name', 'photos'])).created, false)
  assert.deepEqual(await ours.objects(['ls', '--name', 'photos', '--recursive']), await ours.ls(key, '--recursive'))
  assert.match((await ours.fails(['ls', '--name', 'nothing'])).err, /no drive called "nothing"/)
})

test('a drive is taken back to a version as the package does it, and a package that has more follows', { timeout }, async t => {
  const scene = await Scene.of(t)
  const { ours, key } = await written(scene)
  const { drive, server } = await read(scene, ours, key)
  await drive.download('/').done()
  assert.deepEqual(await ours.object(['truncate', key, 4]), { version: 4, fork: 1, blobs_length: 6 }) // through the process that serves
  await until(() => drive.core.fork === 1 && drive.core.length === 4)
  await until(() => drive.blobs.core.fork === 1 && drive.blobs.core.length === 6)
  await assertSameDrive(drive, ours)
  assert.deepEqual(await ours.paths(key, '--recursive'), ['/folder/a.bin', '/folder/b', '/hello.txt'])
  assert.equal(await drive.getBlobsLength(4), 6)
  await ours.put(key, '/after', 'after')
  await until(async () => await drive.exists('/after'))
  assert.deepEqual(await drive.get('/after'), Buffer.from('after'))
  await server.stop()
  assert.match((await ours.fails(['truncate', key, 0])).err, /no version 0/)
  assert.match((await ours.fails(['truncate', key, 6])).err, /no version 6 to go back to: the drive is at 5/)
  assert.match((await (await drives(scene)).fails(['truncate', key, 1])).err, /no data directory|not there|no core/i)
})
