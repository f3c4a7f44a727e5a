// Folders into drives and drives into folders: what the package then reads, or had written, is what is in the folder.
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmod, copyFile, lstat, mkdir, readFile, readdir, readlink, rm, stat, symlink, truncate, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { random, scale, sleep, until } from '../lib/core.mjs'
import { run } from '../lib/command.mjs'
import { binary } from '../lib/program.mjs'
import { Scene, all, drives, file, filled, theirs } from '../lib/drive.mjs'

const timeout = 120000

// {path: {bytes} or {link}}, as a drive has it.
async function contents (folder, prefix = '') {
  const found = {}
  for (const entry of await readdir(join(folder, prefix), { withFileTypes: true })) {
    const path = `${prefix}/${entry.name}`
    const place = join(folder, path)
    if (entry.isDirectory()) Object.assign(found, await contents(folder, path))
    else if (entry.isSymbolicLink()) {
      const link = await readlink(place)
      found[path] = { link: link.startsWith(folder + '/') ? link.slice(folder.length) : link }
    } else if (entry.isFile()) found[path] = { executable: ((await lstat(place)).mode & 0o100) !== 0, bytes: await readFile(place) }
  }
  return found
}

async function assertEqual (drive, folder) {
  const found = await contents(folder)
  const entries = await all(drive.list('/'))
  assert.deepEqual(Object.keys(found).sort(), entries.map(entry => entry.key).sort())
  for (const { key, value } of entries) {
    if (value.linkname) {
      assert.equal(found[key].link, value.linkname, key)
      continue
    }
    assert.equal(found[key].executable, value.executable, key)
    assert.ok((value.blob ? await drive.get(key) : Buffer.alloc(0)).equals(found[key].bytes), key)
  }
}

async function put (folder, path, bytes, mode = 0o644) {
  await mkdir(dirname(join(folder, path)), { recursive: true })
  await writeFile(join(folder, path), bytes)
  await chmod(join(folder, path), mode)
}

async function place (scene) {
  const folder = scene.place()
  await mkdir(folder)
  scene.onEnd(() => {})
  return folder
}

async function mirrored (scene) {
  const ours = await drives(scene)
  const folder = await place(scene)
  const { key } = await ours.object(['create', '--name', 'mirrored'])
  await put(folder, '/a/one', file(1, 10))
  await put(folder, '/a/two', file(2, 200000), 0o755)
  await put(folder, '/a/b/c/three', file(3, 5000000))
  await put(folder, '/a-b', file(4, 4))
  await put(folder, '/empty', '')
  await put(folder, '/åäö', file(5, 65536))
  await symlink('a/one', join(folder, 'relative'))
  await symlink(join(folder, 'a/one'), join(folder, 'absolute'))
  return { ours, folder, key, from: (...options) => ours.objects(['mirror', key, '--from', folder, ...options]) }
}

async function readBy (scene, ours, key) {
  const drive = await theirs(scene, key)
  const server = await ours.serve(key)
  await scene.dial(server.port, drive.whole)
  await until(() => drive.core.length > 0)
  const { version } = await ours.info(key)
  await until(() => drive.core.length === version)
  return { drive, server }
}

test('a folder becomes a drive, its changes and deletions too, and the package reads it', { timeout }, async t => {
  const scene = await Scene.of(t)
  const { ours, folder, key, from } = await mirrored(scene)
  const dry = await from('--dry-run')
  assert.equal(dry.at(-1).added, 8)
  assert.equal((await ours.info(key)).version, 1)
  const { added, changed, removed, failed, bytes } = (await from()).at(-1)
  assert.deepEqual([added, changed, removed, failed, bytes], [8, 0, 0, 0, 10 + 200000 + 5000000 + 4 + 65536])
  const first = await readBy(scene, ours, key)
  await assertEqual(first.drive, folder)
  assert.equal((await first.drive.entry('/absolute')).value.linkname, '/a/one')
  await put(folder, '/a/one', file(9, 10))
  await put(folder, '/a/two', file(2, 200000), 0o644)
  await put(folder, '/new', 'new')
  await rm(join(folder, 'a/b'), { recursive: true })
  await rm(join(folder, 'relative'))
  await symlink('a/two', join(folder, 'relative'))
  const lengthBefore = (await ours.info(key)).blobs_length
  const again = await from() // through the process that serves
  assert.deepEqual(again.slice(0, -1).map(({ op, path }) => `${op} ${path}`).sort(),
    ['add /new', 'change /a/one', 'change /a/two', 'change /relative', 'remove /a/b/c/three'])
  assert.equal((await ours.info(key)).blobs_length, lengthBefore + 2, 'a mode alone writes no block')
  await until(async () => first.drive.core.length === (await ours.info(key)).version)
  await assertEqual(first.drive, folder)
  assert.deepEqual((await from()).map(({ op }) => op), [undefined])
  await put(folder, '/a/one', file(8, 10))
  await put(folder, '/secret/key', 'secret')
  const kept = await from('--keep', '--ignore', 'secret/', '--ignore', '/new')
  assert.deepEqual(kept.slice(0, -1).map(({ op, path }) => `${op} ${path}`), ['change /a/one'])
})

test('a drive of the package becomes a folder, its changes and deletions too', { timeout }, async t => {
  const scene = await Scene.of(t)
  const drive = await filled(scene)
  const reader = await drives(scene)
  const folder = await place(scene)
  const { port } = await scene.listen(drive.whole)
  const to = (...options) => reader.objects(['mirror', drive.core.id, '--to', folder, ...options])
  assert.match((await reader.fails(['mirror', drive.core.id, '--to', folder])).err, /no data directory|not there|no drive/)
  const missing = join(folder, 'new')
  const dry = (await reader.objects(['mirror', drive.core.id, '--to', missing + '/', '--dry-run', '--tcp', `127.0.0.1:${port}`]))
  assert.deepEqual([dry.at(-1).added, dry.at(-1).removed, dry.at(-1).failed], [6, 0, 0])
  await assert.rejects(stat(missing))
  assert.match((await reader.fails(['mirror', drive.core.id, '--to', join(missing, 'below'), '--dry-run'])).err, /cannot be opened/)
  await put(folder, '/stale/file', 'stale')
  await put(folder, '/hello.txt', 'older here')
  const ops = (await to('--tcp', `127.0.0.1:${port}`)).slice(0, -1).map(({ op, path }) => `${op} ${path}`).sort()
  assert.deepEqual(ops, ['add /empty', 'add /folder/a.bin', 'add /folder/deep/b', 'add /folder/deep/c', 'add /link', 'change /hello.txt', 'remove /stale/file'])
  await assertEqual(drive, folder)
  await assert.rejects(stat(join(folder, 'stale')))
  await drive.put('/folder/deep/b', file(22, 65536))
  await drive.put('/folder/deep/c', file(3, 65537))
  await drive.del('/hello.txt')
  await reader.fetch(port, drive.core.id)
  assert.deepEqual((await to('--dry-run')).slice(0, -1).map(({ op }) => op), ['remove', 'change', 'change'])
  await to()
  await assertEqual(drive, folder)
  assert.deepEqual((await to()).map(({ op }) => op), [undefined])
  await reader.fetch(port, drive.core.id, '--all')
  await to('--at', 3)
  const then = drive.checkout(3)
  await assertEqual(then, folder)
  await then.close()
})

test('another mode leaves what the package had put with a file', { timeout }, async t => {
  const scene = await Scene.of(t)
  const { ours, folder, key, from } = await mirrored(scene)
  await put(folder, '/noted', 'noted')
  await from()
  await ours.object(['put', key, '/noted', '--metadata', '{"large":18446744073709551616,"exact":[1.0]}'], { input: 'noted' })
  await chmod(join(folder, 'noted'), 0o755)
  assert.deepEqual((await from()).slice(0, -1).map(({ op, path }) => `${op} ${path}`), ['change /noted'])
  const { out } = await run(['bee', 'get', key, '/noted', '--sub', 'files', '--data', ours.data])
  assert.match(out, /"executable":true.*"metadata":\{"large":18446744073709551616,"exact":\[1\.0\]\}/)
})

test('what a drive holds in part is told, and removes nothing', { timeout }, async t => {
  const scene = await Scene.of(t)
  const drive = await theirs(scene)
  const batch = drive.batch()
  for (let i = 0; i < 300; i++) await batch.put(`/file ${i}`, file(i))
  await batch.flush()
  const reader = await drives(scene)
  const folder = await place(scene)
  for (let i = 0; i < 300; i++) await put(folder, `/file ${i}`, file(i))
  const { port } = await scene.listen(drive.whole)
  await reader.cat(drive.core.id, '/file 150', '--tcp', `127.0.0.1:${port}`)
  const { err } = await reader.fails(['mirror', drive.core.id, '--to', folder])
  assert.match(err, /not held here/)
  assert.equal(Object.keys(await contents(folder)).length, 300)
})

test('nothing outside of the folder is touched, whatever the drive or the folder holds', { timeout }, async t => {
  const scene = await Scene.of(t)
  const drive = await filled(scene)
  const [reader, folder, outside] = [await drives(scene), await place(scene), await place(scene)]
  const keys = { encode: key => Buffer.from(`files\0${key}`), decode: key => key.toString() }
  const entry = (await drive.entry('/hello.txt')).value
  await drive.put('/folder/.holdfast-0123456789abcdef.part', Buffer.from('mine'))
  const hostile = ['/../escaped', '/folder/../../escaped', 'escaped', '//double', '/dot/./x', '/nul\0', '/back\\slash', '/', `/${'n'.repeat(300)}`]
  for (const name of hostile) await drive.db.put(name, entry, { keyEncoding: keys })
  await drive.db.put('/unreadable', 'nothing', { keyEncoding: keys })
  const linked = bytes => Buffer.concat([Buffer.from('{"executable":false,"linkname":"'), bytes, Buffer.from('","blob":null,"metadata":null}')])
  await drive.symlink('/half', 'a\ud800b')
  await drive.db.put('/bytes', linked(Buffer.from([0xff, 0xfe])), { keyEncoding: keys, valueEncoding: 'binary' })
  await drive.db.put('/nul', linked(Buffer.from('a\\u0000b')), { keyEncoding: keys, valueEncoding: 'binary' })
  await writeFile(join(outside, 'a.bin'), 'mine')
  await symlink(outside, join(folder, 'folder'))
  const remote = ['--tcp', `127.0.0.1:${(await scene.listen(drive.whole)).port}`]
  const kept = await reader.try(['mirror', drive.core.id, '--to', folder, '--keep', '--json', ...remote])
  const lines = kept.out.trim().split('\n').map(line => JSON.parse(line))
  assert.deepEqual([kept.code, lines.at(-1).added], [1, lines.length - 1])
  assert.deepEqual(lines.slice(0, -1).map(({ op, path }) => `${op} ${path}`), ['add /empty', 'add /hello.txt', 'add /link'])
  assert.match(kept.err, /symbolic link in its way/)
  assert.match(kept.err, /name that cannot be in a folder/)
  assert.match(kept.err, /\.holdfast-0123456789abcdef\.part" cannot be in a folder/)
  assert.match(kept.err, /entry of "\/unreadable" is not as a drive's are/)
  assert.match(kept.err, /entry of "\/half" is not as a drive's are/)
  assert.match(kept.err, /entry of "\/bytes" is not as a drive's are/)
  assert.match(kept.err, /\/nul cannot be made: the symbolic link has a NUL byte/)
  assert.equal((await lstat(join(folder, 'folder'))).isSymbolicLink(), true)
  assert.equal((await reader.fails(['mirror', drive.core.id, '--to', folder, ...remote])).code, 1)
  assert.deepEqual(await readdir(outside), ['a.bin'])
  assert.equal(await readFile(join(outside, 'a.bin'), 'utf8'), 'mine')
  assert.deepEqual(Object.keys(await contents(folder)).sort(),
    ['/empty', '/folder/a.bin', '/folder/deep/b', '/folder/deep/c', '/hello.txt', '/link'])
  assert.equal(await readFile(join(folder, 'hello.txt'), 'utf8'), 'hello again')
})

test('names that no drive can have are told, and the others mirrored', { timeout }, async t => {
  const scene = await Scene.of(t)
  const { ours, folder, key } = await mirrored(scene)
  await writeFile(Buffer.concat([Buffer.from(folder + '/bad-'), Buffer.from([0xff, 0xfe])]), 'x')
  await writeFile(join(folder, 'back\\slash'), 'x')
  execFileSync('mkfifo', [join(folder, 'pipe')])
  const { err } = await ours.fails(['mirror', key, '--from', folder])
  assert.equal(err.match(/cannot be in a drive/g).length, 2)
  assert.equal((await ours.paths(key, '--recursive')).length, 8)
})

// Runs it as somebody who may not read all, which root may.
async function asNobody (scene, words, directories) {
  const to = { timeoutMs: 60000 }
  if (process.getuid() !== 0) return run(words, to)
  const copy = join(scene.place(), 'holdfast')
  await mkdir(dirname(copy))
  await copyFile(binary, copy)
  execFileSync('chown', ['-R', '65534:65534', ...directories])
  execFileSync('chmod', ['a+x', dirname(dirname(copy)), dirname(copy)])
  return run(['--reuid=65534', '--regid=65534', '--clear-groups', copy, ...words], { ...to, program: 'setpriv' })
}

test('a folder that cannot be read is told, the rest mirrored, and what the drive has of it left alone', { timeout }, async t => {
  const scene = await Scene.of(t)
  const { ours, folder, key, from } = await mirrored(scene)
  await from()
  await put(folder, '/new', 'new')
  await rm(join(folder, 'empty'))
  await chmod(join(folder, 'a/b'), 0)
  scene.onEnd(() => chmod(join(folder, 'a/b'), 0o755))
  const { code, out, err } = await asNobody(scene, ['drive', 'mirror', key, '--from', folder, '--json', '--data', ours.data], [folder, ours.directory])
  assert.equal(code, 1)
  assert.match(err, /\/a\/b cannot be listed: Permission denied/)
  const lines = out.trim().split('\n').map(line => JSON.parse(line))
  assert.deepEqual(lines.slice(0, -1).map(({ op, path }) => `${op} ${path}`), ['remove /empty', 'add /new'])
  assert.ok((await ours.paths(key, '--recursive')).includes('/a/b/c/three'))
})

const patience = 60000 * Math.max(1, scale / 4) // a large file is larger at scale, up to 4 GiB

// Ends the mirroring with SIGKILL once it has come so far.
async function killed (ours, words, isFar) {
  const running = ours.start(words)
  await until(async () => running.code !== undefined || await isFar(), patience, 5)
  assert.equal(running.code, undefined, `it was done before it could be killed: ${running.out}${running.log}`)
  await running.kill()
}

const large = Math.min(4096, 64 * scale) * 1024 * 1024
const ahead = 16 * 1024 * 1024 // what the log takes of the disk at a time, before it is written

async function makeLarge (path) {
  const bytes = randomBytes(1024 * 1024)
  await writeFile(path, '')
  for (let at = 0; at < large; at += bytes.length) {
    bytes.writeUInt32LE(at / bytes.length, 0)
    await writeFile(path, bytes, { flag: 'a' })
  }
}

test('a large file is mirrored both ways, killed in the middle and gone on with', { timeout: 2 * timeout + 6 * patience }, async t => {
  const scene = await Scene.of(t)
  const ours = await drives(scene)
  const [folder, copy] = [await place(scene), await place(scene)]
  await makeLarge(join(folder, 'large'))
  const { key } = await ours.object(['create', '--name', 'large'])
  const from = ['mirror', key, '--from', folder]
  const slow = { timeoutMs: 2 * patience }
  const storeBytes = async () => Number(execFileSync('du', ['-sb', ours.data]).toString().split('\t')[0])
  await killed(ours, from, async () => await storeBytes() > ahead + large / 4)
  assert.deepEqual(await ours.paths(key), [], 'nothing half-written is in the drive')
  const { blobs_byte_length: before } = await ours.info(key)
  assert.ok(before > 0 && before < large, `${before}`)
  await ours.object(from, slow)
  assert.equal((await ours.info(key)).blobs_byte_length, large, 'no block was written twice')

  const to = ['mirror', key, '--to', copy]
  const part = async () => (await readdir(copy)).find(name => name.endsWith('.part'))
  await killed(ours, to, async () => { const name = await part(); return name && (await stat(join(copy, name))).size > large / 4 })
  assert.deepEqual((await readdir(copy)).filter(name => !name.endsWith('.part')), [], 'nothing half-written is in the folder')
  await ours.object(to, slow)
  assert.deepEqual(await readdir(copy), ['large'])
  execFileSync('cmp', [join(folder, 'large'), join(copy, 'large')])

  // What was written is not gone on with when the file is another by then.
  await truncate(join(folder, 'large'), large - 7)
  await killed(ours, from, async () => await storeBytes() > ahead + large * 1.3)
  const bytes = randomBytes(1000)
  await writeFile(join(folder, 'large'), bytes)
  await ours.object(from, slow)
  assert.deepEqual(await ours.cat(key, '/large'), bytes)
})

test('ten thousand files are mirrored both ways, and read by the package', { timeout: 2 * timeout }, async t => {
  const scene = await Scene.of(t)
  const ours = await drives(scene)
  const [folder, copy] = [await place(scene), await place(scene)]
  const below = random(5)
  for (let i = 0; i < 100; i++) {
    await mkdir(join(folder, `d${i}`))
    await Promise.all(Array.from({ length: 100 }, (_, n) => writeFile(join(folder, `d${i}`, `f${n}`), file(i * 100 + n, below(3000)))))
  }
  const { key } = await ours.object(['create', '--name', 'many'])
  const { version } = await ours.info(key)
  await killed(ours, ['mirror', key, '--from', folder], async () => (await readdir(ours.data)).length > 0 && (await sleep(250), true))
  const { added } = await ours.object(['mirror', key, '--from', folder])
  t.diagnostic(`${10000 - added} before the kill, ${added} after it`)
  assert.equal((await ours.info(key)).version, 10001, 'each was put once')
  assert.ok(version <= 1)
  assert.equal((await ours.object(['mirror', key, '--to', copy])).added, 10000)
  execFileSync('diff', ['-r', folder, copy])
  const { drive } = await readBy(scene, ours, key)
  await drive.download('/d42').done()
  for (const { key: path } of await all(drive.list('/d42'))) assert.ok((await drive.get(path)).equals(await readFile(join(folder, path))), path)
  assert.equal((await all(drive.list('/'))).length, 10000)
})

test('a store that is full is told, and the drive has what it had', { timeout }, async t => {
  const scene = await Scene.of(t)
  const { ours, folder, key, from } = await mirrored(scene)
  await from()
  await put(folder, '/huge', randomBytes(30000000))
  const { err } = await ours.fails(['mirror', key, '--from', folder, '--store-quota', '20MiB'])
  assert.match(err, /full/)
  assert.equal((await ours.paths(key, '--recursive')).length, 8)
  await from()
  assert.equal((await ours.paths(key, '--recursive')).length, 9)
})

test('a disk that is full or read-only is told, and nothing half-written is in the folder', { timeout }, async t => {
  const scene = await Scene.of(t)
  const { ours, key, from } = await mirrored(scene)
  await from()
  const folder = await place(scene)
  const isolation = process.getuid() === 0 ? '-m' : '-rm' // who is not root may mount in a user namespace of their own
  const inside = (options, script) => execFileSync('unshare', [isolation, 'sh', '-c',
    `mount -t tmpfs -o ${options} none ${folder} || exit 99; ${script}`], { encoding: 'utf8', stdio: 'pipe' })
  const mirror = `${binary} drive mirror ${key} --to ${folder} --data ${ours.data} 2>&1; echo "code $?"; cd ${folder}; find . -type f | sort`
  const full = inside('size=3m', mirror)
  assert.match(full, /no space left/i)
  assert.match(full, /code 1/)
  assert.doesNotMatch(full, /three|\.part/)
  const readOnly = inside('ro,size=1m', mirror)
  assert.match(readOnly, /read-only|Read-only/)
  assert.match(readOnly, /code 1/)
})

test('a peer that vanishes in the middle of a file leaves nothing half-written, and the next run goes on', { timeout }, async t => {
  const scene = await Scene.of(t)
  const drive = await theirs(scene)
  const bytes = randomBytes(20000000)
  await drive.put('/large', bytes)
  const reader = await drives(scene)
  const folder = await place(scene)
  const { port } = await scene.listen(drive.whole)
  const wire = await scene.wire(port, { bytesPerSecond: 20000000 })
  const running = reader.start(['mirror', drive.core.id, '--to', folder, '--tcp', `127.0.0.1:${wire.port}`])
  await until(() => wire.passed > 5000000 || running.code !== undefined, 20000)
  wire.cut()
  assert.equal(await running.exited, 1, running.log)
  assert.match(running.log, /connection/)
  assert.deepEqual((await readdir(folder)).filter(name => !name.endsWith('.part')), [])
  const taken = (await reader.info(drive.core.id)).blobs_blocks_held
  assert.ok(taken > 10)
  const blobs = await drive.getBlobs()
  const before = blobs.core.uploaded
  await reader.object(['mirror', drive.core.id, '--to', folder, '--tcp', `127.0.0.1:${port}`])
  assert.ok((await readFile(join(folder, 'large'))).equals(bytes))
  assert.equal(blobs.core.uploaded - before, blobs.core.length - taken, 'no block was fetched twice')
})
