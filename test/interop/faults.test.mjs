// What goes wrong in the world: full disks, rotten files, kills in the middle, clients that are slow, dead or too many.
// The full disk is a small tmpfs, which takes root.
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { cp, mkdir, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join, relative } from 'node:path'
import { Gateway } from './lib/gateway.mjs'
import { binary } from './lib/program.mjs'
import { Author, Client, now, sleep } from './lib/client.mjs'
import { ask, metrics, ownMemory, run, scratch, until } from './lib/command.mjs'

const timeout = 120000
const jsonl = list => list.map(event => JSON.stringify(event) + '\n').join('')
const parse = out => out.split('\n').filter(Boolean).map(line => JSON.parse(line))

// ---- No room ----

// Publishes until it is refused; gives what was accepted and the reason.
async function fill (client, author, bytes, countMax = 4000) {
  const accepted = []
  for (let i = 0; i < countMax; i++) {
    const event = author.event({ content: `${i} ${'x'.repeat(bytes)}` })
    const [ok, reason] = await client.publish(event)
    if (!ok) return { accepted, reason }
    accepted.push(event.id)
  }
  throw new Error('it was never full')
}

async function holds (client, ids) {
  const found = new Set()
  for (let at = 0; at < ids.length; at += 200) for (const id of await client.ids({ ids: ids.slice(at, at + 200) })) found.add(id)
  assert.equal(found.size, ids.length, 'what was answered OK is there')
}

test('a full disk: publishing is refused with a reason, reading goes on, room is enough to go on', { timeout }, async t => {
  if (process.getuid() !== 0) {
    t.diagnostic('only root can mount a small disk; the quota below takes the same way')
    return
  }
  const directory = await scratch()
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8m,mode=700', 'none', directory])
  let gateway
  try {
    gateway = await Gateway.start({ directory, args: ['--store-log-segment', '1MiB', '--store-memtable-docs', '256'] })
    const ballast = join(directory, 'ballast')
    await writeFile(ballast, Buffer.alloc(2 << 20))
    const author = new Author()
    const client = await Client.connect(gateway.url)
    const { accepted, reason } = await fill(client, author, 8000)
    assert.match(reason, /^error: .*full/)
    assert.ok(accepted.length > 50)
    for (let i = 0; i < 20; i++) assert.match((await client.publish(author.event({ content: `no ${i} ${'x'.repeat(8000)}` })))[1], /^error: /)
    await holds(client, accepted)
    assert.equal((await client.count({ authors: [author.pubkey] }))[2].count, accepted.length)
    const ephemeral = author.event({ kind: 20001 })
    assert.deepEqual(await client.publish(ephemeral), [true, ''], 'what is not stored needs no room')
    assert.equal((await ask(`${gateway.http}/health`)).status, 200)
    await rm(ballast)
    const more = []
    await until(async () => {
      const event = author.event({ content: `room ${Math.random()}` })
      const [ok] = await client.publish(event)
      if (ok) more.push(event.id)
      return ok
    }, 10000)
    for (let i = 0; i < 20; i++) {
      const event = author.event({ content: `again ${i} ${'x'.repeat(8000)}` })
      assert.deepEqual(await client.publish(event), [true, ''])
      more.push(event.id)
    }
    await holds(client, [...accepted, ...more])
    // Full a second time, then killed and started on the full disk.
    const second = await fill(client, author, 8000)
    await gateway.kill()
    await gateway.up()
    const reader = await Client.connect(gateway.url)
    await holds(reader, [...accepted, ...more, ...second.accepted])
    assert.equal((await reader.count({ authors: [author.pubkey] }))[2].count, accepted.length + more.length + second.accepted.length)
    assert.equal((await run(['store', 'verify', '--data', join(directory, 'data')])).code, 0)
    reader.close()
    assert.deepEqual(await gateway.down(), { code: 0, signal: null }, 'it ends in order on a full disk')
    await gateway.up()
    const last = await Client.connect(gateway.url)
    await holds(last, [...accepted, ...more, ...second.accepted])
    last.close()
  } finally {
    await gateway?.stop()
    execFileSync('umount', ['-l', directory])
    await rm(directory, { recursive: true, force: true })
  }
})

test('a full quota: the same, and deleting and compacting makes room', { timeout }, async () => {
  const gateway = await Gateway.start({ args: ['--store-quota', '3MiB', '--store-log-segment', '1MiB'] })
  try {
    const author = new Author()
    const client = await Client.connect(gateway.url)
    const { accepted, reason } = await fill(client, author, 8000)
    assert.match(reason, /^error: .*quota/)
    await holds(client, accepted)
    const { disk_bytes: used } = JSON.parse((await run(['store', 'stats', '--json', '--data', join(gateway.directory, 'data')])).out)
    assert.ok(used <= 3 << 20, `${used} bytes used`)
    assert.ok(used > 2 << 20, `${used} bytes used`)
    const compactedFull = await run(['store', 'compact', '--json', '--data', join(gateway.directory, 'data')])
    assert.equal(compactedFull.code, 0, compactedFull.err)
    const [deleted, why] = await client.publish(author.event({ kind: 5, tags: accepted.slice(0, accepted.length - 20).map(id => ['e', id]) }))
    assert.ok(deleted, `a deletion is what helps, and it was refused: ${why}`)
    const compacted = await run(['store', 'compact', '--json', '--data', join(gateway.directory, 'data')])
    assert.equal(compacted.code, 0, compacted.err)
    for (let i = 0; i < 50; i++) assert.deepEqual(await client.publish(author.event({ content: `room ${i} ${'x'.repeat(8000)}` })), [true, ''])
    await holds(client, accepted.slice(accepted.length - 20))
    assert.deepEqual(await client.ids({ ids: accepted.slice(0, 100) }), [])
    client.close()
  } finally {
    await gateway.stop()
  }
})

// ---- Rotten files ----

// A data directory that has a file of each kind: several log files, segments, dead marks, a manifest.
async function specimen (directory) {
  const authors = [new Author(), new Author()]
  const events = Array.from({ length: 1500 }, (_, i) => authors[i % 2].event({
    content: `specimen ${i} ${'s'.repeat(i % 400)}`, created_at: now() - 2000 + i, tags: [['t', `t${i % 9}`]]
  }))
  const doomed = events.slice(100, 400)
  const settings = ['--store-log-segment', '1MiB', '--store-memtable-docs', '256']
  const first = await Gateway.start({ directory, args: settings })
  const client = await Client.connect(first.url)
  for (let at = 0; at < 1000; at += 50) await Promise.all(events.slice(at, at + 50).map(event => client.publish(event)))
  for (const author of authors) {
    await client.publish(author.event({ kind: 5, tags: doomed.filter(e => e.pubkey === author.pubkey).map(e => ['e', e.id]) }))
  }
  await first.down()
  await first.up()
  const again = await Client.connect(first.url)
  for (let at = 1000; at < 1500; at += 50) await Promise.all(events.slice(at, at + 50).map(event => again.publish(event)))
  await first.kill() // the last part is in the log alone
  const gone = new Set(doomed.map(event => event.id))
  return { settings, deletions: authors.length, kept: new Map(events.filter(e => !gone.has(e.id)).map(e => [e.id, e])), gone }
}

async function filesOf (directory) {
  const found = []
  for (const entry of await readdir(directory, { withFileTypes: true, recursive: true })) {
    const path = join(entry.parentPath ?? entry.path, entry.name)
    if (entry.isFile() && (await stat(path)).size > 0) found.push(relative(directory, path))
  }
  return found.sort()
}

async function damage (path, how, at) {
  const bytes = await readFile(path)
  let used = bytes.length // what was taken ahead for the log is zero
  while (used > 1 && bytes[used - 1] === 0) used--
  const place = Math.min(used - 1, Math.floor(used * at))
  if (how === 'flip') {
    bytes[place] ^= 0x5a
    await writeFile(path, bytes)
  } else if (how === 'zero') {
    bytes.fill(0, place, place + 64)
    await writeFile(path, bytes)
  } else if (how === 'truncate') {
    await truncate(path, place)
  } else {
    await rm(path)
  }
}

// Starts on the damaged copy. Either it refuses with the file's name, or it serves only what is true.
async function judge (name, what, data, own, { settings, kept, gone, deletions }) {
  const file = name.split('/').pop()
  const verified = await run(['store', 'verify', '--data', data], { timeoutMs: 20000 })
  assert.equal(verified.signal, null, `${what}: verify ended by ${verified.signal}: ${verified.err}`)
  assert.doesNotMatch(verified.err, /Sanitizer|runtime error|Assertion/, what)
  const said = verified.out + verified.err
  const detected = verified.code !== 0 || /cannot be read|cut off/.test(verified.err) // at opening already, and put right there
  if (detected) assert.ok(said.includes(file) || said.includes('MANIFEST'), `${what}: verify does not name the file: ${said}`)
  let gateway
  try {
    gateway = await Gateway.start({ directory: own, args: settings })
  } catch (error) {
    assert.ok(error.message.includes(file) || error.message.includes('MANIFEST'), `${what}: the refusal does not name the file: ${error.message}`)
    assert.doesNotMatch(error.message, /Sanitizer|runtime error|Assertion|SIG/, what)
    assert.ok(name.includes('/log/'), `${what}: only the log itself is worth a refusal: ${error.message}`)
    return { detected, refused: true, lost: kept.size }
  }
  try {
    const client = await Client.connect(gateway.url)
    const served = new Map()
    const ids = [...kept.keys(), ...gone]
    for (const filters of [{ kinds: [1], limit: 500 }, { '#t': ['t3'], limit: 500 }]) for (const event of await client.query(filters)) served.set(event.id, event)
    const byScan = new Set(served.keys())
    for (let at = 0; at < ids.length; at += 300) for (const event of await client.query({ ids: ids.slice(at, at + 300) })) served.set(event.id, event)
    for (const [id, event] of served) {
      assert.ok(!gone.has(id), `${what}: a deleted event is served`)
      const { id: i, pubkey, created_at: createdAt, kind, tags, content, sig } = kept.get(id)
      assert.deepEqual(event, { id: i, pubkey, created_at: createdAt, kind, tags, content, sig }, `${what}: a changed event is served`)
    }
    assert.ok(byScan.size > 0 || served.size === 0, what)
    const lost = kept.size - served.size
    const logged = gateway.log
    const event = new Author().event({ content: 'after' })
    const [accepted] = await client.publish(event)
    if (accepted) assert.deepEqual(await client.ids({ ids: [event.id] }), [event.id], what)
    client.close()
    if (lost > 0) assert.ok(detected || /corrupt|damaged|checksum|missing|cut off/i.test(logged + verified.err), `${what}: ${lost} events are missing and nobody said so: ${said}${logged}`)
    const ended = await gateway.down()
    assert.deepEqual(ended, { code: 0, signal: null }, `${what}: ${gateway.log}`)
    if (!name.includes('/log/')) {
      // What is derived can be made anew: nothing is lost for good.
      const rebuilt = await run(['relay', 'rebuild', '--data', data])
      assert.equal(rebuilt.code, 0, `${what}: ${rebuilt.err}`)
      const { count } = JSON.parse((await run(['relay', 'count', '--json', '--data', data])).out)
      assert.equal(count, kept.size + deletions + (accepted ? 1 : 0), `${what}: after a rebuild`)
      assert.equal((await run(['store', 'verify', '--data', data])).code, 0, `${what}: after a rebuild`)
    }
    return { detected, refused: false, lost, logged }
  } finally {
    await gateway.stop()
  }
}

test('flipped, zeroed and cut bytes in every kind of file are found, named and never served', { timeout: 600000 }, async t => {
  const directory = await scratch()
  try {
    const origin = join(directory, 'origin')
    await mkdir(origin)
    const truth = await specimen(origin)
    const names = (await filesOf(join(origin, 'data'))).filter(name => name.startsWith('store/'))
    const kinds = new Map()
    for (const name of names) {
      const kind = name.replace(/\d+/g, 'n')
      kinds.set(kind, [...(kinds.get(kind) ?? []), name])
    }
    t.diagnostic(`files: ${[...kinds].map(([kind, list]) => `${list.length} ${kind}`).join(', ')}`)
    const report = []
    for (const list of kinds.values()) {
      const chosen = list.length > 2 ? [list[0], list[list.length - 1]] : list
      for (const name of chosen) {
        for (const [how, at] of [['flip', 0], ['flip', 0.01], ['flip', 0.4], ['flip', 0.999], ['zero', 0.6], ['truncate', 0.5], ['truncate', 0], ['remove', 0]]) {
          const own = join(directory, 'copy')
          await rm(own, { recursive: true, force: true })
          await cp(origin, own, { recursive: true, filter: path => !path.endsWith('.sock') })
          await damage(join(own, 'data', name), how, at)
          const what = `${how} at ${at} of ${name}`
          const { detected, refused, lost } = await judge(name, what, join(own, 'data'), own, truth)
          report.push(`${what}: ${detected ? 'found' : 'NOT FOUND'}, ${refused ? 'start refused' : `${lost} of ${truth.kept.size} not served`}`)
        }
      }
    }
    for (const line of report) t.diagnostic(line)
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
})

// ---- Kills ----

test('kill -9 in the middle of imports leaves a sound store that takes the rest', { timeout }, async () => {
  const directory = await scratch()
  try {
    const author = new Author()
    const events = Array.from({ length: 3000 }, (_, i) => author.event({ content: `${i}`, created_at: now() - i }))
    const data = join(directory, 'data')
    for (let round = 0; round < 5; round++) {
      const child = spawn(binary, ['relay', 'import', '--data', data, '--store-memtable-docs', '256'], { stdio: ['pipe', 'ignore', 'ignore'] })
      child.stdin.on('error', () => {})
      child.stdin.end(jsonl(events))
      const ended = new Promise(resolve => child.once('close', resolve))
      await sleep(20 + 20 * round)
      child.kill('SIGKILL')
      await ended
      const verified = await run(['store', 'verify', '--data', data])
      assert.ok(verified.code === 0 || (round === 0 && verified.code === 4), verified.out + verified.err)
    }
    const rest = JSON.parse((await run(['relay', 'import', '--json', '--data', data], { input: jsonl(events) })).out)
    assert.equal(rest.stored + rest.duplicates, 3000)
    const exported = parse((await run(['relay', 'export', '--data', data])).out).map(event => event.id)
    assert.equal(exported.length, 3000)
    assert.equal(new Set(exported).size, 3000)
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
})

// ---- Bad company ----

const masked = text => {
  const body = Buffer.from(text)
  const head = Buffer.from([0x81, 0x80 | 126, body.length >> 8, body.length & 255, 0, 0, 0, 0])
  return Buffer.concat([head, body])
}
const handshake = url => `GET / HTTP/1.1\r\nHost: ${new URL(url).host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`
const dial = url => {
  const socket = connect(new URL(url).port, '127.0.0.1')
  socket.on('error', () => {})
  return socket
}

async function withGateway (options, use) {
  const gateway = await Gateway.start(options)
  try {
    await use(gateway)
  } finally {
    await gateway.stop()
  }
}

// One event published and read back: the others are unharmed.
async function works (gateway, withinMs = 2000) {
  const begun = Date.now()
  const client = await Client.connect(gateway.url)
  const event = new Author().event({ content: 'unharmed' })
  assert.deepEqual(await client.publish(event), [true, ''])
  assert.deepEqual(await client.ids({ ids: [event.id] }), [event.id])
  client.close()
  assert.ok(Date.now() - begun < withinMs, `it took ${Date.now() - begun} ms`)
}

test('a stopped client that subscribed to everything is let go, and memory stays bounded', { timeout }, () =>
  withGateway({ args: ['--websocket-send-queue-max', '256KiB', '--websocket-ping-interval', '2s'] }, async gateway => {
    const author = new Author()
    const publisher = await Client.connect(gateway.url)
    for (let i = 0; i < 50; i++) await publisher.publish(author.event({ content: `${i} ${'m'.repeat(20000)}` }))
    const before = await ownMemory(gateway)
    const script = `
      const socket = require('node:net').connect(${new URL(gateway.url).port}, '127.0.0.1')
      socket.write(${JSON.stringify(handshake(gateway.url))})
      socket.once('data', () => {
        for (let i = 0; i < 20; i++) socket.write(Buffer.from(${JSON.stringify(masked('["REQ","xx",{}]').toString('base64'))}, 'base64'))
        setTimeout(() => console.log('stop me'), 50)
      })`
    const children = Array.from({ length: 10 }, () => spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'ignore'] }))
    await Promise.all(children.map(child => new Promise(resolve => child.stdout.once('data', () => { child.kill('SIGSTOP'); resolve() }))))
    let most = 0
    for (let i = 0; i < 400; i++) {
      assert.deepEqual(await publisher.publish(author.event({ content: `live ${i} ${'m'.repeat(20000)}` })), [true, ''])
      if (i % 50 === 0) most = Math.max(most, await ownMemory(gateway))
    }
    await works(gateway)
    assert.ok(most - before < 64 << 20, `${(most - before) >> 20} MiB more`)
    await until(async () => /holdfast_relay_connections\S* [12]$/m.test(await metrics(gateway)), 20000)
    for (const child of children) child.kill('SIGKILL')
    publisher.close()
  }))

test('clients that send one byte a second hold nobody up and are let go', { timeout }, () =>
  withGateway({ args: ['--gateway-header-timeout', '1s'] }, async gateway => {
    const slow = Array.from({ length: 20 }, (_, i) => {
      const socket = dial(gateway.url)
      const text = i % 2 ? 'GET / HTTP/1.1\r\nHost: x\r\n\r\n' : handshake(gateway.url)
      let at = 0
      const timer = setInterval(() => socket.write(text[at++ % text.length]), 1000)
      socket.once('close', () => clearInterval(timer))
      socket.resume()
      return new Promise(resolve => socket.once('close', resolve))
    })
    await works(gateway)
    await Promise.all(slow)
    // A message that dribbles in after a good handshake: it may stay, but only for itself.
    const socket = dial(gateway.url)
    socket.write(handshake(gateway.url))
    await new Promise(resolve => socket.once('data', resolve))
    const event = new Author().event({ content: 'slow' })
    const frame = masked(JSON.stringify(['EVENT', event]))
    socket.write(frame.subarray(0, 100))
    for (let i = 100; i < 103; i++) {
      await sleep(1000)
      socket.write(frame.subarray(i, i + 1))
      await works(gateway)
    }
    const answer = new Promise(resolve => socket.once('data', resolve))
    socket.write(frame.subarray(103))
    assert.match((await answer).toString(), new RegExp(`"OK","${event.id}",true`))
    socket.destroy()
  }))

test('2,000 connections that open and close as fast as they can leave nothing behind', { timeout }, () => withGateway({}, async gateway => {
  const settle = async () => {
    await until(async () => !/holdfast_relay_connections\S* [1-9]/.test(await metrics(gateway)), 20000)
    return ownMemory(gateway)
  }
  const flood = async count => {
    const one = i => new Promise(resolve => {
      const socket = dial(gateway.url)
      socket.once('close', resolve)
      if (i % 4 === 0) socket.once('connect', () => socket.destroy())
      else if (i % 4 === 1) socket.once('connect', () => { socket.write(handshake(gateway.url)); socket.destroy() })
      else if (i % 4 === 2) {
        socket.write(handshake(gateway.url))
        socket.once('data', () => { socket.write(masked('["REQ","a",{"kinds":[1]}]')); socket.resetAndDestroy() })
      } else {
        socket.write(handshake(gateway.url))
        socket.once('data', () => { socket.write(masked(JSON.stringify(['EVENT', event]))); socket.end() })
      }
    })
    for (let at = 0; at < count; at += 100) await Promise.all(Array.from({ length: 100 }, (_, i) => one(at + i)))
  }
  const event = new Author().event({ content: 'in passing '.repeat(20) })
  await flood(600)
  const before = await settle()
  await flood(2000)
  await works(gateway, 5000)
  const after = await settle()
  assert.ok(after - before < 8 << 20, `${(after - before) >> 10} KiB more`)
  const descriptors = (await readdir(`/proc/${gateway.child.pid}/fd`)).length
  assert.ok(descriptors < 100, `${descriptors} open files`)
}))

test('out of descriptors, new clients are turned away and old ones served', { timeout }, async () => {
  const gateway = new Gateway()
  gateway.directory = await scratch()
  gateway.ownsDirectory = true
  gateway.args = []
  gateway.env = {}
  await gateway.up()
  try {
    const old = await Client.connect(gateway.url)
    execFileSync('prlimit', ['--pid', `${gateway.child.pid}`, `--nofile=${(await readdir(`/proc/${gateway.child.pid}/fd`)).length + 5}`])
    const many = Array.from({ length: 50 }, () => dial(gateway.url))
    await sleep(500)
    const author = new Author()
    for (let i = 0; i < 10; i++) assert.deepEqual(await old.publish(author.event({ content: `${i}` })), [true, ''])
    assert.equal((await old.query({ authors: [author.pubkey] })).length, 10)
    for (const socket of many) socket.destroy()
    await until(() => Client.connect(gateway.url).then(client => { client.close(); return true }, () => false), 10000)
    await works(gateway)
    old.close()
  } finally {
    await gateway.stop()
  }
})
