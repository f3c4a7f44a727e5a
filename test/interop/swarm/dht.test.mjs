// The DHT of the program with that of npm hyperdht: in networks of ours, of theirs, and of both, whatever one side puts there the other finds.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import DHT from 'hyperdht'
import Persistent from 'hyperdht/lib/persistent.js'
import messages from 'hyperdht/lib/messages.js'
import c from 'compact-encoding'
import { run } from '../lib/command.mjs'
import { hex, Network } from '../lib/dht.mjs'

const kinds = {
  'all ours': { ours: 8 },
  'one of ours alone': { ours: 1 },
  'all theirs': { theirs: 8 },
  'half ours and half theirs': { ours: 5, theirs: 5 }
}

// Public keys that the package finds at a topic.
async function found (node, topic) {
  const keys = new Set()
  for await (const reply of node.lookup(topic)) for (const peer of reply.peers) keys.add(hex(peer.publicKey))
  return keys
}

for (const [kind, counts] of Object.entries(kinds)) {
  describe(kind, () => {
    let network, peer, other
    before(async () => {
      network = await Network.start(counts)
      peer = await network.peer()
      other = await network.peer()
    })
    after(() => network.stop())

    test('an announce of ours is found by both, and gone when taken back', async () => {
      const topic = randomBytes(32)
      const seed = hex(randomBytes(32))
      const announced = await network.ask('announce', hex(topic), '--seed', seed, '--relay', '127.0.0.1:1234', '--relay', '127.0.0.1:5678')
      assert.equal(announced.code, 0, announced.err)
      assert.equal(announced.json.public_key, hex(DHT.keyPair(Buffer.from(seed, 'hex')).publicKey))
      assert.deepEqual(await found(peer, topic), new Set([announced.json.public_key]))
      const looked = await network.ask('lookup', hex(topic))
      assert.deepEqual(looked.lines, [{ public_key: announced.json.public_key, relays: ['127.0.0.1:1234', '127.0.0.1:5678'] }])
      assert.equal((await network.ask('announce', hex(topic), '--seed', seed, '--remove')).code, 0)
      assert.equal((await found(peer, topic)).size, 0)
      assert.equal((await network.ask('lookup', hex(topic))).code, 1)
    })

    test('an announce of theirs is found by both, and gone when taken back', async () => {
      const topic = randomBytes(32)
      await peer.announce(topic, peer.defaultKeyPair, [{ host: '127.0.0.1', port: 4321 }]).finished()
      assert.deepEqual(await found(other, topic), new Set([hex(peer.defaultKeyPair.publicKey)]))
      const looked = await network.ask('lookup', hex(topic))
      assert.deepEqual(looked.lines, [{ public_key: hex(peer.defaultKeyPair.publicKey), relays: ['127.0.0.1:4321'] }])
      await peer.unannounce(topic, peer.defaultKeyPair)
      assert.equal((await network.ask('lookup', hex(topic))).code, 1)
      assert.equal((await found(other, topic)).size, 0)
    })

    test('many at one topic are all found', async () => {
      const topic = randomBytes(32)
      const keys = new Set()
      for (let i = 0; i < 15; i++) {
        const pair = DHT.keyPair()
        keys.add(hex(pair.publicKey))
        await peer.announce(topic, pair, []).finished()
      }
      assert.deepEqual(new Set((await network.ask('lookup', hex(topic))).lines.map(line => line.public_key)), keys)
      assert.deepEqual(await found(other, topic), keys)
    })

    test('servers of theirs are found and connected to through the nodes', async () => {
      const server = peer.createServer(socket => {
        socket.on('error', () => {})
        socket.on('data', data => socket.end(data))
      })
      await server.listen()
      const { publicKey } = server
      assert.ok(server.relayAddresses.length > 0)
      const looked = await network.ask('lookup', hex(publicKey), '--peer')
      assert.equal(looked.json?.public_key, hex(publicKey), looked.err)
      const socket = other.connect(publicKey)
      socket.write('to and fro')
      const echoed = await new Promise((resolve, reject) => {
        socket.once('data', resolve)
        socket.once('error', reject)
      })
      assert.equal(echoed.toString(), 'to and fro')
      socket.end()
      await server.close()
      assert.equal((await network.ask('lookup', hex(publicKey), '--peer')).code, 1)
    })

    test('immutable values go both ways', async () => {
      const ours = await network.ask('put', 'put by us')
      assert.equal(ours.code, 0, ours.err)
      assert.equal((await peer.immutableGet(Buffer.from(ours.json.hash, 'hex'))).value.toString(), 'put by us')
      const { hash } = await peer.immutablePut(Buffer.from('put by them'))
      const got = await network.ask('get', hex(hash))
      assert.equal(Buffer.from(got.json.value, 'base64').toString(), 'put by them')
      const large = randomBytes(1000)
      const put = await other.immutablePut(large)
      assert.deepEqual(Buffer.from((await network.ask('get', hex(put.hash))).json.value, 'base64'), large)
      assert.equal((await network.ask('get', hex(randomBytes(32)))).code, 1)
    })

    test('mutable values go both ways, and only forward', async () => {
      const seed = randomBytes(32)
      const pair = DHT.keyPair(seed)
      const key = hex(pair.publicKey)
      const put = (value, seq) => network.ask('put', value, '--mutable', '--seed', hex(seed), '--seq', seq)
      const get = async (...args) => (await network.ask('get', key, '--mutable', ...args)).json
      assert.equal((await put('one', 1)).json.public_key, key)
      assert.equal((await peer.mutableGet(pair.publicKey)).value.toString(), 'one')
      await peer.mutablePut(pair, Buffer.from('two'), { seq: 2 })
      assert.deepEqual(await get(), { value: Buffer.from('two').toString('base64'), seq: 2 })
      const low = await put('late', 1)
      assert.equal(low.code, 1)
      assert.match(low.err, /--seq is lower/)
      const reused = await put('other', 2)
      assert.equal(reused.code, 1)
      assert.match(reused.err, /another value has that --seq/)
      assert.equal((await put('two', 2)).code, 0)
      assert.equal((await network.ask('get', key, '--mutable', '--seq', '3')).code, 1)
      await peer.mutablePut(pair, Buffer.from('late'), { seq: 1 }) // the package does not tell
      assert.deepEqual(await get(), { value: Buffer.from('two').toString('base64'), seq: 2 })
      assert.equal((await other.mutableGet(pair.publicKey)).seq, 2)
    })
  })
}

// ---- What a node of ours says, datagram by datagram ----

describe('a node of ours', () => {
  let network, peer, node
  const ask = (command, { target = randomBytes(32), value = null, token = null, retry = false } = {}) =>
    peer.request({ command, target, value, token }, node, { retry })
  const silent = promise => assert.rejects(promise, { code: 'REQUEST_TIMEOUT' })
  const internal = (command, { target = null, value = null } = {}) => new Promise((resolve, reject) => {
    const request = peer.io.createRequest({ id: null, ...node }, null, true, command, target, value)
    request.retries = 0
    request.onresponse = resolve
    request.onerror = reject
    request.send()
  })

  before(async () => {
    network = await Network.start({ ours: 3 })
    peer = await network.peer()
    node = network.bootstrap[0]
  })
  after(() => network.stop())

  test('answers pings, tells addresses and its neighbours', async () => {
    const pong = await peer.ping(node)
    assert.equal(pong.to.host, '127.0.0.1')
    assert.ok(pong.from.id)
    assert.equal(pong.token, null)
    assert.equal(pong.value, null)
    const nodes = await internal(2, { target: randomBytes(32) })
    assert.equal(nodes.closerNodes.length, 2)
    assert.equal(nodes.token, null)
    await silent(internal(2))
  })

  test('answers to another port, later, and to hints', async () => {
    const port = Buffer.alloc(2)
    port.writeUInt16LE(peer.io.serverSocket.address().port)
    const heard = new Promise(resolve => peer.io.serverSocket.once('message', resolve))
    assert.equal((await internal(1, { value: port })).to.port, peer.io.serverSocket.address().port)
    await heard
    await silent(internal(1, { value: Buffer.alloc(2) }))
    const begin = Date.now()
    await peer.delayedPing(node, 300)
    assert.ok(Date.now() - begin >= 295)
    await internal(3, { value: Buffer.from('7f0000010100', 'hex') })
    await silent(internal(3))
    assert.equal((await internal(9, { target: randomBytes(32) })).error, 1)
  })

  test('refuses tokens of others and gives a new one', async () => {
    const topic = randomBytes(32)
    const refused = await ask(4, { target: topic, token: randomBytes(32), value: Buffer.from([0]) })
    assert.equal(refused.error, 2)
    assert.equal(refused.token.length, 32)
    assert.ok(refused.closerNodes.length > 0)
    const asked = await ask(3, { target: topic, token: refused.token })
    assert.equal(asked.error, 0)
  })

  test('stores nothing that is not signed for it', async () => {
    const topic = randomBytes(32)
    const pair = DHT.keyPair()
    const { token, from } = await ask(3, { target: topic })
    const send = async (signTarget, signId, signToken) => {
      const record = { peer: { publicKey: pair.publicKey, relayAddresses: [] }, refresh: null, signature: null, bump: 0 }
      record.signature = Persistent.signAnnounce(signTarget, signToken, signId, record, pair)
      return ask(4, { target: topic, token, value: c.encode(messages.announce, record) })
    }
    await silent(send(randomBytes(32), from.id, token))
    await silent(send(topic, randomBytes(32), token))
    await silent(send(topic, from.id, randomBytes(32)))
    assert.equal((await ask(3, { target: topic })).value, null)
    const taken = await send(topic, from.id, token)
    assert.equal(taken.error, 0)
    assert.equal(taken.token, null)
    assert.equal(taken.closerNodes, null)
    assert.ok((await ask(3, { target: topic })).value)
  })

  test('stores no value under another hash or key, and none without a token', async () => {
    const { token } = await ask(9)
    await silent(ask(8, { token, value: Buffer.from('not this') }))
    await silent(ask(8, { value: Buffer.from('not this') }))
    const pair = DHT.keyPair()
    const put = { publicKey: pair.publicKey, seq: 0, value: Buffer.from('x'), signature: randomBytes(64) }
    await silent(ask(6, { target: DHT.hash(pair.publicKey), token, value: c.encode(messages.mutablePutRequest, put) }))
    await silent(ask(7)) // no number
  })

  test('says that it does not know, and helps on the way', async () => {
    assert.equal((await ask(99)).error, 1)
    assert.ok((await ask(99)).closerNodes.length > 0)
    const handshake = await ask(0, { value: c.encode(messages.handshake,
      { mode: 0, noise: randomBytes(40), peerAddress: null, relayAddress: null }) })
    assert.equal(handshake.value, null)
    assert.ok(handshake.closerNodes.length > 0)
    assert.equal(handshake.token, null)
  })

  test('drops what is no message', async () => {
    for (let length = 0; length < 60; length++) peer.io.clientSocket.trySend(randomBytes(length), node.port, node.host)
    for (let length = 2; length < 60; length++) {
      peer.io.clientSocket.trySend(Buffer.concat([Buffer.from([length % 2 ? 3 : 0x13]), randomBytes(length)]), node.port, node.host)
    }
    assert.equal((await peer.ping(node)).error, 0)
  })
})

describe('a node that joins', () => {
  test('becomes persistent and keeps records once it is told to, and ends in order', async () => {
    const network = await Network.start({ theirs: 4 })
    const directory = await mkdtemp(join(tmpdir(), 'holdfast-dht-'))
    try {
      const serve = await network.serve('--persistent', '--data', join(directory, 'node'))
      const { listening, id } = await serve.line(line => line.persistent)
      const peer = await network.peer()
      const pong = await peer.ping({ host: '127.0.0.1', port: Number(listening.split(':')[1]) })
      assert.equal(hex(pong.from.id), id)
      await new Promise(resolve => setTimeout(resolve, 200))
      assert.equal(await serve.stop(), 0)
      // It comes back with the nodes that it knew, though its bootstrap node is gone.
      const again = await network.serve('--persistent', '--data', join(directory, 'node'), '--bootstrap', '127.0.0.1:9')
      assert.ok((await again.line(line => line.nodes >= 4)).nodes >= 4)
    } finally {
      await network.stop()
      await rm(directory, { recursive: true })
    }
  })

  test('finds out that it is not firewalled', async () => {
    const network = await Network.start({ theirs: 6 })
    try {
      const serve = await network.serve()
      const state = await serve.line(line => line.bootstrapped)
      assert.equal(state.persistent, false)
      assert.ok(state.nodes >= 6)
      assert.match(state.address, /^127\.0\.0\.1:/)
    } finally {
      await network.stop()
    }
  })
})

test('nothing is contacted that was not named', async () => {
  const network = await Network.start({ ours: 1 })
  try {
    for (const command of ['lookup', 'announce', 'get']) {
      const refused = await run(['dht', command, hex(randomBytes(32))])
      assert.equal(refused.code, 2)
      assert.match(refused.err, /name a node to begin with/)
    }
  } finally {
    await network.stop()
  }
})
