// Cores with a prologue: the first blocks are by the manifest itself, and what is signed begins behind them. To who has less than the prologue
// the package proves the tree as far as that goes, whatever it is asked for, and ends the stream over a block beyond.
import { test } from 'node:test'
import assert from 'node:assert/strict'
import Hypercore from 'hypercore'
import crypto from 'hypercore-crypto'
import Replicator from 'hypercore/lib/replicator.js'
import { Scene, assertSame, block, blocks, download, hex, sleep, until } from '../lib/core.mjs'
import { ReplicatorDriver } from '../lib/replicator_driver.mjs'

const timeout = 60000
const held = core => Array.from({ length: core.length }, (_, n) => n).filter(n => core.core.bitfield.get(n))

// Requests to a core wait until its gate is opened.
const onrequest = Replicator.Peer.prototype.onrequest
Replicator.Peer.prototype.onrequest = async function (request) {
  await this.core.gate
  return onrequest.call(this, request)
}

function shut (core) {
  let open
  core.core.gate = new Promise(resolve => { open = resolve })
  return open
}

async function prologued (scene, prologue, count) {
  const source = await scene.written(prologue)
  const keyPair = crypto.keyPair()
  const manifest = { version: 1, signers: [{ publicKey: keyPair.publicKey }], prologue: { hash: await source.treeHash(), length: prologue } }
  const writer = await scene.core(null, { manifest, keyPair })
  await writer.core.copyPrologue(source.state)
  if (count > prologue) await writer.append(blocks(count - prologue, prologue))
  return writer
}

// A writer, and another core of the package that has the same.
async function twoOf (scene, prologue, count) {
  const writer = await prologued(scene, prologue, count)
  const mirror = await scene.core(writer)
  await scene.dial((await scene.listen(writer)).port, mirror)
  await download(mirror, count)
  return { writer, mirror }
}

// The first, the last of the prologue, the first beyond, the last.
const places = (prologue, count) => [...new Set([0, prologue - 1, prologue, count - 1])].filter(n => n >= 0 && n < count)

for (const [prologue, count] of [[0, 7], [1, 2], [4, 10], [5, 5], [1000, 1003]]) {
  test(`a core of ${count} blocks with a prologue of ${prologue} goes through`, { timeout }, async t => {
    const scene = await Scene.of(t)
    const writer = await prologued(scene, prologue, count)
    const { port, connections } = await scene.listen(writer)
    const between = await scene.holdfast()
    assert.equal((await between.fetch(port, writer.id, '--blocks', `${count - 1}`)).blocks_fetched, 1)
    assert.equal((await between.fetch(port, writer.id)).blocks_fetched, count - 1)
    await assertSame(writer, between)
    assert.deepEqual(connections.map(({ error }) => error).filter(Boolean), [])

    const server = await between.serve(writer.id)
    const all = await scene.core(writer)
    await scene.dial(server.port, all)
    await download(all, count)
    assert.deepEqual(all.state.signature, writer.state.signature)
    // Without eager upgrades the package asks for the block together with the tree.
    for (const eagerUpgrade of [true, false]) {
      for (const n of places(prologue, count)) {
        const reader = await scene.core(writer, { eagerUpgrade })
        await scene.dial(server.port, reader)
        assert.deepEqual(await reader.get(n, { timeout: 10000 }), block(n))
        assert.deepEqual([reader.length, reader.core.replicator.stats.backoffs], [count, 0])
      }
    }
  })
}

test('bytes are found on either side of a prologue, both ways', { timeout }, async t => {
  const scene = await Scene.of(t)
  const writer = await prologued(scene, 8, 21)
  const { port } = await scene.listen(writer)
  const between = await scene.holdfast()
  await between.fetch(port, writer.id)
  const server = await between.serve(writer.id)
  for (const bytes of [0, 9, writer.byteLength - 1]) {
    const [index, offset] = await writer.seek(bytes)
    const ours = await ReplicatorDriver.of(scene, hex(writer.key))
    await ours.do('seek', { bytes })
    await scene.dial(ours.port, writer)
    const { block, offset: within } = await ours.until('seek', { bytes }, found => found.block !== undefined)
    assert.deepEqual([block, within], [index, offset])
    const theirs = await scene.core(writer)
    const found = theirs.seek(bytes)
    await scene.dial(server.port, theirs)
    assert.deepEqual(await found, [index, offset])
  }
})

test('a download of a core with a prologue goes on where it was interrupted', { timeout }, async t => {
  const scene = await Scene.of(t)
  const writer = await prologued(scene, 300, 700)
  const reader = await ReplicatorDriver.of(scene, hex(writer.key))
  await reader.do('download', { from: 0 })
  for (const part of [1, 250, 400, 700]) {
    const { socket } = await scene.dial(reader.port, writer)
    await reader.until('state', {}, state => state.held.length >= part)
    assert.equal(socket.destroyed, false)
    socket.destroy()
  }
  assert.equal(writer.uploaded >= 700 && writer.uploaded < 1400, true)
})

// The second knows by then which blocks there are, so that they could be asked for together with the tree.
for (const allowed of [false, true]) {
  test(`who is asked for the tree after another has failed keeps its stream${allowed ? ', where it may push' : ''}`, { timeout }, async t => {
    const scene = await Scene.of(t)
    const { writer, mirror } = await twoOf(scene, 4, 10)
    const reader = await ReplicatorDriver.of(scene, hex(writer.key))
    await reader.do('allow', { allowed })
    await reader.do('download', { from: 8 })
    shut(writer)
    const silent = await scene.dial(reader.port, writer)
    await until(() => writer.core.replicator.stats.wireSync.rx > 0, 10000)
    const other = await scene.dial(reader.port, mirror)
    await until(() => mirror.core.replicator.peers.some(({ stats }) => stats.wireSync.rx > 0 && stats.wireRange.tx > 0), 10000)
    await sleep(100)
    silent.socket.destroy()
    await Promise.race([other.closed, reader.until('state', {}, ({ held }) => held.length === 2)])
    assert.equal(other.error, null)
    assert.deepEqual((await reader.do('state')).held, [8, 9])
  })
}

test('blocks that are missing come of who may push, and has more to tell of a core with a prologue', { timeout }, async t => {
  const scene = await Scene.of(t)
  const { writer, mirror } = await twoOf(scene, 4, 400)
  const reader = await ReplicatorDriver.of(scene, hex(writer.key))
  await reader.do('allow', { allowed: true })
  const { socket } = await scene.dial(reader.port, writer)
  await reader.until('state', {}, ({ length }) => length === 400)
  socket.destroy()
  await until(() => writer.core.replicator.peers.every(({ remoteAllowPush }) => !remoteAllowPush), 10000)
  await writer.append(blocks(2, 400))
  await download(mirror, 402)
  shut(writer)
  const open = shut(mirror)
  const silent = await scene.dial(reader.port, writer)
  await until(() => writer.core.replicator.peers.at(-1).stats.wireSync.rx > 0, 10000)
  const other = await scene.dial(reader.port, mirror)
  await until(() => mirror.core.replicator.peers.at(-1).stats.wireSync.rx > 0, 10000)
  await sleep(100)
  await reader.do('download', { from: 100 })
  silent.socket.destroy() // now the other has as many requests as it may have, and none of them is for the tree
  await reader.do('state')
  open()
  await Promise.race([other.closed, reader.until('state', {}, ({ held }) => held.length === 302)])
  assert.equal(other.error, null)
  assert.equal((await reader.do('state')).held.length, 302)
})

test('what is beyond a prologue is pushed to a reader of the package that has nothing', { timeout }, async t => {
  const scene = await Scene.of(t)
  const writer = await prologued(scene, 4, 10)
  const mirror = await ReplicatorDriver.of(scene, hex(writer.key))
  await mirror.do('download', { from: 0 })
  const { socket } = await scene.dial(mirror.port, writer)
  await mirror.until('state', {}, ({ held }) => held.length === 10)
  socket.destroy()
  const reader = await scene.core(writer, { allowPush: true, pushOnly: true })
  await scene.dial(mirror.port, reader)
  await until(() => reader.core.replicator.peers[0]?.remoteSynced && reader.core.replicator.peers[0].remoteLength === 10, 10000)
  for (const n of [9, 2]) await mirror.do('push', { block: n })
  await until(() => held(reader).length === 2, 10000)
  assert.deepEqual([reader.length, held(reader)], [10, [2, 9]])
})

test('a writer that goes back, to its prologue or not so far, is followed', { timeout }, async t => {
  const scene = await Scene.of(t)
  for (const [length, more] of [[4, 0], [6, 7]]) {
    const writer = await prologued(scene, 4, 10)
    const { port } = await scene.listen(writer)
    const [known, fresh] = [await scene.holdfast(), await scene.holdfast()]
    await known.fetch(port, writer.id, '--blocks', '0..3,8')
    await writer.truncate(length)
    if (more) await writer.append(blocks(more, 100))
    for (const between of [known, fresh]) {
      assert.equal((await between.fetch(port, writer.id)).fork, 1)
      await assertSame(writer, between)
      const server = await between.serve(writer.id)
      const reader = await scene.core(writer)
      await scene.dial(server.port, reader)
      await download(reader, length + more, { fork: 1 })
      assert.equal(hex(await reader.treeHash()), hex(await writer.treeHash()))
      await server.stop()
    }
  }
})

test('Holdfast completes a prologue that is given to it, and no other', { timeout }, async t => {
  const scene = await Scene.of(t)
  const source = await scene.written(4)
  const writer = await scene.holdfast()
  const { public: publicKey } = await writer.newKey()
  const prologue = { hash: await source.treeHash(), length: 4 }
  const known = await scene.core(null, { manifest: Hypercore.parseManifest({ version: 1, signers: [{ publicKey: Buffer.from(publicKey, 'hex') }], prologue }) })
  const { key } = await writer.create('--manifest', hex(known.getManifest({ raw: true })))
  const lines = list => ({ input: list.join('\n') + '\n' })
  for (const wrong of [blocks(4, 1), [...blocks(3), ...blocks(3, 5)]]) assert.match((await writer.fails(['append', key], lines(wrong))).err, /manifest/)
  await writer.append(key, blocks(2, 7))
  assert.match((await writer.fails(['append', key], lines(blocks(2, 2)))).err, /manifest/)
  await writer.object(['truncate', key, '0'])
  await writer.append(key, blocks(2))
  await writer.append(key, blocks(5, 2))
  assert.match((await writer.fails(['truncate', key, '3'])).err, /manifest/)
  const server = await writer.serve(key)
  const reader = await scene.core(key)
  await scene.dial(server.port, reader)
  await download(reader, 7, { fork: 1 })
  await server.stop()
  await assertSame(reader, writer)
})
