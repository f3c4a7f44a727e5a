#!/usr/bin/env node
// `holdfast core` as lib/core.mjs describes it, but on the npm packages: HOLDFAST=test/interop/lib/core_reference.mjs runs the tests of
// test/interop/core between JavaScript and JavaScript, which shows whether a failure lies in a test. A command on a directory that
// another one holds runs inside that one, by way of DIR/admin.sock, as with the real program.
import { createConnection, createServer } from 'node:net'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { pathToFileURL } from 'node:url'
import Corestore from 'corestore'
import Hypercore from 'hypercore'
import crypto from 'hypercore-crypto'
import id from 'hypercore-id-encoding'

const commands = { create, append, get, info, tail, seek, truncate, clear, fetch, serve, list }
const keyCommands = { new: newKey, convert }
const flags = Object.fromEntries(['data', 'name', 'file', 'block-size', 'encryption-key', 'manifest', 'from', 'fork', 'tcp', 'blocks'].map(
  name => [name, { type: 'string' }]).concat(['json', 'all', 'live'].map(name => [name, { type: 'boolean' }])))
const reconnectMs = 100
const peerWaitMs = 1000

class Failure extends Error {}
const need = (holds, text) => { if (!holds) throw new Failure(text) }
const hex = bytes => bytes.toString('hex')
const proper = (holds, text) => { if (!holds) throw Object.assign(new Error(text), { code: 'USAGE' }) }
const number = text => {
  proper(/^\d+$/.test(text ?? ''), `not a number: ${text}`)
  return Number(text)
}
const address = text => {
  proper(/^[^:]+:\d+$/.test(text ?? ''), 'needs --tcp HOST:PORT')
  return { host: text.split(':')[0], port: Number(text.split(':')[1]) }
}

// What a command is given: its options and words, the store, bytes on standard input, out(bytes), err(text), and when to stop.
function print (run, object, text) {
  run.out(Buffer.from((run.options.json ? JSON.stringify(object) : text ?? JSON.stringify(object)) + '\n'))
}

async function open (run, key, { writes = false } = {}) {
  const encryptionKey = run.options['encryption-key'] && Buffer.from(run.options['encryption-key'], 'hex')
  const core = run.store.get({ key: id.decode(key), encryptionKey, active: false })
  run.sessions.push(core)
  await core.ready()
  if (writes) need(core.writable, 'this core is not writable here')
  return core
}

async function known (run, key, options) {
  const discoveryKey = Hypercore.discoveryKey(id.decode(key))
  need(await run.store.storage.hasCore(discoveryKey), 'there is no such core here')
  return open(run, key, options)
}

const ring = run => join(run.options.data, 'ring.json')

async function newKey (run) {
  const { publicKey, secretKey } = crypto.keyPair()
  await writeFile(ring(run), JSON.stringify({ public: hex(publicKey), secret: hex(secretKey) }))
  print(run, { public: hex(publicKey) })
}

async function convert (run, key) {
  const bytes = id.decode(key)
  print(run, { z32: id.encode(bytes), hex: hex(bytes), discovery_key: hex(Hypercore.discoveryKey(bytes)) })
}

async function create (run) {
  const { name, manifest, 'encryption-key': encryptionKey = '00'.repeat(32) } = run.options
  proper(/^([0-9a-f]{2})+$/.test(manifest ?? '00') && /^[0-9a-f]{64}$/.test(encryptionKey), 'not in hexadecimal')
  const parsed = manifest && Hypercore.parseManifest(Buffer.from(manifest, 'hex'))
  const held = parsed && JSON.parse(await readFile(ring(run), 'utf8').catch(() => null))
  const keyPair = held && { publicKey: Buffer.from(held.public, 'hex'), secretKey: Buffer.from(held.secret, 'hex') }
  const core = run.store.get(parsed ? { manifest: parsed, keyPair } : name ? { name, active: false } : { keyPair: crypto.keyPair(), active: false })
  run.sessions.push(core)
  await core.ready()
  print(run, { key: core.id, discovery_key: hex(core.discoveryKey) }, core.id)
}

async function append (run, key) {
  const core = await known(run, key, { writes: true })
  const { file, 'block-size': size } = run.options
  proper(size === undefined || number(size) > 0, 'a block has a size')
  let blocks
  if (file) {
    const bytes = await readFile(file)
    const step = size ? number(size) : Math.max(bytes.length, 1)
    blocks = []
    for (let at = 0; at < Math.max(bytes.length, 1); at += step) blocks.push(bytes.subarray(at, at + step))
  } else {
    blocks = run.input.toString('latin1').split('\n').map(line => Buffer.from(line, 'latin1'))
    if (blocks.at(-1).length === 0) blocks.pop()
  }
  await core.append(blocks)
  print(run, { length: core.length })
}

async function printBlock (run, core, index, wait = false) {
  const value = await core.get(index, { wait })
  need(value, `block ${index} is not here`)
  if (run.options.json) print(run, { index, value: value.toString('base64') })
  else run.out(value)
}

async function get (run, key, range) {
  const core = await known(run, key)
  const [start, end, ...rest] = range.split('..').map(number)
  proper(rest.length === 0, 'not a range')
  for (let i = start; i < (end ?? start + 1); i++) await printBlock(run, core, i)
}

async function info (run, key) {
  const core = await known(run, key)
  print(run, describe(core))
}

const describe = core => ({
  key: core.id,
  discovery_key: hex(core.discoveryKey),
  length: core.length,
  byte_length: core.state.byteLength,
  fork: core.fork,
  contiguous_length: core.contiguousLength,
  tree_hash: hex(core.state.hash()),
  writable: core.writable,
  blocks_held: core.core.bitfield.count(0, core.length, true)
})

async function tail (run, key) {
  const core = await known(run, key)
  let at = Number(run.options.from ?? core.length)
  let more = () => {}
  core.on('append', () => more())
  while (!run.stopped.aborted) {
    while (at < core.length && !run.stopped.aborted) await Promise.race([printBlock(run, core, at++, true), run.stopping])
    await Promise.race([new Promise(resolve => { more = resolve }), run.stopping])
  }
}

async function seek (run, key, bytes) {
  const at = number(bytes)
  const core = await known(run, key)
  const found = await core.seek(at, { wait: false })
  need(found, 'beyond the end, or the tree is not here')
  print(run, { block: found[0], offset: found[1] })
}

async function truncate (run, key, length) {
  const core = await known(run, key, { writes: true })
  need(number(length) <= core.length, 'longer than the core')
  const fork = Number(run.options.fork ?? core.fork + 1)
  need(fork > core.fork, 'a fork is followed by a higher one')
  await core.truncate(number(length), { fork })
  print(run, { length: core.length, fork: core.fork })
}

async function clear (run, key, start, end) {
  const core = await known(run, key)
  await core.clear(number(start), number(end))
  print(run, { blocks_held: core.core.bitfield.count(0, core.length, true) })
}

async function list (run) {
  for await (const discoveryKey of run.store.list()) {
    const core = run.store.get({ discoveryKey, active: false })
    run.sessions.push(core)
    await core.ready()
    print(run, describe(core))
  }
}

function pair (run, socket, stream) {
  const drop = error => {
    if (error && !run.stopped.aborted) run.err(`peer disconnected: ${error.message}\n`)
    socket.destroy()
    stream.destroy()
  }
  socket.once('error', drop).once('close', () => drop())
  stream.once('error', drop).once('close', () => drop())
  socket.pipe(stream).pipe(socket)
}

async function serve (run, ...keys) {
  const cores = []
  for (const key of keys) cores.push(await known(run, key))
  const replicated = cores.length
    ? () => cores.reduce((stream, core) => core.replicate(stream), Hypercore.createProtocolStream(false))
    : () => run.store.replicate(false)
  const { host, port } = address(run.options.tcp)
  const server = createServer(socket => pair(run, socket, replicated()))
  await new Promise((resolve, reject) => server.once('error', reject).listen(port, host, resolve))
  const listening = `${host}:${server.address().port}`
  print(run, { listening }, `listening on ${listening}`)
  await run.stopping
  server.close()
}

async function fetch (run, key) {
  address(run.options.tcp)
  const core = await open(run, key)
  const session = core.session({ encryption: null, active: true })
  run.sessions.push(session)
  await session.ready()
  let fetched = 0
  session.on('download', () => fetched++).on('verification-error', error => run.err(`refused: ${error.message}\n`))
  const started = Date.now()
  const progress = setInterval(() => {
    const seconds = (Date.now() - started) / 1000
    const left = (session.length - session.contiguousLength) / fetched * seconds
    run.err(`${fetched} blocks, ${(fetched / seconds).toFixed(0)}/s, ${left.toFixed(0)} s left\n`)
  }, 1000)
  try {
    await exchange(run, core, session, () => fetched)
  } finally {
    clearInterval(progress)
  }
}

async function exchange (run, core, session, fetched) {
  const { tcp, blocks, live } = run.options
  if (live) session.download({ start: 0, end: -1 })
  for (;;) {
    const socket = createConnection(address(tcp))
    const stream = run.store.replicate(true)
    const closed = new Promise(resolve => socket.once('close', resolve))
    pair(run, socket, stream)
    if (!live) {
      const lost = closed.then(() => { throw new Failure('the connection was lost') })
      await Promise.race([take(session, blocks), lost])
      print(run, { key: core.id, length: session.length, fork: session.fork, blocks_fetched: fetched() })
      lost.catch(() => {})
      socket.destroy()
      return
    }
    await Promise.race([closed, run.stopping])
    if (run.stopped.aborted) return
    await new Promise(resolve => setTimeout(resolve, reconnectMs))
  }
}

async function take (session, blocks) {
  if (session.peers.length === 0) {
    await Promise.race([new Promise(resolve => session.once('peer-add', resolve)), new Promise(resolve => setTimeout(resolve, peerWaitMs))])
    need(session.peers.length > 0, 'the other side does not have this core')
  }
  while (!session.peers.some(peer => peer.remoteSynced)) await new Promise(resolve => setTimeout(resolve, 5))
  const best = () => Math.max(...session.peers.map(peer => peer.remoteFork))
  while (session.fork < best() && session.peers.length) await session.update({ wait: true })
  await session.update({ wait: true })
  if (!blocks) return session.download({ start: 0, end: session.length }).done()
  const wanted = blocks.split(',').flatMap(part => {
    const [start, end = number(start) + 1] = part.split('..')
    return Array.from({ length: Number(end) - Number(start) }, (_, i) => Number(start) + i)
  })
  return session.download({ blocks: wanted }).done()
}

async function execute (store, args, io) {
  const run = { store, sessions: [], ...io }
  run.stopping = new Promise(resolve => run.stopped.addEventListener('abort', resolve))
  try {
    const { values, positionals } = parseArgs({ args, options: flags, allowPositionals: true })
    run.options = values
    const [family, name, ...words] = positionals
    const command = { core: commands, key: keyCommands }[family]?.[name]
    proper(command, `no command ${family} ${name}`)
    proper(command === serve || words.length === command.length - 1, 'wrong number of words')
    if (command !== convert) run.store ??= await ownStore(values.data)
    await command(run, ...words)
    return 0
  } catch (error) {
    run.err(`holdfast: ${error.message}\n`)
    return /USAGE|PARSE_ARGS/.test(error.code) ? 2 : 1
  } finally {
    for (const session of run.sessions) await session.close()
  }
}

let holding = null
async function ownStore (directory) {
  await mkdir(directory, { recursive: true })
  const store = new Corestore(join(directory, 'store'))
  await store.ready()
  const path = join(directory, 'admin.sock')
  await rm(path, { force: true })
  const server = createServer(socket => {
    const parts = []
    socket.on('error', () => {}).on('data', data => parts.push(data))
    const abort = new AbortController()
    socket.once('close', () => abort.abort())
    const say = object => socket.writable && socket.write(JSON.stringify(object) + '\n')
    socket.on('data', async () => {
      const text = Buffer.concat(parts).toString()
      if (!text.endsWith('\n')) return
      const { args, input } = JSON.parse(text)
      const code = await execute(store, args, {
        input: Buffer.from(input, 'base64'),
        stopped: abort.signal,
        out: bytes => say({ out: bytes.toString('base64') }),
        err: text => say({ err: text })
      })
      say({ code })
    })
  })
  await new Promise(resolve => server.listen(path, resolve))
  holding = { store, server }
  return store
}

// Through the command that holds the directory: its exit code, or undefined when nobody does.
function through (directory, args, input) {
  return new Promise(resolve => {
    const socket = createConnection(join(directory, 'admin.sock'))
    let rest = ''
    socket.once('error', () => resolve(undefined)).once('connect', () => socket.write(JSON.stringify({ args, input: input.toString('base64') }) + '\n'))
    socket.on('data', data => {
      const lines = (rest + data).split('\n')
      rest = lines.pop()
      for (const { out, err, code } of lines.map(line => JSON.parse(line))) {
        if (out !== undefined) process.stdout.write(Buffer.from(out, 'base64'))
        if (err !== undefined) process.stderr.write(err)
        if (code !== undefined) resolve(code)
      }
    })
    for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => { socket.destroy(); resolve(0) })
  })
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const args = process.argv.slice(2)
  const parts = []
  if (args[1] === 'append' && !args.includes('--file')) for await (const data of process.stdin) parts.push(data)
  const input = Buffer.concat(parts)
  const at = args.indexOf('--data')
  let code = at === -1 ? undefined : await through(args[at + 1], args, input)
  if (code === undefined) {
    const abort = new AbortController()
    for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => abort.abort())
    code = await execute(null, args, { input, stopped: abort.signal, out: bytes => process.stdout.write(bytes), err: text => process.stderr.write(text) })
    await holding?.store.close()
    holding?.server.close()
  }
  process.stdout.write('', () => process.stderr.write('', () => process.exit(code)))
}
