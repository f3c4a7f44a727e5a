// Blocks that nobody asked for, between a program with the library in it and the package, both ways: they arrive where the reader allows it,
// and nowhere else.
import { test } from 'node:test'
import assert from 'node:assert/strict'
import crypto from 'hypercore-crypto'
import { Scene, block, blocks, hex, random, sleep, until } from '../lib/core.mjs'
import { ReplicatorDriver } from '../lib/replicator_driver.mjs'

const timeout = 60000
const texts = (count, from) => blocks(count, from).map(String)
const pushers = core => core.core.replicator.peers.filter(({ remoteAllowPush }) => remoteAllowPush).length
const held = core => Array.from({ length: core.length }, (_, n) => n).filter(n => core.core.bitfield.get(n))
const asked = core => core.core.replicator.stats.wireRequest.tx

// A writer of the package, and a reader that allows pushing and knows its ten blocks.
async function pairOf (t) {
  const scene = await Scene.of(t)
  const writer = await scene.written(10)
  const reader = await ReplicatorDriver.of(scene, hex(writer.key))
  await reader.do('allow', { allowed: true })
  const { socket } = await scene.dial(reader.port, writer)
  await until(() => pushers(writer) === 1, 10000)
  await reader.until('state', {}, ({ length }) => length === 10)
  return { scene, writer, reader, socket }
}

test('a reader of the package that asks for nothing has what is pushed to it', { timeout }, async t => {
  const scene = await Scene.of(t)
  const writer = await ReplicatorDriver.of(scene)
  await writer.do('append', { blocks: texts(10) })
  const reader = await scene.core(Buffer.from(writer.key, 'hex'), { allowPush: true, pushOnly: true })
  await scene.dial(writer.port, reader)
  await until(() => reader.core.replicator.peers[0]?.remoteSynced && reader.core.replicator.peers[0].remoteLength === 10, 10000)
  // The first one brings the tree with it; of later ones some are in a tree that is known, some lengthen it.
  for (const n of [3, 9, 0]) await writer.do('push', { block: n })
  await until(() => held(reader).length === 3, 10000)
  for (let n = 10; n < 20; n++) {
    await writer.do('append', { blocks: texts(1, n) })
    await writer.until('state', {}, ({ length }) => length > n)
    await writer.do('push', { block: n })
  }
  await until(() => held(reader).length === 13, 10000)
  assert.deepEqual(held(reader), [0, 3, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19])
  for (const n of held(reader)) assert.deepEqual(await reader.get(n, { wait: false }), block(n))
  assert.equal(asked(reader), 0)
  assert.equal((await writer.do('state')).blocks_sent, 13)
})

test('what the package pushes is kept, without having been asked for', { timeout }, async t => {
  const { writer, reader } = await pairOf(t)
  for (const n of [7, 2]) await writer.core.replicator.push(n)
  await reader.until('state', {}, ({ held }) => held.length === 2)
  for (let n = 10; n < 20; n++) {
    await writer.append(block(n))
    await writer.core.replicator.push(n)
  }
  const state = await reader.until('state', {}, ({ held }) => held.length === 12)
  assert.deepEqual(state.held, [2, 7, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19])
  assert.equal(state.length, 20)
  assert.equal(state.blocks_received, 12)
})

// A package that may push answers the first request for more of the tree from its beginning, whatever was asked.
test('what the package pushes is kept after coming back, too', { timeout }, async t => {
  const { scene, writer, reader, socket } = await pairOf(t)
  socket.destroy()
  await until(() => writer.core.replicator.peers.length === 0, 10000)
  await writer.append(block(10))
  await scene.dial(reader.port, writer)
  await until(() => pushers(writer) === 1, 10000)
  await reader.until('state', {}, ({ length }) => length === 11)
  await writer.append(block(11))
  await writer.core.replicator.push(11)
  assert.deepEqual((await reader.until('state', {}, ({ held }) => held.length === 1)).held, [11])
})

// Where a core has a prologue, what the package answers from its beginning ends with that, and it ends the stream over blocks beyond.
test('a download goes on after coming back to a writer whose core has a prologue', { timeout }, async t => {
  const scene = await Scene.of(t)
  const source = await scene.written(4)
  const keyPair = crypto.keyPair()
  const manifest = { signers: [{ publicKey: keyPair.publicKey }], prologue: { hash: await source.treeHash(), length: 4 } }
  const writer = await scene.core(null, { manifest, keyPair })
  await writer.core.copyPrologue(source.state)
  await writer.append(blocks(6, 4))
  const reader = await ReplicatorDriver.of(scene, hex(writer.key))
  await reader.do('allow', { allowed: true })
  await reader.do('download', { from: 0 })
  const { socket } = await scene.dial(reader.port, writer)
  await reader.until('state', {}, state => state.held.length === 10)
  socket.destroy()
  await until(() => writer.core.replicator.peers.length === 0, 10000)
  await writer.append(blocks(2, 10))
  const connection = await scene.dial(reader.port, writer)
  await reader.until('state', {}, state => state.held.length === 12)
  assert.equal(connection.socket.destroyed, false)
})

// What the package has given of a tree it does not give again, not even to who goes over to another fork.
test('a writer of the package that truncates what it has pushed is followed', { timeout }, async t => {
  const { writer, reader, socket } = await pairOf(t)
  await writer.truncate(4)
  await writer.append(blocks(20))
  await reader.until('state', {}, ({ fork, length }) => fork === 1 && length === 24)
  await writer.append(block(24))
  await writer.core.replicator.push(24)
  await reader.until('state', {}, ({ held }) => held.includes(24))
  assert.equal(socket.destroyed, false)
})

test('a reader of the package follows a writer that truncates what it has pushed', { timeout }, async t => {
  const scene = await Scene.of(t)
  const writer = await ReplicatorDriver.of(scene)
  await writer.do('append', { blocks: texts(10) })
  const reader = await scene.core(Buffer.from(writer.key, 'hex'), { allowPush: true })
  await scene.dial(writer.port, reader)
  await until(() => pushers(reader) === 0 && reader.core.replicator.peers[0]?.remoteLength === 10, 10000)
  await writer.do('push', { block: 3 })
  await until(() => held(reader).length === 1, 10000)
  await writer.do('truncate', { length: 4 })
  await writer.do('append', { blocks: texts(20) })
  await until(() => reader.fork === 1 && reader.length === 24, 10000)
  await writer.do('append', { blocks: texts(1, 24) })
  await writer.until('state', {}, ({ length }) => length === 25)
  await writer.do('push', { block: 24 })
  await until(() => held(reader).includes(24), 10000)
})

test('nothing is pushed to who does not allow it', { timeout }, async t => {
  const scene = await Scene.of(t)
  const writer = await ReplicatorDriver.of(scene)
  await writer.do('append', { blocks: texts(10) })
  const reader = await scene.core(Buffer.from(writer.key, 'hex'))
  await scene.dial(writer.port, reader)
  await until(() => reader.length === 10, 10000)
  await writer.do('push', { block: 3 })
  await sleep(300)
  assert.equal((await writer.do('state')).blocks_sent, 0)
  assert.deepEqual(held(reader), [])
})

test('what is pushed nevertheless is not kept', { timeout }, async t => {
  const scene = await Scene.of(t)
  const writer = await scene.written(10)
  const reader = await ReplicatorDriver.of(scene, hex(writer.key))
  await scene.dial(reader.port, writer)
  await reader.until('state', {}, ({ length }) => length === 10)
  const [peer] = writer.core.replicator.peers
  await until(() => peer.remoteLength === 10, 10000) // the last thing that it hears of the reader
  peer.remoteAllowPush = true
  await writer.core.replicator.push(3)
  peer.remoteAllowPush = false
  await writer.append(block(10))
  const state = await reader.until('state', {}, ({ length }) => length === 11) // what came after it
  assert.deepEqual(state.held, [])
  assert.equal(writer.uploaded, 1)
})

// At random: a writer appends, truncates, and pushes, and the connection is lost and made again.
// actions: {append (count, length), truncate (length), push (block), has (length, block)}. Ends when the other side has the last block of
// a tree that is longer than any before.
async function goOn (seed, actions, connect) {
  const next = random(seed)
  let length = 10, longest = 10
  const append = async count => {
    await actions.append(count, length)
    longest = Math.max(longest, length += count)
  }
  let connection = await connect()
  // The package ends a stream when it reads for it what is just being truncated; nothing else may.
  const keepConnected = async () => {
    if (!connection.socket.destroyed) return
    assert.match(`${await connection.closed}`, /HypercoreError/)
    connection = await connect()
  }
  for (let step = 0; step < 60; step++) {
    const which = next(20)
    await keepConnected()
    if (which < 7) await append(1 + next(5))
    else if (which < 8) {
      length = 1 + next(length - 1)
      await actions.truncate(length)
      await append(1 + next(20))
    } else if (which < 14) await actions.push(next(3) ? length - 1 : next(length))
    else if (which < 16) await sleep(next(20))
    else if (which < 17) {
      connection.socket.destroy()
      connection = await connect()
    }
  }
  await append(longest + 1 - length)
  await until(async () => {
    await keepConnected()
    await actions.push(length - 1)
    return actions.has(length, length - 1)
  }, 20000)
}

for (const seed of [23, 24, 26, 4]) {
  test(`a reader of the package keeps up with all of it: ${seed}`, { timeout }, async t => {
    const scene = await Scene.of(t)
    const writer = await ReplicatorDriver.of(scene)
    await writer.do('append', { blocks: texts(10) })
    const reader = await scene.core(Buffer.from(writer.key, 'hex'), { allowPush: true })
    await goOn(seed, {
      append: (count, from) => writer.do('append', { blocks: texts(count, from) }),
      truncate: to => writer.do('truncate', { length: to }),
      push: n => writer.do('push', { block: n }),
      has: async (length, n) => reader.fork === (await writer.do('state')).fork && reader.length === length && held(reader).includes(n)
    }, () => scene.dial(writer.port, reader))
  })

  test(`a writer of the package is kept up with in all of it: ${seed}`, { timeout }, async t => {
    const scene = await Scene.of(t)
    const writer = await scene.written(10)
    const reader = await ReplicatorDriver.of(scene, hex(writer.key))
    await reader.do('allow', { allowed: true })
    await goOn(seed, {
      append: (count, from) => writer.append(blocks(count, from)),
      truncate: to => writer.truncate(to),
      push: n => writer.core.replicator.push(n),
      has: async (length, n) => {
        const state = await reader.do('state')
        return state.fork === writer.fork && state.length === length && state.held.includes(n)
      }
    }, () => scene.dial(reader.port, writer))
  })
}
