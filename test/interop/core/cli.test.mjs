// `holdfast core` and `holdfast key` on a free data directory, through a gateway, and while others hold it.
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { openSync, closeSync } from 'node:fs'
import { access, cp, mkdir, readFile, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Gateway } from '../lib/gateway.mjs'
import { binary } from '../lib/program.mjs'
import { run } from '../lib/command.mjs'
import { Scene, block, blocks, hex, sleep, until } from '../lib/core.mjs'

const timeout = 60000

// A command whose input stays open: {child, out, code}.
function piped (scene, words) {
  const running = { child: spawn(binary, words), out: '', err: '' }
  running.child.stdout.on('data', data => { running.out += data })
  running.child.stderr.on('data', data => { running.err += data })
  running.ended = new Promise(resolve => running.child.once('close', code => { running.code = code; resolve(code) }))
  scene.onEnd(() => { running.child.kill('SIGKILL'); return running.ended })
  return running
}

test('every command on cores does the same through a gateway as on a free directory', { timeout }, async t => {
  const scene = await Scene.of(t)
  const holdfast = await scene.holdfast()
  const key = await holdfast.made(20, '--name', 'before')
  const before = await holdfast.info(key)
  const gateway = await Gateway.start({ directory: holdfast.directory })
  try {
    assert.deepEqual(await holdfast.info(key), before)
    assert.deepEqual(await holdfast.get(key, 0, 20), blocks(20))
    const { key: made } = await holdfast.create('--name', 'meanwhile')
    await holdfast.append(made, blocks(2500))
    assert.deepEqual((await holdfast.get(made, 0, 2500)), blocks(2500))
    assert.deepEqual(await holdfast.object(['truncate', made, 2000]), { length: 2000, fork: 1 })
    assert.deepEqual(await holdfast.object(['seek', made, 10]), { block: 1, offset: 2 })
    assert.equal((await holdfast.object(['clear', made, 0, 10])).blocks_held, 1990)
    assert.deepEqual(await holdfast.object(['verify', made]), { sound: true, blocks: 1990, bytes: blocks(1990, 10).reduce((sum, { length }) => sum + length, 0), fault_count: 0 })
    assert.deepEqual((await holdfast.objects(['list'])).map(({ name }) => name), ['before', 'meanwhile'])
    await holdfast.fails(['get', made, 5])
    const large = randomBytes(14 << 20)
    const { key: heavy } = await holdfast.create()
    await holdfast.appendFile(heavy, large)
    assert.ok((await holdfast.get(heavy, 0))[0].equals(large))
    const { code, err } = await holdfast.try(['serve', '--tcp', '127.0.0.1:0'])
    assert.equal(code, 4)
    assert.match(err, /in use by process \d+/)
  } finally {
    await gateway.stop()
  }
  assert.equal((await holdfast.info(key)).length, 20)
  assert.equal((await run(['store', 'verify', '--data', holdfast.data])).code, 0)
})

test('what is appended is committed when the input pauses', { timeout }, async t => {
  const scene = await Scene.of(t)
  const holdfast = await scene.holdfast()
  const key = await holdfast.made(0)
  const server = await holdfast.serve()
  const appending = piped(scene, ['core', 'append', key, '--data', holdfast.data])
  for (let length = 1; length < 4; length++) {
    appending.child.stdin.write(`line ${length}\n`)
    await until(async () => (await holdfast.info(key)).length === length)
  }
  appending.child.stdin.end('no newline')
  assert.equal(await appending.ended, 0, appending.err)
  assert.equal(appending.out, '4 blocks appended; the core has 4 now, 28 bytes\n')
  await server.stop()
})

test('tail leaves the directory to others while it waits', { timeout }, async t => {
  const scene = await Scene.of(t)
  const holdfast = await scene.holdfast()
  const key = await holdfast.made(15)
  assert.equal((await holdfast.try(['tail', key])).out, blocks(10, 5).map(bytes => `${bytes}\n`).join(''))
  const tail = holdfast.start(['tail', key, '--from', 14, '--follow'])
  assert.equal((await tail.line()).index, 14)
  for (let i = 15; i < 20; i += 1) {
    await until(async () => (await holdfast.try(['append', key], { input: `${block(i)}\n` })).code === 0)
    assert.deepEqual(await tail.line(i - 14), { index: i, value: block(i).toString('base64') })
  }
  await until(async () => (await holdfast.try(['truncate', key, '3'])).code === 0)
  await until(() => /went back to 3 blocks/.test(tail.log))
  await tail.stop()
})

test('append --tcp serves what it appends, and stays', { timeout }, async t => {
  const scene = await Scene.of(t)
  const [writer, reader] = [await scene.holdfast(), await scene.holdfast()]
  const key = await writer.made(0)
  const appending = piped(scene, ['core', 'append', key, '--data', writer.data, '--tcp', '127.0.0.1:0'])
  await until(() => /listening on 127\.0\.0\.1:\d+/.test(appending.err))
  const port = Number(appending.err.match(/listening on 127\.0\.0\.1:(\d+)/)[1])
  const following = await reader.follow(port, key)
  for (let length = 1; length < 4; length++) {
    appending.child.stdin.write(`line ${length}\n`)
    await until(async () => (await reader.objects(['list']))[0]?.blocks_held === length)
  }
  appending.child.stdin.end()
  await until(() => appending.out.includes('3 blocks appended'))
  await sleep(200)
  assert.equal(appending.code, undefined, 'it goes on serving')
  await following.stop()
  assert.equal((await reader.fetch(port, key)).length, 3)
  appending.child.kill('SIGTERM')
  assert.equal(await appending.ended, 0, appending.err)
})

test('serve dials and fetch listens, in both roles of the handshake', { timeout }, async t => {
  const scene = await Scene.of(t)
  const writer = await scene.holdfast()
  const key = await writer.made(30)
  for (const [serves, fetches] of [[[], []], [['--responder'], ['--initiator']]]) {
    const reader = await scene.holdfast()
    const fetching = piped(scene, ['core', 'fetch', key, '--data', reader.data, '--tcp', '127.0.0.1:0', '--listen', '--json', ...fetches])
    await until(() => fetching.err.includes('listening'))
    const { listening } = JSON.parse(fetching.err.split('\n')[0])
    const server = writer.start(['serve', '--tcp', listening, '--connect', ...serves])
    assert.equal(await fetching.ended, 0, fetching.err)
    const { length, blocks_fetched: fetched } = JSON.parse(fetching.out)
    assert.deepEqual([length, fetched], [30, 30])
    await server.stop()
    // Blocks that are all here wait for nobody.
    const again = await reader.object(['fetch', key, '--tcp', '127.0.0.1:0', '--listen', '--blocks', '3..9,20', '--timeout', '40'], { timeoutMs: 30000 })
    assert.deepEqual([again.length, again.blocks_fetched], [30, 0])
  }
})

test('a fetch whose blocks cannot be kept says so at once, and keeps what it has', { timeout }, async t => {
  const scene = await Scene.of(t)
  const [writer, reader] = [await scene.holdfast(), await scene.holdfast()]
  const { key } = await writer.create()
  await writer.object(['append', key], { input: Array.from({ length: 4000 }, (_, i) => `${i} `.repeat(200) + '\n').join('') })
  const server = await writer.serve()
  const fetch = (...options) => reader.fails(['fetch', key, '--tcp', `127.0.0.1:${server.port}`, '--timeout', '100', ...options], { timeoutMs: 30000 })
  for (const options of [['--store-quota', '1'], ['--store-quota', '1MiB'], ['--store-quota', '1MiB', '--live']]) {
    const { code, err } = await fetch(...options)
    assert.equal(code, 1)
    assert.match(err, /was not stored: the disk, or the quota of store\.quota, is full/)
  }
  assert.equal((await reader.fetch(server.port, key)).length, 4000)
  await server.stop()
})

test('a fetch that cannot be says why, and leaves no empty core', { timeout }, async t => {
  const scene = await Scene.of(t)
  const [writer, reader] = [await scene.holdfast(), await scene.holdfast()]
  const key = await writer.made(3)
  const server = await writer.serve()
  const unknown = (await (await scene.holdfast()).create()).key
  for (const [words, sentence] of [
    [['--timeout', '50', unknown], /does not have the core [a-z0-9]+\./],
    [['--blocks', '2..9', key], /has 3 blocks/]
  ]) {
    const before = Date.now()
    const { code, err } = await reader.fails(['fetch', '--tcp', `127.0.0.1:${server.port}`, ...words])
    assert.equal(code, 1)
    assert.match(err, sentence)
    assert.ok(Date.now() - before < 20000, 'without waiting for the timeout')
  }
  await server.stop()
  assert.match((await reader.fails(['fetch', '--tcp', `127.0.0.1:${server.port}`, key])).err, /no connection to 127\.0\.0\.1:\d+: .*refused/)
  assert.deepEqual((await reader.objects(['list'])).map(core => core.key), [key])
})

test('an encrypted core is not written to without its key, nor with another', { timeout }, async t => {
  const scene = await Scene.of(t)
  const holdfast = await scene.holdfast()
  const encryption = ['--encryption-key', hex(randomBytes(32))]
  const { key, encrypted } = await holdfast.create(...encryption)
  assert.equal(encrypted, true)
  assert.match((await holdfast.fails(['append', key], { input: 'x\n' })).err, /--encryption-key/)
  for (const words of [['append', key], ['get', key, '0']]) {
    assert.match((await holdfast.fails([...words, '--encryption-key', hex(randomBytes(32))], { input: 'x\n' })).err, /not the encryption key/)
  }
  assert.equal((await holdfast.append(key, [block(0)], ...encryption)).length, 1)
  assert.equal((await holdfast.info(key)).encrypted, true)
})

test('a core that was made without an encryption key takes none, whoever else has it open', { timeout }, async t => {
  const scene = await Scene.of(t)
  const [holdfast, reader] = [await scene.holdfast(), await scene.holdfast()]
  const key = await holdfast.made(2, '--name', 'notes')
  const sealed = ['--encryption-key', hex(randomBytes(32))]
  const server = await holdfast.serve()
  const following = await reader.follow(server.port, key) // the core stays open
  for (const words of [['get', key, '0'], ['append', key], ['seek', key, '1'], ['create', '--name', 'notes']]) {
    const { code, err } = await holdfast.fails([...words, ...sealed], { input: 'x\n' })
    assert.equal(code, 1)
    assert.match(err, /made without an encryption key/)
  }
  await holdfast.append(key, [block(2)])
  assert.deepEqual(await holdfast.get(key, 0, 3), blocks(3))
  await following.stop()
  await server.stop()
  // Before there is anything in it, it may still be given one.
  const { key: empty } = await holdfast.create('--name', 'diary')
  assert.equal((await holdfast.create('--name', 'diary', ...sealed)).key, empty)
  assert.match((await holdfast.fails(['append', empty], { input: 'x\n' })).err, /is encrypted/)
  assert.equal((await holdfast.append(empty, [block(0)], ...sealed)).byte_length, block(0).length + 8)
})

test('bytes of an encrypted core are found where the package finds them', { timeout }, async t => {
  const scene = await Scene.of(t)
  const encryptionKey = randomBytes(32)
  const writer = await scene.written(9, { encryptionKey })
  const reader = await scene.holdfast()
  await reader.fetch((await scene.listen(writer)).port, writer.id)
  for (const bytes of [0, 1, 20, writer.byteLength - 1, writer.byteLength]) {
    const [index, offset] = await writer.seek(bytes)
    assert.deepEqual(await reader.object(['seek', writer.id, bytes, '--encryption-key', hex(encryptionKey)]), { block: index, offset }, `byte ${bytes}`)
  }
  const size = block(0).length + 8
  assert.deepEqual(await reader.object(['seek', writer.id, size]), { block: 1, offset: 0 }, 'without the key they are those that are stored')
})

test('a directory that cannot be used is told by exit code 4, and none is made for cores that are named', { timeout }, async t => {
  const scene = await Scene.of(t)
  const holdfast = await scene.holdfast()
  const { key } = await (await scene.holdfast()).create()
  for (const words of [['info', key], ['append', key], ['append', key, '--tcp', '127.0.0.1:0'], ['serve', '--tcp', '127.0.0.1:0', key]]) {
    const { code, err } = await holdfast.fails(words)
    assert.equal(code, 4, `${words[0]}: ${err}`)
    assert.match(err, /no data directory/)
  }
  await assert.rejects(access(holdfast.data))
  await writeFile(holdfast.data, 'a file')
  for (const words of [['info', key], ['create'], ['serve', '--tcp', '127.0.0.1:0']]) assert.equal((await holdfast.fails(words)).code, 4, words[0])
})

test('what cannot be printed or read is told, with the reason', { timeout }, async t => {
  const scene = await Scene.of(t)
  const holdfast = await scene.holdfast()
  const key = await holdfast.made(1)
  for (const words of [['list'], ['info', key], ['create'], ['get', key, '0']]) {
    const full = openSync('/dev/full', 'w')
    const child = spawn(binary, ['core', ...words, '--data', holdfast.data], { stdio: ['ignore', full, 'pipe'] })
    let err = ''
    child.stderr.on('data', data => { err += data })
    const code = await new Promise(resolve => child.once('close', resolve))
    closeSync(full)
    assert.equal(code, 1, words[0])
    assert.match(err, /could not be written|Writing the blocks failed/, words[0])
  }
  assert.match((await holdfast.fails(['append', key, '--file', scene.directory])).err, /Reading the input failed: Is a directory/)
})

test('a core comes back from the key ring and its name, and from a key pair', { timeout }, async t => {
  const scene = await Scene.of(t)
  const [first, second] = [await scene.holdfast(), await scene.holdfast()]
  const { key } = await first.create('--name', 'notes')
  assert.equal((await first.create('--name', 'notes')).created, false)
  assert.notEqual((await first.create('--name', 'notes', '--namespace', '11'.repeat(32))).key, key)
  const other = (await second.create('--name', 'notes')).key
  assert.notEqual(other, key)
  const third = await scene.holdfast()
  await mkdir(third.data, { mode: 0o700 })
  await cp(join(first.data, 'FORMAT'), join(third.data, 'FORMAT'))
  await cp(join(first.data, 'keys'), join(third.data, 'keys'), { recursive: true })
  assert.equal((await third.create('--name', 'notes')).key, key)
  const seed = hex(randomBytes(32))
  const path = join(scene.directory, 'seed')
  await writeFile(path, `${seed}\n`)
  const pair = await first.create('--secret-key-file', path)
  assert.equal((await second.create('--secret-key-file', path)).key, pair.key)
  assert.notEqual((await second.create('--secret-key-file', path, '--compat')).key, pair.key)
  await writeFile(path, 'nonsense')
  assert.match((await first.fails(['create', '--secret-key-file', path])).err, /no Ed25519 secret key/)
  const made = await first.newKey()
  const shown = await run(['key', 'show', '--data', first.data])
  assert.match(shown.out, new RegExp(`core-signer .*${made.public}`))
})

test('verify finds a block that was changed on the disk', { timeout }, async t => {
  const scene = await Scene.of(t)
  const holdfast = await scene.holdfast()
  const { key } = await holdfast.create()
  const mark = hex(randomBytes(16))
  // What the core needs to be opened, its head and its roots, came with later blocks.
  for (const text of ['first', mark, 'third', 'fourth', 'last']) await holdfast.append(key, [Buffer.from(text)])
  let changed = 0
  for (const name of await readdir(join(holdfast.data, 'store'), { recursive: true })) {
    const path = join(holdfast.data, 'store', name)
    const bytes = await readFile(path).catch(() => Buffer.alloc(0))
    const at = bytes.indexOf(mark)
    if (at < 0) continue
    bytes[at] ^= 1
    await writeFile(path, bytes)
    changed++
  }
  assert.ok(changed > 0)
  const { code, out } = await holdfast.try(['verify', key])
  assert.equal(code, 5, out)
  assert.match(out, /^block 1: /m)
})

test('a relay cannot have the numbers that cores are kept under', { timeout }, async () => {
  for (const number of [62, 63]) assert.equal((await run(['config', 'check', '--relay-number', `${number}`])).code, 3)
  assert.equal((await run(['config', 'check', '--relay-number', '61'])).code, 0)
})
