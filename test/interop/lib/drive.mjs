// Drives of the program under test beside those of npm hyperdrive, on loopback.
//
// What the tests take for granted about the command line, beside what core.mjs says of cores:
//
//   drive create --data DIR [--name N]                  prints the key; JSON {key}
//   drive put --data DIR KEY PATH [FILE]                FILE or standard input; [--executable] [--metadata JSON] [--link TARGET]
//   drive cat --data DIR KEY PATH [--start N --length N --at V]   the bytes; links are followed; exit code 1 when it is not there
//   drive get --data DIR KEY PATH FILE                  the same into a file
//   drive ls --data DIR KEY [FOLDER] [--recursive] [--ignore PATH] [--at V]
//                                                       JSON a line for each entry, {path, seq, executable, link, blob, metadata}
//   drive rm --data DIR KEY PATH…                       JSON {deleted, missing, version}
//   drive clear --data DIR KEY PATH…                    JSON {cleared}
//   drive diff --data DIR KEY FROM [TO] [--folder F]    JSON a line for each path, {before, after}, entries or null
//   drive watch --data DIR KEY [FOLDER]                 JSON as diff, as it happens, until SIGTERM
//   drive info --data DIR KEY                           JSON as `core info`, and version, blobs_key, blobs_length, blobs_blocks_held
//   drive serve --data DIR [KEY…] --tcp HOST:PORT       as `core serve`, with the blobs of the drives
//   drive fetch --data DIR KEY [PATH…] --tcp HOST:PORT [--all] [--live]   JSON {key, version, files, blocks_fetched}
//
// cat, get, ls, diff and watch take --tcp HOST:PORT, to read a drive at a peer sparsely.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import Corestore from 'corestore'
import Hyperdrive from 'hyperdrive'
import { binary } from './program.mjs'
import { Holdfast, Scene, counting } from './core.mjs'

export const file = (i, bytes = 100) => Buffer.from(`file ${i} `.repeat(Math.ceil(bytes / 7))).subarray(0, bytes)

// The bytes that a program prints.
function output (args) {
  return new Promise((resolve, reject) => {
    const child = spawn(binary, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    const chunks = []
    let err = ''
    child.stdout.on('data', data => chunks.push(data))
    child.stderr.on('data', data => { err += data })
    child.on('error', reject)
    child.once('close', code => resolve({ code, bytes: Buffer.concat(chunks), err }))
  })
}

// A data directory whose commands are those on drives; `core` has those on cores.
export class Drives extends Holdfast {
  constructor (scene, directory) {
    super(scene, directory, 'drive')
    this.core = new Holdfast(scene, directory)
  }

  put (key, path, bytes, ...options) {
    return this.object(['put', key, path, ...options], { input: bytes })
  }

  link (key, path, target) {
    return this.object(['put', key, path, '--link', target])
  }

  ls (key, ...words) {
    return this.objects(['ls', key, ...words])
  }

  async paths (key, ...words) {
    return (await this.ls(key, ...words)).map(({ path }) => path)
  }

  async cat (key, path, ...options) {
    const { code, bytes, err } = await output(['drive', 'cat', key, path, ...options.map(String), '--data', this.data])
    assert.equal(code, 0, `cat ${path}: ${err}`)
    return bytes
  }

  diff (key, from, ...options) {
    return this.objects(['diff', key, from, ...options])
  }
}

export async function drives (scene) {
  const { directory } = await scene.holdfast()
  return new Drives(scene, directory)
}

// A drive of the package, whose cores count. store: one that is there already.
export async function theirs (scene, key = null, { store = null, name = null, ...options } = {}) {
  const corestore = store ?? await scene.store()
  const drive = new Hyperdrive(name ? corestore.namespace(name) : corestore.session(), key, options)
  drive.whole = corestore
  scene.onEnd(() => drive.close())
  await drive.ready()
  counting(drive.core)
  if (drive.blobs) counting(drive.blobs.core)
  else drive.on('blobs', blobs => counting(blobs.core))
  return drive
}

// Something of everything.
export async function filled (scene, options) {
  const drive = await theirs(scene, null, options)
  await drive.put('/hello.txt', Buffer.from('hello'))
  await drive.put('/folder/a.bin', file(1, 200000))
  await drive.put('/folder/deep/b', file(2, 65536))
  await drive.put('/folder/deep/c', file(3, 65537), { executable: true })
  await drive.put('/empty', Buffer.alloc(0), { metadata: { mode: 0o600, note: 'åäö "quoted"' } })
  await drive.symlink('/link', '/folder/a.bin')
  await drive.put('/gone', Buffer.from('gone'))
  await drive.put('/hello.txt', Buffer.from('hello again'))
  await drive.del('/gone')
  return drive
}

export async function all (stream) {
  const list = []
  for await (const one of stream) list.push(one)
  return list
}

export const shown = entry => entry && { path: entry.key, seq: entry.seq, executable: entry.value.executable, link: entry.value.linkname, blob: entry.value.blob, metadata: entry.value.metadata }
const key = id => id.blob ? { ...id, blob: { ...id.blob } } : id

// What both list, read, and find different from a version.
export async function assertSameDrive (drive, ours, { id = drive.core.id, from = 1, at = [], options = [], reads = true } = {}) {
  const entries = await all(drive.list('/'))
  assert.deepEqual((await ours.ls(id, '--recursive', ...at, ...options)).map(key), entries.map(shown))
  const top = (await ours.ls(id, ...at, ...options)).map(entry => entry.child)
  assert.deepEqual(top, await all(drive.readdir('/')))
  for (const entry of reads ? entries : []) {
    if (!entry.value.blob) continue
    const bytes = await drive.get(entry.key)
    assert.ok(bytes.equals(await ours.cat(id, entry.key, ...at, ...options)), entry.key)
  }
  const differences = (await all(drive.diff(from))).map(({ left, right }) => ({ before: shown(right), after: shown(left) }))
  assert.deepEqual(await ours.diff(id, from, ...at.slice(1), ...options), differences)
}

// Every block of both cores, as it is stored.
export async function assertSameCores (drive, ours, id = drive.core.id, ...options) {
  const blobs = await drive.getBlobs()
  const info = await ours.info(id)
  assert.equal(info.blobs_key, blobs.core.id)
  for (const core of [drive.core, blobs.core]) {
    const facts = await ours.core.info(core.id)
    assert.deepEqual([facts.length, facts.byte_length, facts.tree_hash], [core.length, core.state.byteLength, core.state.hash().toString('hex')])
  }
}

export { Scene, Corestore }
