// Drives at a peer, read without fetching them: how many blocks come, which is no more than the package takes; and large files with look-ahead.
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { counting, scale, until } from '../lib/core.mjs'
import { Scene, all, drives, file, theirs } from '../lib/drive.mjs'

const timeout = 120000
const block = 65536

// A drive of the package that listens, with a thousand files and a large one.
async function written (scene, large) {
  const drive = await theirs(scene)
  const batch = drive.batch()
  for (let i = 0; i < 1000; i++) await batch.put(`/folder ${i % 10}/file ${i}`, file(i))
  await batch.flush()
  await drive.put('/large', large)
  const blobs = await drive.getBlobs()
  counting(blobs.core)
  return { drive, blobs: blobs.core, key: drive.core.id, port: (await scene.listen(drive.whole)).port }
}

// Blocks that the package takes for the same.
async function taken (scene, { key, port, drive, blobs }, read) {
  const [db, before] = [drive.core.uploaded, blobs.uploaded]
  const reader = await theirs(scene, key)
  const connection = await scene.dial(port, reader.whole)
  await until(() => reader.core.length > 0)
  await read(reader)
  await new Promise(resolve => setTimeout(resolve, 200))
  connection.socket.destroy()
  return { db: drive.core.uploaded - db, blobs: blobs.uploaded - before }
}

async function heldBy (ours, key) {
  const info = await ours.info(key)
  return { db: info.blocks_held, blobs: info.blobs_blocks_held }
}

test('one file takes its way in the bee and its own blocks', { timeout }, async t => {
  const scene = await Scene.of(t)
  const writer = await written(scene, randomBytes(1000))
  const ours = await drives(scene)
  const remote = ['--tcp', `127.0.0.1:${writer.port}`]
  assert.ok((await ours.cat(writer.key, '/folder 3/file 543', ...remote)).equals(file(543)))
  const held = await heldBy(ours, writer.key)
  const theirs = await taken(scene, writer, reader => reader.get('/folder 3/file 543'))
  t.diagnostic(`Holdfast ${JSON.stringify(held)}, the package ${JSON.stringify(theirs)}`)
  assert.equal(held.blobs, 1)
  assert.ok(held.db <= 5 * 17 && held.db < 1000 / 10, `${held.db} blocks`)
  assert.ok((await ours.cat(writer.key, '/folder 3/file 543')).equals(file(543)), 'what came is kept')
  assert.match((await ours.fails(['cat', writer.key, '/folder 3/file 553'])).err, /not held here|drive fetch/)
})

test('a folder that is listed takes no blobs, and one that is fetched its own', { timeout }, async t => {
  const scene = await Scene.of(t)
  const writer = await written(scene, randomBytes(1000))
  const ours = await drives(scene)
  const remote = ['--tcp', `127.0.0.1:${writer.port}`]
  assert.equal((await ours.ls(writer.key, '/folder 7', ...remote)).length, 100)
  const held = await heldBy(ours, writer.key)
  assert.equal(held.blobs, 0)
  assert.ok(held.db < 400, `${held.db} blocks`)
  const { files } = await ours.object(['fetch', writer.key, '/folder 7', ...remote])
  assert.equal(files, 100)
  assert.equal((await heldBy(ours, writer.key)).blobs, 100)
  assert.deepEqual((await ours.ls(writer.key, ...remote)).map(({ child }) => child), [...Array.from({ length: 10 }, (_, i) => `folder ${i}`), 'large'])
})

test('a range of a large file takes the blocks that it is in', { timeout }, async t => {
  const scene = await Scene.of(t)
  const large = randomBytes(200 * block - 777)
  const writer = await written(scene, large)
  const ours = await drives(scene)
  const remote = ['--tcp', `127.0.0.1:${writer.port}`]
  const range = async (start, length) => assert.ok((await ours.cat(writer.key, '/large', '--start', start, '--length', length, ...remote)).equals(large.subarray(start, start + length)))
  await range(100 * block + 10, 20)
  assert.equal((await heldBy(ours, writer.key)).blobs, 1)
  await range(150 * block - 10, 20)
  assert.equal((await heldBy(ours, writer.key)).blobs, 3)
  await range(0, 5)
  await range(200 * block - 800, 1000)
  assert.equal((await heldBy(ours, writer.key)).blobs, 5)
  const theirs = await taken(scene, writer, reader => all(reader.createReadStream('/large', { start: 100 * block + 10, length: 20 })))
  t.diagnostic(`the package takes ${theirs.blobs} for the first`)
})

test('a large file is read ahead: a slow way takes round trips for windows, not for blocks', { timeout }, async t => {
  const scene = await Scene.of(t)
  const large = randomBytes(Math.ceil(400 * Math.min(scale, 4)) * block)
  const writer = await written(scene, large)
  const delay = 20
  const { createServer, createConnection } = await import('node:net')
  const server = createServer(inner => {
    const outer = createConnection(writer.port, '127.0.0.1')
    for (const [from, to] of [[inner, outer], [outer, inner]]) {
      from.on('data', data => setTimeout(() => to.write(data), delay))
      from.on('error', () => {}).on('close', () => setTimeout(() => to.destroy(), delay))
    }
  })
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve))
  scene.onEnd(() => server.close())
  const ours = await drives(scene)
  const start = Date.now()
  assert.ok((await ours.cat(writer.key, '/large', '--tcp', `127.0.0.1:${server.address().port}`)).equals(large))
  const ms = Date.now() - start
  t.diagnostic(`${large.length / block} blocks in ${ms} ms over a round trip of ${2 * delay} ms`)
  assert.ok(ms < large.length / block * 2 * delay / 3, `${ms} ms`)
})
