// The same random operations on hyperdrive and on Holdfast, from a seed: puts of every size, links, deletions, batches, cleared files, files
// whose blocks are kept once, going back to a version, and lists, differences and reads of any version. No answer may differ, and no byte of
// any block of either core.
import { after, before, test } from 'node:test'
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Corestore from 'corestore'
import Hyperdrive from 'hyperdrive'
import { Driver } from '../lib/core_driver.mjs'
import { hex, random } from '../lib/core.mjs'
import { runAll, sequences, timeout, title } from '../lib/differential.mjs'
import { all } from '../lib/drive.mjs'

const operations = 30
const primaryKey = Buffer.alloc(32)
primaryKey[0] = 1

let directory, store, driver
before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'holdfast-'))
  store = new Corestore(join(directory, 'theirs'), { primaryKey, unsafe: true })
  driver = new Driver(join(directory, 'ours'))
  await store.ready()
})
after(async () => {
  await driver.end()
  await store.close()
  await rm(directory, { recursive: true, force: true })
})

const shown = entry => entry && [entry.key, entry.seq, JSON.stringify(entry.value)]
const names = ['a', 'b', 'a-b', 'a0', 'å', 'a b', '"q"', '.hidden', '…']

class Sequence {
  constructor (seed) {
    this.seed = seed
    this.below = random(seed)
    this.depth = 1 + this.below(4)
    this.counts = { puts: 0, links: 0, dels: 0, cleared: 0, lists: 0, differences: 0, reads: 0, loops: 0, versions: 0, deduped: 0, truncations: 0 }
    // What is gone from a core the package waits for when it looks for blocks that are alike, and misses when it truncates.
    this.clears = this.below(2) === 0
  }

  do (name, rest = {}) {
    return driver.do(`drive_${name}`, 0, rest)
  }

  bytes () {
    const n = this.below(40)
    const length = n === 0 ? 0 : n < 30 ? this.below(300) : n < 36 ? 65530 + this.below(12) : this.below(300000)
    return Buffer.alloc(length, String.fromCharCode(97 + this.below(26)) + this.below(1000))
  }

  folder () {
    return '/' + Array.from({ length: this.below(this.depth) }, () => names[this.below(names.length)]).join('/')
  }

  path () {
    const whole = this.folder() + '/' + names[this.below(names.length)]
    return this.below(6) ? whole : whole.replace('/', ['', '//', '/./', '/x/../', '\\'][this.below(5)])
  }

  async open () {
    const name = `drive ${this.seed}`
    const inner = this.below(2) ? store.namespace(name) : store.namespace(name).namespace('deeper')
    const encryptionKey = this.below(4) ? null : Buffer.alloc(32, 1 + this.below(255))
    this.store = inner
    this.drive = new Hyperdrive(inner, { encryptionKey })
    await this.drive.ready()
    const { key, blobs_key: blobsKey } = await this.do('open', { blobs: 1, namespace: hex(inner.ns), ...(encryptionKey && { encryption_key: hex(encryptionKey) }) })
    assert.equal(key, hex(this.drive.key))
    assert.equal(blobsKey, hex(this.drive.blobs.core.key))
  }

  async put (to) {
    const [path, content, executable] = [this.path(), this.bytes(), this.below(5) === 0]
    const metadata = this.below(4) ? null : [{ b: 1, a: ['ä', null, 2.5] }, 'text', 7, { '': {} }][this.below(4)]
    await to.put(path, content, { executable, metadata })
    await this.do('put', { path, content: hex(content), executable, ...(metadata !== null && { metadata: JSON.stringify(metadata) }) })
    this.counts.puts++
  }

  async link (to) {
    const [path, target] = [this.path(), this.below(3) ? this.path() : ['../a', '../../../b', './a', 'a'][this.below(4)]]
    await to.symlink(path, target)
    await this.do('link', { path, target })
    this.counts.links++
  }

  async del (to) {
    const known = await all(this.drive.list('/'))
    const path = known.length && this.below(4) ? known[this.below(known.length)].key : this.path()
    await to.del(path)
    await this.do('del', { path })
    this.counts.dels++
  }

  // One on its own, or several as one batch.
  async change () {
    const count = this.below(3) ? 1 : 1 + this.below(12)
    const to = count === 1 ? this.drive : this.drive.batch()
    for (let i = 0; i < count; i++) {
      const n = this.below(10)
      if (n < 6) await this.put(to)
      else if (n < 7) await this.link(to)
      else await this.del(to)
      if (count > 1 && this.below(3) === 0) await this.read(to)
    }
    if (count > 1) await to.flush()
    await this.do('flush')
    await this.assertSame()
    this.counts.versions++
    this.ends = [...(this.ends ?? [1]), this.drive.version]
  }

  // Over a file that may be there, in a few kinds of blocks, so that some are kept once.
  async dedup () {
    if (this.clears) return
    const known = (await all(this.drive.list('/'))).filter(({ value }) => value.blob)
    const path = known.length && this.below(3) ? known[this.below(known.length)].key : this.path()
    const blocks = Array.from({ length: 1 + this.below(20) }, () => Buffer.alloc(300, 'abcdef'[this.below(6)]))
    blocks.push(Buffer.alloc(1 + this.below(300), 'z'))
    const stream = this.drive.createWriteStream(path, { dedup: true })
    for (const block of blocks) stream.write(block)
    stream.end()
    await new Promise((resolve, reject) => stream.on('close', resolve).on('error', reject))
    await this.do('dedup', { path, content: hex(Buffer.concat(blocks)), block_bytes: 300 })
    await this.do('flush')
    await this.assertSame()
    this.counts.deduped++
    this.ends = [...(this.ends ?? [1]), this.drive.version]
  }

  async truncate () {
    if (this.clears || !this.ends || this.below(2)) return
    const version = this.ends[this.below(this.ends.length)]
    const refusal = await this.drive.truncate(version).then(() => null, error => error)
    if (refusal) { // a version whose blobs are not there any more
      assert.equal(refusal.code, 'BAD_ARGUMENT')
      await assert.rejects(this.do('truncate', { version }))
      return this.assertSame()
    }
    await this.do('truncate', { version })
    await this.assertSame()
    this.counts.truncations++
    this.ends = this.ends.filter(end => end <= version)
  }

  async clear () {
    if (!this.clears) return
    const known = (await all(this.drive.list('/'))).filter(({ value }) => value.blob && value.blob.blockLength > 0)
    if (!known.length) return
    const path = known[this.below(known.length)].key
    await this.drive.clear(path)
    await this.do('clear', { path })
    this.counts.cleared++
  }

  at () {
    const version = this.below(2) ? null : this.ends?.[this.below(this.ends.length)]
    return version ? [this.drive.checkout(version), { at: version }] : [this.drive, {}]
  }

  async list () {
    const [drive, at] = this.at()
    const folder = this.below(2) ? '/' : this.folder()
    const ignore = this.below(3) ? {} : { ignore: this.folder() }
    if (ignore.ignore === '/') delete ignore.ignore
    const { entries } = await this.do('list', { folder, ...ignore, ...at })
    assert.deepEqual(entries, (await all(drive.list(folder, ignore))).map(shown))
    this.counts.lists += entries.length
    if (drive !== this.drive) await drive.close()
  }

  async diff () {
    const [drive, at] = this.at()
    const from = this.ends?.[this.below(this.ends.length)] ?? 1
    const folder = this.below(2) ? '/' : this.folder()
    const { differences } = await this.do('diff', { from, folder, ...at })
    assert.deepEqual(differences, (await all(drive.diff(from, folder))).map(({ left, right }) => [shown(left), shown(right)]))
    this.counts.differences += differences.length
    if (drive !== this.drive) await drive.close()
  }

  async read (drive = this.drive) {
    const known = await all(this.drive.list('/'))
    const path = known.length && this.below(4) ? known[this.below(known.length)].key : this.path()
    let entry
    try {
      entry = await drive.entry(path, { follow: true })
    } catch {
      entry = 'loop'
      this.counts.loops++
    }
    const blob = entry?.value?.blob
    const range = blob && this.below(2) ? { start: this.below(blob.byteLength + 1), length: this.below(blob.byteLength + 1) } : null
    if (blob && await this.isReplaced(blob)) return assert.rejects(this.do('get', { path }))
    const answer = await this.do('get', { path, ...range })
    assert.deepEqual(answer.entry, entry === 'loop' ? entry : shown(entry), path)
    if (!blob) return
    const blobs = await this.drive.getBlobs()
    if (!await blobs.core.has(blob.blockOffset, blob.blockOffset + blob.blockLength)) return
    const whole = await blobs.get(blob)
    assert.equal(answer.content, hex(range ? whole.subarray(range.start, range.start + range.length) : whole), path)
    this.counts.reads++
  }

  // Going back to when a file was deleted takes its blob, too; further back the file is there again, and what came since in its place.
  async isReplaced ({ blockOffset, blockLength, byteLength }) {
    const { core } = await this.drive.getBlobs()
    if (!await core.has(blockOffset, blockOffset + blockLength)) return false
    const blocks = await Promise.all(Array.from({ length: blockLength }, (_, i) => core.get(blockOffset + i)))
    return blocks.reduce((bytes, block) => bytes + block.length, 0) !== byteLength
  }

  async assertSame () {
    const cores = [this.drive.core, (await this.drive.getBlobs()).core]
    for (const [slot, core] of cores.entries()) {
      const state = await driver.do('state', slot)
      assert.deepEqual([state.length, state.fork, state.byte_length, state.tree_hash, state.signature],
        [core.length, core.fork, core.state.byteLength, hex(core.state.hash()), core.length || core.fork ? hex(core.state.signature) : ''])
    }
  }

  // The tree's hash is over every block; a few are looked at themselves as well.
  async assertBlocks () {
    const cores = [this.drive.core, (await this.drive.getBlobs()).core]
    for (const [slot, core] of cores.entries()) {
      for (let index = 0; index < core.length; index++) {
        const theirs = await core.get(index, { raw: true, wait: false })
        if (!theirs || theirs.length > 5000) continue
        const { value } = await driver.do('get', slot, { index, stored: true })
        assert.equal(value, theirs.toString('base64'), `block ${index} of core ${slot}`)
      }
    }
  }

  async run () {
    await this.open()
    for (let i = 0; i < operations; i++) {
      const n = this.below(12)
      if (n < 5) await this.change()
      else if (n < 6) await this.dedup()
      else if (n < 7) await this.list()
      else if (n < 8) await this.diff()
      else if (n < 10) await this.read()
      else if (n < 11) await this.truncate()
      else await this.clear()
    }
    await this.assertBlocks()
    await this.drive.close()
  }
}

test(title(operations), { timeout }, t => runAll(t, Sequence, total => Object.values(total).every(count => count > sequences / 25)))
