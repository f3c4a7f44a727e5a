// The examples, built against an installed library (tools/check-library), beside the npm packages, in both directions.
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { Scene, blocks, download, hex, until } from './lib/core.mjs'
import { run } from './lib/command.mjs'
import { all, entry, filled, theirs } from './lib/bee.mjs'
import * as drives from './lib/drive.mjs'
import { Scene as Swarms } from './lib/swarm.mjs'

const examples = process.env.EXAMPLES ?? new URL('../../build/examples', import.meta.url).pathname
const timeout = 60000

const append = (directory, name, input) => run([directory, name], { program: `${examples}/append`, input })
const fetch = (directory, port, key) => run(['fetch', directory, `127.0.0.1:${port}`, key], { program: `${examples}/replicate` })

async function appended (directory, name, input) {
  const { code, out, err } = await append(directory, name, input)
  assert.equal(code, 0, err)
  const [, key, length] = out.match(/^key ([a-z0-9]{52})\nlength (\d+)\n$/)
  return { key, length: Number(length) }
}

async function serve (scene, directory, key) {
  const server = { out: '', log: '' }
  const child = spawn(`${examples}/replicate`, ['serve', directory, '127.0.0.1:0', key], { stdio: ['ignore', 'pipe', 'pipe'] })
  child.stdout.on('data', data => { server.out += data })
  child.stderr.on('data', data => { server.log += data })
  const exited = new Promise(resolve => child.once('close', (code, signal) => resolve(code ?? signal)))
  scene.onEnd(() => child.kill('SIGKILL'))
  exited.then(code => { server.code = code })
  await until(() => /listening on .*\n/.test(server.out) || server.code !== undefined, 10000)
  assert.equal(server.code, undefined, server.log)
  server.port = Number(server.out.match(/listening on 127\.0\.0\.1:(\d+)\n/)[1])
  server.stop = async () => {
    child.kill('SIGTERM')
    assert.equal(await exited, 0, server.log)
  }
  return server
}

test('append makes a core by name, and opens it again', { timeout }, async t => {
  const scene = await Scene.of(t)
  const directory = scene.place()
  const first = await appended(directory, 'log', 'one\ntwo\n')
  assert.equal(first.length, 2)
  assert.deepEqual(await appended(directory, 'log', 'three'), { key: first.key, length: 3 })
  const other = await appended(directory, 'other', '')
  assert.equal(other.length, 0)
  assert.notEqual(other.key, first.key)
})

test('the package reads what append wrote, from replicate serve', { timeout }, async t => {
  const scene = await Scene.of(t)
  const directory = scene.place()
  const lines = blocks(2000)
  const { key } = await appended(directory, 'log', lines.join('\n') + '\n')
  const server = await serve(scene, directory, key)
  const reader = await scene.core(key)
  await scene.dial(server.port, reader)
  await download(reader, lines.length)
  assert.equal(reader.length, lines.length)
  for (let i = 0; i < lines.length; i += 111) assert.deepEqual(await reader.get(i), lines[i])
  assert.match((await append(directory, 'log', 'x\n')).err, /in use by another process/)
  await server.stop()
})

test('replicate fetch brings a core of the package, which the package then reads from replicate serve', { timeout }, async t => {
  const scene = await Scene.of(t)
  const directory = scene.place()
  const writer = await scene.written(2000)
  const { port } = await scene.listen(writer)
  const first = await fetch(directory, port, writer.id)
  assert.deepEqual([first.code, first.out], [0, 'length 2000\n'], first.err)
  assert.equal(writer.uploaded, 2000)
  await writer.append(blocks(500, 2000))
  const second = await fetch(directory, port, hex(writer.key))
  assert.deepEqual([second.code, second.out], [0, 'length 2500\n'], second.err)
  assert.equal(writer.uploaded, 2500, 'what was held is not fetched again')

  const server = await serve(scene, directory, writer.id)
  const reader = await scene.core(writer.key)
  await scene.dial(server.port, reader)
  await download(reader, 2500)
  assert.deepEqual(await reader.get(2499), await writer.get(2499))
  assert.equal(hex(reader.state.hash()), hex(writer.state.hash()))
  await server.stop()
})

test('replicate fetch says why there is nothing to fetch', { timeout }, async t => {
  const scene = await Scene.of(t)
  const [asked, other] = [await scene.written(1), await scene.written(1)]
  const { port } = await scene.listen(other)
  const missing = await fetch(scene.place(), port, asked.id)
  assert.equal(missing.code, 1)
  assert.match(missing.err, /does not have the core/)
  const noKey = await fetch(scene.place(), port, 'nonsense')
  assert.equal(noKey.code, 1)
  assert.match(noKey.err, /not the key of a core/)
  assert.equal((await run([], { program: `${examples}/replicate` })).code, 2)
})

test('bee puts what the package reads, from replicate serve', { timeout }, async t => {
  const scene = await Scene.of(t)
  const directory = scene.place()
  const input = Array.from({ length: 500 }, (_, i) => entry(i).join('\t') + '\n').join('')
  const { code, out, err } = await run(['put', directory, 'people'], { program: `${examples}/bee`, input })
  assert.equal(code, 0, err)
  const [, key, version] = out.match(/^key ([a-z0-9]{52})\nversion (\d+)\n$/)
  assert.equal(version, '501')
  const server = await serve(scene, directory, key)
  const bee = await theirs(scene, key)
  await scene.dial(server.port, bee.core)
  await until(() => bee.core.length === 501)
  assert.equal((await bee.get(entry(321)[0])).value, entry(321)[1])
  assert.equal((await all(bee.createReadStream())).length, 500)
  await server.stop()
})

test('bee gets keys of a bee of the package, and fetches little of it', { timeout }, async t => {
  const scene = await Scene.of(t)
  const directory = scene.place()
  const bee = await filled(scene, 3000)
  const { port } = await scene.listen(bee.core)
  const get = (...keys) => run(['get', directory, `127.0.0.1:${port}`, bee.core.id, ...keys], { program: `${examples}/bee` })
  const { code, out, err } = await get(entry(7)[0], 'nothing', entry(2222)[0])
  assert.equal(code, 0, err)
  assert.equal(out, `${entry(7).join('\t')}\nnothing is not there\n${entry(2222).join('\t')}\n`)
  const { uploaded } = bee.core
  assert.ok(uploaded < 200, `${uploaded} blocks`)
  assert.equal((await get(entry(7)[0])).code, 0)
  assert.equal(bee.core.uploaded, uploaded, 'what was held is not fetched again')
  const other = await filled(scene, 1)
  const failed = await run(['get', directory, `127.0.0.1:${port}`, other.core.id, 'x'], { program: `${examples}/bee` })
  assert.deepEqual([failed.code, failed.err], [1, 'bee: The peer does not have the bee.\n'])
})

const drive = (words, input) => run(words, { program: `${examples}/drive`, input })

test('drive puts what the package reads, from replicate serve', { timeout }, async t => {
  const scene = await Scene.of(t)
  const directory = scene.place()
  const bytes = drives.file(1, 300000)
  const { code, out, err } = await drive(['put', directory, 'files', '/folder/file'], bytes)
  assert.equal(code, 0, err)
  const [, key] = out.match(/^key ([a-z0-9]{52})\nversion 2\n$/)
  assert.equal((await drive(['put', directory, 'files', 'empty'], '')).out, `key ${key}\nversion 3\n`)
  assert.match((await drive(['put', directory, 'files', '/..'], 'x')).err, /leads above it/)
  const server = await serve(scene, directory, key)
  const reader = await drives.theirs(scene, key)
  await scene.dial(server.port, reader.whole)
  await until(() => reader.core.length === 3)
  assert.ok((await reader.get('/folder/file')).equals(bytes))
  assert.equal((await reader.get('/empty')).length, 0)
  await server.stop()
})

test('drive reads a file of the package, and fetches nothing else', { timeout }, async t => {
  const scene = await Scene.of(t)
  const directory = scene.place()
  const theirDrive = await drives.filled(scene)
  const { port } = await scene.listen(theirDrive.whole)
  const cat = path => drive(['cat', directory, `127.0.0.1:${port}`, theirDrive.core.id, path])
  const { code, out, err } = await cat('/link')
  assert.equal(code, 0, err)
  assert.equal(out, drives.file(1, 200000).toString())
  assert.equal((await theirDrive.getBlobs()).core.uploaded, 4)
  assert.match((await cat('/nothing')).err, /no such file/)
})

test('swarm finds the package and another of its kind by the key, and both grow with it', { timeout }, async t => {
  const scene = await Swarms.of(t)
  const { swarm, store } = await scene.peer()
  const core = store.get({ name: 'log' })
  await core.append(blocks(50))
  await swarm.join(core.discoveryKey).flushed()
  const { host, port } = scene.bootstrap[0]
  const follow = () => {
    const follower = { out: '', log: '' }
    const child = spawn(`${examples}/swarm`, [scene.place(), `${host}:${port}`, core.id], { stdio: ['ignore', 'pipe', 'pipe'] })
    child.stdout.on('data', data => { follower.out += data })
    child.stderr.on('data', data => { follower.log += data })
    follower.exited = new Promise(resolve => child.once('close', resolve))
    follower.stop = () => { child.kill('SIGTERM'); return follower.exited }
    scene.onEnd(() => child.kill('SIGKILL'))
    return follower
  }
  const followers = [follow(), follow()]
  for (const follower of followers) await until(() => follower.out.includes('length 50\n'), 20000)
  await core.append(blocks(10))
  for (const follower of followers) await until(() => follower.out.includes('length 60\n'), 20000)
  for (const follower of followers) assert.equal(await follower.stop(), 0, follower.log)
})
