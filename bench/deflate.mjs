// What compression saves on a feed of notes, and what it costs: bytes to one subscriber, without it, message by message, and with context takeover.
// Usage: HOLDFAST=build/holdfast node bench/deflate.mjs
import { randomBytes } from 'node:crypto'
import { Author, Client } from '../test/interop/lib/client.mjs'
import { metrics } from '../test/interop/lib/command.mjs'
import { Gateway } from '../test/interop/lib/gateway.mjs'

const NOTES = 600
const AUTHORS = 40
const CONNECTIONS = 50
const words = 'the a of to and is in it you that for on this with not are be at as have but from they was what there one all we can just like time people good know new more think about when out so up now see only into some could them other than then first'.split(' ')

// Notes as they are: half are answers with two or three tags, a third have a link, lengths vary. Always the same for a seed.
function notes () {
  let seed = 7
  const random = below => (seed = (seed * 1103515245 + 12345) % 2147483648) % below
  const authors = Array.from({ length: AUTHORS }, () => new Author())
  const ids = [randomBytes(32).toString('hex')]
  return Array.from({ length: NOTES }, (_, i) => {
    const author = authors[random(AUTHORS)]
    const text = Array.from({ length: 4 + random(40) }, () => words[random(words.length)]).join(' ')
    const content = random(3) ? text : `${text} https://example.org/${random(1e9).toString(36)}.jpg`
    const tags = random(2) ? [] : [['e', ids[random(ids.length)], '', 'root'], ['p', authors[random(AUTHORS)].pubkey], ...(random(2) ? [['client', 'some app']] : [])]
    const event = author.event({ content, tags, created_at: 1700000000 + i })
    ids.push(event.id)
    return event
  })
}

async function measure (name, args, perMessageDeflate, feed) {
  const gateway = await Gateway.start({ args })
  const held = async () => Number((await metrics(gateway)).match(/^holdfast_memory_bytes\{kind="receive"\} (\d+)/m)[1])
  const reader = await Client.connect(gateway.url, { perMessageDeflate })
  const publisher = await Client.connect(gateway.url, { perMessageDeflate: false })
  await reader.query({ kinds: [1] }, { id: 'live', keep: true })
  const from = reader.socket._socket.bytesRead
  const last = reader.next(m => m[0] === 'EVENT' && m[2].id === feed.at(-1).id, 60000)
  for (const event of feed) await publisher.publish(event)
  await last
  const live = reader.socket._socket.bytesRead - from
  const before = await held()
  const others = await Promise.all(Array.from({ length: CONNECTIONS }, () => Client.connect(gateway.url, { perMessageDeflate })))
  const each = Math.round((await held() - before) / CONNECTIONS)
  console.log(`${name.padEnd(28)} ${String(live).padStart(8)} bytes of ${feed.length} notes, ${each} bytes of memory a connection`)
  for (const client of [reader, publisher, ...others]) client.close()
  await gateway.stop()
  return live
}

const feed = notes()
const plain = await measure('no compression', [], false, feed)
const alone = await measure('each message alone', [], { threshold: 0 }, feed)
const own = await measure('context takeover', ['--websocket-deflate-takeover'], { threshold: 0 }, feed)
console.log(`of ${plain} bytes: ${(alone / plain * 100).toFixed(0)} % message by message, ${(own / plain * 100).toFixed(0)} % with context takeover`)
