// The relay's bee, read by npm hyperbee as a peer follows it: what is published, replaced, deleted and expires, live and sparse, and the
// answers that a reader of its ranges gives beside those of REQ.
import { after, before, test } from 'node:test'
import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { Gateway } from '../lib/gateway.mjs'
import { Author, Client, now, sleep } from '../lib/client.mjs'
import { run, until } from '../lib/command.mjs'
import { Follower, beeInfo } from '../lib/relay_bee.mjs'

const args = ['--gateway-cores-listen', '127.0.0.1:0', '--relay-bee', '--relay-sweep-interval', '1s']
let gateway, client
const author = new Author()

before(async () => {
  gateway = await Gateway.start({ args })
  client = await Client.connect(gateway.url)
})
after(async () => {
  client.close()
  await gateway.stop()
})

// A row for each event: 4, and one for each tag that has a value.
const rowCount = events => events.reduce((sum, event) => sum + 3 + event.tags.filter(tag => tag.length > 1).length, 0)

async function publish (fields) {
  const event = author.event(fields)
  assert.deepEqual(await client.publish(event), [true, ''])
  return event
}

test('a follower has what is published soon after its OK, byte for byte', async () => {
  const follower = await Follower.open(gateway)
  const event = await publish({ content: 'hello "quoted" \u{1f41d}', tags: [['t', 'first'], ['client', 'tests'], ['alone'], ['e', 'x'.repeat(64), 'wss://r']] })
  const began = Date.now()
  await until(() => follower.has(event.id), 5000)
  assert.ok(Date.now() - began < 3000, `after ${Date.now() - began} ms`)
  assert.deepEqual(await follower.event(event.id), (await client.query({ ids: [event.id] }))[0])
  for (const prefix of ['', 'kind:00001:', `pubkey:${event.pubkey}:`, 'tagKey:t:tagValue:first:', 'tagKey:client:tagValue:tests:']) {
    assert.ok((await follower.range(prefix)).includes(event.id), prefix)
  }
  await follower.close()
})

test('a replaced, a deleted and an expired event leave no row', async () => {
  const follower = await Follower.open(gateway)
  const old = await publish({ kind: 0, content: '{"name":"old"}', created_at: now() - 10 })
  const note = await publish({ content: 'to be deleted', tags: [['t', 'gone'], ['t', 'gone']] })
  const brief = await publish({ content: 'brief', tags: [['expiration', String(now() + 2)], ['t', 'gone']] })
  await until(async () => await follower.has(old.id) && await follower.has(note.id) && await follower.has(brief.id), 5000)
  const profile = await publish({ kind: 0, content: '{"name":"new"}' })
  const deletion = await publish({ kind: 5, tags: [['e', note.id]] })
  await until(async () => await follower.has(profile.id) && await follower.has(deletion.id) && !await follower.has(old.id) && !await follower.has(note.id), 5000)
  await until(async () => !await follower.has(brief.id), 10000)
  assert.deepEqual(await follower.range('tagKey:t:tagValue:gone:'), [])
  const { events, index } = await follower.rows()
  assert.equal(index.length, rowCount(events.map(([, value]) => JSON.parse(value))))
  await follower.close()
})

test('an ephemeral event and a private message are not in it', async () => {
  const follower = await Follower.open(gateway)
  const fleeting = await publish({ kind: 20001 })
  const secret = await publish({ kind: 4, content: 'sealed?iv=', tags: [['p', author.pubkey]] })
  const last = await publish({ content: 'after them' })
  await until(() => follower.has(last.id), 5000)
  assert.equal(await follower.has(fleeting.id), false)
  assert.equal(await follower.has(secret.id), false)
  await follower.close()
})

test('ranges give what REQ gives', async () => {
  const start = now() - 1000
  for (let i = 0; i < 60; i++) await publish({ kind: 1 + i % 3 * 7000, created_at: start + i, content: `${i}`, tags: [['t', `topic ${i % 5}`], ['t', 'all: of "them"']] })
  const follower = await Follower.open(gateway)
  await until(async () => { await follower.core.update({ wait: true }); return (await beeInfo(gateway)).lag_events === 0 && (await beeInfo(gateway)).version === follower.core.length }, 5000)
  const same = async (prefix, filter, range = {}) => {
    const expected = (await client.ids({ ...filter, limit: 500 })).sort()
    assert.ok(expected.length > 0)
    assert.deepEqual((await follower.range(prefix, range)).sort(), expected, prefix)
  }
  // `until` is exclusive in the ranges, as '#' sorts below hex digits.
  await same('', { since: start + 10, until: start + 39 }, { since: start + 10, until: start + 40 })
  await same('kind:07001:', { kinds: [7001] })
  await same(`pubkey:${author.pubkey}:`, { authors: [author.pubkey], since: start, until: start + 59 }, { since: start, until: start + 60 })
  await same('tagKey:t:tagValue:topic 3:', { '#t': ['topic 3'] })
  await same('tagKey:t:tagValue:all: of "them":', { '#t': ['all: of "them"'], since: start + 5 }, { since: start + 5 })
  await follower.close()
})

test('a sparse reader fetches a few blocks of many; a full one all', async () => {
  const event = await publish({ content: 'one of many', tags: [['t', 'needle']] })
  const sparse = await Follower.open(gateway)
  await until(() => sparse.has(event.id), 5000)
  assert.deepEqual(await sparse.range('tagKey:t:tagValue:needle:'), [event.id])
  let held = 0
  for (let i = 0; i < sparse.core.length; i++) held += await sparse.core.has(i)
  assert.ok(held < sparse.core.length / 2, `${held} of ${sparse.core.length}`)
  const full = await Follower.open(gateway)
  await full.core.update({ wait: true })
  await full.core.download({ start: 0, end: full.core.length }).done()
  full.socket.destroy()
  assert.equal(full.core.contiguousLength, full.core.length)
  const { events } = await full.rows()
  assert.deepEqual(events.map(([key]) => key.toString('hex')).sort(), (await client.ids({ limit: 500 })).sort())
  await sparse.close()
  await full.close()
})

test('other cores of the store are not served', async () => {
  const { code, out } = await run(['core', 'create', '--data', join(gateway.directory, 'data'), '--name', 'own', '--json'])
  assert.equal(code, 0)
  const follower = await Follower.open(gateway)
  const other = follower.store.get(JSON.parse(out).key)
  await other.ready()
  await follower.core.update({ wait: true })
  await sleep(300)
  assert.equal(other.peers.length, 0)
  await follower.close()
})

test('rebuild bee: the same key on the next fork, which a follower goes over to', async () => {
  const follower = await Follower.open(gateway)
  const first = await publish({ content: 'before the rebuild' })
  await until(() => follower.has(first.id), 5000)
  const before = (await follower.rows()).events.map(([key]) => key.toString('hex')).sort()
  const facts = await beeInfo(gateway)
  const { code } = await run(['relay', 'rebuild', 'bee', '--data', join(gateway.directory, 'data')])
  assert.equal(code, 0)
  await until(async () => (await beeInfo(gateway)).fork === facts.fork + 1 && (await beeInfo(gateway)).lag_events === 0, 10000)
  const event = await publish({ content: 'after the rebuild' })
  await until(async () => follower.core.fork === facts.fork + 1 && await follower.has(event.id), 10000)
  assert.equal((await beeInfo(gateway)).key, facts.key)
  const now_ = (await follower.rows()).events.map(([key]) => key.toString('hex')).sort()
  assert.deepEqual(now_, [...before, event.id].sort())
  await follower.close()
})

test('without the setting there is no core, no key and no port of it', async () => {
  const plain = await Gateway.start()
  const { key, hyperbee } = await (await fetch(plain.http + '/', { headers: { accept: 'application/nostr+json' } })).json()
  assert.equal(key ?? hyperbee, undefined)
  assert.doesNotMatch(plain.out, /cores at/)
  const data = join(plain.directory, 'data')
  assert.ok(!(await readdir(join(data, 'keys'))).some(name => /signing|swarm/.test(name)))
  assert.equal((await run(['core', 'list', '--data', data, '--json'])).out, '')
  assert.equal(JSON.parse((await run(['relay', 'info', '--data', data, '--json'])).out).bee, null)
  assert.equal((await run(['relay', 'rebuild', 'bee', '--data', data])).code, 4)
  await plain.stop()
})

test('off and on again: what went meanwhile is not in it', async () => {
  const event = await publish({ content: 'deleted while the bee was off' })
  await until(async () => (await beeInfo(gateway)).lag_events === 0, 5000)
  const { key } = await beeInfo(gateway)
  client.close()
  await gateway.down()
  gateway.args = []
  await gateway.up()
  client = await Client.connect(gateway.url)
  assert.equal(await beeInfo(gateway), undefined)
  await publish({ kind: 5, tags: [['e', event.id]] })
  client.close()
  await gateway.down()
  gateway.args = args
  await gateway.up()
  client = await Client.connect(gateway.url)
  assert.equal((await beeInfo(gateway)).key, key)
  const follower = await Follower.open(gateway)
  await until(async () => (await beeInfo(gateway)).lag_events === 0 && !await follower.has(event.id), 10000)
  const ids = (await follower.rows()).events.map(([id]) => id.toString('hex')).sort()
  assert.deepEqual(ids, (await client.ids({ limit: 500 })).sort())
  await follower.close()
})
