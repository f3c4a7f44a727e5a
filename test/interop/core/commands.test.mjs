// `holdfast core` by itself: what it prints, what it refuses, and how it ends.
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import Hypercore from 'hypercore'
import id from 'hypercore-id-encoding'
import { run } from '../lib/command.mjs'
import { Scene, assertSame, block, blocks, hex, random, sleep, until } from '../lib/core.mjs'

const timeout = 60000

test('create prints the key alone, append and get pass bytes through', { timeout }, async t => {
  const scene = await Scene.of(t)
  const holdfast = await scene.holdfast()
  const created = await holdfast.try(['create'])
  assert.equal(created.code, 0, created.err)
  assert.match(created.out, /^[ybndrfg8ejkmcpqxot1uwisza345h769]{52}\n$/)
  const key = created.out.trim()
  assert.equal((await holdfast.try(['append', key], { input: 'one\n\n\ntwo' })).code, 0)
  assert.deepEqual(await holdfast.get(key, 0, 4), ['one', '', '', 'two'].map(text => Buffer.from(text)))
  const bytes = randomBytes(1000)
  await holdfast.appendFile(key, bytes)
  await holdfast.appendFile(key, Buffer.alloc(0))
  assert.deepEqual(await holdfast.get(key, 4, 6), [bytes, Buffer.alloc(0)])
  assert.equal((await holdfast.try(['get', key, '3'])).out, 'two')
  assert.equal((await holdfast.info(key)).byte_length, 1006)
})

test('a core is found by its key in every form, and by no other', { timeout }, async t => {
  const scene = await Scene.of(t)
  const holdfast = await scene.holdfast()
  const key = await holdfast.made(3)
  const bytes = id.decode(key)
  for (const form of [key, hex(bytes), hex(bytes).toUpperCase(), `pear://${key}`, `pear://${key}/some/path`]) {
    assert.equal((await holdfast.info(form)).key, key, form)
    const converted = await run(['key', 'convert', form, '--json'])
    assert.equal(converted.code, 0, converted.err)
    const { z32, hex: shown, discovery_key: discoveryKey } = JSON.parse(converted.out)
    assert.deepEqual([z32, shown, discoveryKey], [key, hex(bytes), hex(Hypercore.discoveryKey(bytes))])
  }
  for (const form of ['', 'x', key.slice(1), key + 'y', key.toUpperCase(), hex(bytes).slice(2), `http://${key}`]) {
    const { err } = await holdfast.fails(['info', form])
    assert.ok(err.trim().length > 0)
  }
  const { code } = await holdfast.fails(['info', id.encode(randomBytes(32))])
  assert.equal(code, 1)
})

test('the state of a core is that of a package that did the same', { timeout }, async t => {
  const scene = await Scene.of(t)
  const holdfast = await scene.holdfast()
  const { key } = await holdfast.create()
  const reader = await scene.core(key)
  const server = await holdfast.serve(key)
  await scene.dial(server.port, reader)
  reader.download({ start: 0, end: -1 })
  const below = random(3)
  for (let i = 0; i < 10; i++) {
    const { length, fork } = await holdfast.info(key)
    if (i % 3 === 2) await holdfast.object(['truncate', key, below(length), '--fork', fork + 1 + below(3)])
    await holdfast.append(key, blocks(1 + below(9), 100 * i))
    const info = await holdfast.info(key)
    await until(() => reader.length === info.length && reader.fork === info.fork && reader.contiguousLength === info.length)
    await assertSame(reader, holdfast)
  }
  await server.stop()
})

test('what cannot be is refused with a sentence, and changes nothing', { timeout }, async t => {
  const scene = await Scene.of(t)
  const holdfast = await scene.holdfast()
  const key = await holdfast.made(5)
  const foreign = await scene.written(5)
  const { port } = await scene.listen(foreign)
  await holdfast.fetch(port, foreign.id)
  const before = [await holdfast.info(key), await holdfast.info(foreign.id)]
  for (const words of [
    ['get', key, '5'], ['get', key, '4..6'], ['seek', key, '100000'], ['truncate', key, '6'], ['truncate', key, '3', '--fork', '0'],
    ['append', foreign.id], ['truncate', foreign.id, '3'], ['append', key, '--file', join(scene.directory, 'nothing')]
  ]) {
    const { code, err } = await holdfast.fails(words, { input: 'x\n' })
    assert.equal(code, 1, words.join(' '))
    assert.ok(err.trim().split('\n').length <= 2, err)
  }
  for (const words of [
    ['info'], ['get', key], ['get', key, 'one'], ['get', key, '3..1..2'], ['seek', key, '-'], ['truncate', key], ['clear', key, '1'], ['nothing'], ['info', key, '--nothing'],
    ['fetch', key], ['serve', '--tcp', 'nowhere'], ['create', '--encryption-key', 'abcd'], ['create', '--manifest', 'zz'], ['append', key, '--block-size', '0'],
    ['append', key, '--name', 'notes'], ['get', key, '0', '--name', 'notes'], ['info', '--name', ''], ['create', '--name', ''],
    ['fetch', key, '--tcp', '127.0.0.1:1', '--live', '--serve', 'nowhere']
  ]) {
    const { code, err } = await holdfast.fails(words)
    assert.equal(code, 2, `${words.join(' ')} ended with ${code}: ${err}`)
  }
  assert.deepEqual([await holdfast.info(key), await holdfast.info(foreign.id)], before)
})

test('a block of more than 15 MiB, less the 8 bytes that encryption takes, is refused', { timeout }, async t => {
  const scene = await Scene.of(t)
  const holdfast = await scene.holdfast()
  const { key } = await holdfast.create()
  const path = join(scene.directory, 'large')
  await writeFile(path, Buffer.alloc((15 << 20) - 7))
  await holdfast.fails(['append', key, '--file', path])
  assert.equal((await holdfast.object(['append', key, '--file', path, '--block-size', (15 << 20) - 8])).length, 2)
})

test('clearing drops blocks and nothing else', { timeout }, async t => {
  const scene = await Scene.of(t)
  const holdfast = await scene.holdfast()
  const key = await holdfast.made(20)
  const before = await holdfast.info(key)
  await holdfast.object(['clear', key, 5, 9])
  await holdfast.object(['clear', key, 7, 8])
  await holdfast.object(['clear', key, 18, 100])
  const info = await holdfast.info(key)
  assert.deepEqual(info, { ...before, blocks_held: 14, contiguous_length: 5 })
  for (const index of [5, 8, 18]) await holdfast.fails(['get', key, index])
  assert.deepEqual([...await holdfast.get(key, 0, 5), ...await holdfast.get(key, 9, 18)], [...blocks(5), ...blocks(9, 9)])
  await holdfast.append(key, [block(20)])
  assert.equal((await holdfast.info(key)).blocks_held, 15)
})

test('a long fetch tells how fast it is and how long it will take', { timeout }, async t => {
  const scene = await Scene.of(t)
  const writer = await scene.core()
  for (let i = 0; i < 60; i++) await writer.append(randomBytes(65536))
  const wire = await scene.wire((await scene.listen(writer)).port, { bytesPerSecond: 1.5e6 })
  const reader = await scene.holdfast()
  const { code, err } = await reader.try(['fetch', '--tcp', `127.0.0.1:${wire.port}`, writer.id])
  assert.equal(code, 0, err)
  assert.match(err, /\/s\b/)
  assert.match(err, /ETA|left|remaining/i)
  assert.equal((await reader.try(['fetch', '--tcp', `127.0.0.1:${wire.port}`, writer.id])).err, '', 'a short one says nothing')
})

test('serving ends in order, and what was appended last is there', { timeout }, async t => {
  const scene = await Scene.of(t)
  const holdfast = await scene.holdfast()
  const key = await holdfast.made(1)
  for (let i = 1; i < 4; i++) {
    const server = await holdfast.serve()
    const reader = await scene.core(key)
    const { closed } = await scene.dial(server.port, reader)
    await until(() => reader.length === i)
    await holdfast.append(key, [block(i)])
    await server.stop()
    await closed
    assert.equal((await holdfast.info(key)).length, i + 1)
  }
  const killed = await holdfast.serve()
  await holdfast.append(key, [block(4)])
  await killed.kill()
  await sleep(50)
  assert.deepEqual(await holdfast.get(key, 0, 5), blocks(5), 'what was answered survives the process')
})
