// What one connection may cost: memory of filters and of answers that nobody reads, time, and what expires meanwhile.
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { constants, deflateRawSync } from 'node:zlib'
import { Gateway } from './lib/gateway.mjs'
import { Author, Client, now, sleep } from './lib/client.mjs'
import { metrics, ownMemory, until } from './lib/command.mjs'

const timeout = 120000
const MiB = 1 << 20
const keys = count => Array.from({ length: count }, () => randomBytes(32).toString('hex'))
const subscriptions = async gateway => Number((await metrics(gateway)).match(/^holdfast_relay_subscriptions\S* (\d+)/m)[1])

async function withGateway (args, body) {
  const gateway = await Gateway.start({ args })
  try { await body(gateway) } finally { await gateway.stop() }
}

// A relay with more stored than sockets buffer, and a client that does not read.
async function withDeafReader (args, body) {
  await withGateway(args, async gateway => {
    const author = new Author()
    const publisher = await Client.connect(gateway.url)
    const events = Array.from({ length: 480 }, (_, i) => author.event({ content: `${i} ${randomBytes(12000).toString('hex')}` }))
    for (let at = 0; at < events.length; at += 60) await Promise.all(events.slice(at, at + 60).map(event => publisher.publish(event)))
    const deaf = await Client.connect(gateway.url, { perMessageDeflate: false })
    deaf.socket.pause()
    await body({ gateway, author, publisher, deaf })
    deaf.close()
    publisher.close()
  })
}

test('the filters of one connection take bounded memory; closing some makes room', { timeout }, () => withGateway([], async gateway => {
  const client = await Client.connect(gateway.url)
  const start = await ownMemory(gateway)
  const open = async id => {
    const answer = client.next(m => (m[0] === 'EOSE' || m[0] === 'CLOSED') && m[1] === id)
    client.send(['REQ', id, { '#t': keys(5000) }, { '#p': keys(5000) }])
    return answer
  }
  let refused
  const taken = []
  for (let i = 0; i < 64 && !refused; i++) {
    const answer = await open(`s${i}`)
    if (answer[0] === 'CLOSED') refused = answer
    else taken.push(`s${i}`)
  }
  assert.match(refused?.[2] ?? '', /^rate-limited:/)
  assert.ok(taken.length >= 4, 'a few of the largest are no abuse')
  assert.ok(await ownMemory(gateway) - start < 48 * MiB)
  assert.deepEqual(await client.ids({ kinds: [1] }), [], 'a small filter finds room')
  for (const id of taken) client.send(['CLOSE', id])
  assert.equal((await open('again'))[0], 'EOSE')
  client.close()
}))

test('sixty long queries of a reader who does not read cost little more than one', { timeout }, () =>
  withDeafReader(['--websocket-send-queue-max', '1MiB'], async ({ gateway, deaf }) => {
    const start = await ownMemory(gateway)
    for (let i = 0; i < 60; i++) deaf.send(['REQ', `s${i}`, { kinds: [1] }, { limit: 400 }])
    await until(async () => await subscriptions(gateway) === 60)
    await sleep(500)
    assert.ok(await ownMemory(gateway) - start < 6 * MiB)
    const ends = until(() => deaf.messages.filter(m => m[0] === 'EOSE').length === 60, 60000)
    deaf.socket.resume()
    await ends
  }))

test('a reader who does not read cannot hold a query beyond its time', { timeout }, () =>
  withDeafReader(['--relay-query-timeout', '2s'], async ({ gateway, deaf }) => {
    for (let i = 0; i < 10; i++) deaf.send(['REQ', `s${i}`, { kinds: [1] }, { limit: 400 }])
    await until(async () => await subscriptions(gateway) === 10)
    await until(async () => await subscriptions(gateway) === 0, 10000)
  }))

test('a live event that waited for EOSE until it expired is not sent (NIP-40)', { timeout }, () =>
  withDeafReader(['--websocket-send-queue-max', '1MiB'], async ({ author, publisher, deaf, gateway }) => {
    deaf.send(['REQ', 'all', { limit: 400 }, { kinds: [1] }])
    await until(async () => await subscriptions(gateway) === 1)
    const brief = author.event({ kind: 7, tags: [['expiration', String(now() + 2)]] })
    const lasting = author.event({ kind: 7, tags: [['expiration', String(now() + 3600)]] })
    assert.deepEqual(await publisher.publish(brief), [true, ''])
    assert.deepEqual(await publisher.publish(lasting), [true, ''])
    await sleep(2500)
    const arrived = deaf.next(m => m[0] === 'EVENT' && m[2].id === lasting.id)
    deaf.socket.resume()
    await arrived
    assert.ok(deaf.messages.findIndex(m => m[0] === 'EOSE') < deaf.messages.findIndex(m => m[2]?.id === lasting.id), 'it did wait for EOSE')
    assert.equal(deaf.messages.some(m => m[2]?.id === brief.id), false)
  }))

// A masked text frame of up to 65,535 bytes, compressed.
function compressedFrame (text) {
  const payload = deflateRawSync(Buffer.from(text), { finishFlush: constants.Z_SYNC_FLUSH }).subarray(0, -4)
  return Buffer.concat([Buffer.from([0xc1, 0x80 | 126, payload.length >> 8, payload.length & 255, 0, 0, 0, 0]), payload])
}

test('a client whose kilobytes inflate to megabytes leaves others their time', { timeout }, () => withGateway([], async gateway => {
  const hostile = await Client.connect(gateway.url)
  const other = await Client.connect(gateway.url)
  const bombs = Buffer.concat(Array(64).fill(compressedFrame(`["REQ","x",${' '.repeat(1000000)}{"limit":0}]`)))
  let goesOn = true
  const pump = () => { if (goesOn) hostile.socket._socket.write(bombs, pump) }
  pump()
  await sleep(200)
  const start = Date.now()
  for (let i = 0; i < 10; i++) await other.query({ ids: ['00'.repeat(32)] })
  goesOn = false
  assert.ok(Date.now() - start < 8000, `ten look-ups took ${Date.now() - start} ms`)
  assert.ok(hostile.messages.some(m => m[0] === 'EOSE'), 'and is served')
  hostile.close()
  other.close()
}))

test('large events on their way to the disk take bounded memory', { timeout }, () => withGateway([], async gateway => {
  const author = new Author()
  const client = await Client.connect(gateway.url)
  const frames = Array.from({ length: 240 }, (_, i) => compressedFrame(JSON.stringify(['EVENT', author.event({ content: 'x'.repeat(250000) + i })])))
  const start = await ownMemory(gateway)
  client.socket._socket.write(Buffer.concat(frames))
  let most = 0
  await until(async () => {
    most = Math.max(most, await ownMemory(gateway) - start)
    return client.messages.filter(m => m[0] === 'OK' && m[2]).length === frames.length
  }, 30000)
  assert.ok(most < 48 * MiB, `${most} bytes`)
  client.close()
}))

const gauge = (text, name) => text.split('\n').filter(line => line.startsWith(name)).reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)

// Runs greedy clients against a gateway of 48 MiB while a polite one publishes and reads; gives what was seen.
async function amongGreedyOnes (gateway, greedy) {
  const author = new Author()
  const polite = await Client.connect(gateway.url)
  await polite.query({ kinds: [1], authors: [author.pubkey] }, { id: 'live', keep: true })
  const start = await ownMemory(gateway)
  let [goesOn, most, used, rounds] = [true, 0, 0, 0]
  const work = (async () => {
    for (; goesOn || rounds < 10; rounds++) {
      const event = author.event({ content: `polite ${rounds}` })
      const live = polite.next(m => m[0] === 'EVENT' && m[1] === 'live' && m[2].id === event.id)
      assert.deepEqual(await polite.publish(event), [true, ''])
      await live
      assert.deepEqual(await polite.ids({ ids: [event.id] }), [event.id])
      most = Math.max(most, await ownMemory(gateway) - start)
      used = Math.max(used, gauge(await metrics(gateway), 'holdfast_memory_bytes'))
      await sleep(20)
    }
  })()
  try { await greedy() } finally { goesOn = false; await work }
  assert.equal(polite.closeCode, undefined, 'the polite one stays')
  polite.close()
  return { most, used, text: await metrics(gateway) }
}

test('many connections with large filters hit the bound together; those that hold most go', { timeout }, () =>
  withGateway(['--gateway-memory-max', '48MiB'], async gateway => {
    const large = JSON.stringify([{ '#t': keys(5000) }, { '#p': keys(5000) }]).slice(1, -1)
    const clients = []
    const { most, used, text } = await amongGreedyOnes(gateway, async () => {
      for (let i = 0; i < 16; i++) {
        const client = await Client.connect(gateway.url)
        clients.push(client)
        for (let k = 0; k < 5 && client.closeCode === undefined; k++) {
          const answer = client.next(m => ['EOSE', 'CLOSED'].includes(m[0]) && m[1] === `s${k}`).catch(() => {})
          client.send(`["REQ","s${k}",${large}]`)
          await answer
        }
      }
    })
    assert.equal(gauge(text, 'holdfast_memory_max_bytes'), 48 * MiB)
    assert.ok(used > 24 * MiB && used <= 48 * MiB, `${used} bytes were counted`)
    assert.ok(most < 96 * MiB, `${most} bytes were taken`)
    const ended = clients.filter(client => client.closeCode === 1008).length
    assert.ok(ended >= 4 && ended < 16, `${ended} of 16 were ended`)
    assert.equal(gauge(text, 'holdfast_memory_disconnects_total'), ended)
    assert.match(gateway.log, /memory is short/)
    for (const client of clients) client.close()
  }))

test('many connections that do not read hit the bound together; those that hold most go', { timeout }, () =>
  withGateway(['--gateway-memory-max', '48MiB'], async gateway => {
    const author = new Author()
    const publisher = await Client.connect(gateway.url)
    for (let i = 0; i < 300; i++) await publisher.publish(author.event({ kind: 2, content: randomBytes(12000).toString('hex') }))
    const clients = []
    const { most, used, text } = await amongGreedyOnes(gateway, async () => {
      for (let i = 0; i < 60; i++) {
        const client = await Client.connect(gateway.url, { perMessageDeflate: false })
        client.socket.pause()
        client.send(['REQ', 'x', { kinds: [2] }])
        clients.push(client)
      }
      await until(async () => gauge(await metrics(gateway), 'holdfast_memory_disconnects_total') > 0, 20000)
    })
    assert.ok(used > 24 * MiB && used <= 52 * MiB, `${used} bytes were counted`)
    assert.ok(most < 96 * MiB, `${most} bytes were taken`)
    assert.ok(gauge(text, 'holdfast_relay_connections') < 60)
    for (const client of clients) client.close()
    publisher.close()
    await until(async () => gauge(await metrics(gateway), 'holdfast_memory_bytes') < 2 * MiB, 20000)
  }))
