// The same random operations on hypercore and on Holdfast, from a seed: lengths, forks, hashes, signatures, blocks and proofs may not differ, and what
// one side proves the other accepts. SCALE multiplies the 200 sequences; SEED=n runs that one alone.
import { after, before, test } from 'node:test'
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import c from 'compact-encoding'
import Corestore from 'corestore'
import crypto from 'hypercore-crypto'
import Hypercore from 'hypercore'
import { MerkleTree } from 'hypercore/lib/merkle-tree.js'
import messages from 'hypercore/lib/messages.js'
import { Driver } from '../lib/core_driver.mjs'
import { hex, random } from '../lib/core.mjs'
import { runAll, sequences, timeout, title } from '../lib/differential.mjs'

const operations = 40
const { request: requestMessage, data: dataMessage } = messages.wire

// A store of the package and one of ours for those who write, and another pair for those who read.
let directory, theirWriters, theirReaders, ourWriters, ourReaders
before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'holdfast-'))
  ;[theirWriters, theirReaders] = ['a', 'b'].map(name => new Corestore(join(directory, name)))
  ;[ourWriters, ourReaders] = ['c', 'd'].map(name => new Driver(join(directory, name)))
  await Promise.all([theirWriters.ready(), theirReaders.ready()])
})
after(async () => {
  await Promise.all([ourWriters.end(), ourReaders.end(), theirWriters.close(), theirReaders.close()])
  await rm(directory, { recursive: true, force: true })
})

function held (core) {
  const ranges = []
  for (let i = 0; i < core.length; i++) {
    if (!core.core.bitfield.get(i)) continue
    if (ranges.at(-1)?.[1] === i) ranges.at(-1)[1]++
    else ranges.push([i, i + 1])
  }
  return ranges
}

// A core by the package, and one by ours: what a sequence does to either. Data messages go from one to the other as on the wire.
class Theirs {
  constructor (core) {
    this.core = core
  }

  async state () {
    const { core } = this
    return {
      length: core.length,
      fork: core.fork,
      byte_length: core.state.byteLength,
      contiguous_length: core.contiguousLength,
      tree_hash: hex(core.state.hash()),
      signature: core.state.signature ? hex(core.state.signature) : '',
      held: held(core)
    }
  }

  async stored (index) {
    return (await this.core.get(index, { wait: false, raw: true })).toString('base64')
  }

  async missing (index) {
    return index >= this.core.length ? 0 : this.core.missingNodes(index)
  }

  // A data message in hexadecimal, or null when the package cannot answer.
  async prove (request) {
    const read = this.core.state.storage.read()
    let proof
    try {
      const built = await MerkleTree.proof(this.core.state, read, { block: null, hash: null, seek: null, upgrade: null, ...request })
      const value = request.block && read.getBlock(request.block.index)
      read.tryFlush()
      proof = await built.settle()
      if (value) proof.block.value = await value
    } catch (error) {
      assert.match(error.code ?? '', /INVALID_OPERATION|INVALID_PROOF/, error.stack)
      return null
    }
    const manifest = request.manifest && !this.core.core.compat ? this.core.manifest : null
    return hex(c.encode(dataMessage, { request: 1, ...proof, fork: this.core.fork, manifest }))
  }

  async put (data) {
    assert.equal(await this.core.core.verify(c.decode(dataMessage, Buffer.from(data, 'hex')), null), true)
  }

  // Goes over to a fork; ask(request) gets further answers. False: hypercore 11.37.1 cannot go to one that shares more than all that it has.
  async adopt (data, ask, below) {
    const batch = await this.core.core.verifyReorg(c.decode(dataMessage, Buffer.from(data, 'hex')))
    while (!batch.finished) {
      const { start, end, nodes } = batch.want
      await batch.update(c.decode(dataMessage, Buffer.from(await ask({ hash: { index: 2 * (start + below(end - start)), nodes } }), 'hex')))
    }
    if (batch.ancestors > batch.treeLength) return false
    await this.core.core.reorg(batch)
    return true
  }
}

class Ours {
  constructor (driver, opening) {
    this.driver = driver
    this.opening = opening
  }

  do (name, rest) {
    return this.driver.do(name, 0, rest)
  }

  async open () {
    return (await this.do('open', this.opening)).key
  }

  state () {
    return this.do('state')
  }

  async stored (index) {
    return (await this.do('get', { index, stored: true })).value
  }

  async missing (index) {
    return (await this.do('missing', { index })).count
  }

  async prove (request) {
    const { fork } = await this.state()
    const body = { id: 1, fork, block: null, hash: null, seek: null, upgrade: null, manifest: false, priority: 0, ...request }
    const answer = await this.driver.try({ do: 'prove', core: 0, request: hex(c.encode(requestMessage, body)) })
    if (!answer.error) return answer.data
    assert.equal(answer.error, 'HF_EINVAL', answer.text)
    return null
  }

  async put (data) {
    await this.do('put', { data })
  }

  async adopt (data, ask, below) {
    let search = await this.do('fork', { data })
    while (!search.finished) {
      const { start, end, nodes } = search
      search = await this.do('feed', { data: await ask({ hash: { index: 2 * (start + below(end - start)), nodes } }) })
    }
    return true
  }
}

class Sequence {
  constructor (seed) {
    this.seed = seed
    this.below = random(seed)
    this.counts = { exchanged: 0, forks: 0, refused: 0 }
  }

  bytes (length) {
    return Buffer.from(Array.from({ length }, () => this.below(256)))
  }

  async open () {
    const { below } = this
    const seed = this.bytes(32)
    const keyPair = crypto.keyPair(seed)
    const compat = below(4) === 0
    const encryptionKey = below(3) === 0 ? this.bytes(32) : null
    const signer = { publicKey: keyPair.publicKey, ...(below(2) && !compat ? { namespace: Buffer.alloc(32, 5) } : {}) }
    const manifest = Hypercore.parseManifest({ version: compat ? 1 : below(3), signers: [signer] })
    const key = compat ? keyPair.publicKey : Hypercore.key(manifest)
    this.padding = encryptionKey ? 8 : 0
    this.theirWriter = new Theirs(theirWriters.get({ key, keyPair, manifest, encryptionKey }))
    this.theirReader = new Theirs(theirReaders.get({ key }))
    await Promise.all([this.theirWriter.core.ready(), this.theirReader.core.ready()])
    const opening = { seed: hex(seed), ...(encryptionKey ? { encryption_key: hex(encryptionKey) } : {}) }
    this.ourWriter = new Ours(ourWriters, { ...opening, ...(compat ? { compat } : { manifest: hex(this.theirWriter.core.getManifest({ raw: true })) }) })
    this.ourReader = new Ours(ourReaders, { key: hex(key) })
    assert.equal(await this.ourWriter.open(), hex(key))
    assert.equal(await this.ourReader.open(), hex(key))
  }

  async close () {
    await Promise.all([this.theirWriter.core.close(), this.theirReader.core.close()])
  }

  async run () {
    await this.open()
    for (let i = 0; i < operations; i++) await this.step()
    await this.check()
    await this.close()
  }

  async step () {
    const n = this.below(100)
    if (n < 30) await this.append()
    else if (n < 35) await this.truncate()
    else if (n < 40) await this.clear()
    else if (n < 47) await this.seek()
    else if (n < 49) await this.reopen()
    else if (n < 75) await this.exchange(this.theirWriter, this.ourReader, this.ourWriter)
    else await this.exchange(this.ourWriter, this.theirReader, this.theirWriter)
  }

  // Both writers did the same: they are the same.
  async compare () {
    assert.deepEqual(await this.ourWriter.state(), await this.theirWriter.state())
  }

  async append () {
    const { below } = this
    const count = below(4) === 0 ? 1 + below(40) : 1 + below(3)
    const list = Array.from({ length: count }, () => this.bytes(below(8) === 0 ? 0 : below(50) === 0 ? 5000 : below(40)))
    await this.ourWriter.do('append', { blocks: list.map(block => block.toString('base64')) })
    await this.theirWriter.core.append(list)
    await this.compare()
  }

  async truncate () {
    const { core } = this.theirWriter
    if (core.length === 0) return
    const length = this.below(3) ? core.length - 1 - this.below(Math.min(core.length, 10)) : this.below(core.length)
    const fork = core.fork + 1 + (this.below(4) ? 0 : this.below(1000))
    await this.ourWriter.do('truncate', { length, fork })
    await core.truncate(length, { fork })
    await this.compare()
  }

  // hypercore 11.37.1 drops hashes that it still needs, unless the first block of a range is even and the one after it is held.
  async clear () {
    const { core } = this.theirWriter
    const start = 2 * this.below(core.length / 2 + 1 | 0)
    const end = Math.min(core.length, start + 1 + this.below(6))
    if (start + 1 >= core.length || !core.core.bitfield.get(start + 1)) return
    await this.ourWriter.do('clear', { start, end })
    await core.clear(start, end)
    await this.compare()
  }

  async seek () {
    const { core } = this.theirWriter
    const bytes = this.below(core.byteLength + 2)
    const found = await core.seek(bytes, { wait: false })
    const answer = await ourWriters.try({ do: 'seek', core: 0, bytes })
    if (found === null) assert.ok(answer.error, `byte ${bytes} of ${core.byteLength}: ${JSON.stringify(answer)}`)
    else assert.deepEqual(answer, { block: found[0], offset: found[1] })
  }

  // What the disk holds is what memory held.
  async reopen () {
    const states = [await this.ourWriter.state(), await this.ourReader.state()]
    for (const ours of [this.ourWriter, this.ourReader]) {
      await ours.driver.do('reopen')
      await ours.open()
    }
    assert.deepEqual([await this.ourWriter.state(), await this.ourReader.state()], states)
  }

  // What a reader may ask for, by what it has; null when there is nothing.
  async request (writer, reader) {
    const { below } = this
    const [theirs, ours] = [await writer.state(), await reader.state()]
    const request = {}
    if (theirs.length > ours.length && (ours.length === 0 || below(3) === 0)) {
      request.upgrade = { start: ours.length, length: below(3) ? theirs.length - ours.length : 1 + below(theirs.length - ours.length) }
      request.manifest = true // also when it is known
    }
    const end = request.upgrade ? ours.length + request.upgrade.length : ours.length
    if (end === 0) return null
    const index = below(end)
    if (below(2)) {
      if (theirs.held.some(([from, to]) => from <= index && index < to)) request.block = { index, nodes: await reader.missing(index) }
    } else if (below(2)) {
      request.hash = { index: 2 * index, nodes: await reader.missing(index) }
    }
    if (below(4) === 0) request.seek = { bytes: below(theirs.byte_length + 2), padding: this.padding }
    return request.upgrade || request.block || request.hash ? request : null
  }

  async exchange (writer, reader, twin) {
    const [theirs, ours] = [await writer.state(), await reader.state()]
    if (theirs.fork > ours.fork) return this.follow(writer, reader)
    if (theirs.fork < ours.fork || theirs.length < ours.length) return
    const request = await this.request(writer, reader)
    if (request === null) return
    let data = await writer.prove(request)
    const other = await twin.prove(request)
    if (!request.seek) assert.equal(data, other, JSON.stringify(request))
    if (data === null && request.seek) {
      this.counts.refused++
      delete request.seek
      if (Object.keys(request).length === 0) return
      data = await writer.prove(request)
    }
    assert.ok(data, JSON.stringify(request))
    await reader.put(data)
    this.counts.exchanged++
    const then = await reader.state()
    if (request.upgrade) assert.deepEqual([then.length, then.fork, then.byte_length, then.tree_hash, then.signature], [theirs.length, theirs.fork, theirs.byte_length, theirs.tree_hash, theirs.signature])
    else assert.deepEqual([then.length, then.tree_hash], [ours.length, ours.tree_hash])
    if (request.block) assert.equal(await reader.stored(request.block.index), await writer.stored(request.block.index))
  }

  // Over to a fork. No reader of the package goes to one without blocks.
  async follow (writer, reader) {
    const { length, fork } = await writer.state()
    if (length === 0) return
    const before = await reader.state()
    const ask = request => writer.prove(request)
    if (!await reader.adopt(await ask({ upgrade: { start: 0, length }, manifest: true }), ask, this.below)) {
      this.counts.refused++
      return
    }
    const [theirs, then] = [await writer.state(), await reader.state()]
    assert.deepEqual([then.length, then.fork, then.tree_hash, then.signature], [length, fork, theirs.tree_hash, theirs.signature])
    for (const [start, end] of then.held) {
      assert.ok(before.held.some(([from, to]) => from <= start && end <= to), 'nothing is held that was not held before')
      for (let i = start; i < end; i++) {
        if (theirs.held.some(([from, to]) => from <= i && i < to)) assert.equal(await reader.stored(i), await writer.stored(i), `block ${i} is of the new fork`)
      }
    }
    this.counts.forks++
  }

  // Every block, as it is stored, and as it is read.
  async check () {
    await this.compare()
    const { core } = this.theirWriter
    for (let i = 0; i < core.length; i++) {
      if (!core.core.bitfield.get(i)) {
        assert.equal((await ourWriters.try({ do: 'get', core: 0, index: i })).error, 'HF_EWAIT')
        continue
      }
      assert.equal(await this.ourWriter.stored(i), await this.theirWriter.stored(i), `block ${i}`)
      assert.equal((await this.ourWriter.do('get', { index: i })).value, (await core.get(i)).toString('base64'))
    }
    for (const reader of [this.theirReader, this.ourReader]) {
      const state = await reader.state()
      if (state.fork !== core.fork) continue
      for (const [start, end] of state.held) {
        for (let i = start; i < Math.min(end, core.length); i++) {
          if (core.core.bitfield.get(i)) assert.equal(await reader.stored(i), await this.theirWriter.stored(i))
        }
      }
    }
  }
}

test(title(operations), { timeout }, t => runAll(t, Sequence, total => total.exchanged > 5 * sequences && total.forks > sequences / 10))
