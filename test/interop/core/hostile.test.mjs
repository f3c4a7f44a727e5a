// Peers that break the rules are disconnected, the log names the reason, they are counted, and everybody else goes on.
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import SecretStream from '@hyperswarm/secret-stream'
import Protomux from 'protomux'
import c from 'compact-encoding'
import crypto from 'hypercore-crypto'
import caps from 'hypercore/lib/caps.js'
import { ask } from '../lib/command.mjs'
import { Scene, block, blocks, download, sleep, until } from '../lib/core.mjs'

const timeout = 60000

// Noise is done, and the other side's first message has come: {mux, noise, socket, closed}.
async function greeted (scene, port) {
  const socket = await scene.socket(port)
  const noise = new SecretStream(true, socket)
  noise.on('error', () => {})
  const closed = new Promise(resolve => socket.once('close', resolve))
  await noise.opened
  return { socket, noise, mux: Protomux.from(noise), closed }
}

const handshake = {
  preencode (state) { state.end += 33 },
  encode (state, capability) {
    c.uint.encode(state, 1)
    c.fixed32.encode(state, capability)
  },
  decode (state) {
    c.uint.decode(state)
    return c.fixed32.decode(state)
  }
}

// Opens the channel of a core by hand. The messages have the numbers that they have on the wire.
function channel ({ mux, noise }, core, { capability = caps.replicate(true, core.key, noise.handshakeHash), id = core.discoveryKey } = {}) {
  const opened = mux.createChannel({ protocol: 'hypercore/alpha', id, handshake, messages: Array.from({ length: 10 }, () => ({ encoding: c.raw })) })
  opened.open(capability)
  return opened
}

const sync = length => Buffer.concat([Buffer.from([7]), c.encode(c.uint, 0), c.encode(c.uint, length), c.encode(c.uint, 0)])

// How many peers a process that has cores open has let go of for breaking the protocol.
async function failedPeers (holdfast) {
  const { body } = await ask('/admin/metrics', { socketPath: join(holdfast.data, 'admin.sock') })
  const found = body.match(/^holdfast_replication_peers_failed_total (\d+)$/m)
  assert.ok(found, body)
  return Number(found[1])
}

// Holdfast serves a core of 20 blocks to an honest reader while somebody attacks: the attacker is let go for a reason that matches, and counted,
// and the reader gets what comes after.
async function attacked (t, attack, reason) {
  const scene = await Scene.of(t)
  const writer = await scene.holdfast()
  const key = await writer.made(20)
  const server = await writer.serve(key)
  const honest = await scene.core(key)
  const { socket } = await scene.dial(server.port, honest)
  await download(honest, 20)
  const attacker = await attack(scene, server.port, honest)
  if (reason) {
    await Promise.race([attacker.closed, sleep(10000).then(() => assert.fail(`the attacker is still connected: ${server.log}`))])
    await until(() => reason.test(server.log), 2000).catch(() => assert.fail(`no reason like ${reason} in the log: ${server.log}`))
    assert.equal(await failedPeers(writer), 1)
  }
  await writer.append(key, blocks(5, 20))
  await download(honest, 25)
  assert.deepEqual(await honest.get(24), block(24))
  assert.equal(socket.destroyed, false, 'the honest reader kept its connection')
  await server.stop()
}

test('a peer that does not know the key is let go', { timeout }, t => attacked(t, async (scene, port, honest) => {
  const peer = await greeted(scene, port)
  channel(peer, honest, { capability: randomBytes(32) })
  return peer
}, /does not know the core's key/))

test('a peer that shows the capability of the other role is let go', { timeout }, t => attacked(t, async (scene, port, honest) => {
  const peer = await greeted(scene, port)
  channel(peer, honest, { capability: caps.replicate(false, honest.key, peer.noise.handshakeHash) })
  return peer
}, /does not know the core's key/))

test('garbage after the handshake is refused', { timeout }, t => attacked(t, async (scene, port) => {
  const peer = await greeted(scene, port)
  peer.socket.write(Buffer.concat([Buffer.from([64, 0, 0]), randomBytes(64)]))
  return peer
}, /not sealed with the keys/))

test('a frame too short to be one is refused', { timeout }, t => attacked(t, async (scene, port) => {
  const peer = await greeted(scene, port)
  peer.socket.write(Buffer.from([3, 0, 0, 1, 2, 3]))
  return peer
}, /no frame/))

test('what is not a Noise handshake is refused', { timeout }, t => attacked(t, async (scene, port) => {
  const socket = await scene.socket(port)
  socket.on('error', () => {}).write('GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'.repeat(170000))
  return { closed: new Promise(resolve => socket.once('close', resolve)) }
}, /handshake|length|noise|message/i))

test('a handshake of points that are none is refused', { timeout }, t => attacked(t, async (scene, port) => {
  const socket = await scene.socket(port)
  socket.on('error', () => {}).write(Buffer.concat([Buffer.from([32, 0, 0]), Buffer.alloc(32)]))
  return { closed: new Promise(resolve => socket.once('close', resolve)) }
}, /handshake|noise|point|key/i))

test('a connection that says nothing, or stops half way, is no burden', { timeout }, t => attacked(t, async (scene, port) => {
  for (let i = 0; i < 20; i++) {
    const socket = await scene.socket(port)
    socket.on('error', () => {})
    if (i % 2) socket.write(Buffer.from([32, 0]))
    if (i % 4 === 3) socket.end()
  }
  const peer = await greeted(scene, port)
  peer.socket.write(Buffer.from([0xff, 0xff, 0xff, 1])) // 16 MiB are to come, and do not
}))

test('a channel out of order is refused', { timeout }, t => attacked(t, async (scene, port) => {
  const peer = await greeted(scene, port)
  peer.noise.write(Buffer.concat([Buffer.from([0, 1, 77]), c.encode(c.string, 'hypercore/alpha'), c.encode(c.buffer, randomBytes(32))]))
  return peer
}, /channel|open/i))

test('a message that ends too early is refused', { timeout }, t => attacked(t, async (scene, port, honest) => {
  const peer = await greeted(scene, port)
  const opened = channel(peer, honest)
  await opened.fullyOpened()
  opened.messages[0].send(sync(0))
  opened.messages[1].send(Buffer.from([0x7f, 0xff]))
  return peer
}, /message|decod|request|malformed|invalid|bounds/i))

test('requests for what cannot be are answered or end the connection, and no more', { timeout }, t => attacked(t, async (scene, port, honest) => {
  const peer = await greeted(scene, port)
  const opened = channel(peer, honest)
  await opened.fullyOpened()
  opened.messages[0].send(sync(0))
  const far = c.encode(c.uint, Number.MAX_SAFE_INTEGER)
  const uint = (...list) => Buffer.concat(list.map(value => Buffer.isBuffer(value) ? value : c.encode(c.uint, value)))
  for (let id = 1; id < 60 && !peer.socket.destroyed; id++) {
    opened.messages[1].send(uint(1, id, 0, [far, 1000000][id % 2], [far, 0][id % 2])) // blocks beyond the end, subtrees beyond all
    opened.messages[1].send(uint(2, id + 60, 0, far, 60))
    opened.messages[1].send(uint(8, id + 120, 0, 19, far))
    opened.messages[1].send(uint(4 | 8, id + 180, 0, far, far, 0, 20))
    opened.messages[5].send(uint(far, far))
    opened.messages[8].send(uint(1, far, far)) // has dropped all of it
    opened.messages[7].send(uint(4096, 1 << 20)) // a bitfield that is not there
  }
}))

test('a peer that promises blocks without end costs nothing', { timeout }, t => attacked(t, async (scene, port, honest) => {
  const peer = await greeted(scene, port)
  const opened = channel(peer, honest)
  await opened.fullyOpened()
  opened.messages[0].send(sync(Number.MAX_SAFE_INTEGER))
  opened.messages[8].send(Buffer.concat([Buffer.from([0, 0]), c.encode(c.uint, Number.MAX_SAFE_INTEGER)]))
  await sleep(200)
}))

test('opens of a thousand cores that are not there are rejected one by one', { timeout }, t => attacked(t, async (scene, port) => {
  const peer = await greeted(scene, port)
  let rejected = 0
  for (let i = 0; i < 1000; i++) {
    const key = randomBytes(32)
    const opened = peer.mux.createChannel({ protocol: 'hypercore/alpha', id: key, handshake, onclose: () => rejected++ })
    opened.open(randomBytes(32))
  }
  await until(() => rejected === 1000, 10000)
}))

test('a block that was changed is not kept, and the others are', { timeout }, async t => {
  const scene = await Scene.of(t)
  const writer = await scene.written(10)
  const tx = writer.state.storage.write()
  tx.putBlock(4, Buffer.from('not what was signed'))
  await tx.flush()
  const reader = await scene.holdfast()
  const { port } = await scene.listen(writer)
  const first = await reader.try(['fetch', '--tcp', `127.0.0.1:${port}`, writer.id, '--blocks', '0..4,5..10'])
  assert.equal(first.code, 0, first.err)
  const fetching = reader.start(['fetch', '--tcp', `127.0.0.1:${port}`, writer.id])
  const named = /hash|checksum|proof|verif/i
  await until(() => named.test(fetching.log) || fetching.code !== undefined, 10000)
  assert.match(fetching.log, named)
  await fetching.kill()
  assert.notEqual(fetching.code, 0)
  await reader.fails(['get', writer.id, '4'])
  assert.deepEqual(await reader.get(writer.id, 5, 10), blocks(5, 5))
  assert.equal((await reader.info(writer.id)).blocks_held, 9)
})

test('a signature of somebody else is refused', { timeout }, async t => {
  const scene = await Scene.of(t)
  const [writer, other] = [await scene.written(10), await scene.written(10)]
  writer.state.signature = other.state.signature
  const reader = await scene.holdfast()
  const { port } = await scene.listen(writer)
  const fetching = reader.start(['fetch', '--tcp', `127.0.0.1:${port}`, writer.id])
  await until(() => /signature/i.test(fetching.log) || fetching.code !== undefined, 10000)
  assert.match(fetching.log, /signature/i)
  await fetching.kill()
  const { length = 0 } = (await reader.objects(['list'])).find(({ key }) => key === writer.id) ?? {}
  assert.equal(length, 0)
})

for (const prologue of [0, 4]) {
  test(`a writer that has signed two histories${prologue ? ' after its prologue' : ''} is found out while much is asked for`, { timeout }, async t => {
    const scene = await Scene.of(t)
    const source = await scene.written(prologue)
    const keyPair = crypto.keyPair()
    const writers = []
    for (const from of [100, 200]) {
      const manifest = { version: 1, signers: [{ publicKey: keyPair.publicKey }], ...(prologue ? { prologue: { hash: await source.treeHash(), length: prologue } } : {}) }
      const writer = await scene.core(null, { manifest, keyPair })
      if (prologue) await writer.core.copyPrologue(source.state)
      await writer.append(blocks(10, from))
      writers.push(writer)
    }
    const reader = await scene.holdfast()
    const key = writers[0].id
    await reader.fetch((await scene.listen(writers[0])).port, key, '--blocks', '0')
    await reader.fails(['fetch', '--tcp', `127.0.0.1:${(await scene.listen(writers[1])).port}`, key, '--timeout', '1'])
    assert.equal((await reader.info(key)).frozen, true)
  })
}
