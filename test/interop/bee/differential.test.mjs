// The same random operations on hyperbee and on Holdfast, from a seed: batches of puts, dels and swaps, in subs, truncations, and reads of every
// kind of any version. No answer may differ, and no byte of any block. SCALE multiplies the 200 sequences; SEED=n runs that one alone.
import { after, before, test } from 'node:test'
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Corestore from 'corestore'
import crypto from 'hypercore-crypto'
import Hyperbee from 'hyperbee'
import Hypercore from 'hypercore'
import { Driver } from '../lib/core_driver.mjs'
import { hex, random } from '../lib/core.mjs'
import { runAll, sequences, timeout, title } from '../lib/differential.mjs'
import { all } from '../lib/bee.mjs'

const operations = 30

let directory, store, driver
before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'holdfast-'))
  store = new Corestore(join(directory, 'theirs'))
  driver = new Driver(join(directory, 'ours'))
  await store.ready()
})
after(async () => {
  await driver.end()
  await store.close()
  await rm(directory, { recursive: true, force: true })
})

const shown = entry => entry && [entry.seq, hex(entry.key), entry.value && hex(entry.value)]
const changed = ({ seq, key, value, type }) => type === 'del' ? [seq, hex(key), null, 'del'] : [seq, hex(key), value && hex(value)]

class Sequence {
  constructor (seed) {
    this.seed = seed
    this.below = random(seed)
    this.keyCount = 3 + this.below(this.below(3) ? 40 : 400)
    this.counts = { changes: 0, refused: 0, differences: 0, listed: 0, forks: 0, across: 0 }
  }

  do (name, rest = {}) {
    return driver.do(`bee_${name}`, 0, rest)
  }

  bytes (length) {
    return Buffer.from(Array.from({ length }, () => this.below(256)))
  }

  key () {
    const n = this.below(this.keyCount)
    return n === 0 ? Buffer.alloc(0) : Buffer.from(n % 7 ? `key ${n * 7919 % 1000}` : String.fromCharCode(n % 256).repeat(n % 5))
  }

  value () {
    const n = this.below(20)
    return n === 0 ? null : n === 1 ? Buffer.alloc(0) : n < 6 ? Buffer.from('same') : this.bytes(this.below(n === 19 ? 3000 : 30))
  }

  // The whole bee, or a sub of it: their side, and the names for ours.
  part () {
    const n = this.below(6)
    return n === 0 ? [this.bee.sub('a'), { sub: ['a'] }] : n === 1 ? [this.bee.sub('a').sub(''), { sub: ['a', ''] }] : [this.bee, {}]
  }

  async open () {
    const seed = this.bytes(32)
    const keyPair = crypto.keyPair(seed)
    const manifest = Hypercore.parseManifest({ version: 1, signers: [{ publicKey: keyPair.publicKey }] })
    const encryptionKey = this.below(4) === 0 ? this.bytes(32) : null
    this.core = store.get({ key: Hypercore.key(manifest), keyPair, manifest, encryptionKey })
    await this.core.ready()
    this.opening = { seed: hex(seed), ...(encryptionKey ? { encryption_key: hex(encryptionKey) } : {}), manifest: hex(this.core.getManifest({ raw: true })) }
    await driver.do('open', 0, this.opening)
    this.skipSame = this.below(4) === 0
    this.bee = new Hyperbee(this.core, { alwaysDuplicate: !this.skipSame })
    await this.bee.ready()
    this.versions = [1]
    this.views = []
  }

  async run () {
    await this.open()
    for (let i = 0; i < operations; i++) await this.step()
    await this.check()
    for (const kept of this.views) await kept?.bee.close()
    await this.bee.close()
  }

  async step () {
    const n = this.below(100)
    if (n < 45) await this.batch()
    else if (n < 50) await this.truncate()
    else if (n < 58) await this.keep()
    else if (n < 68) await this.get()
    else if (n < 80) await this.list()
    else if (n < 92) await this.diff()
    else if (n < 97) await this.history()
    else await this.reopen()
  }

  // One change on its own, or several in a batch, which may be given up.
  async batch () {
    const count = this.below(3) === 0 ? 1 : this.below(4) ? 1 + this.below(8) : 1 + this.below(80)
    const batch = count > 1 || this.below(2) ? this.bee.batch() : null
    for (let i = 0; i < count; i++) {
      await this.change(batch)
      if (batch && this.below(5) === 0) {
        const key = this.key()
        assert.deepEqual((await this.do('get', { key: hex(key), pending: true })).entry, shown(await batch.get(key)))
      }
    }
    if (batch && this.below(12) === 0) {
      await this.do('abandon')
      await batch.close()
      return
    }
    const { version } = await this.do('flush')
    if (batch) await batch.flush()
    assert.equal(version, this.bee.version)
    if (version !== this.versions.at(-1)) this.versions.push(version)
  }

  async change (batch) {
    // The package has no batch of a sub: its keys are given with their prefix.
    const prefix = this.below(6)
    const key = this.key()
    const [whole, sub] = prefix === 0 ? [Buffer.concat([Buffer.from('a\0'), key]), { sub: ['a'] }]
      : prefix === 1 ? [Buffer.concat([Buffer.from('a\0\0'), key]), { sub: ['a', ''] }] : [key, {}]
    const target = batch ?? this.bee
    const expected = this.below(4) === 0 ? this.value() : null
    const options = expected ? { cas: now => now.value !== null && expected.equals(now.value) } : {}
    const condition = expected ? { if: hex(expected) } : {}
    const before = [this.bee.version, batch?.length ?? 0]
    let result
    if (this.below(3)) {
      const value = this.value()
      ;({ result } = await this.do('put', { key: hex(key), ...(value ? { value: hex(value) } : {}), ...sub, ...condition, skip_same: this.skipSame }))
      await target.put(whole, value, options)
    } else {
      ;({ result } = await this.do('del', { key: hex(key), ...sub, ...condition }))
      await target.del(whole, options)
    }
    const isMade = batch ? batch.length > before[1] : this.bee.version > before[0]
    assert.equal(result === 'HF_OK', isMade, `${result} of ${hex(whole)}`)
    this.counts.changes += isMade
    this.counts.refused += !isMade
  }

  async truncate () {
    const length = this.versions.at(-1 - this.below(Math.min(4, this.versions.length)))
    if (length >= this.core.length) return
    const fork = this.core.fork + 1
    await driver.do('truncate', 0, { length, fork })
    await this.core.truncate(length, { fork })
    while (this.versions.at(-1) > length) this.versions.pop()
    this.counts.forks++
  }

  // A view that is kept across what comes: a snapshot, or a checkout of a version.
  async keep () {
    const view = this.below(8)
    await this.views[view]?.bee.close()
    const version = this.below(2) ? this.versions[this.below(this.versions.length)] : null
    const bee = version === null ? this.bee.snapshot() : this.bee.checkout(version)
    await bee.ready()
    await this.do('view', { view, ...(version === null ? {} : { version }) })
    this.views[view] = { bee, fork: this.core.fork, versions: [...this.versions] }
  }

  // A view on both sides: one that is kept, or the latest.
  view () {
    const view = this.below(12)
    return this.views[view] ? [this.views[view].bee, { view }, this.views[view]] : [this.bee, {}, { fork: this.core.fork, versions: this.versions }]
  }

  async get () {
    const [bee, named] = this.view()
    for (let i = 0; i < 4; i++) {
      const key = this.key()
      assert.deepEqual((await this.do('get', { key: hex(key), ...named })).entry, shown(await bee.get(key)))
    }
    const [part, names] = this.part()
    const key = this.key()
    const found = await part.get(key)
    assert.deepEqual((await this.do('get', { key: hex(key), ...names })).entry?.[0], found?.seq)
  }

  range () {
    const range = {}
    if (this.below(3) === 0) range[['gt', 'gte'][this.below(2)]] = this.key()
    if (this.below(3) === 0) range[['lt', 'lte'][this.below(2)]] = this.key()
    if (this.below(3) === 0) range.limit = this.below(10)
    // Bounds without bytes are none in the package.
    for (const bound of ['gt', 'gte', 'lt', 'lte']) if (range[bound]?.length === 0) delete range[bound]
    const ours = Object.fromEntries(Object.entries(range).map(([name, value]) => [name, name === 'limit' ? value : hex(value)]))
    return [range, ours]
  }

  async list () {
    const [range, ours] = this.range()
    const reverse = this.below(2) === 1
    const [bee, named] = this.below(2) ? this.view() : this.part()
    const theirs = await all(bee.createReadStream({ ...range, reverse }))
    assert.deepEqual((await this.do('list', { ...named, ...ours, reverse })).entries, theirs.map(shown))
    this.counts.listed += theirs.length
  }

  async diff () {
    const [left, leftName, ofLeft] = this.view()
    const [right, rightName, ofRight] = this.view()
    const [range, ours] = this.range()
    const lower = Math.min(left.version, right.version)
    const more = right.version > left.version ? ofRight : ofLeft
    const less = more === ofRight ? left : right
    // The middle of a batch, in the history that both are looked for. The bee itself is the end of another history there.
    if (!more.versions.includes(lower) && !(ofLeft.fork !== ofRight.fork && less === this.bee)) return
    const theirs = await all(left.createDiffStream(right, range))
    const { differences } = await this.do('diff', { ...ours, ...('view' in leftName ? { left: leftName.view } : {}), ...('view' in rightName ? { right: rightName.view } : {}) })
    assert.deepEqual(differences, theirs.map(({ left, right }) => [shown(left), shown(right)]))
    this.counts.differences += theirs.length
    this.counts.across += ofLeft.fork !== ofRight.fork
  }

  async history () {
    const [bee, named] = this.view()
    const range = { reverse: this.below(2) === 1 }
    const bound = end => this.below(end) * (this.below(4) ? 1 : -1)
    if (this.below(2)) range[['gt', 'gte'][this.below(2)]] = bound(bee.version + 2)
    // Past its version a view of the package goes on with what came after.
    if (this.below(2)) range.lt = bound(bee.version + 1)
    else if (this.below(2)) range.lte = bound(bee.version)
    if (this.below(3) === 0) range.limit = this.below(20)
    let theirs
    try {
      theirs = await all(bee.createHistoryStream(range))
    } catch (error) {
      return // a bound before the first block
    }
    assert.deepEqual((await this.do('history', { ...named, ...range })).entries, theirs.map(changed), JSON.stringify(range))
  }

  async reopen () {
    await driver.do('reopen', 0)
    await driver.do('open', 0, this.opening)
    for (const kept of this.views) await kept?.bee.close()
    this.views = []
  }

  // Every block, and the tree over them.
  async check () {
    const { length, fork, tree_hash: hash } = await driver.do('state', 0)
    assert.deepEqual([length, fork, hash], [this.core.length, this.core.fork, hex(this.core.state.hash())])
    for (let i = 0; i < length; i++) {
      const { value } = await driver.do('get', 0, { index: i })
      assert.equal(hex(Buffer.from(value, 'base64')), hex(await this.core.get(i)), `block ${i}`)
    }
  }
}

test(title(operations), { timeout }, t => runAll(t, Sequence, total => total.changes > 50 * sequences && total.refused > sequences && total.differences > sequences && total.forks > sequences / 4 && total.across > sequences / 100))
