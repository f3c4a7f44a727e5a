// Lists and differences of more entries than a page has, with keys at the ends of pages that are no names.
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { ask } from '../lib/command.mjs'
import { Scene, all, drives, theirs } from '../lib/drive.mjs'

const timeout = 60000
const page = 4096
const entry = { executable: false, linkname: null, blob: null, metadata: null }
const numbered = (folder, count) => Array.from({ length: count }, (_, i) => Buffer.from(`${folder}/${String(i).padStart(5, '0')}`))
const shown = ({ path, path_hex: hex }) => hex ?? Buffer.from(path).toString('hex')

test('a list and a diff come to their end behind any key', { timeout }, async t => {
  const scene = await Scene.of(t)
  const drive = await theirs(scene)
  const keys = [...numbered('/a', page - 1), Buffer.from('/b/../a'), ...numbered('/c', page - 1), Buffer.from('/c\xff\xfe', 'latin1'), Buffer.from('/d'),
    Buffer.from('/' + 'e'.repeat(5000)), Buffer.from('/f')]
  const batch = drive.db.batch({ keyEncoding: 'binary' })
  for (const key of keys) await batch.put(Buffer.concat([Buffer.from('files\0'), key]), Buffer.from(JSON.stringify(entry)), { valueEncoding: 'binary' })
  await batch.flush()
  assert.equal((await all(drive.db.createReadStream())).length, keys.length)
  const ours = await drives(scene)
  const id = drive.core.id
  const { port } = await scene.listen(drive.whole)
  const remote = ['--tcp', `127.0.0.1:${port}`]
  const expected = keys.map(key => key.toString('hex'))
  assert.deepEqual((await ours.ls(id, '--recursive', ...remote)).map(shown), expected)
  assert.deepEqual((await ours.ls(id, '--recursive')).map(shown), expected)
  assert.deepEqual((await ours.ls(id)).map(shown), [expected[0], ...expected.slice(page - 1, page + 1), ...expected.slice(2 * page - 1)])
  assert.deepEqual((await ours.diff(id, 1)).map(({ after }) => shown(after)), expected)
  assert.deepEqual((await ours.ls(id, '/b', '--recursive')).map(shown), [expected[page - 1]])
})

test('a page says where the next one begins, and goes on from nowhere else', { timeout }, async t => {
  const scene = await Scene.of(t)
  const ours = await drives(scene)
  const { key } = await ours.object(['create'])
  for (const path of ['/a', '/b/c', '/b/d']) await ours.put(key, path, 'x')
  await ours.serve(key)
  const list = async more => {
    const { status, body } = await ask('/admin/drive/list', { socketPath: join(ours.data, 'admin.sock'), method: 'POST', body: JSON.stringify({ key, ...more }) + '\n' })
    return { status, body, next: status === 200 ? JSON.parse(body.trim().split('\n').at(-1)).next : null }
  }
  const hex = text => Buffer.from(text).toString('hex')
  assert.equal((await list({ limit: 1 })).next, hex('/a'))
  assert.equal((await list({ limit: 1, after: hex('/a') })).next, hex('/b/c'))
  assert.equal((await list({ limit: 2, after: hex('/b/c') })).next, null)
  for (const [more, sentence] of [[{ limit: 0 }, /limit/], [{ after: '/a' }, /hexadecimal/], [{ folder: '/b', after: hex('/a') }, /not in it/],
    [{ folder: '/b', after: hex('/c'), shallow: true }, /not in it/]]) {
    const { status, body } = await list(more)
    assert.ok(status >= 400, body)
    assert.match(body, sentence)
  }
})
