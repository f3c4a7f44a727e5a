// The clients that people use, unchanged, at a worker's relay by way of the gateway, while an npm reader follows that relay's bee.
import { after, before, test } from 'node:test'
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import WebSocket from 'ws'
import Corestore from 'corestore'
import Hyperbee from 'hyperbee'
import HyperDHT from 'hyperdht'
import Hyperswarm from 'hyperswarm'
import { Relay, useWebSocketImplementation } from 'nostr-tools/relay'
import { SimplePool } from 'nostr-tools/pool'
import { fetchRelayInformation } from 'nostr-tools/nip11'
import NDK, { NDKEvent, NDKPrivateKeySigner } from '@nostr-dev-kit/ndk'
import { Author, now } from '../lib/client.mjs'
import { run, until } from '../lib/command.mjs'
import { Members } from '../lib/members.mjs'

useWebSocketImplementation(WebSocket)
let members, url
before(async () => {
  members = await Members.start()
  await members.worker('worker', ['--relay-gateway-path', 'notes', '--relay-name', 'Far away'])
  await members.registered('notes', 1)
  url = `${members.url}/notes`
})
after(() => members?.stop())

test('nostr-tools: publish, read, live, count, close', { timeout: 60000 }, async () => {
  const relay = await Relay.connect(url)
  const author = new Author()
  const live = []
  const subscription = relay.subscribe([{ authors: [author.pubkey] }], { onevent: event => live.push(event) })
  const events = Array.from({ length: 50 }, (_, i) => author.event({ content: `note ${i}`, created_at: now() - 50 + i }))
  await Promise.all(events.map(event => relay.publish(event)))
  const stored = await new Promise(resolve => {
    const got = []
    const sub = relay.subscribe([{ authors: [author.pubkey], limit: 20 }], { onevent: event => got.push(event), oneose: () => { sub.close(); resolve(got) } })
  })
  assert.deepEqual(stored.map(event => event.id), events.slice(-20).reverse().map(event => event.id))
  await until(() => live.length === 50)
  assert.equal(await relay.count([{ authors: [author.pubkey] }], {}), 50)
  subscription.close()
  relay.close()
})

test('nostr-tools: a pool, and what the relay says of itself', { timeout: 60000 }, async () => {
  const pool = new SimplePool()
  const note = new Author().event({ content: 'by a pool' })
  await Promise.all(pool.publish([url], note))
  assert.equal((await pool.get([url], { ids: [note.id] })).content, 'by a pool')
  pool.close([url])
  const information = await fetchRelayInformation(url.replace('ws', 'http'))
  assert.equal(information.name, 'Far away')
})

test('NDK publishes and reads, and a reader of the relay\'s bee finds it', { timeout: 60000 }, async () => {
  const ndk = new NDK({ explicitRelayUrls: [url], signer: NDKPrivateKeySigner.generate(), enableOutboxModel: false })
  await ndk.connect(5000)
  const event = new NDKEvent(ndk, { kind: 1, content: 'by NDK' })
  const relays = await event.publish()
  assert.equal(relays.size, 1)
  const [found] = [...await ndk.fetchEvents({ ids: [event.id] })]
  assert.equal(found.content, 'by NDK')

  const info = JSON.parse((await run(['relay', 'info', '--json', '--data', members.path('worker')])).out)
  const directory = await mkdtemp(join(tmpdir(), 'holdfast-'))
  const [host, port] = members.bootstrap.split(':')
  const dht = new HyperDHT({ bootstrap: [{ host, port: Number(port) }] })
  const swarm = new Hyperswarm({ dht })
  const store = new Corestore(directory)
  try {
    const core = store.get(info.bee.key)
    await core.ready()
    swarm.on('connection', stream => store.replicate(stream))
    swarm.join(core.discoveryKey, { server: false, client: true })
    const bee = new Hyperbee(core, { keyEncoding: 'binary', valueEncoding: 'utf-8' })
    const row = await until(async () => {
      await core.update({ wait: true })
      return bee.get(Buffer.from(event.id, 'hex'))
    }, 30000)
    assert.equal(JSON.parse(row.value).content, 'by NDK')
  } finally {
    for (const relay of ndk.pool.relays.values()) relay.disconnect()
    await swarm.destroy()
    await dht.destroy()
    await store.close()
    await rm(directory, { recursive: true, force: true })
  }
})
