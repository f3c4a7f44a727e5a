// NIP-01 as its text says, spoken by the `ws` client and nostr-tools' own hashing and signing.
import { after, before, describe, test } from 'node:test'
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { schnorr } from '@noble/curves/secp256k1.js'
import { Gateway } from './lib/gateway.mjs'
import { Author, Client, now, sleep } from './lib/client.mjs'

let gateway, client
before(async () => { gateway = await Gateway.start(); client = await Client.connect(gateway.url) })
after(async () => { client.close(); await gateway.stop() })

const hex = bytes => Buffer.from(bytes).toString('hex')

// An event hashed over exactly this text between the quotes of content, whatever JSON.stringify would write.
function handmade (author, contentText, content) {
  const createdAt = now()
  const text = `[0,"${author.pubkey}",${createdAt},1,[],"${contentText}"]`
  const id = createHash('sha256').update(text).digest()
  return { id: hex(id), pubkey: author.pubkey, created_at: createdAt, kind: 1, tags: [], content, sig: hex(schnorr.sign(id, author.secret)) }
}

describe('publishing', () => {
  test('an event answered OK is read back unchanged', async () => {
    const event = new Author().event({ content: 'hello "world"\n\t\\ é 🦀 \u2028', tags: [['t', 'greeting'], ['e', 'ff'.repeat(32), 'wss://x', 'root'], ['empty', '']] })
    assert.deepEqual(await client.publish(event), [true, ''])
    const [got] = await client.query({ ids: [event.id] })
    assert.deepEqual(got, JSON.parse(JSON.stringify(event)))
  })

  test('a duplicate is accepted and said to be one', async () => {
    const event = new Author().event()
    await client.publish(event)
    const [accepted, reason] = await client.publish(event)
    assert.equal(accepted, true)
    assert.match(reason, /^duplicate:/)
    assert.equal((await client.query({ ids: [event.id] })).length, 1)
  })

  test('two copies at once are stored once, and a forged first one does not hide the good one', async () => {
    const event = new Author().event({ content: 'race' })
    const forged = { ...event, sig: event.sig.replace(/^../, s => s === '00' ? '11' : '00') }
    const others = await Promise.all(Array.from({ length: 4 }, () => Client.connect(gateway.url)))
    const answers = await Promise.all([
      others[0].publish(forged), others[1].publish(event), others[2].publish(forged), others[3].publish(event)])
    assert.equal(answers[1][0], true)
    assert.equal(answers[3][0], true)
    assert.equal((await client.query({ ids: [event.id] })).length, 1)
    for (const other of others) other.close()
  })

  for (const [what, spoil, pattern] of [
    ['a wrong signature', e => ({ ...e, sig: '0'.repeat(128) }), /^invalid:/],
    ['an id that is not the hash', e => ({ ...e, id: 'a'.repeat(64) }), /^invalid:/],
    ['a changed content', e => ({ ...e, content: e.content + '!' }), /^invalid:/],
    ['a kind above 65535', e => ({ ...e, kind: 65536 }), /^invalid:/],
    ['a negative kind', e => ({ ...e, kind: -1 }), /^invalid:/],
    ['a fractional created_at', e => ({ ...e, created_at: 1.5 }), /^invalid:/],
    ['a tag that is not a list', e => ({ ...e, tags: ['x'] }), /^invalid:/],
    ['a number in a tag', e => ({ ...e, tags: [['x', 1]] }), /^invalid:/],
    ['no content', ({ content, ...e }) => e, /^invalid:/],
    ['upper-case hex in the key', e => ({ ...e, pubkey: e.pubkey.toUpperCase() }), /^invalid:/]
  ]) {
    test(`${what} is refused with a reason`, async () => {
      const author = new Author()
      let event = author.event({ content: 'x' })
      while (event.pubkey === event.pubkey.toUpperCase()) event = new Author().event({ content: 'x' })
      const spoilt = spoil(event)
      const [accepted, reason] = await client.publish(spoilt)
      assert.equal(accepted, false)
      assert.match(reason, pattern)
      assert.equal((await client.query({ ids: [event.id] })).length, 0)
    })
  }

  test('the highest kind is fine', async () => {
    const [accepted] = await client.publish(new Author().event({ kind: 65535 }))
    assert.equal(accepted, true)
  })

  test('0x7f is hashed verbatim', async () => {
    const event = handmade(new Author(), 'a\x7fb', 'a\x7fb')
    assert.deepEqual(await client.publish(event), [true, ''])
    assert.equal((await client.query({ ids: [event.id] }))[0].content, 'a\x7fb')
  })

  test('other control characters are accepted as JSON.stringify hashes them', async () => {
    const event = new Author().event({ content: 'a\x01b\x1f' })
    assert.deepEqual(await client.publish(event), [true, ''])
    assert.equal((await client.query({ ids: [event.id] }))[0].content, 'a\x01b\x1f')
  })

  test('white space around and within a message is tolerated', async () => {
    const event = new Author().event()
    const answer = client.next(m => m[0] === 'OK' && m[1] === event.id)
    client.send(` \r\n\t[ "EVENT" ,\n ${JSON.stringify(event, null, 2)} ]  \n`)
    assert.equal((await answer)[2], true)
  })

  test('escapes in the message do not change the event', async () => {
    const event = new Author().event({ content: 'é🦀/' })
    const answer = client.next(m => m[0] === 'OK' && m[1] === event.id)
    client.send(JSON.stringify(['EVENT', event]).replace('é🦀/', '\\u00e9\\ud83e\\udd80\\/'))
    assert.equal((await answer)[2], true)
    assert.equal((await client.query({ ids: [event.id] }))[0].content, 'é🦀/')
  })

  test('duplicate members are refused', async () => {
    const event = new Author().event()
    const answer = client.next(m => m[0] === 'OK' || m[0] === 'NOTICE')
    client.send(JSON.stringify(['EVENT', event]).replace('"kind":1', '"kind":1,"kind":1'))
    assert.match((await answer).at(-1), /^invalid:/)
  })
})

describe('reading', () => {
  test('newest first, ties by lowest id, and limit takes the newest', async () => {
    const author = new Author()
    const at = now() - 1000
    const events = Array.from({ length: 40 }, (_, i) => author.event({ content: String(i), created_at: at + Math.floor(i / 4) }))
    for (const event of events) await client.publish(event)
    const expected = [...events].sort((a, b) => b.created_at - a.created_at || (a.id < b.id ? -1 : 1)).map(e => e.id)
    assert.deepEqual(await client.ids({ authors: [author.pubkey] }), expected)
    assert.deepEqual(await client.ids({ authors: [author.pubkey], limit: 7 }), expected.slice(0, 7))
    assert.deepEqual(await client.ids({ authors: [author.pubkey], limit: 0 }), [])
  })

  test('since and until are inclusive', async () => {
    const author = new Author()
    const at = now() - 500
    const events = [0, 1, 2, 3].map(i => author.event({ created_at: at + i }))
    for (const event of events) await client.publish(event)
    const authors = [author.pubkey]
    assert.deepEqual(await client.ids({ authors, since: at + 1, until: at + 2 }), [events[2].id, events[1].id])
    assert.deepEqual(await client.ids({ authors, since: at + 3 }), [events[3].id])
    assert.deepEqual(await client.ids({ authors, until: at }), [events[0].id])
    assert.deepEqual(await client.ids({ authors, since: at + 2, until: at + 1 }), [])
  })

  test('all members of a filter must match, any value of a member does', async () => {
    const [a, b] = [new Author(), new Author()]
    const one = a.event({ kind: 1, tags: [['t', 'x'], ['p', b.pubkey]] })
    const two = a.event({ kind: 7, tags: [['t', 'y']] })
    const three = b.event({ kind: 1, tags: [['t', 'x'], ['t', 'y']] })
    for (const event of [one, two, three]) await client.publish(event)
    const ids = async filter => (await client.ids({ authors: [a.pubkey, b.pubkey], ...filter })).sort()
    assert.deepEqual(await ids({ kinds: [1] }), [one.id, three.id].sort())
    assert.deepEqual(await ids({ '#t': ['x'] }), [one.id, three.id].sort())
    assert.deepEqual(await ids({ '#t': ['x', 'y'], kinds: [7] }), [two.id])
    assert.deepEqual(await ids({ '#t': ['x'], '#p': [b.pubkey] }), [one.id])
    assert.deepEqual(await ids({ '#t': ['z'] }), [])
    assert.deepEqual(await ids({ kinds: [] }), [])
  })

  test('an event that two filters match is sent once', async () => {
    const author = new Author()
    const event = author.event({ tags: [['t', 'both']] })
    await client.publish(event)
    assert.deepEqual(await client.ids([{ authors: [author.pubkey] }, { ids: [event.id] }]), [event.id])
  })

  test('tag values of any length and alphabet are found', async () => {
    const author = new Author()
    for (const value of ['', 'a', 'ü "quoted" \\ \n', 'x'.repeat(5000), '{"a":1}']) {
      const event = author.event({ tags: [['r', value]], content: String(value.length) })
      assert.equal((await client.publish(event))[0], true)
      assert.deepEqual(await client.ids({ authors: [author.pubkey], '#r': [value] }), [event.id])
    }
  })

  test('an unknown member of a filter is refused, not ignored', async () => {
    await assert.rejects(client.query({ authos: ['x'] }), /^Error: (invalid|unsupported):/)
    await assert.rejects(client.query({ search: 'x' }), /^Error: (invalid|unsupported):/)
  })

  test('upper-case and short hex is refused', async () => {
    await assert.rejects(client.query({ ids: ['A'.repeat(64)] }), /invalid:/)
    await assert.rejects(client.query({ authors: ['aa'] }), /invalid:/)
  })

  test('a subscription id longer than 64 characters is refused', async () => {
    const answer = client.next(m => m[0] === 'CLOSED' || m[0] === 'NOTICE')
    client.send(['REQ', 'x'.repeat(65), { limit: 1 }])
    assert.match((await answer).at(-1), /^invalid:/)
  })

  test('a REQ with the same id replaces the subscription', async () => {
    const [a, b] = [new Author(), new Author()]
    await client.query({ authors: [a.pubkey] }, { id: 'same', keep: true })
    await client.query({ authors: [b.pubkey] }, { id: 'same', keep: true })
    await client.publish(a.event())
    const live = client.next(m => m[0] === 'EVENT' && m[1] === 'same')
    const event = b.event()
    await client.publish(event)
    assert.equal((await live)[2].id, event.id)
    assert.equal(client.messages.filter(m => m[0] === 'EVENT' && m[1] === 'same' && m[2].pubkey === a.pubkey).length, 0)
    client.send(['CLOSE', 'same'])
  })

  test('after CLOSE nothing more comes', async () => {
    const author = new Author()
    await client.query({ authors: [author.pubkey] }, { id: 'ends', keep: true })
    client.send(['CLOSE', 'ends'])
    await client.publish(author.event())
    await sleep(50)
    assert.equal(client.messages.filter(m => m[0] === 'EVENT' && m[1] === 'ends').length, 0)
  })
})

describe('kinds', () => {
  for (const kind of [0, 3, 10002]) {
    test(`kind ${kind} keeps the newest only`, async () => {
      const author = new Author()
      const at = now() - 100
      const old = author.event({ kind, created_at: at, content: 'old' })
      const young = author.event({ kind, created_at: at + 1, content: 'young' })
      assert.equal((await client.publish(old))[0], true)
      assert.equal((await client.publish(young))[0], true)
      assert.deepEqual(await client.ids({ authors: [author.pubkey], kinds: [kind] }), [young.id])
      assert.deepEqual(await client.ids({ ids: [old.id] }), [])
      const [accepted] = await client.publish(old)
      assert.equal(accepted, false)
    })
  }

  test('replaceable events of the same second: the lowest id stays, in either order', async () => {
    for (const lowestFirst of [true, false]) {
      const author = new Author()
      const at = now() - 50
      const pair = [author.event({ kind: 10003, created_at: at, content: 'a' }), author.event({ kind: 10003, created_at: at, content: 'b' })]
        .sort((x, y) => (x.id < y.id ? -1 : 1))
      for (const event of lowestFirst ? pair : [...pair].reverse()) await client.publish(event)
      assert.deepEqual(await client.ids({ authors: [author.pubkey], kinds: [10003] }), [pair[0].id])
    }
  })

  test('addressable events are kept per d tag, a missing one being the empty one', async () => {
    const author = new Author()
    const at = now() - 100
    const events = [
      author.event({ kind: 30023, created_at: at, tags: [['d', 'x']] }),
      author.event({ kind: 30023, created_at: at + 1, tags: [['d', 'y']] }),
      author.event({ kind: 30023, created_at: at + 2, tags: [] }),
      author.event({ kind: 30023, created_at: at + 3, tags: [['d', '']] }),
      author.event({ kind: 30023, created_at: at + 4, tags: [['d', 'x']] })
    ]
    for (const event of events) await client.publish(event)
    assert.deepEqual(await client.ids({ authors: [author.pubkey] }), [events[4].id, events[3].id, events[1].id])
  })

  test('ephemeral events reach subscribers and are not stored', async () => {
    const author = new Author()
    const other = await Client.connect(gateway.url)
    await other.query({ authors: [author.pubkey] }, { id: 'live', keep: true })
    const live = other.next(m => m[0] === 'EVENT')
    const event = author.event({ kind: 20001 })
    assert.equal((await client.publish(event))[0], true)
    assert.equal((await live)[2].id, event.id)
    assert.deepEqual(await client.ids({ authors: [author.pubkey] }), [])
    other.close()
  })
})

describe('rubbish is answered clearly and harms nobody', () => {
  for (const [what, text] of [
    ['not JSON', 'hello'],
    ['an object', '{"a":1}'],
    ['an empty list', '[]'],
    ['an unknown verb', '["FOO"]'],
    ['a number for a verb', '[1]'],
    ['two values', '["CLOSE","x"]["CLOSE","x"]'],
    ['EVENT without an event', '["EVENT"]'],
    ['EVENT with a list', '["EVENT",[]]'],
    ['REQ without filters', '["REQ","x"]'],
    ['REQ without an id', '["REQ"]'],
    ['REQ with a number for an id', '["REQ",5,{}]'],
    ['100,000 nested lists', '['.repeat(100000)],
    ['100,000 nested lists in an event', '["EVENT",{"tags":' + '['.repeat(100000)],
    ['huge numbers', '["REQ","x",{"since":1e999999}]'],
    ['a lone surrogate', '["CLOSE","\\ud800"]']
  ]) {
    test(what, async () => {
      const rude = await Client.connect(gateway.url)
      const answer = rude.next(m => ['NOTICE', 'CLOSED', 'OK'].includes(m[0]))
      rude.send(text)
      assert.match((await answer).at(-1), /^[a-z-]+: ./)
      rude.close()
      assert.equal((await client.publish(new Author().event()))[0], true)
    })
  }
})
