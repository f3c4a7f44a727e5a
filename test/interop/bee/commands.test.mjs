// `holdfast bee` by itself: what it takes, what it prints, what it refuses, and through whom it works.
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import c from 'compact-encoding'
import { Gateway } from '../lib/gateway.mjs'
import { binary } from '../lib/program.mjs'
import { sleep, until } from '../lib/core.mjs'
import { run } from '../lib/command.mjs'
import { Scene, bees, entry, filled } from '../lib/bee.mjs'

const timeout = 60000

test('create prints the key, put and del change, get and list print', { timeout }, async t => {
  const scene = await Scene.of(t)
  const ours = await bees(scene)
  const created = await ours.try(['create'])
  assert.equal(created.code, 0, created.err)
  assert.match(created.out, /^[ybndrfg8ejkmcpqxot1uwisza345h769]{52}\n$/)
  const key = created.out.trim()
  assert.equal((await ours.info(key)).version, 1)
  assert.deepEqual(await ours.try(['put', key, 'b', 'two\twords']), { code: 0, signal: null, out: '', err: '' })
  assert.equal((await ours.put(key, [['a', '1'], ['c', ''], ['d', 'ä']])).put, 3)
  assert.equal((await ours.try(['get', key, 'b'])).out, 'two\twords\n')
  assert.equal((await ours.try(['list', key])).out, 'a\t1\nb\t"two\\twords"\nc\t\nd\tä\n')
  assert.equal((await ours.try(['list', key, '--value-encoding', 'binary', '--gte', 'd'])).out, 'd\tc3a4\n')
  assert.equal((await ours.try(['del', key, 'a'])).code, 0)
  const missing = await ours.try(['del', key, 'a'])
  assert.deepEqual([missing.code, missing.out], [1, ''])
  const { deleted, missing: none, version } = await ours.object(['del', key], { input: 'b\nx\nc\n' })
  assert.deepEqual([deleted, none, version], [2, 1, 8])
  assert.equal((await ours.try(['history', key])).out.split('\n')[5], '6 del b')
  assert.equal((await ours.try(['diff', key, '6'])).out, '- b\t"two\\twords"\n- c\t\n')
  assert.equal((await ours.try(['get', key, 'a', '--at', '5'])).out, '1\n')
  assert.deepEqual((await ours.list(key)).map(({ key }) => key), ['d'])
  await ours.put(key, [['evil\u009b2J', '"\u007f\u009b2J\u00a0"']])
  const commands = '"evil\\u009b2J"\t"\\u007f\\u009b2J\u00a0"\n'
  assert.equal((await ours.try(['list', key, '--gt', 'd', '--value-encoding', 'json'])).out, commands)
  assert.deepEqual(await ours.list(key, '--gt', 'd', '--value-encoding', 'json'), [{ seq: 8, key: 'evil\u009b2J', value: '\u007f\u009b2J\u00a0' }])
})

test('a change may depend on what is there', { timeout }, async t => {
  const scene = await Scene.of(t)
  const ours = await bees(scene)
  const { key } = await ours.create()
  const version = async () => (await ours.info(key)).version
  for (const [words, code, expected] of [
    [['put', key, 'k', 'v', '--if', 'old'], 1, 1], [['put', key, 'k', 'v', '--if-absent'], 0, 2], [['put', key, 'k', 'w', '--if-absent'], 1, 2],
    [['put', key, 'k', 'w', '--if', 'x'], 1, 2], [['put', key, 'k', 'w', '--if', 'v'], 0, 3], [['put', key, 'k', 'w', '--skip-same'], 0, 3],
    [['put', key, 'k', 'w'], 0, 4], [['del', key, 'k', '--if', 'v'], 1, 4], [['del', key, 'k', '--if', 'w'], 0, 5], [['del', key, 'k', '--if', 'w'], 1, 5]
  ]) {
    const { code: ended, err } = await ours.try(words)
    assert.equal(ended, code, `${words.join(' ')}: ${err}`)
    assert.equal(await version(), expected, words.join(' '))
  }
  const { put, refused } = await ours.put(key, [['a', '1'], ['b', '2'], ['a', '3']], '--if-absent')
  assert.deepEqual([put, refused], [2, 1])
})

test('what list and history print can be put again', { timeout }, async t => {
  const scene = await Scene.of(t)
  const [ours, copy] = [await bees(scene), await bees(scene)]
  const { key } = await ours.create()
  await ours.change(key, [{ key: 'tab\t', value: 'line\n' }, { key: '', value: '\u0000"\\' }, { key: 'n', value: null }])
  await ours.change(key, [{ key: 'n', type: 'del' }, { key: 'x', value: '1', seq: 5, other: [1] }])
  for (const [listed, options] of [[['history', key, '--json'], []], [['list', key, '--json', '--key-encoding', 'binary'], ['--key-encoding', 'binary']]]) {
    const { key: other } = await copy.create()
    const { out } = await ours.try(listed)
    assert.equal((await copy.try(['put', other, '--jsonl', ...options], { input: out })).code, 0)
    assert.deepEqual((await copy.list(other)).map(({ key, value }) => [key, value]), (await ours.list(key)).map(({ key, value }) => [key, value]))
  }
})

test('what cannot be is refused with a sentence, and changes nothing', { timeout }, async t => {
  const scene = await Scene.of(t)
  const ours = await bees(scene)
  const { key } = await ours.create()
  await ours.put(key, [entry(1), entry(2), entry(3)])
  const bee = await filled(scene, 3)
  await ours.fetch((await scene.listen(bee.core)).port, bee.core.id)
  const { key: core } = await ours.core.create()
  await ours.core.append(core, [Buffer.from('x')])
  const before = [await ours.info(key), await ours.info(bee.core.id), await ours.core.info(core)]
  for (const [words, said, input] of [
    [['get', key, 'nothing'], /no such key/], [['get', key, 'x', '--at', '5'], /no version 5/], [['get', key, 'key 000001', '--at', '3'], /middle of a batch/],
    [['put', bee.core.id, 'a', 'b'], /secret key/], [['del', bee.core.id, entry(1)[0]], /secret key/],
    [['put', core, 'a', 'b'], /is no bee/], [['list', core], /is no bee/], [['diff', key, '9'], /no version 9/],
    [['put', key], /[Ll]ine 1 has no tab/, 'c\na\tb\n'], [['put', key, '--jsonl'], /Line 1/, '{"key":1,"value":"x"}\n'],
    [['put', key, '--jsonl'], /Line 1/, '{"key":"a"}\n'], [['put', key, '--jsonl'], /Line 1/, '["key"]\n'],
    [['put', key], /Line 1/, Buffer.from([0xff, 9, 0x31, 10])], [['put', key, 'k', '--file', '/nothing/here'], /cannot be opened/]
  ]) {
    const { code, err } = await ours.fails(words, { input })
    assert.equal(code, 1, words.join(' '))
    assert.match(err, said)
    assert.ok(err.trim().split('\n').length <= 2, err)
  }
  for (const words of [
    ['get', key], ['put', key, 'k'], ['list'], ['list', 'x'], ['list', key, '--limit', 'x'], ['list', key, '--key-encoding', 'latin1'],
    ['diff', key], ['diff', key, 'x'], ['history', key, '--gt', 'x'], ['put', key, 'zz', 'v', '--key-encoding', 'binary'],
    ['put', key, 'k', '{', '--value-encoding', 'json'], ['put', key, '--if', 'x'], ['put', key, 'k', 'v', '--if', 'x', '--if-absent'],
    ['put', key, '--batch', '0'], ['list', key, '--gte', 'x', '--key-encoding', 'json'], ['watch', key, 'x', '--key-encoding', 'json'], ['nothing']
  ]) {
    const { code, err } = await ours.fails(words)
    assert.equal(code, 2, `${words.join(' ')} ended with ${code}: ${err}`)
  }
  assert.deepEqual([await ours.info(key), await ours.info(bee.core.id), await ours.core.info(core)], before)
})

test('a line that cannot be taken is named, and those before it are taken', { timeout }, async t => {
  const scene = await Scene.of(t)
  const ours = await bees(scene)
  const { key } = await ours.create()
  const { code, err } = await ours.fails(['put', key], { input: 'a\tb\nb\tc\nd\ne\tf\n' })
  assert.equal(code, 1)
  assert.match(err, /Line 3 has no tab/)
  assert.deepEqual((await ours.list(key)).map(entry => entry.key), ['a', 'b'])
  assert.equal((await ours.fails(['put', key, '--jsonl'], { input: '{"key":"c","value":"x"}\n{"key":"d"}\n' })).code, 1)
  assert.deepEqual((await ours.list(key)).map(entry => entry.key), ['a', 'b', 'c'])
})

test('every command does the same through a gateway as on a free directory', { timeout }, async t => {
  const scene = await Scene.of(t)
  const ours = await bees(scene)
  const { key } = await ours.create('--name', 'before')
  await ours.put(key, Array.from({ length: 3000 }, (_, i) => entry(i)))
  const everything = async () => [await ours.info(key), await ours.list(key), await ours.list(key, '--reverse', '--lt', 'key 002'), await ours.history(key),
    await ours.diff(key, 1001), await ours.value(key, entry(7)[0])]
  const before = await everything()
  assert.equal(before[4].length, 2000)
  const gateway = await Gateway.start({ directory: ours.directory })
  try {
    assert.deepEqual(await everything(), before)
    const watching = ours.start(['watch', key])
    await sleep(500)
    await ours.put(key, Array.from({ length: 5000 }, (_, i) => [entry(i)[0], 'x'.repeat(1000)]), '--batch', 5000)
    await watching.line(4999)
    await watching.stop()
    assert.equal((await ours.list(key)).length, 5000)
    assert.equal((await ours.try(['del', key, entry(1)[0]])).code, 0)
    assert.equal((await ours.fails(['get', key, entry(1)[0]])).code, 1)
    const { key: made } = await ours.create('--name', 'meanwhile')
    assert.equal((await ours.put(made, [['a', 'b']])).version, 2)
    const { code, err } = await ours.try(['serve', '--tcp', '127.0.0.1:0'])
    assert.equal(code, 4)
    assert.match(err, /in use by process \d+/)
  } finally {
    await gateway.stop()
  }
  assert.equal((await ours.list(key)).length, 4999)
  assert.equal((await run(['store', 'verify', '--data', ours.data])).code, 0)
})

test('lines are committed when the input pauses, and whoever watches sees them', { timeout }, async t => {
  const scene = await Scene.of(t)
  const ours = await bees(scene)
  const { key } = await ours.create()
  const server = await ours.serve()
  const watching = ours.start(['watch', key])
  await sleep(300)
  const putting = spawn(binary, ['bee', 'put', key, '--data', ours.data])
  scene.onEnd(() => putting.kill('SIGKILL'))
  for (let i = 0; i < 3; i++) {
    putting.stdin.write(entry(i).join('\t') + '\n')
    assert.deepEqual(await watching.line(i), { key: entry(i)[0], before: null, after: { seq: i + 1, value: entry(i)[1] } })
  }
  putting.stdin.end('last\tno newline')
  assert.deepEqual(await once(putting, 'close'), [0, null])
  assert.equal((await watching.line(3)).key, 'last')
  await watching.stop()
  await server.stop()
})

test('watch leaves the directory to others while it waits', { timeout }, async t => {
  const scene = await Scene.of(t)
  const ours = await bees(scene)
  const { key } = await ours.create()
  const watching = ours.start(['watch', key])
  await sleep(500)
  for (let i = 0; i < 4; i++) {
    await until(async () => (await ours.try(['put', key, ...entry(i)])).code === 0)
    assert.equal((await watching.line(i)).key, entry(i)[0])
  }
  await until(async () => (await ours.core.try(['truncate', key, '2'])).code === 0)
  await until(() => /went back, to version 2/.test(watching.log))
  await watching.stop()
})

test('fetching live from one, serving another', { timeout }, async t => {
  const scene = await Scene.of(t)
  const [writer, relay, reader] = [await bees(scene), await bees(scene), await bees(scene)]
  const { key } = await writer.create()
  await writer.put(key, [entry(1)])
  const { port } = await writer.serve()
  const following = await relay.follow(port, key, '--serve', '127.0.0.1:0')
  const { listening } = await following.line()
  const watching = reader.start(['watch', key, '--tcp', listening])
  await sleep(700)
  await writer.try(['put', key, ...entry(2)])
  assert.equal((await watching.line()).key, entry(2)[0])
  await watching.stop()
  await following.stop()
})

test('values that say their own type are JSON on the command line, and the package\'s bytes in the bee', { timeout }, async t => {
  const scene = await Scene.of(t)
  const ours = await bees(scene)
  const { key } = await ours.create()
  const encodings = ['--key-encoding', 'any', '--value-encoding', 'any']
  const values = [null, true, false, 0, -1, 7, 300, 2 ** 53 - 1, -70000, 0.1, -2.5e-300, 1e15, '', 'åäö\n\u0000', [], {}, [[], [1, [2]]],
    { a: { b: [null, { c: 1.5 }], d: 'x' }, e: [] }, [1, 'two', { three: 3 }]]
  for (const [i, value] of values.entries()) {
    await ours.object(['put', key, JSON.stringify(['key', i]), ` ${JSON.stringify(value)} `, ...encodings])
    const stored = await ours.object(['get', key, c.encode(c.any, ['key', i]).toString('hex'), '--key-encoding', 'binary', '--value-encoding', 'binary'])
    assert.equal(stored.value, c.encode(c.any, value).toString('hex'), JSON.stringify(value))
    assert.deepEqual((await ours.object(['get', key, JSON.stringify(['key', i]), ...encodings])).value, value)
  }
  assert.equal((await ours.try(['get', key, '["key",17]', ...encodings])).out, JSON.stringify(values[17]) + '\n')
  assert.equal((await ours.list(key, ...encodings)).length, values.length)
  const copy = (await ours.create()).key
  await ours.change(copy, (await ours.list(key, ...encodings)).filter(({ value }) => value !== null), ...encodings)
  assert.equal((await ours.list(copy, ...encodings)).length, values.length - 1)
  const other = { bytes: Buffer.from('00ff', 'hex'), when: new Date(-1), none: NaN }
  await ours.object(['put', key, 'other', c.encode(c.any, other).toString('hex'), '--value-encoding', 'binary'])
  assert.deepEqual((await ours.object(['get', key, 'other', '--value-encoding', 'any'])).value, { bytes: '00ff', when: '1969-12-31T23:59:59.999Z', none: null })
  for (const wrong of ['{', '1 2', '1e20', '9007199254740993', '['.repeat(40) + ']'.repeat(40)]) {
    assert.match((await ours.fails(['put', key, '"k"', wrong, ...encodings])).err, /is not any/)
  }
  assert.match((await ours.fails(['get', key, 'other', '--key-encoding', 'utf-8', '--value-encoding', 'json'])).err, /json/)
})
