// `holdfast drive` by itself: what it takes, what it prints, what it refuses, and through whom it works.
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdir, readFile, readdir, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Gateway } from '../lib/gateway.mjs'
import { until } from '../lib/core.mjs'
import { Scene, drives, file } from '../lib/drive.mjs'

const timeout = 60000

test('create prints the key, put and rm change, ls, cat, get and diff print', { timeout }, async t => {
  const scene = await Scene.of(t)
  const ours = await drives(scene)
  const created = await ours.try(['create'])
  assert.match(created.out, /^[ybndrfg8ejkmcpqxot1uwisza345h769]{52}\n$/)
  const key = created.out.trim()
  assert.equal((await ours.try(['put', key, '/a/b'], { input: 'hello' })).out, '1 file put; the drive is at version 2\n')
  const place = join(ours.directory, 'program')
  await writeFile(place, 'x'.repeat(2000), { mode: 0o755 })
  await ours.put(key, '/program', '', place)
  await ours.link(key, '/link', '/a/b')
  assert.equal((await ours.try(['ls', key])).out, 'd             a/\nl             /link -> /a/b\nx    2.0 KiB  /program\n')
  assert.equal((await ours.try(['ls', key, '--recursive', '--ignore', 'a'])).out, 'l             /link -> /a/b\nx    2.0 KiB  /program\n')
  assert.equal((await ours.try(['cat', key, 'link'])).out, 'hello')
  assert.equal((await ours.try(['cat', key, 'link', '--start', '1', '--length', '3'])).out, 'ell')
  const copy = join(ours.directory, 'copy')
  await writeFile(copy + '.part', 'somebody else\'s')
  assert.deepEqual(await ours.try(['get', key, '/program', copy]), { code: 0, signal: null, out: '', err: '' })
  assert.equal((await readFile(copy, 'utf8')).length, 2000)
  assert.ok((await stat(copy)).mode & 0o100)
  assert.equal(await readFile(copy + '.part', 'utf8'), 'somebody else\'s')
  assert.equal((await ours.try(['rm', key, '/link', '/program'])).out, '2 deleted; the drive is at version 6\n')
  const missing = await ours.try(['rm', key, '/link'])
  assert.deepEqual([missing.code, missing.err], [1, 'holdfast: 1 of them were not in the drive.\n'])
  assert.equal((await ours.try(['diff', key, '2', '4'])).out, '+ l             /link -> /a/b\n+ x    2.0 KiB  /program\n')
  assert.equal((await ours.try(['diff', key, '4'])).out, '- l             /link -> /a/b\n- x    2.0 KiB  /program\n')
  assert.equal((await ours.try(['cat', key, '/program', '--at', '4'])).out.length, 2000)
  assert.deepEqual(await ours.object(['clear', key, '/a/b']), { cleared: 1 })
  assert.match((await ours.fails(['cat', key, '/a/b'])).err, /not held here; `holdfast drive fetch` brings/)
  await ours.link(key, '/evil', '/\u001b[2J\u009b\n')
  assert.match((await ours.try(['ls', key])).out, /evil -> \/\\x1b\[2J\\xc2\\x9b\\x0a\n/)
  await ours.put(key, '/\u001b[2J\u009b', 'x')
  const folder = join(ours.directory, 'folder')
  await mkdir(join(folder, '\u001b[2J\u009b'), { recursive: true })
  const { err } = await ours.fails(['mirror', key, '--to', folder])
  assert.match(err, /\/\\x1b\[2J\\xc2\\x9b is a folder there/)
  assert.doesNotMatch(err, /[\0-\x09\x0b-\x1f\x7f-\x9f]/)
})

test('what is wrong is told', { timeout }, async t => {
  const scene = await Scene.of(t)
  const ours = await drives(scene)
  const { key } = await ours.object(['create', '--name', 'mine'])
  await ours.put(key, '/a', 'x')
  await ours.link(key, '/loop', '/loop')
  const core = (await ours.core.made(3))
  for (const [words, code, sentence] of [
    [['ls'], 2, /say which core/], [['cat', key], 2, /say which file/], [['rm', key], 2, /say which file/], [['put', key], 2, /under which path/],
    [['mirror', key], 2, /--to FOLDER/], [['mirror', key, '--to', 'a', '--from', 'b'], 2, /--to FOLDER/], [['fetch', key], 2, /--tcp/],
    [['ls', 'nonsense'], 2, /no core key/], [['ls', '--name', 'other'], 1, /no drive called "other"/], [['ls', core], 1, /is no drive/],
    [['cat', key, '/nothing'], 1, /no file "\/nothing"/], [['cat', key, '/loop'], 1, /in a circle/], [['cat', key, '/a', '--at', '99'], 1, /no version 99/],
    [['put', key, '/../x'], 1, /leads above it/], [['put', key, '/'], 1, /root of the drive/], [['put', key, '/' + 'n'.repeat(5000)], 1, /4095 bytes/],
    [['put', key, '/m', '--metadata', '{'], 1, /metadata of "\/m"/], [['put', key, '/l', '--link', ''], 1, /cannot be empty/],
    [['diff', key, '99'], 1, /no version 99/], [['mirror', key, '--from', join(ours.directory, 'missing')], 1, /cannot be opened/]
  ]) {
    const { code: ended, err } = await ours.try(words)
    assert.equal(ended, code, `${words.join(' ')}: ${err}`)
    assert.match(err, sentence, words.join(' '))
  }
  assert.equal((await ours.info(key)).version, 3)
})

test('a gateway that holds the directory works for the commands, mirrors among them', { timeout }, async t => {
  const scene = await Scene.of(t)
  const ours = await drives(scene)
  const { key } = await ours.object(['create', '--name', 'mine'])
  const large = randomBytes(9000000)
  await ours.put(key, '/before', 'x')
  const gateway = await Gateway.start({ directory: ours.directory })
  try {
    await ours.put(key, '/large', large)
    assert.ok((await ours.cat(key, '/large')).equals(large))
    assert.ok((await ours.cat(key, '/large', '--start', 4194300, '--length', 4194400)).equals(large.subarray(4194300, 8388700)))
    const [folder, copy] = ['folder', 'copy'].map(name => join(ours.directory, name))
    await mkdir(folder)
    for (let i = 0; i < 700; i++) await writeFile(join(folder, `f${i}`), file(i))
    await writeFile(join(folder, 'large'), large)
    const { added, removed, changed } = await ours.object(['mirror', key, '--from', folder])
    assert.deepEqual([added, removed, changed], [700, 1, 0])
    assert.equal((await ours.object(['mirror', key, '--to', copy])).added, 701)
    assert.equal((await readdir(copy)).length, 701)
    assert.ok((await readFile(join(copy, 'large'))).equals(large))
    const watching = ours.start(['watch', key])
    await until(() => watching.code !== undefined || true)
    await new Promise(resolve => setTimeout(resolve, 500))
    await ours.object(['rm', key, '/f5'])
    assert.equal((await watching.line()).before.path, '/f5')
    await watching.stop()
    assert.match((await ours.fails(['serve', '--tcp', '127.0.0.1:0'])).err, /in use by process \d+/)
  } finally {
    await gateway.stop()
  }
  assert.equal((await ours.paths(key)).length, 700)
})
