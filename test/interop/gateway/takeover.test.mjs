// Context takeover (RFC 7692): the ws package in all its configurations reads what it would read without, in fewer bytes; memory that is short ends the
// offer and not the service.
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { chromium } from 'playwright-core'
import { Author, Client } from '../lib/client.mjs'
import { metrics, until } from '../lib/command.mjs'
import { Gateway } from '../lib/gateway.mjs'

const timeout = 60000
const author = new Author()
const memory = async gateway => Number((await metrics(gateway)).match(/^holdfast_memory_bytes\{kind="receive"\} (\d+)/m)[1])

async function withGateway (args, use) {
  const gateway = await Gateway.start({ args })
  try { await use(gateway) } finally { await gateway.stop() }
}

// What a feed looks like: notes of few authors with the same tags, live and stored; gives the bytes that came.
async function feed (gateway, perMessageDeflate, kind) {
  const client = await Client.connect(gateway.url, { perMessageDeflate })
  const from = client.socket._socket.bytesRead
  await client.query({ kinds: [kind] }, { id: 'live', keep: true })
  const events = Array.from({ length: 60 }, (_, i) => author.event({ kind, content: `Note ${i}: ${'the same words again and '.repeat(i % 4)}`, tags: [['t', 'nostr'], ['p', author.pubkey]] }))
  const seen = Promise.all(events.map(event => client.next(m => m[0] === 'EVENT' && m[1] === 'live' && m[2].id === event.id)))
  for (const event of events) assert.deepEqual(await client.publish(event), [true, ''])
  for (const [, , event] of await seen) assert.deepEqual(event, JSON.parse(JSON.stringify(events.find(({ id }) => id === event.id))))
  assert.equal((await client.query({ kinds: [kind] })).length, 60)
  const bytes = client.socket._socket.bytesRead - from
  const extensions = client.socket._extensions['permessage-deflate']?.params
  const large = author.event({ kind: kind + 100, content: randomBytes(60000).toString('base64') })
  assert.deepEqual(await client.publish(large), [true, ''])
  assert.deepEqual((await client.query({ ids: [large.id] })).map(event => event.content), [large.content], 'what does not compress')
  client.close()
  return { bytes, extensions }
}

test('every way of the ws package to agree is understood both ways, and saves bytes', { timeout }, () => withGateway(['--websocket-deflate-takeover'], async gateway => {
  const plain = await feed(gateway, false, 1000)
  const each = await feed(gateway, { threshold: 0, serverNoContextTakeover: true, clientNoContextTakeover: true }, 1001)
  let kind = 1002
  for (const options of [{}, { serverNoContextTakeover: true }, { clientNoContextTakeover: true }, { serverMaxWindowBits: 9, clientMaxWindowBits: 9 },
    { serverMaxWindowBits: 11 }, { clientMaxWindowBits: 15 }, { serverMaxWindowBits: 15, clientMaxWindowBits: 10 }]) {
    const { bytes, extensions } = await feed(gateway, { threshold: 0, ...options }, kind++)
    assert.ok(extensions, JSON.stringify(options))
    assert.ok(bytes < plain.bytes, `${JSON.stringify(options)}: ${bytes} of ${plain.bytes} bytes`)
    if (!options.serverNoContextTakeover) assert.ok(bytes < each.bytes, `${JSON.stringify(options)}: ${bytes} of ${each.bytes} bytes without takeover`)
  }
}))

test('it is off by default, counted, given back, and not for when memory is short', { timeout }, async () => {
  await withGateway([], async gateway => {
    const client = await Client.connect(gateway.url, { perMessageDeflate: true })
    assert.ok(client.socket._extensions['permessage-deflate'].params.server_no_context_takeover)
    client.close()
  })
  await withGateway(['--websocket-deflate-takeover', '--gateway-memory-max', '16MiB'], async gateway => {
    const clients = []
    const takes = client => !client.socket._extensions['permessage-deflate'].params.server_no_context_takeover
    for (let last = true; last && clients.length < 400;) {
      const client = await Client.connect(gateway.url, { perMessageDeflate: { threshold: 0 } })
      assert.deepEqual(await client.publish(author.event({ content: `window ${clients.length}` })), [true, '']) // which begins with what is said
      last = takes(client)
      clients.push(client)
    }
    const held = await memory(gateway)
    assert.ok(!takes(clients.at(-1)) && clients.length > 100, `${clients.length} connections`)
    assert.ok(held / clients.length > 30000 && held / clients.length < 90000, `${held / clients.length} bytes each`)
    assert.deepEqual(await clients.at(-1).publish(author.event({ content: 'served nevertheless' })), [true, ''])
    for (const client of clients) client.close()
    await until(async () => await memory(gateway) < 100000)
  })
})

test('an idle connection keeps only what its client may refer to', { timeout }, () =>
  withGateway(['--websocket-deflate-takeover', '--websocket-ping-interval', '3s'], async gateway => {
    const clients = await Promise.all(Array.from({ length: 20 }, () => Client.connect(gateway.url, { perMessageDeflate: { threshold: 0 } })))
    const say = async client => assert.deepEqual(await client.publish(author.event({ content: randomBytes(8).toString('hex') })), [true, ''])
    await Promise.all(clients.map(say))
    const busy = await memory(gateway) / clients.length
    await until(async () => await memory(gateway) / clients.length < busy / 2, 30000)
    assert.ok(await memory(gateway) / clients.length > 4096, 'what clients have said is remembered')
    await Promise.all(clients.map(say))
    for (const client of clients) client.close()
  }))

test('a page in Chromium takes it, and reads what was published', { timeout }, () => withGateway(['--websocket-deflate-takeover'], async gateway => {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync'] })
  try {
    const publisher = await Client.connect(gateway.url)
    const events = Array.from({ length: 30 }, (_, i) => author.event({ content: `for the page ${i}` }))
    for (const event of events) await publisher.publish(event)
    publisher.close()
    const page = await (await browser.newContext({ bypassCSP: true })).newPage()
    await page.goto(gateway.http)
    const { extensions, ids } = await page.evaluate(url => new Promise((resolve, reject) => {
      const socket = new WebSocket(url)
      const ids = []
      socket.onopen = () => socket.send(JSON.stringify(['REQ', 'x', { kinds: [1] }]))
      socket.onerror = reject
      socket.onmessage = ({ data }) => {
        const [type, , event] = JSON.parse(data)
        if (type === 'EVENT') ids.push(event.id)
        if (type === 'EOSE') resolve({ extensions: socket.extensions, ids })
      }
    }), gateway.url)
    assert.match(extensions, /permessage-deflate/)
    assert.doesNotMatch(extensions, /no_context_takeover/)
    assert.deepEqual(new Set(ids), new Set(events.map(event => event.id)))
  } finally {
    await browser.close()
  }
}))
