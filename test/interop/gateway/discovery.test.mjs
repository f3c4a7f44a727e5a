// Gateways that announce themselves, heard by a client of the first generation on the npm packages and by ours; and what is not believed.
import { after, before, test } from 'node:test'
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import id from 'hypercore-id-encoding'
import { Gateway } from '../lib/gateway.mjs'
import { metrics, run, until } from '../lib/command.mjs'
import { Scene } from '../lib/swarm.mjs'
import { beeInfo } from '../lib/relay_bee.mjs'
import { Worker } from '../lib/worker.mjs'
import { HypertunaGateway } from '../lib/hypertuna_gateway.mjs'
import { Author, Client } from '../lib/client.mjs'
import { cp, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { advertise, announce, decode, encode, hear, keyPairOf, says, verifies } from '../lib/discovery.mjs'

const limits = { timeout: 60000 }
const count = (text, name) => Number(text.match(new RegExp(`^${name.replace(/[{}]/g, '\\$&')} (\\d+)`, 'm'))?.[1] ?? NaN)
async function swarmKey ({ directory }) {
  const { out } = await run(['key', 'show', '--json', '--data', join(directory, 'data')])
  return out.trim().split('\n').map(line => JSON.parse(line)).find(({ purpose, state }) => purpose === 'swarm' && state === 'active').public
}
async function listed (scene, ...args) {
  const { code, out, err } = await run(['gateways', 'list', '--json', ...scene.options, ...args])
  return { code, err, gateways: out.trim().split('\n').filter(Boolean).map(line => JSON.parse(line)) }
}

let scene, bootstrap
const ends = []
before(async () => {
  scene = await Scene.of({ after: end => ends.push(end) })
  bootstrap = scene.bootstrap.map(({ host, port }) => `${host}:${port}`).join(',')
})
after(async () => { for (const end of ends.reverse()) await end() })

const startGateway = async (t, ...args) => {
  const gateway = await Gateway.start({ args: ['--gateway-swarm', '--swarm-bootstrap', bootstrap, ...args] })
  t.after(async () => { await gateway.stop(); assert.doesNotMatch(gateway.log, /Sanitizer|runtime error/) })
  return gateway
}

test('a client of the first generation hears, reads and verifies it; a restart keeps the key', limits, async t => {
  const gateway = await startGateway(t, '--discovery-announce', '--relay-bee', '--workers-enabled', '--tokens-enabled', '--discovery-display-name', 'Dörfli "1"',
    '--discovery-region', 'eu', '--discovery-public-url', 'https://gateway.example/')
  const key = await swarmKey(gateway), bee = await beeInfo(gateway)
  const [{ bytes, key: advertiser }] = await hear(scene)
  const { announcement: a, rest } = decode(bytes)
  assert.ok(verifies(a))
  assert.deepEqual([a.gatewayId, a.signatureKey], [key, key])
  assert.notEqual(advertiser, key)
  assert.deepEqual([a.displayName, a.region, a.publicUrl, a.wsUrl, a.ttl, a.protocolVersion], ['Dörfli "1"', 'eu', 'https://gateway.example',
    'wss://gateway.example', 60, 1])
  assert.deepEqual([a.secretUrl, a.secretHash, a.sharedSecretVersion, a.openAccess], ['', '', '', false])
  assert.deepEqual([a.relayKey, a.relayReplicationTopic], [id.decode(bee.key).toString('hex'), a.relayDiscoveryKey])
  assert.deepEqual([a.relayTokenTtl, a.relayTokenRefreshWindow, a.dispatcherMaxConcurrent, a.dispatcherReassignLagBlocks], [3600, 300, 256, 500])
  assert.ok(Math.abs(Date.now() - a.timestamp) < 20000)
  assert.ok(rest.subarray(1).toString().startsWith('holdfast/1'))
  assert.ok(count(await metrics(gateway), 'holdfast_discovery_announcements_total{result="sent"}') >= 1)
  await gateway.down()
  await gateway.up()
  const [again] = await hear(scene)
  assert.deepEqual([decode(again.bytes).announcement.gatewayId, again.key], [key, advertiser])
  const { code, gateways: [ours] } = await listed(scene)
  assert.equal(code, 0)
  assert.deepEqual([ours.key, ours.name, ours.url, ours.region, ours.verified, ours.open, ours.holdfast], [key, 'Dörfli "1"', 'wss://gateway.example', 'eu', true,
    false, true])
})

const startWorker = async (t, ...args) => {
  const worker = await Worker.start({ bootstrap, args: ['--worker-discover', '--worker-discover-interval', '1s', ...args] })
  t.after(async () => assert.deepEqual(await worker.stop(), { code: 0, signal: null }, worker.log))
  return worker
}
const only = async worker => (await worker.facts()).gateways[0]
const registered = worker => until(async () => { const g = await only(worker); return g?.registered && g.replica && g }, 20000)
  .catch(async error => { throw new Error(`${error.message}: ${JSON.stringify(await worker.facts())} ${worker.log}`) })
const announcing = ['--discovery-announce', '--relay-bee', '--workers-enabled', '--registration-open', '--discovery-refresh', '1s', '--discovery-ttl', '5s']

test('a worker that trusts it finds it, registers, publishes to it, and follows its new key; a restart of both needs no word of it', limits, async t => {
  const gateway = await startGateway(t, ...announcing), key = await swarmKey(gateway)
  const stranger = await startGateway(t, ...announcing, '--discovery-display-name', 'Stranger')
  const worker = await startWorker(t, '--discovery-trusted', key)
  const found = await registered(worker)
  assert.deepEqual([found.key, found.configured, found.announced.only, found.announced.name, found.announced.url], [key, false, true, 'Holdfast',
    gateway.url.replace(/\/$/, '')])
  const here = await Client.connect(`${worker.url}/gateway`)
  assert.deepEqual((await here.publish(new Author().event({ content: 'to an announced address' }))).slice(0, 1), [true])
  here.close()
  await until(async () => count(await metrics(worker), 'holdfast_discovery_heard_total') > 3, 20000)
  assert.equal((await worker.facts()).gateways.length, 1, await swarmKey(stranger))

  await gateway.down()
  const rotated = await run(['key', 'rotate', '--json', '--data', join(gateway.directory, 'data')])
  assert.equal(rotated.code, 0, rotated.err)
  const next = JSON.parse(rotated.out).public
  assert.equal(await swarmKey(gateway), next)
  await gateway.up()
  await until(async () => (await only(worker)).key === next, 20000)
  const followed = await registered(worker)
  assert.deepEqual([followed.key, followed.announced.predecessor], [next, key])
  assert.equal(count(await metrics(worker), 'holdfast_worker_gateways_followed_total'), 1)

  await gateway.down()
  gateway.args = gateway.args.filter(word => word !== '--discovery-announce')
  await gateway.up()
  worker.child.kill('SIGTERM')
  await worker.exited
  await worker.up()
  const again = await registered(worker)
  assert.deepEqual([again.key, again.announced.predecessor], [next, key])
})

test("a configured gateway's new bee is read without a restart, by its announcement and its answer", limits, async t => {
  const gateway = await startGateway(t, ...announcing), key = await swarmKey(gateway)
  const worker = await startWorker(t, '--worker-gateways', key)
  const before = await registered(worker), author = new Author(), old = author.event({ content: 'old' }), young = author.event({ content: 'young' })
  const to = async (event) => { const client = await Client.connect(gateway.url); assert.deepEqual(await client.publish(event), [true, '']); client.close() }
  const here = await Client.connect(`${worker.url}/gateway`)
  t.after(() => here.close())
  await to(old)
  await until(async () => (await here.ids({ authors: [author.pubkey] })).includes(old.id), 10000)
  await gateway.down()
  const anew = await startGateway(t, ...announcing), keys = ({ directory }) => join(directory, 'data', 'keys')
  await anew.down()
  const swarmFiles = async gateway => (await readdir(keys(gateway))).filter(name => name.startsWith('swarm-'))
  for (const name of await swarmFiles(anew)) await rm(join(keys(anew), name))
  for (const name of await swarmFiles(gateway)) await cp(join(keys(gateway), name), join(keys(anew), name))
  await anew.up()
  assert.equal(await swarmKey(anew), key)
  await until(async () => { const g = await only(worker); return g.replica?.key !== before.replica.key && g.registered }, 20000)
  const client = await Client.connect(anew.url)
  assert.deepEqual(await client.publish(young), [true, ''])
  client.close()
  await until(async () => (await here.ids({ authors: [author.pubkey] })).includes(young.id), 20000)
  assert.deepEqual(await here.ids({ authors: [author.pubkey] }), [young.id])
  assert.ok(count(await metrics(worker), 'holdfast_worker_bees_moved_total') >= 1)
})

test('a gateway of the first generation is used under the switch only, and known again by its bee', limits, async t => {
  const peer = await scene.peer(), theirs = await HypertunaGateway.start(peer), keyPair = keyPairOf('first generation')
  t.after(() => peer.swarm.destroy())
  const fields = () => ({ relayKey: theirs.core.key.toString('hex'), relayDiscoveryKey: theirs.core.discoveryKey.toString('hex'), openAccess: true })
  await theirs.put(new Author().event({ content: 'of the first generation' }))
  const speaker = await advertise(scene, keyPair, says(() => encode(announce(keyPair, fields()))))
  t.after(() => speaker.destroy())
  const id = keyPair.publicKey.toString('hex')
  const { gateways } = await listed(scene)
  const found = gateways.find(({ key }) => key === id)
  assert.deepEqual([found.verified, found.holdfast, found.open, found.name], [true, false, true, 'First generation'])
  const without = await startWorker(t, '--discovery-trusted', 'any'), under = await startWorker(t, '--discovery-trusted', 'any', '--compatibility-hypertuna')
  await theirs.worker(under.key)
  const used = await until(async () => (await under.facts()).gateways.find(({ key, registered }) => key === id && registered), 20000)
    .catch(async error => { throw new Error(`${error.message}: ${JSON.stringify(await under.facts())} ${under.log}`) })
  assert.deepEqual([used.hypertuna, used.url, used.replica.key], [true, 'ws://127.0.0.1:4430/relay', fields().relayKey])
  assert.equal((await under.facts()).gateways.length, 1)
  await until(async () => count(await metrics(without), 'holdfast_discovery_heard_total') > 1, 20000)
  assert.deepEqual((await without.facts()).gateways, [])
})

test('what does not hold is refused and counted by name, and captures nobody', limits, async t => {
  const [good, other] = [keyPairOf('good'), keyPairOf('other')], now = Date.now()
  const resigned = announce(good)
  resigned.displayName = 'Another name'
  let turn = 0, spoken = 0
  const bad = {
    keys: says(encode(announce(good, {}, other))),
    signature: says(encode(resigned)),
    expired: says(encode(announce(keyPairOf('expired'), { timestamp: now - 600000 }))),
    future: says(encode(announce(keyPairOf('future'), { timestamp: now + 600000 }))),
    ttl: says(encode(announce(keyPairOf('ttl'), { ttl: 0 }))),
    url: says(encode(announce(keyPairOf('url'), { wsUrl: 'javascript:alert(1)' }))),
    malformed: says(encode(announce(keyPairOf('half'))).subarray(0, 333)),
    size: stream => { const more = () => { if (!stream.destroyed) stream.write(Buffer.alloc(4000, 64)) }; more(); const timer = setInterval(more, 20); stream.on('close', () => clearInterval(timer)) },
    stale: says(() => encode(announce(keyPairOf('stale'), { timestamp: now - (turn++ % 2) * 1000 }))),
    slow: stream => { stream.write(Buffer.from([64])); if (spoken++ > 1) stream.end() } // to the first two, who wait in vain
  }
  for (const [name, speak] of Object.entries(bad)) {
    const swarm = await advertise(scene, keyPairOf(`advertiser ${name}`), speak)
    t.after(() => swarm.destroy())
  }
  const [worker, { code, gateways }] = await Promise.all([startWorker(t, '--discovery-trusted', 'any'), listed(scene)])
  assert.equal(code, 0)
  const refused = new Set(gateways.map(({ refused }) => refused).filter(Boolean))
  assert.deepEqual([...refused].sort(), Object.keys(bad).filter(name => name !== 'stale').sort())
  await until(async () => { const text = await metrics(worker); return Object.keys(bad).every(name => count(text, `holdfast_discovery_refused_total{reason="${name}"}`) > 0) }, 40000)
    .catch(async error => { throw new Error(`${error.message}: ${(await metrics(worker)).match(/holdfast_discovery.*/g).join('\n')}`) })
  assert.deepEqual((await worker.facts()).gateways, [])
})

test('off means that no topic is joined and no secret is told; the secret is told under both switches only', limits, async t => {
  const quiet = await startGateway(t, '--relay-bee', '--workers-enabled', '--registration-secret', 'village')
  const open = await startGateway(t, ...announcing, '--registration-secret', 'village', '--discovery-share-secret', '--compatibility-hypertuna', '--discovery-display-name', 'Open')
  const path = '/.well-known/hypertuna-gateway-secret'
  assert.equal((await fetch(quiet.http + path)).status, 404)
  assert.doesNotMatch(await metrics(quiet), /holdfast_discovery/)
  const refused = await run(['gateway', '--data', join(quiet.directory, 'none'), '--discovery-share-secret'])
  assert.equal(refused.code, 3)
  assert.match(refused.err, /compatibility\.hypertuna/)
  const found = await until(async () => (await listed(scene)).gateways.find(({ name }) => name === 'Open'), 20000)
  assert.equal((await listed(scene)).gateways.some(({ key }) => key === quiet.key), false)
  const bytes = (await hear(scene, { count: 1 })).map(({ bytes }) => decode(bytes).announcement).find(({ displayName }) => displayName === 'Open')
  const hash = createHash('sha256').update('village').digest('hex')
  const answer = await fetch(open.http + path), told = await answer.json()
  assert.deepEqual([answer.status, answer.headers.get('cache-control')], [200, 'no-store'])
  assert.deepEqual([told.gatewayId, told.sharedSecret, told.hash, told.version, told.wsUrl], [found.key, 'village', hash, hash.slice(0, 24), open.url.replace(/\/$/, '')])
  if (bytes) assert.deepEqual([bytes.secretUrl, bytes.secretHash, bytes.sharedSecretVersion, bytes.openAccess], [open.http + path, hash, hash.slice(0, 24), true])
})

test('a gateway that was only heard of is given up when it is silent and away, and taken again when it speaks', limits, async t => {
  const gateway = await startGateway(t, ...announcing, '--discovery-display-name', 'Fickle'), key = await swarmKey(gateway)
  const worker = await startWorker(t, '--discovery-trusted', key, '--worker-gateway-forget', '1s')
  await registered(worker)
  await gateway.down()
  await until(async () => (await worker.facts()).gateways.length === 0, 30000)
  assert.equal(count(await metrics(worker), 'holdfast_worker_gateways_dropped_total'), 1)
  await gateway.up()
  await until(async () => (await only(worker))?.key === key && (await only(worker)).registered, 20000)
})

test("a worker tells its gateway's relay, and others it is set to, where clients find its own; not of one that asks for a token", limits, async t => {
  const gateway = await startGateway(t, ...announcing), other = await startGateway(t), key = await swarmKey(gateway)
  const at = gateway.url.replace(/\/$/, '')
  const worker = await startWorker(t, '--discovery-trusted', key, '--worker-discovery-relays', `gateway,${other.url}`, '--relay-gateway-path', 'village')
  const closed = await startWorker(t, '--discovery-trusted', key, '--worker-discovery-relays', 'gateway', '--relay-token')
  await registered(worker)
  await registered(closed)
  const [facts] = (await worker.facts()).relays
  for (const url of [gateway.url, other.url]) {
    const client = await Client.connect(url)
    const event = await until(async () => (await client.query({ kinds: [30166] }))[0], 20000)
    assert.deepEqual(event.tags, [['d', `${at}/village`], ['hypertuna', facts.identifier], ['h', facts.identifier], ['i', 'hypertuna:relay']])
    client.close()
  }
  const there = await Client.connect(`${at}/village`)
  assert.deepEqual(await there.ids({ kinds: [1] }), [])
  there.close()
  assert.equal(count(await metrics(closed), 'holdfast_worker_told_total{result="ok"}'), 0)
  assert.ok(count(await metrics(worker), 'holdfast_worker_told_total{result="ok"}') >= 2)
})
