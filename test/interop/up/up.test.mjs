// One command for one machine: what `holdfast up` starts, keeps running and ends.
import { after, before, test } from 'node:test'
import assert from 'node:assert/strict'
import { appendFile, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Corestore from 'corestore'
import Hyperbee from 'hyperbee'
import Hyperswarm from 'hyperswarm'
import HyperDHT from 'hyperdht'
import { Author, Client } from '../lib/client.mjs'
import { run, until } from '../lib/command.mjs'
import { Up } from '../lib/up.mjs'

let up
before(async () => { up = await Up.start() })
after(async () => { await up?.stop() })

const author = new Author()

test('a client publishes at the address told, and a peer of the private network finds the event in the relay\'s bee', async () => {
  const client = await Client.connect(up.facts.relay)
  const note = author.event({ content: 'hello' })
  assert.deepEqual(await client.publish(note), [true, ''])
  client.close()

  const directory = await mkdtemp(join(tmpdir(), 'holdfast-'))
  const [host, port] = up.facts.bootstrap.split(':')
  const dht = new HyperDHT({ bootstrap: [{ host, port: Number(port) }] })
  const swarm = new Hyperswarm({ dht })
  const store = new Corestore(directory)
  try {
    const core = store.get(up.facts.relay_info.bee.key)
    await core.ready()
    swarm.on('connection', stream => store.replicate(stream))
    swarm.join(core.discoveryKey, { server: false, client: true })
    const bee = new Hyperbee(core, { keyEncoding: 'binary', valueEncoding: 'utf-8' })
    const row = await until(async () => {
      await core.update({ wait: true })
      return bee.get(Buffer.from(note.id, 'hex'))
    }, 20000)
    assert.equal(JSON.parse(row.value).sig, note.sig)
  } finally {
    await swarm.destroy()
    await dht.destroy()
    await store.close()
    await rm(directory, { recursive: true, force: true })
  }
})

test('a member\'s relay and files on the worker are reached through the gateway', async () => {
  const client = await Client.connect(up.facts.relay + up.facts.worker_path)
  const note = author.event({ content: 'to the worker' })
  assert.deepEqual(await client.publish(note), [true, ''])
  assert.deepEqual(await client.ids({ authors: [author.pubkey] }), [note.id])
  client.close()
  const own = await Client.connect(up.facts.relay)
  assert.deepEqual(await own.ids({ ids: [note.id] }), [], 'it is in the worker\'s relay and not in the gateway\'s')
  own.close()
  const stats = JSON.parse((await run(['relay', 'stats', '--json', '--data', up.facts.worker_data])).out)
  assert.equal(stats.events, 1)

  const file = up.facts.relay.replace('ws', 'http') + `/drive${up.facts.worker_path}/welcome.txt`
  const whole = await fetch(file)
  const text = await whole.text()
  assert.match(text, /came to you through the gateway/)
  const part = await fetch(file, { headers: { range: 'bytes=5-8' } })
  assert.deepEqual([part.status, await part.text()], [206, text.slice(5, 9)])
  const again = await fetch(file, { headers: { 'if-none-match': whole.headers.get('etag') } })
  assert.equal(again.status, 304)
  assert.equal((await fetch(file.replace('welcome', 'other'))).status, 404)
})

test('a worker that dies is started again, registers again, and serves again', async () => {
  const first = await up.process('worker')
  process.kill(first, 'SIGKILL')
  await until(async () => { const found = await up.process('worker'); return found && found !== first }, 20000)
  await until(async () => {
    const client = await Client.connect(up.facts.relay + up.facts.worker_path)
    try {
      return (await client.ids({ authors: [author.pubkey] })).length === 1
    } catch {
      return false
    } finally {
      client.close()
    }
  }, 40000)
})

test('a part that dies is started again, and what it had acknowledged is there', async () => {
  const client = await Client.connect(up.facts.relay)
  const note = author.event({ content: 'before' })
  assert.deepEqual(await client.publish(note), [true, ''])
  const first = await up.process('gateway')
  process.kill(first, 'SIGKILL')
  await client.closed
  const second = await until(async () => {
    const found = await up.process('gateway')
    return found && found !== first && up.log.match(/gateway \| holdfast: relay at/g).length === 2 ? found : null
  }, 20000)
  assert.match(up.log, /gateway \| was ended by signal 9; started again in 250 ms/)
  assert.ok(second)
  const url = [...up.log.matchAll(/gateway \| holdfast: relay at (ws:\/\/[\d.:]+)/g)][1][1]
  const again = await Client.connect(url)
  assert.deepEqual(await again.ids({ ids: [note.id] }), [note.id])
  again.close()
})

test('the link that is told opens the dashboard, and the token stays what it is', async () => {
  const token = up.facts.dashboard.split('#token=')[1]
  const link = await run(['admin', 'link', '--data', up.facts.gateway_data])
  const page = link.out.split('#')[0] // its port may be another since it was started again
  const answer = await fetch(page)
  assert.equal(answer.status, 200)
  assert.match(await answer.text(), /<script[^>]* src="\/dashboard\/app\.js"/)
  const origin = new URL(page).origin
  const facts = await until(async () => {
    const facts = await (await fetch(`${origin}/api/admin/snapshot`, { headers: { authorization: `Bearer ${token}` } })).json()
    return facts.workers.length === 1 && facts.workers[0].relays.length === 1 && facts
  })
  assert.deepEqual(facts.workers[0].relays, [up.facts.worker_path.slice(1)])
  assert.equal(facts.registrations.count, 1)
  assert.equal(link.out.trim().split('#token=')[1], token)
})

test('a running gateway takes administration, and its configuration is the user\'s', async () => {
  const { code, out } = await run(['relay', 'stats', '--json', '--data', up.facts.gateway_data])
  assert.equal(code, 0)
  assert.ok(JSON.parse(out).events >= 2)
  const config = join(up.data, 'gateway.conf')
  await appendFile(config, '\n[relay]\nname = Mine\n')
  assert.match(await readFile(config, 'utf8'), /bee = yes/)
  up.child.kill('SIGHUP')
  const url = [...up.log.matchAll(/gateway \| holdfast: relay at (ws:\/\/[\d.:]+)/g)].at(-1)[1].replace('ws', 'http')
  await until(async () => (await (await fetch(url, { headers: { accept: 'application/nostr+json' } })).json()).name === 'Mine')
})

test('all parts end with it, the last first', async () => {
  const parts = [await up.process('worker'), await up.process('gateway'), await up.process('dht')]
  assert.ok(parts.every(Boolean))
  assert.deepEqual(await up.down(), { code: 0, signal: null })
  for (const part of parts) assert.throws(() => process.kill(part, 0))
})

test('killed, it takes its parts with it; started again, it is who it was; a second one is refused', async () => {
  const first = await Up.start({ directory: up.directory })
  assert.equal(first.facts.relay_info.bee.key, up.facts.relay_info.bee.key)
  const part = await first.process('gateway')
  const other = await run(['up', '--data', up.data, '--listen', '127.0.0.1:0'])
  assert.equal(other.code, 4)
  assert.match(other.err, /is in use by process/)
  first.child.kill('SIGKILL')
  await until(() => { try { return !process.kill(part, 0) } catch { return true } }, 20000)
})

test('a wrong configuration and a gateway\'s own directory are refused in a sentence', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'holdfast-'))
  try {
    const made = await run(['core', 'create', '--data', join(directory, 'alone'), '--name', 'x'])
    assert.equal(made.code, 0)
    const alone = await run(['up', '--data', join(directory, 'alone'), '--listen', '127.0.0.1:0'])
    assert.equal(alone.code, 4)
    assert.match(alone.err, /is the data directory of a gateway alone: start it with `holdfast gateway --data/)
    const wrong = await run(['up', '--data', join(directory, 'new'), '--listen', 'nowhere'])
    assert.equal(wrong.code, 3)
    assert.match(wrong.err, /gateway.listen has "nowhere"/)
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
})
