// Bees that nobody honest wrote, at a peer: every command ends with a sentence. And keys and values as large as they may be.
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { writeFile } from 'node:fs/promises'
import messages from 'hyperbee/lib/messages.js'
import { until } from '../lib/core.mjs'
import { Scene, bees, entry, theirs } from '../lib/bee.mjs'

const timeout = 60000
const node = (key, levels, value = 'v') => messages.Node.encode({ key: Buffer.from(key), value: Buffer.from(value), index: messages.YoloIndex.encode({ levels }) })
const first = node('m', [{ keys: [1], children: [] }])
const deep = Array.from({ length: 40 }, (_, i) => ({ keys: [2], children: [2, i + 1, 2, i + 1] }))

const blocks = {
  'a node that is its own child': [first, node('p', [{ keys: [2], children: [2, 0, 2, 0] }])],
  'nodes that are each other\'s': [first, node('p', [{ keys: [2], children: [2, 1, 1, 0] }, { keys: [1], children: [2, 0, 2, 0] }])],
  'a key of a later block': [first, node('p', [{ keys: [1, 7], children: [] }])],
  'a child of a later block': [first, node('p', [{ keys: [2], children: [1, 0, 9, 0] }])],
  'a key in the header': [first, node('p', [{ keys: [0, 2], children: [] }])],
  'a level that is not there': [first, node('p', [{ keys: [2], children: [1, 5, 1, 5] }])],
  'too many keys': [first, node('p', [{ keys: Array(9).fill(2), children: [] }])],
  'too few children': [first, node('p', [{ keys: [1, 2], children: [1, 0] }])],
  'a tree of 40 levels': [first, node('p', deep)],
  'keys out of order': [first, node('p', [{ keys: [2, 1], children: [] }])],
  'a block that is no node': [first, Buffer.from('not a node')],
  'an empty block': [first, Buffer.alloc(0)],
  'numbers of more than 64 bits': [first, Buffer.concat([Buffer.from('0a0e0a0c0a0a', 'hex'), Buffer.alloc(10, 0xff), Buffer.from('120170', 'hex')])]
}

test('malformed trees at a peer end every read with a sentence', { timeout: 3 * timeout }, async t => {
  const scene = await Scene.of(t)
  const ours = await bees(scene)
  for (const [name, list] of Object.entries(blocks)) {
    const core = await scene.core()
    await core.append([messages.Header.encode({ protocol: 'hyperbee', metadata: null }), ...list])
    const tcp = ['--tcp', `127.0.0.1:${(await scene.listen(core)).port}`, '--timeout', '5']
    for (const words of [['list', core.id], ['list', core.id, '--reverse'], ['diff', core.id, 2]]) {
      const { code, err } = await ours.fails([...words, ...tcp])
      assert.equal(code, 1, name)
      assert.match(err, /malformed|middle of a batch/, `${name}: ${words[0]}`)
    }
    const { code, err } = await ours.try(['get', core.id, 'a', ...tcp])
    assert.equal(code, 1, name)
    assert.match(err, /malformed|no such key/, name)
  }
})

test('a key and a value of 14 MiB together pass, and no more', { timeout }, async t => {
  const scene = await Scene.of(t)
  const ours = await bees(scene)
  const { key } = await ours.create()
  const path = join(scene.directory, 'value')
  const value = Buffer.alloc((14 << 20) - 1, 'x')
  const server = await ours.serve()
  await writeFile(path, Buffer.concat([value, Buffer.from('x')]))
  const { code, err } = await ours.fails(['put', key, 'k', '--file', path])
  assert.equal(code, 1)
  assert.match(err, /14680064 bytes/)
  await writeFile(path, value)
  assert.equal((await ours.try(['put', key, 'k', '--file', path])).code, 0)
  assert.equal((await ours.put(key, [entry(1), ['k'.repeat(1 << 20), ''], entry(2)])).put, 3)
  assert.equal((await ours.try(['get', key, 'k', '--raw'])).out.length, value.length)
  const reader = await theirs(scene, key)
  await scene.dial(server.port, reader.core)
  await until(() => reader.core.length === 5)
  assert.equal((await reader.get('k')).value.length, value.length)
  assert.equal((await reader.get('k'.repeat(1 << 20))).value, '')
  await server.stop()
})
