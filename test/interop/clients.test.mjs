// The clients that people use, unchanged: nostr-tools' relay and pool, and NDK.
import { after, before, test } from 'node:test'
import assert from 'node:assert/strict'
import WebSocket from 'ws'
import { Relay, useWebSocketImplementation } from 'nostr-tools/relay'
import { SimplePool } from 'nostr-tools/pool'
import { fetchRelayInformation } from 'nostr-tools/nip11'
import { verifyEvent } from 'nostr-tools/pure'
import NDK, { NDKEvent, NDKPrivateKeySigner } from '@nostr-dev-kit/ndk'
import { Gateway } from './lib/gateway.mjs'
import { Author, now } from './lib/client.mjs'

useWebSocketImplementation(WebSocket)
let gateway
before(async () => { gateway = await Gateway.start() })
after(() => gateway.stop())

test('nostr-tools: publish, read, live, count, close', async () => {
  const relay = await Relay.connect(gateway.url)
  const author = new Author()
  const live = []
  const subscription = relay.subscribe([{ authors: [author.pubkey] }], { onevent: event => live.push(event) })
  const events = Array.from({ length: 50 }, (_, i) => author.event({ content: `note ${i}`, created_at: now() - 50 + i }))
  await Promise.all(events.map(event => relay.publish(event)))
  const stored = await new Promise(resolve => {
    const got = []
    const sub = relay.subscribe([{ authors: [author.pubkey], limit: 20 }], {
      onevent: event => got.push(event),
      oneose: () => { sub.close(); resolve(got) }
    })
  })
  assert.deepEqual(stored.map(e => e.id), events.slice(-20).reverse().map(e => e.id))
  assert.ok(stored.every(event => verifyEvent(event)))
  assert.equal(live.length, 50)
  assert.equal(await relay.count([{ authors: [author.pubkey] }], {}), 50)
  subscription.close()
  relay.close()
})

test('nostr-tools: answers the authentication challenge', async () => {
  const relay = new Relay(gateway.url)
  const author = new Author()
  const { finalizeEvent } = await import('nostr-tools/pure')
  relay.onauth = async template => finalizeEvent(template, author.secret)
  await relay.connect()
  const event = author.event({ tags: [['-']], content: 'mine' })
  await new Promise(resolve => setTimeout(resolve, 100))
  await relay.auth(async template => finalizeEvent(template, author.secret)).catch(() => {})
  assert.match(await relay.publish(event), /^$/)
  relay.close()
})

test('nostr-tools: the pool reads and the facts are there', async () => {
  const pool = new SimplePool()
  const author = new Author()
  const event = author.event({ content: 'from the pool', tags: [['t', 'pool']] })
  await Promise.all(pool.publish([gateway.url], event))
  assert.equal((await pool.get([gateway.url], { ids: [event.id] })).content, 'from the pool')
  assert.equal((await pool.querySync([gateway.url], { '#t': ['pool'] })).length, 1)
  pool.close([gateway.url])
  assert.ok((await fetchRelayInformation(gateway.url)).supported_nips.includes(1))
})

test('NDK: publish, fetch, subscribe', async () => {
  globalThis.WebSocket ??= WebSocket
  const ndk = new NDK({ explicitRelayUrls: [gateway.url], signer: NDKPrivateKeySigner.generate(), enableOutboxModel: false })
  await ndk.connect(3000)
  const user = await ndk.signer.user()
  const live = []
  const subscription = ndk.subscribe({ authors: [user.pubkey] }, { closeOnEose: false }, { onEvent: event => live.push(event) })
  const event = new NDKEvent(ndk, { kind: 1, content: 'hello from NDK', tags: [['t', 'ndk']] })
  const relays = await event.publish()
  assert.equal(relays.size, 1)
  const fetched = await ndk.fetchEvents({ '#t': ['ndk'] })
  assert.deepEqual([...fetched].map(e => e.id), [event.id])
  const profile = new NDKEvent(ndk, { kind: 0, content: JSON.stringify({ name: 'tester' }) })
  await profile.publish()
  assert.equal((await user.fetchProfile())?.name, 'tester')
  await new Promise(resolve => setTimeout(resolve, 200))
  assert.ok(live.some(e => e.id === event.id))
  subscription.stop()
  for (const relay of ndk.pool.relays.values()) relay.disconnect()
})
