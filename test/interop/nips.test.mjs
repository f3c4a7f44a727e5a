// NIPs 9, 11, 40, 42, 45 and 70.
import { after, before, describe, test } from 'node:test'
import assert from 'node:assert/strict'
import { Gateway } from './lib/gateway.mjs'
import { Author, Client, now, sleep } from './lib/client.mjs'

let gateway, client
before(async () => { gateway = await Gateway.start(); client = await Client.connect(gateway.url) })
after(async () => { client.close(); await gateway.stop() })

const gone = async id => (await client.ids({ ids: [id] })).length === 0

// A connection that has answered the challenge as this author.
async function authenticated (author) {
  const own = await Client.connect(gateway.url)
  const [, challenge] = own.messages.find(m => m[0] === 'AUTH') ?? await own.next(m => m[0] === 'AUTH')
  const [accepted, reason] = await own.publish(author.event({ kind: 22242, tags: [['relay', gateway.url], ['challenge', challenge]] }), { verb: 'AUTH' })
  assert.equal(accepted, true, reason)
  return own
}

describe('NIP-09 deletion', () => {
  test('by id: the event goes, does not come back, and the deletion stays', async () => {
    const author = new Author()
    const event = author.event({ content: 'regretted' })
    await client.publish(event)
    const deletion = author.event({ kind: 5, tags: [['e', event.id]] })
    assert.equal((await client.publish(deletion))[0], true)
    assert.ok(await gone(event.id))
    const [accepted, reason] = await client.publish(event)
    assert.equal(accepted, false)
    assert.match(reason, /^blocked:/)
    assert.deepEqual(await client.ids({ authors: [author.pubkey] }), [deletion.id])
  })

  test('before the event arrives', async () => {
    const author = new Author()
    const event = author.event({ content: 'late' })
    await client.publish(author.event({ kind: 5, tags: [['e', event.id]] }))
    assert.equal((await client.publish(event))[0], false)
    assert.ok(await gone(event.id))
  })

  test('of another author does nothing', async () => {
    const event = new Author().event()
    await client.publish(event)
    await client.publish(new Author().event({ kind: 5, tags: [['e', event.id]] }))
    assert.ok(!await gone(event.id))
  })

  test('a deletion cannot be deleted', async () => {
    const author = new Author()
    const event = author.event()
    const deletion = author.event({ kind: 5, tags: [['e', event.id]] })
    await client.publish(event)
    await client.publish(deletion)
    await client.publish(author.event({ kind: 5, tags: [['e', deletion.id]], content: 'undo' }))
    assert.ok(!await gone(deletion.id))
    assert.ok(await gone(event.id))
  })

  for (const kind of [30023, 10002, 0]) {
    test(`by address, kind ${kind}: versions up to the deletion go, later ones are welcome`, async () => {
      const author = new Author()
      const at = now() - 100
      const tags = kind >= 30000 ? [['d', 'x:y']] : []
      const address = `${kind}:${author.pubkey}:${kind >= 30000 ? 'x:y' : ''}`
      const old = author.event({ kind, created_at: at, tags, content: 'old' })
      await client.publish(old)
      await client.publish(author.event({ kind: 5, created_at: at + 10, tags: [['a', address]] }))
      assert.ok(await gone(old.id))
      const between = author.event({ kind, created_at: at + 10, tags, content: 'between' })
      assert.equal((await client.publish(between))[0], false)
      const later = author.event({ kind, created_at: at + 11, tags, content: 'later' })
      assert.equal((await client.publish(later))[0], true)
      assert.ok(!await gone(later.id))
    })
  }
})

describe('NIP-11 relay information', () => {
  test('is given to who asks for it, from any origin', async () => {
    const response = await fetch(gateway.http + '/', { headers: { Accept: 'application/nostr+json' } })
    assert.equal(response.status, 200)
    assert.match(response.headers.get('content-type'), /application\/nostr\+json/)
    assert.equal(response.headers.get('access-control-allow-origin'), '*')
    const facts = await response.json()
    for (const nip of [1, 9, 11, 40, 42, 45, 70]) assert.ok(facts.supported_nips.includes(nip), `NIP ${nip}`)
    assert.equal(typeof facts.name, 'string')
    assert.match(facts.software, /holdfast/i)
    assert.equal(typeof facts.version, 'string')
    for (const name of ['max_message_length', 'max_subscriptions', 'max_limit', 'max_subid_length']) {
      assert.ok(facts.limitation[name] > 0, name)
    }
  })

  test('a browser gets a page', async () => {
    const response = await fetch(gateway.http + '/', { headers: { Accept: 'text/html' } })
    assert.match(response.headers.get('content-type'), /text\/html/)
  })
})

describe('NIP-40 expiration', () => {
  test('an expired event is refused; one that expires is never served after', async () => {
    const author = new Author()
    const [accepted, reason] = await client.publish(author.event({ tags: [['expiration', String(now() - 1)]] }))
    assert.equal(accepted, false)
    assert.match(reason, /^(invalid|blocked):/)
    const brief = author.event({ tags: [['expiration', String(now() + 2)]] })
    assert.equal((await client.publish(brief))[0], true)
    assert.deepEqual(await client.ids({ ids: [brief.id] }), [brief.id])
    await sleep(3100)
    assert.deepEqual(await client.ids({ ids: [brief.id] }), [])
    assert.equal((await client.count({ ids: [brief.id] }))[2].count, 0)
  })
})

describe('NIP-42 authentication', () => {
  test('a challenge comes first; a wrong answer is refused', async () => {
    const own = await Client.connect(gateway.url)
    const [, challenge] = own.messages.find(m => m[0] === 'AUTH') ?? await own.next(m => m[0] === 'AUTH')
    assert.ok(challenge.length >= 16)
    const author = new Author()
    for (const tags of [
      [['relay', gateway.url], ['challenge', 'wrong']],
      [['relay', 'wss://elsewhere.example'], ['challenge', challenge]],
      [['challenge', challenge]]
    ]) {
      const [accepted, reason] = await own.publish(author.event({ kind: 22242, tags }), { verb: 'AUTH' })
      assert.equal(accepted, false)
      assert.match(reason, /^(invalid|restricted|auth-required|error):/)
    }
    const stale = author.event({ kind: 22242, created_at: now() - 3600, tags: [['relay', gateway.url], ['challenge', challenge]] })
    assert.equal((await own.publish(stale, { verb: 'AUTH' }))[0], false)
    own.close()
  })

  test('kind 22242 is never stored nor broadcast', async () => {
    const author = new Author()
    await client.query({ authors: [author.pubkey] }, { id: 'spy', keep: true })
    const [accepted] = await client.publish(author.event({ kind: 22242, tags: [['relay', gateway.url], ['challenge', 'x']] }))
    assert.equal(accepted, false)
    await sleep(50)
    assert.equal(client.messages.filter(m => m[0] === 'EVENT' && m[1] === 'spy').length, 0)
  })

  for (const kind of [4, 1059]) {
    test(`kind ${kind} is read only by those involved`, async () => {
      const [from, to, other] = [new Author(), new Author(), new Author()]
      const event = from.event({ kind, content: 'sealed', tags: [['p', to.pubkey]] })
      await client.publish(event)
      assert.deepEqual(await client.ids({ ids: [event.id] }).catch(error => { assert.match(error.message, /^auth-required:/); return [] }), [])
      await assert.rejects(client.query({ kinds: [kind] }), /auth-required:/)
      for (const [who, expected] of [[from, [event.id]], [to, [event.id]], [other, []]]) {
        const own = await authenticated(who)
        assert.deepEqual(await own.ids({ ids: [event.id] }), expected)
        assert.equal((await own.count({ ids: [event.id] }))[2].count, expected.length)
        own.close()
      }
    })

    test(`kind ${kind} is delivered live only to those involved`, async () => {
      const [from, to, other] = [new Author(), new Author(), new Author()]
      const [good, bad] = [await authenticated(to), await authenticated(other)]
      for (const own of [good, bad]) await own.query({ authors: [from.pubkey] }, { id: 'live', keep: true })
      const live = good.next(m => m[0] === 'EVENT')
      const event = from.event({ kind, tags: [['p', to.pubkey]] })
      await client.publish(event)
      assert.equal((await live)[2].id, event.id)
      await sleep(50)
      assert.equal(bad.messages.filter(m => m[0] === 'EVENT').length, 0)
      good.close(); bad.close()
    })
  }
})

describe('NIP-45 count', () => {
  test('counts what a REQ would give, without a limit', async () => {
    const author = new Author()
    for (let i = 0; i < 25; i++) await client.publish(author.event({ content: String(i), kind: i % 2 }))
    const [verb, , answer] = await client.count({ authors: [author.pubkey], kinds: [1] })
    assert.equal(verb, 'COUNT')
    assert.equal(answer.count, 12)
    assert.equal((await client.count([{ authors: [author.pubkey], kinds: [1] }, { authors: [author.pubkey] }]))[2].count, 13)
  })
})

describe('NIP-70 protected events', () => {
  test('are taken only from their authenticated author', async () => {
    const author = new Author()
    const event = author.event({ tags: [['-']] })
    const [accepted, reason] = await client.publish(event)
    assert.equal(accepted, false)
    assert.match(reason, /^auth-required:/)
    const stranger = await authenticated(new Author())
    const [taken, why] = await stranger.publish(event)
    assert.equal(taken, false)
    assert.match(why, /^restricted:/)
    const own = await authenticated(author)
    assert.equal((await own.publish(event))[0], true)
    stranger.close(); own.close()
  })
})
