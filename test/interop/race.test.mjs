// Publishers racing REQs: an event answered OK is in every REQ that arrives later; across EOSE none is missed and
// none is sent twice. SCALE multiplies the races.
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { Gateway } from './lib/gateway.mjs'
import { Author, Client, sleep } from './lib/client.mjs'

const races = Number(process.env.SCALE ?? 1)
const rounds = 30
const timeoutMs = 60000

test('across EOSE nothing is missed and nothing comes twice', async () => {
  for (let i = 0; i < races; i++) {
    // The limit is above all that is published, so that every REQ must give everything.
    const gateway = await Gateway.start({ env: { HOLDFAST_RELAY_LIMIT_MAX: '100000' } })
    await race(gateway).finally(() => gateway.stop())
  }
})

async function race (gateway) {
  const authors = Array.from({ length: 4 }, () => new Author())
  // Signed before: it would hold up the readers, who run in this thread, until nothing is left to race with.
  const batches = authors.map(author => Array.from({ length: rounds }, (_, n) => Array.from({ length: 12 }, (_, i) =>
    author.event({ content: `${n} ${i}`, tags: [['t', `race${i % 2}`]] }))))
  const publishers = await Promise.all(authors.map(() => Client.connect(gateway.url)))
  // Some with what browsers offer, some without compression.
  const readers = await Promise.all(Array.from({ length: 6 }, (_, r) => Client.connect(gateway.url, { perMessageDeflate: r % 3 === 0 })))
  const acknowledged = []
  const filters = [
    { authors: authors.map(a => a.pubkey) }, { kinds: [1] }, { '#t': ['race0', 'race1'] },
    { authors: authors.map(a => a.pubkey), kinds: [1], '#t': ['race0', 'race1'] }]
  const publish = (publisher, events) => Promise.all(events.map(async event => {
    const [accepted, reason] = await publisher.publish(event, { timeoutMs })
    assert.ok(accepted, reason)
    acknowledged.push(event.id)
  }))
  const ask = async (reader, r, n) => {
    await sleep(r) // the later ones meet the batch in its middle
    const id = `sub${n}`
    const before = [...acknowledged]
    const from = reader.messages.length
    const end = reader.next(m => m[0] === 'EOSE' && m[1] === id, timeoutMs)
    reader.send(['REQ', id, filters[(r + n) % filters.length]])
    await end
    const ids = reader.messages.slice(from).filter(m => m[0] === 'EVENT' && m[1] === id).map(m => m[2].id)
    const got = new Set(ids)
    assert.equal(got.size, ids.length, 'an event came twice')
    for (const known of before) assert.ok(got.has(known), 'an acknowledged event is missing')
    if (n % 4) reader.send(['CLOSE', id])
    else reader.keep = [...(reader.keep ?? []), id]
  }
  // In step, as all share this thread: whoever reads without compression would starve whoever must inflate.
  for (let n = 0; n < rounds; n++) {
    await Promise.all([...publishers.map((publisher, p) => publish(publisher, batches[p][n])), ...readers.map((reader, r) => ask(reader, r, n))])
  }
  // What was sent before this answer has come once it is here.
  await Promise.all(readers.map(reader => reader.query({ limit: 1 }, { timeoutMs })))
  const total = publishers.length * rounds * 12
  for (const reader of readers) {
    for (const id of reader.keep ?? []) {
      const ids = reader.messages.filter(m => m[0] === 'EVENT' && m[1] === id).map(m => m[2].id)
      assert.equal(new Set(ids).size, ids.length, 'an event came twice across EOSE')
      assert.equal(ids.length, total, 'an event was missed across EOSE')
    }
  }
  for (const client of [...publishers, ...readers]) client.close()
}
