// What an operator tells a running gateway, and what it tells of itself.
import { after, before, test } from 'node:test'
import assert from 'node:assert/strict'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Gateway } from '../lib/gateway.mjs'
import { Author, Client, sleep } from '../lib/client.mjs'
import { ask, administration, metrics, run, scratch, until } from '../lib/command.mjs'
import { Follower } from '../lib/relay_bee.mjs'

const author = new Author()
let directory, config, gateway
before(async () => {
  directory = await scratch()
  config = join(directory, 'holdfast.conf')
  await writeFile(config, '[relay]\nbee = yes\n')
  gateway = await Gateway.start({ directory, args: ['--gateway-cores-listen', '127.0.0.1:0', '--config', config] })
})
after(async () => {
  await gateway.stop()
  await rm(directory, { recursive: true, force: true })
})

const admin = (verb, ...args) => run(['admin', verb, '--data', join(directory, 'data'), ...args])
const json = async (verb, ...args) => JSON.parse((await admin(verb, '--json', ...args)).out)

test('status counts what clients did', async () => {
  const client = await Client.connect(gateway.url)
  assert.deepEqual(await client.publish(author.event()), [true, ''])
  const status = await json('status')
  assert.equal(status.relays.main.stored, 1)
  assert.equal(status.relays.main.connections, 1)
  const text = await admin('status')
  assert.equal(text.code, 0)
  assert.match(text.out, /relay main\nconnections +1\n/)
  client.close()
})

test('a paused bee goes to no peer, is called so, and is caught up with when it is resumed', async () => {
  const client = await Client.connect(gateway.url)
  const follower = await Follower.open(gateway)
  const [first, second] = [author.event({ content: 'first' }), author.event({ content: 'second' })]
  await client.publish(first)
  await until(() => follower.has(first.id))
  assert.deepEqual(await json('health'), { status: 'ok', live: true, ready: true, reasons: [] })

  assert.equal((await admin('pause')).code, 0)
  await until(() => follower.core.peers.length === 0)
  await client.publish(second)
  const late = await Follower.open(gateway)
  await sleep(500)
  assert.equal(await follower.event(second.id), null)
  assert.equal(late.core.length, 0)
  const health = await json('health')
  assert.deepEqual([health.status, health.ready, health.reasons.map(reason => reason.name)], ['degraded', true, ['bee-paused']])
  const outside = await ask(`${gateway.http}/health`)
  assert.deepEqual([outside.status, JSON.parse(outside.body).reasons], [200, ['bee-paused']])
  const info = JSON.parse((await run(['relay', 'info', '--json', '--data', join(directory, 'data')])).out)
  assert.deepEqual([info.bee.paused, info.bee.events], [true, 3])

  assert.equal((await admin('resume')).code, 0)
  await until(() => follower.has(second.id))
  await until(() => late.has(second.id))
  assert.equal((await json('health')).status, 'ok')
  const text = await metrics(gateway)
  for (const name of ['replication_bytes_total{direction="sent"}', 'replication_streams', 'relay_bee_append_seconds_count{relay="main"}', 'relay_bee_commit_seconds_count{relay="main"}']) {
    const line = text.split('\n').find(line => line.startsWith(`holdfast_${name} `))
    assert.ok(Number(line?.split(' ')[1]) > 0, name)
  }
  for (const one of [follower, late, client]) await one.close()
})

test('a changed configuration is checked and named before it is loaded, and a wrong one changes nothing', async () => {
  await writeFile(config, '[relay]\nbee = yes\nname = Ours\n[gateway]\nquery_threads = 2\n')
  assert.deepEqual(await json('check'), { needs_restart: ['gateway.query_threads'] })
  const name = async () => (await (await fetch(gateway.http, { headers: { accept: 'application/nostr+json' } })).json()).name
  assert.equal(await name(), 'Holdfast')
  assert.equal((await admin('reload')).code, 0)
  assert.equal(await name(), 'Ours')
  await writeFile(config, '[relay]\nbee = perhaps\n')
  for (const verb of ['check', 'reload']) {
    const refused = await admin(verb)
    assert.notEqual(refused.code, 0)
    assert.match(refused.err, /perhaps/)
  }
  assert.equal(await name(), 'Ours')
})

test('what is not there is refused in a sentence', async () => {
  const none = await admin('pause', '--relay', 'other')
  assert.equal(none.code, 4)
  assert.match(none.err, /There is no relay "other"/)
  const nobody = await run(['admin', 'status', '--data', join(directory, 'nothing')])
  assert.equal(nobody.code, 4)
  await run(['core', 'create', '--data', join(directory, 'free'), '--name', 'x'])
  const free = await run(['admin', 'status', '--data', join(directory, 'free')])
  assert.equal(free.code, 4)
  assert.match(free.err, /No gateway runs on/)
})

test('a drained gateway says so while clients leave, and ends', async () => {
  const slow = await Client.connect(gateway.url)
  slow.socket.pause() /* it does not answer the close */
  assert.equal((await admin('drain')).code, 0)
  const { status, body } = await ask('/admin/health', administration(gateway))
  assert.deepEqual([status, JSON.parse(body).status], [503, 'draining'])
  assert.equal((await admin('health')).code, 1)
  slow.close()
  assert.deepEqual(await gateway.exited, { code: 0, signal: null })
})

test('what operators did and how often publishers were refused is in the audit log, whose chain holds', async () => {
  await writeFile(config, '[relay]\nbee = yes\n')
  await gateway.up()
  const client = await Client.connect(gateway.url)
  const forged = { ...author.event(), content: 'another' }
  assert.equal((await client.publish(forged))[0], false)
  client.close()
  await gateway.down()
  const audit = verb => run(['audit', verb, '--data', join(directory, 'data')])
  const records = (await audit('export')).out.split('\n').filter(Boolean).map(line => JSON.parse(line))
  assert.deepEqual(records.map(record => record.kind).filter(kind => kind.startsWith('admin.')),
    ['admin.pause', 'admin.resume', 'admin.reload', 'admin.reload-refused', 'admin.drain'])
  const refused = records.filter(record => record.kind === 'publish.refused')
  assert.deepEqual(refused.map(record => record.fields), [{ reasons: { invalid: 1 }, relay: 'main' }])
  assert.equal((await audit('verify')).code, 0)
})
