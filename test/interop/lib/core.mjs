// Cores of the program under test beside those of the npm packages, on loopback.
//
// What the tests take for granted about the command line (core_reference.mjs does the same on the packages):
//
//   core create --data DIR [--name N] [--manifest HEX]      prints the key; JSON {key, discovery_key}
//   core append --data DIR KEY [--file F [--block-size N]]  a block for each line of standard input, without its end; an empty file is one
//                                                           empty block. JSON {length}
//   core get --data DIR KEY INDEX[..END]                    the bytes themselves; JSON a line for each block, {index, value}, in base64
//   core info --data DIR KEY                                JSON {key, discovery_key, length, byte_length, fork, contiguous_length, tree_hash,
//                                                           writable, blocks_held}; byte_length is the tree's, paddings included
//   core seek --data DIR KEY BYTES                          JSON {block, offset}
//   core truncate --data DIR KEY LENGTH [--fork N]          JSON {length, fork}
//   core clear --data DIR KEY START END                     JSON {blocks_held}
//   core list --data DIR                                    JSON a line for each core, as info
//   core tail --data DIR KEY [--from N] --follow            blocks as get prints them, in order, each when it is there, until SIGTERM
//   core serve --data DIR --tcp HOST:PORT [KEY…]            prints a line with HOST:PORT when it listens; runs until SIGTERM
//   core fetch --data DIR --tcp HOST:PORT KEY [--blocks A..B,C] [--live]
//                                                           JSON {key, length, fork, blocks_fetched}; with --live it follows, connects again
//                                                           when the connection is lost, and serves the other side, until SIGTERM;
//                                                           with --serve HOST:PORT it listens there as well, as serve does
//
// Keys are printed in z-base-32, hashes in hexadecimal; ends of ranges are not part of them. A peer that does not have the core, or a
// connection that is lost without --live, makes fetch fail. Exit codes: 0 done, 1 failed, 2 wrong use; others are failures, too.
// While serve or fetch holds a directory, other commands work on it through that process; another serve or fetch is refused.
//
//   key new --data DIR                                      JSON {public}, in hexadecimal; create --manifest with that signer can be appended to
//   key convert KEY                                         JSON {z32, hex, discovery_key}
//
// create, append, get and fetch take --encryption-key HEX. Words and options stand in any order, "--name value" or "--name=value".
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createConnection, createServer } from 'node:net'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import Corestore from 'corestore'
import Hypercore from 'hypercore'
import { binary } from './program.mjs'
import { run, scratch, until } from './command.mjs'

export { until }
export const scale = Number(process.env.SCALE ?? 1)
export const sleep = ms => new Promise(resolve => setTimeout(resolve, ms))
export const hex = bytes => Buffer.from(bytes).toString('hex')
export const block = i => Buffer.from(`block ${i} ${'-'.repeat(i % 60)}`)
export const blocks = (count, from = 0) => Array.from({ length: count }, (_, i) => block(from + i))
const lines = list => Buffer.concat(list.flatMap(bytes => [bytes, Buffer.from('\n')]))

// A generator of numbers below n that gives the same sequence for the same seed (xorshift).
export function random (seed) {
  let state = BigInt.asUintN(64, BigInt(seed) * 0x9e3779b97f4a7c15n) | 1n
  return n => {
    state ^= BigInt.asUintN(64, state << 13n)
    state ^= state >> 7n
    state ^= BigInt.asUintN(64, state << 17n)
    return Number(state % BigInt(n))
  }
}

const answers = path => new Promise(resolve => {
  const socket = createConnection(path, () => resolve(true)).on('error', () => resolve(false)).on('connect', () => socket.destroy())
})

// A command that runs until it is stopped.
class Running {
  constructor (args) {
    this.out = this.log = ''
    this.child = spawn(binary, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    this.child.stdout.on('data', data => { this.out += data })
    this.child.stderr.on('data', data => { this.log += data })
    this.exited = new Promise(resolve => this.child.once('close', (code, signal) => resolve(code ?? signal)))
    this.exited.then(code => { this.code = code })
  }

  // The object printed on line n, once it is there.
  async line (n = 0) {
    await until(() => this.out.split('\n').length > n + 1 || this.code !== undefined, 20000)
    assert.ok(this.out.split('\n').length > n + 1, `ended with ${this.code}: ${this.out}${this.log}`)
    return JSON.parse(this.out.split('\n')[n])
  }

  async stop (expected = 0) {
    this.child.kill('SIGTERM')
    assert.equal(await this.exited, expected, this.log)
    assert.doesNotMatch(this.log, /Sanitizer|assertion/i)
  }

  kill () {
    this.child.kill('SIGKILL')
    return this.exited
  }
}

// One data directory of the program under test.
export class Holdfast {
  constructor (scene, directory, family = 'core') {
    this.scene = scene
    this.directory = directory
    this.data = join(directory, 'data')
    this.family = family
  }

  // {code, out, err} of a `core` command, or of another family, whatever it ends with.
  try (words, options = {}) {
    return run([this.family, ...words.map(String), '--data', this.data], { timeoutMs: 120000, ...options })
  }

  // The objects that it prints; it must succeed.
  async objects (words, options) {
    const { code, out, err } = await this.try([...words, '--json'], options)
    assert.equal(code, 0, `${this.family} ${words.slice(0, 3).join(' ')}: ${err}`)
    return out.split('\n').filter(Boolean).map(line => JSON.parse(line))
  }

  async object (words, options) {
    return (await this.objects(words, options)).at(-1)
  }

  async fails (words, options) {
    const { code, out, err } = await this.try(words, options)
    assert.ok(code > 0, `${this.family} ${words.join(' ')} ended with ${code}: ${out}${err}`)
    return { code, err }
  }

  create (...options) {
    return this.object(['create', ...options])
  }

  // A key of the ring that can sign cores: {public}, in hexadecimal.
  async newKey () {
    const { code, out, err } = await run(['key', 'new', '--data', this.data, '--json'])
    assert.equal(code, 0, err)
    return JSON.parse(out)
  }

  // The blocks as lines, which they must be; see appendFile for others.
  append (key, list, ...options) {
    return this.object(['append', key, ...options], { input: lines(list) })
  }

  async appendFile (key, bytes, ...options) {
    const path = join(this.directory, 'block')
    await writeFile(path, bytes)
    return this.object(['append', key, '--file', path, ...options])
  }

  async made (count, ...options) {
    const { key } = await this.create(...options)
    if (count) await this.append(key, blocks(count))
    return key
  }

  async get (key, start, end = start + 1, ...options) {
    if (end <= start) return []
    const found = await this.objects(['get', key, `${start}..${end}`, ...options])
    assert.deepEqual(found.map(({ index }) => index), Array.from({ length: end - start }, (_, i) => start + i))
    return found.map(({ value }) => Buffer.from(value, 'base64'))
  }

  info (key) {
    return this.object(['info', key])
  }

  start (words) {
    const running = new Running([this.family, ...words.map(String), '--data', this.data, '--json'])
    this.scene.onEnd(() => running.kill())
    return running
  }

  async serve (...keys) {
    const server = this.start(['serve', '--tcp', '127.0.0.1:0', ...keys])
    await until(() => /127\.0\.0\.1:\d+/.test(server.out) || server.code !== undefined, 10000)
    assert.equal(server.code, undefined, server.log)
    server.port = Number(server.out.match(/127\.0\.0\.1:(\d+)/)[1])
    return server
  }

  fetch (port, key, ...options) {
    return this.object(['fetch', '--tcp', `127.0.0.1:${port}`, key, ...options])
  }

  // Resolves when the directory is held, so that a command that comes next does not take it first.
  async follow (port, key, ...options) {
    const following = this.start(['fetch', '--live', '--tcp', `127.0.0.1:${port}`, key, ...options])
    await until(() => following.code !== undefined || answers(join(this.data, 'admin.sock')), 10000)
    assert.equal(following.code, undefined, following.log)
    return following
  }
}

// Joins a socket and a replication stream, both of which end with the other. closed resolves with the error, if there was one.
function pair (socket, stream) {
  const connection = { socket, stream, error: null }
  connection.closed = new Promise(resolve => {
    const drop = error => {
      connection.error ??= error ?? null
      socket.destroy()
      stream.destroy()
      resolve(connection.error)
    }
    socket.on('error', drop).on('close', () => drop())
    stream.on('error', drop).on('close', () => drop())
  })
  socket.pipe(stream).pipe(socket)
  return connection
}

// What one test has running; all of it ends with the test, last things first.
export class Scene {
  static async of (t) {
    const scene = new Scene()
    scene.ends = []
    t.after(() => scene.end())
    scene.directory = await scratch()
    scene.onEnd(() => rm(scene.directory, { recursive: true, force: true }))
    return scene
  }

  onEnd (action) {
    this.ends.push(action)
  }

  async end () {
    for (const action of this.ends.reverse()) await action()
  }

  place () {
    return join(this.directory, `${this.ends.length}`)
  }

  async holdfast () {
    const directory = this.place()
    await mkdir(directory)
    this.onEnd(() => {})
    return new Holdfast(this, directory)
  }

  // A core of the package; counts the blocks that it takes from peers, and gives to them.
  async core (key = null, options = {}) {
    const core = new Hypercore(this.place(), typeof key === 'string' ? key : key?.key ?? key, options)
    this.onEnd(() => core.close())
    await core.ready()
    return counting(core)
  }

  async written (count, options) {
    const core = await this.core(null, options)
    if (count) await core.append(blocks(count))
    return core
  }

  async store (options) {
    const store = new Corestore(this.place(), options)
    this.onEnd(() => store.close())
    await store.ready()
    return store
  }

  // Accepts connections for a core or a store of the packages; {port, connections, cut()}.
  async listen (replicated, { isInitiator = false } = {}) {
    const listener = { connections: [] }
    const server = createServer(socket => listener.connections.push(pair(socket, replicated.replicate(isInitiator))))
    listener.cut = () => { for (const { socket } of listener.connections.splice(0)) socket.destroy() }
    await new Promise(resolve => server.listen(0, '127.0.0.1', resolve))
    this.onEnd(() => { listener.cut(); server.close() })
    listener.port = server.address().port
    return listener
  }

  async dial (port, replicated, { isInitiator = true } = {}) {
    const connection = pair(await this.socket(port), replicated.replicate(isInitiator))
    return connection
  }

  async socket (port) {
    const socket = createConnection(port, '127.0.0.1')
    this.onEnd(() => socket.destroy())
    await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject))
    return socket
  }

  // A way to a port that can be cut, and slowed down to so many bytes a second.
  async wire (port, { bytesPerSecond = Infinity } = {}) {
    const wire = { sockets: new Set(), passed: 0 }
    const server = createServer(inner => {
      const outer = createConnection(port, '127.0.0.1')
      const both = [inner, outer]
      for (const [from, to] of [both, [...both].reverse()]) {
        wire.sockets.add(from)
        from.on('error', () => {}).on('close', () => { to.destroy(); wire.sockets.delete(from) })
        from.on('data', data => {
          wire.passed += data.length
          to.write(data)
          if (bytesPerSecond === Infinity) return
          from.pause()
          setTimeout(() => from.resume(), data.length / bytesPerSecond * 1000)
        })
      }
    })
    wire.cut = () => { for (const socket of wire.sockets) socket.destroy() }
    await new Promise(resolve => server.listen(0, '127.0.0.1', resolve))
    this.onEnd(() => { wire.cut(); server.close() })
    wire.port = server.address().port
    return wire
  }
}

export function counting (core) {
  core.downloaded = core.uploaded = 0
  core.on('download', () => core.downloaded++)
  core.on('upload', () => core.uploaded++)
  return core
}

// All of a core by a reader of the package, from whom it is connected to.
export async function download (core, length, { fork = 0, timeoutMs = 60000 } = {}) {
  await until(() => core.length >= length && core.fork >= fork, timeoutMs)
  await core.download({ start: 0, end: length }).done()
}

// The same core on both sides: the tree, and every block from start to end.
export async function assertSame (core, holdfast, { key = core.id, start = 0, end = core.length, options = [] } = {}) {
  const info = await holdfast.info(key)
  assert.deepEqual(
    { key: info.key, discovery_key: info.discovery_key, length: info.length, byte_length: info.byte_length, fork: info.fork, tree_hash: info.tree_hash },
    { key: core.id, discovery_key: hex(core.discoveryKey), length: core.length, byte_length: core.state.byteLength, fork: core.fork, tree_hash: hex(core.state.hash()) })
  const ours = await holdfast.get(key, start, end, ...options)
  for (let i = start; i < end; i++) {
    const theirs = await core.get(i, { wait: false })
    assert.ok(theirs && ours[i - start].equals(theirs), `block ${i}`)
  }
  return info
}
