// NIP-42 through the gateway: clients prove who they are to a worker's relay, and go on reading what only they may when that worker dies.
import { after, before, test } from 'node:test'
import assert from 'node:assert/strict'
import { cp, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import WebSocket from 'ws'
import { Relay, useWebSocketImplementation } from 'nostr-tools/relay'
import { finalizeEvent, getPublicKey } from 'nostr-tools/pure'
import NDK, { NDKPrivateKeySigner, NDKRelayAuthPolicies, NDKRelayStatus } from '@nostr-dev-kit/ndk'
import { bytesToHex } from '@noble/hashes/utils.js'
import { Author, Client } from '../lib/client.mjs'
import { until } from '../lib/command.mjs'
import { Members } from '../lib/members.mjs'
import { Program } from '../lib/program.mjs'

useWebSocketImplementation(WebSocket)
const timeout = 120000, author = new Author()
const tools = new Uint8Array(32).fill(7), ndkSecret = new Uint8Array(32).fill(9)
const readers = [tools, ndkSecret].map(secret => getPublicKey(secret))
const secretNote = content => author.event({ kind: 4, content, tags: readers.map(key => ['p', key]) })

let members, url, first
const start = name => members.worker(name, ['--relay-gateway-path', 'letters'])
before(async () => {
  members = await Members.start()
  // One relay on two machines: the same core signs for both.
  const alone = await members.keep(Program.start(['gateway', '--data', members.path('first'), '--listen', '127.0.0.1:0', '--relay-bee'], /relay at (ws:\S+),/))
  await alone.end()
  await cp(members.path('first'), members.path('second'), { recursive: true })
  for (const name of await readdir(members.path('second/keys'))) if (name.startsWith('swarm')) await rm(members.path(join('second/keys', name)))
  first = await start('first')
  await members.registered('letters', 1)
  url = `${members.url}/letters`
})
after(() => members?.stop())

test('nostr-tools and NDK prove their keys once, and go on after their worker has died', { timeout }, async () => {
  const got = { tools: [], ndk: [] }, closed = []
  let asked = 0
  const relay = new Relay(url, { websocketImplementation: WebSocket })
  relay.onauth = async event => { asked++; return finalizeEvent(event, tools) }
  await relay.connect()
  await until(() => asked === 1)
  await relay.auth(relay.onauth) // resolves with the relay's OK
  relay.subscribe([{ kinds: [4], '#p': [readers[0]] }], { onevent: event => got.tools.push(event.content), onclose: reason => closed.push(reason) })

  const signer = new NDKPrivateKeySigner(bytesToHex(ndkSecret))
  const ndk = new NDK({ explicitRelayUrls: [url], signer, enableOutboxModel: false })
  // Its event "relay:authed" is lost where a subscription ends before: tseep's off() takes more than was put in.
  let proven = false
  const signIn = NDKRelayAuthPolicies.signIn({ ndk, signer })
  ndk.relayAuthDefaultPolicy = async (...of) => {
    const event = await signIn(...of)
    proven = true
    return event
  }
  await ndk.connect(5000)
  await until(() => proven && [...ndk.pool.relays.values()][0].status === NDKRelayStatus.CONNECTED) // AUTHENTICATING until the relay's OK
  ndk.subscribe([{ kinds: [4], '#p': [readers[1]] }], { closeOnEose: false, groupable: false }, { onEvent: event => got.ndk.push(event.content) })

  const writer = await Client.connect(url)
  const publish = async content => {
    const note = secretNote(content)
    await until(async () => (await writer.publish(note))[0], 30000)
    await until(() => got.tools.includes(content) && got.ndk.includes(content), 20000).catch(() => assert.fail(JSON.stringify([content, got, closed])))
  }
  await publish('before')
  await start('second')
  await members.registered('letters', 2)
  await first.end('SIGKILL')
  await until(async () => (await members.admin('dispatcher')).peers.filter(peer => peer.peer !== first.key && peer.sessions === 3).length === 1, 60000)
  await publish('after')
  assert.deepEqual(got, { tools: ['before', 'after'], ndk: ['before', 'after'] })
  assert.deepEqual([asked, closed], [1, []])
  writer.close()
  relay.close()
  for (const one of ndk.pool.relays.values()) one.disconnect()
})
