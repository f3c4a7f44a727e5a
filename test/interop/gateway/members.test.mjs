// A gateway of ours with workers of ours: sessions go on when a worker dies, nothing is missed and nothing comes twice; a revoked token ends what is
// open; and what is off is not there.
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { cp, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { nip19 } from 'nostr-tools'
import { Author, Client, sleep } from '../lib/client.mjs'
import { ask, run, until } from '../lib/command.mjs'
import { Gateway } from '../lib/gateway.mjs'
import { Members } from '../lib/members.mjs'
import { Program } from '../lib/program.mjs'

const timeout = 120000
const author = new Author()

// Everything that one subscription got, and what it should not have got.
function watch (client, id, filter) {
  const seen = { ids: [], ends: 0, closed: [] }
  client.socket.on('message', data => {
    const [type, subscription, value] = JSON.parse(data)
    if (subscription !== id) return
    if (type === 'EVENT') seen.ids.push(value.id)
    if (type === 'EOSE') seen.ends++
    if (type === 'CLOSED') seen.closed.push(value)
  })
  client.send(['REQ', id, filter])
  return seen
}

test('a subscription outlives its worker: nothing is missed, nothing comes twice', { timeout }, async () => {
  const members = await Members.start()
  try {
    // One relay, copied to a second machine: the same core signs for both.
    const alone = await members.keep(Program.start(['gateway', '--data', members.path('first'), '--listen', '127.0.0.1:0', '--relay-bee'], /relay at (ws:\S+),/))
    const writer = await Client.connect(alone.out.match(/relay at (ws:\S+),/)[1])
    const before = Array.from({ length: 20 }, (_, i) => author.event({ content: `before ${i}`, created_at: 1700000000 + i }))
    for (const event of before) assert.deepEqual(await writer.publish(event), [true, ''])
    writer.close()
    await alone.end()
    await cp(members.path('first'), members.path('second'), { recursive: true })
    for (const name of await readdir(members.path('second/keys'))) if (name.startsWith('swarm')) await rm(members.path(join('second/keys', name)))

    const workers = [await members.worker('first', ['--relay-gateway-path', 'notes']), await members.worker('second', ['--relay-gateway-path', 'notes'])]
    assert.notEqual(workers[0].key, workers[1].key)
    await members.registered('notes', 2)

    const client = await Client.connect(`${members.url}/notes`)
    const seen = watch(client, 'live', { authors: [author.pubkey] })
    await until(() => seen.ends === 1)
    assert.deepEqual(new Set(seen.ids), new Set(before.map(event => event.id)))
    const few = watch(client, 'few', { kinds: [1], limit: 3 })
    await until(() => few.ends === 1)

    const serving = async () => (await members.admin('dispatcher')).peers.find(peer => peer.sessions > 0)?.peer
    const publish = async content => {
      const event = author.event({ content })
      assert.deepEqual(await client.publish(event), [true, ''], content)
      await until(() => seen.ids.includes(event.id))
      return event.id
    }
    const live = [await publish('while both are there')]
    const first = await until(serving)
    // Dated years ago, it comes to the other one just before the session does: no date and no limit finds it.
    const aside = await Client.connect(workers.find(worker => worker.key !== first).url)
    const late = author.event({ content: 'late', created_at: 1600000000 })
    assert.deepEqual(await aside.publish(late), [true, ''])
    aside.close()
    await workers.find(worker => worker.key === first).end('SIGKILL')
    await until(async () => { const now = await serving(); return now && now !== first }, 30000)
    live.push(await publish('from the other one'))
    await sleep(300)
    assert.equal(seen.ids.length, new Set(seen.ids).size, 'nothing came twice')
    assert.ok(live.every(id => seen.ids.includes(id)))
    assert.deepEqual([seen.ends, seen.closed], [1, []])
    assert.deepEqual(few.ids.filter(id => !live.includes(id)), [...before.slice(-3).map(event => event.id).reverse(), late.id])
    assert.equal(few.ids.length, new Set(few.ids).size)
    assert.equal(few.ends, 1)

    // The last one: subscriptions end, publishers are told, and the socket serves again when a worker is back.
    const last = workers.find(worker => worker.key !== first)
    await last.end('SIGKILL')
    await until(() => seen.closed.length === 1, 30000)
    const lost = author.event({ content: 'to nobody' })
    const [accepted, reason] = await client.publish(lost)
    assert.equal(accepted, false)
    assert.match(reason, /^error: /)
    await members.worker(last === workers[1] ? 'second' : 'first', ['--relay-gateway-path', 'notes'])
    await until(async () => {
      try { return (await client.query({ authors: [author.pubkey], limit: 1 }, { timeoutMs: 1000 })).length === 1 } catch { return false }
    }, 30000)
    client.close()
  } finally {
    await members.stop()
  }
})

test('a token lets in, is refused everywhere else, and when it is revoked ends what is open within a second', { timeout }, async () => {
  const members = await Members.start(['--tokens-enabled'])
  try {
    const worker = await members.worker('worker', ['--relay-gateway-path', 'club', '--relay-token', '--relay-token-users', nip19.npubEncode(author.pubkey)])
    await members.registered('club', 1)
    const tokens = await until(async () => {
      const text = await readFile(members.path('worker/worker-tokens.json'), 'utf8').catch(() => '')
      return text.match(/[A-Za-z0-9_-]{40,}\.[0-9a-f]{64}/g)
    }, 20000)
    const [token] = tokens
    const refused = await Client.connect(`${members.url}/club`).then(client => client.end())
    assert.equal(refused, 4403)
    const forged = token.slice(0, -1) + (token.endsWith('0') ? '1' : '0')
    assert.equal(await Client.connect(`${members.url}/club?token=${forged}`).then(client => client.end()), 4403)

    const clients = [await Client.connect(`${members.url}/club?token=${token}`),
      await Client.connect(`${members.url}/club`, { headers: { authorization: `Bearer ${token}` } })]
    for (const client of clients) assert.deepEqual(await client.query({ kinds: [1] }), [])
    const note = author.event({ content: 'for the club' })
    assert.deepEqual(await clients[0].publish(note), [true, ''])

    const [{ relay }] = (await members.admin('tokens')).tokens
    await members.admin('revoke', relay)
    const began = Date.now()
    assert.deepEqual(await Promise.all(clients.map(client => client.end())), [4403, 4403])
    assert.ok(Date.now() - began < 5000)
    for (const client of clients) {
      const frame = client.messages.find(message => message[0] === 'TOKEN')
      assert.equal(frame[1], 'REVOKED')
      assert.equal(frame[2].gateway, members.signingKey)
      assert.match(frame[2].signature, /^[0-9a-f]{128}$/)
    }
    assert.equal(await Client.connect(`${members.url}/club?token=${token}`).then(client => client.end()), 4403)
    const kinds = (await run(['audit', 'export', '--data', members.path('gateway')])).out.split('\n').filter(Boolean).map(line => JSON.parse(line).kind)
    for (const kind of ['registration.merged', 'token.issued', 'operator.revoked']) assert.ok(kinds.includes(kind), `${kind} in ${kinds}`)
    const remembered = await until(async () => JSON.parse(await readFile(members.path('worker/worker-sequences.json'), 'utf8').catch(() => 'null')))
    assert.ok(JSON.stringify(remembered).includes(String(Math.max(...clients.map(client => client.messages.find(message => message[0] === 'TOKEN')[2].sequence)))))
    assert.equal(worker.child.exitCode, null)
  } finally {
    await members.stop()
  }
})

test('workers take the word of a signing key for the one it is rotated to', { timeout }, async () => {
  const members = await Members.start(['--tokens-enabled'])
  const people = Array.from({ length: 3 }, () => new Author())
  // Has a person's token revoked: which key signed the frame. The worker has seen it by then.
  const revoke = async (worker, { pubkey }) => {
    const { token } = await until(async () => {
      const text = await readFile(members.path('worker/worker-tokens.json'), 'utf8').catch(() => '[]')
      return JSON.parse(text).find(grant => grant.pubkey === pubkey)
    }, 20000)
    const client = await Client.connect(`${members.url}/club?token=${token}`)
    assert.deepEqual(await client.query({ kinds: [1] }), [])
    const [{ relay }] = (await members.admin('tokens')).tokens
    assert.equal((await members.admin('revoke', relay, '--user', pubkey)).revoked, 1)
    assert.equal(await client.end(), 4403)
    const [, , { gateway, sequence }] = client.messages.find(message => message[0] === 'TOKEN')
    await until(() => worker.log.includes(`sequence=${sequence} `), 20000)
    return gateway
  }
  try {
    const worker = await members.worker('worker', ['--relay-gateway-path', 'club', '--relay-token',
      '--relay-token-users', people.map(({ pubkey }) => nip19.npubEncode(pubkey)).join(',')])
    await members.registered('club', 1)
    let signer = members.signingKey
    for (const person of people) {
      assert.equal(await revoke(worker, person), signer)
      const rotated = await run(['key', 'rotate', 'gateway-signing', '--json', '--data', members.path('gateway')])
      assert.equal(rotated.code, 0, rotated.err)
      signer = JSON.parse(rotated.out).public
      await members.admin('reload')
    }
    assert.doesNotMatch(worker.log, /not signed as it should be/)
  } finally {
    await members.stop()
  }
})

test('workers look up what the gateway\'s own relay is asked, and nothing is missed when one dies', { timeout }, async () => {
  const members = await Members.start(['--relay-bee', '--dispatcher-delegate', '--dispatcher-delegate-queue', '0'])
  const ends = async () => {
    const text = (await ask('/admin/metrics', { socketPath: join(members.path('gateway'), 'admin.sock') })).body
    return Object.fromEntries([...text.matchAll(/^holdfast_relay_queries_delegated_total\{.*end="(\w+)"\} (\d+)/gm)].map(([, end, count]) => [end, Number(count)]))
  }
  try {
    const client = await Client.connect(members.url)
    const events = Array.from({ length: 40 }, (_, i) => author.event({ content: `${i}`, created_at: 1700000000 + i }))
    for (const event of events) assert.deepEqual(await client.publish(event), [true, ''])
    const workers = []
    for (const name of ['one', 'two', 'three']) workers.push(await members.worker(name))
    const all = async () => {
      const got = await client.ids({ authors: [author.pubkey], kinds: [1] })
      assert.deepEqual(got, events.toSorted((a, b) => b.created_at - a.created_at).map(event => event.id))
      assert.deepEqual(await client.ids({ authors: [author.pubkey], kinds: [1], limit: 3 }), got.slice(0, 3))
    }
    await until(async () => { await all(); return (await ends()).true > 0 }, 60000)
    for (let i = 0; i < 10; i++) { // what has just come is given, too
      events.push(author.event({ content: `later ${i}`, created_at: 1750000000 - i }))
      assert.deepEqual(await client.publish(events.at(-1)), [true, ''])
      await all()
    }
    const asked = Array.from({ length: 20 }, all)
    await workers[0].end('SIGKILL')
    await Promise.all(asked)
    await all()
    assert.equal((await ends()).false, 0)
    client.close()
  } finally {
    await members.stop()
  }
})

// What a process has open, by /proc.
async function descriptors (pid) {
  const { readlink } = await import('node:fs/promises')
  const names = await readdir(`/proc/${pid}/fd`)
  return (await Promise.all(names.map(name => readlink(`/proc/${pid}/fd/${name}`).catch(() => '')))).filter(Boolean)
}
const threads = async pid => (await Promise.all((await readdir(`/proc/${pid}/task`)).map(task => readFile(`/proc/${pid}/task/${task}/comm`, 'utf8')))).map(name => name.trim()).sort()

test('what is off has no socket, no thread, no file and no route', { timeout }, async () => {
  const bare = await Gateway.start({ args: [] })
  try {
    const sockets = (await descriptors(bare.child.pid)).filter(name => name.startsWith('socket:'))
    const inodes = new Set(sockets.map(name => name.match(/\d+/)[0]))
    const udp = (await Promise.all(['udp', 'udp6'].map(name => readFile(`/proc/${bare.child.pid}/net/${name}`, 'utf8')))).join('\n').split('\n')
      .filter(line => inodes.has(line.trim().split(/\s+/)[9]))
    assert.deepEqual(udp, [], 'no UDP')
    assert.ok((await threads(bare.child.pid)).every(name => !/swarm|worker|redis|front|token/.test(name.replace(/^hf-/, ''))))
    assert.deepEqual((await readdir(join(bare.directory, 'data'))).sort(), ['FORMAT', 'LOCK', 'admin.sock', 'keys', 'store'])
    const routes = JSON.parse((await run(['admin', 'routes', '--json', '--data', join(bare.directory, 'data')])).out).routes
    assert.deepEqual(routes.filter(route => route.server === 'clients').map(route => route.path), ['/health', '/'])
    for (const path of ['/drive/a/b', '/pfp/a', '/api/relays', '/api/gateway', '/some/relay']) assert.equal((await fetch(bare.http + path)).status, 404)
  } finally {
    await bare.stop()
  }
})
