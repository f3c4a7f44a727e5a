// kill -9 at random moments while the relay has a bee: every accepted event is in the bee, once, and none that is gone; and whoever follows it
// never sees another history. SCALE multiplies the rounds.
import { after, before, test } from 'node:test'
import assert from 'node:assert/strict'
import { Gateway } from '../lib/gateway.mjs'
import { Author, Client, now, sleep } from '../lib/client.mjs'
import { until } from '../lib/command.mjs'
import { Follower, beeInfo } from '../lib/relay_bee.mjs'

const rounds = Math.ceil(6 * Number(process.env.SCALE ?? 1))
const args = ['--gateway-cores-listen', '127.0.0.1:0', '--relay-bee', '--relay-limit-max', '100000', '--relay-bee-batch', '40',
  '--relay-bee-interval', '5ms', '--relay-sweep-interval', '1s']
let gateway
before(async () => { gateway = await Gateway.start({ args }) })
after(() => gateway.stop())

// Events of a round: notes, of which the first is deleted and some expire, and versions of one profile.
function some (author, round) {
  const notes = Array.from({ length: 16 }, (_, i) => author.event({
    content: `${round} ${i} ${Math.random()}`, tags: [['t', `r${round}`], ...i === 3 ? [['expiration', String(now() + 2)]] : []]
  }))
  return [...notes, author.event({ kind: 30000 + round, content: `${Math.random()}`, tags: [['d', 'one']] })]
}

async function publishUntilClosed (client, author, round, accepted) {
  try {
    for (;;) {
      const events = some(author, round)
      await Promise.all(events.map(async event => { if ((await client.publish(event))[0]) accepted.add(event.id) }))
      await client.publish(author.event({ kind: 5, tags: [['e', events[0].id]] }))
    }
  } catch (error) {
    assert.match(error.message, /closed with/)
  }
}

test(`${rounds} kills under load: the bee misses nothing, repeats nothing, takes nothing back`, { timeout: 60000 * rounds }, async () => {
  const authors = Array.from({ length: 3 }, () => new Author())
  const accepted = new Set()
  const follower = await Follower.open(gateway)
  follower.core.download({ start: 0, end: -1 })
  for (let round = 0; round < rounds; round++) {
    const clients = await Promise.all(authors.map(() => Client.connect(gateway.url)))
    const publishing = clients.map((client, i) => publishUntilClosed(client, authors[i], round, accepted))
    await sleep(50 + Math.random() * 500)
    await gateway.kill()
    await Promise.all(publishing)
    await gateway.up()
    follower.socket.destroy()
    await follower.dial()
    const reader = await Client.connect(gateway.url)
    await until(async () => {
      const facts = await beeInfo(gateway)
      await follower.core.update({ wait: true })
      return facts.lag_events === 0 && follower.core.length === facts.version
    }, 20000)
    await sleep(1200) // of the sweep, and of what it took
    await until(async () => (await beeInfo(gateway)).version === follower.core.length, 5000)
    const { events, index } = await follower.rows()
    const inBee = events.map(([key]) => key.toString('hex')).sort()
    const inRelay = (await reader.ids({ since: 0 })).sort()
    const missing = inRelay.filter(id => !inBee.includes(id))
    assert.deepEqual(missing, [], `round ${round}: missing`)
    // Of what the relay does not serve, only what expired a moment ago and was not swept yet.
    for (const [key, value] of events) {
      const event = JSON.parse(value)
      assert.equal(event.id, key.toString('hex'))
      if (!inRelay.includes(event.id)) assert.ok(event.tags.some(([name, at]) => name === 'expiration' && Number(at) <= now()), `round ${round}: too much`)
    }
    assert.equal(index.length, events.reduce((sum, [, value]) => sum + 3 + JSON.parse(value).tags.filter(tag => tag.length > 1).length, 0))
    assert.equal(follower.core.fork, 0)
    reader.close()
  }
  assert.ok(accepted.size > 0)
  const puts = new Map()
  for await (const { type, key } of follower.bee.createHistoryStream()) {
    if (key.length === 32 && type === 'put') puts.set(key.toString('hex'), (puts.get(key.toString('hex')) ?? 0) + 1)
  }
  for (const [id, times] of puts) assert.equal(times, 1, `${id} was put ${times} times`)
  await follower.close()
})
