// Workers of Hypertuna's kind, on the npm packages, and workers of ours behind one gateway: each serves what it registered, and a session with the one
// kind outlives its worker as with the other.
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import HyperDHT from 'hyperdht'
import Hyperswarm from 'hyperswarm'
import { Author, Client } from '../lib/client.mjs'
import { run, until } from '../lib/command.mjs'
import { HypertunaWorker } from '../lib/hypertuna_worker.mjs'
import { Members } from '../lib/members.mjs'

const timeout = 120000
const author = new Author()
const secret = 'shared by members'

// As Hypertuna's workers ask for a token over HTTP: the object's members in order, signed with the secret, and nothing that says when.
async function issueToken (members, relayKey) {
  const payload = { relayAuthToken: 'of the relay', relayKey }
  const signature = createHmac('sha256', secret).update(JSON.stringify(payload)).digest('hex')
  const answer = await fetch(`${members.url.replace('ws', 'http')}/api/relay-tokens/issue`, { method: 'POST', body: JSON.stringify({ payload, signature }) })
  const body = await answer.json()
  assert.equal(answer.status, 200, JSON.stringify(body))
  return body.token
}

async function hypertuna (members, events) {
  const [host, port] = members.bootstrap.split(':')
  const swarm = new Hyperswarm({ dht: new HyperDHT({ bootstrap: [{ host, port: Number(port) }] }) })
  const worker = new HypertunaWorker(swarm, { events, file: Buffer.from('from a drive of the package') })
  members.programs.push({ end: () => swarm.destroy().catch(() => {}) })
  await worker.join()
  return worker
}

test('three workers of ours and two of Hypertuna\'s behind one gateway', { timeout }, async () => {
  const members = await Members.start(['--compatibility-hypertuna', '--tokens-enabled', '--registration-secret', secret])
  try {
    const stored = [author.event({ content: 'there before', created_at: 1700000000 })]
    const theirs = [await hypertuna(members, stored), await hypertuna(members, stored)]
    const ours = await Promise.all(['one', 'two', 'three'].map(name => members.worker(name, ['--relay-gateway-path', name])))
    for (const name of ['one', 'two', 'three']) await members.registered(name, 1)
    await until(() => theirs.every(worker => worker.registered.length > 0), 60000)
    assert.deepEqual(theirs.map(worker => worker.registered[0].statusCode), [200, 200], JSON.stringify(theirs.map(worker => worker.registered[0].body)))
    const { workers } = await members.admin('workers')
    assert.deepEqual([workers.length, workers.filter(worker => worker.hypertuna).length], [5, 2])

    // Each of ours has what was published to it, and nobody else.
    for (const [i, name] of ['one', 'two', 'three'].entries()) {
      const client = await Client.connect(`${members.url}/${name}`)
      assert.deepEqual(await client.publish(author.event({ content: name, created_at: 1700000100 + i })), [true, ''])
      assert.deepEqual((await client.query({ authors: [author.pubkey] })).map(event => event.content), [name])
      client.close()
    }
    assert.equal(new Set(ours.map(worker => worker.key)).size, 3)

    // A session with Hypertuna's goes on at the other one.
    const client = await Client.connect(`${members.url}/a/b?token=${await issueToken(members, 'a:b')}`)
    const got = []
    client.socket.on('message', data => { const [type, id, event] = JSON.parse(data); if (type === 'EVENT' && id === 'live') got.push(event.id) })
    client.send(['REQ', 'live', { authors: [author.pubkey] }])
    await until(() => got.length === 1, 15000)
    assert.deepEqual(got, [stored[0].id])
    const first = author.event({ content: 'first' })
    assert.deepEqual(await client.publish(first), [true, ''])
    await until(() => got.includes(first.id), 15000)
    const serving = theirs.find(worker => worker.asked.some(({ path }) => path.startsWith('/post/relay/')))
    await serving.swarm.destroy()
    const second = author.event({ content: 'second' })
    assert.deepEqual(await client.publish(second), [true, ''])
    await until(() => got.includes(second.id), 30000)
    assert.equal(got.length, new Set(got).size, 'nothing came twice')
    assert.ok(!client.messages.some(([type]) => type === 'CLOSED'))
    client.close()

    const file = await fetch(`${members.url.replace('ws', 'http')}/drive/a:b/x.png`, { headers: { authorization: `Bearer ${await issueToken(members, 'a:b')}` } })
    assert.deepEqual([file.status, await file.text()], [200, 'from a drive of the package'])
  } finally {
    await members.stop()
  }
})

test('without the switch Hypertuna\'s worker is turned away, and its relay is not there', { timeout }, async () => {
  const members = await Members.start()
  try {
    const worker = await hypertuna(members, [])
    await until(() => worker.closed > 0 || worker.errors.length > 0, 60000)
    assert.deepEqual((await members.admin('workers')).workers, [])
    assert.deepEqual(worker.registered.filter(answer => answer.statusCode === 200), [])
    assert.equal(await Client.connect(`${members.url}/a/b`).then(client => client.closed), 4404)
    assert.equal((await run(['admin', 'health', '--data', members.path('gateway')])).code, 0)
  } finally {
    await members.stop()
  }
})
