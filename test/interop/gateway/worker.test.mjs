// `holdfast worker` behind a gateway of Hypertuna's, played on the npm packages: registration, clients in JSON, files, the bee and what is
// asked of it; and who is not served.
import { after, before, test } from 'node:test'
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Gateway } from '../lib/gateway.mjs'
import { Author, Client, now, sleep } from '../lib/client.mjs'
import { run, until } from '../lib/command.mjs'
import { Scene } from '../lib/swarm.mjs'
import { Worker } from '../lib/worker.mjs'
import { HypertunaGateway } from '../lib/hypertuna_gateway.mjs'

const author = new Author(), connection = () => randomBytes(16).toString('hex'), picture = randomBytes(300000)
async function swarmKey ({ directory }) {
  const { out } = await run(['key', 'show', '--json', '--data', join(directory, 'data')])
  return out.trim().split('\n').map(line => JSON.parse(line)).find(({ purpose, state }) => purpose === 'swarm' && state === 'active').public
}

let scene, gateway, worker, peer, relay, identifier
const ends = []
before(async () => {
  scene = await Scene.of({ after: end => ends.push(end) })
  gateway = await HypertunaGateway.start(await scene.peer())
  await gateway.put(author.event({ content: 'old', created_at: now() - 100, tags: [['t', 'x']] }))
  const bootstrap = scene.bootstrap.map(({ host, port }) => `${host}:${port}`).join(',')
  worker = await Worker.start({ bootstrap, args: ['--compatibility-hypertuna', '--relay-drive', 'files', '--worker-avatars', 'faces'] })
  peer = await gateway.worker(worker.key).catch(error => { throw new Error(`${error.message}: ${worker.log}`) })
  const facts = await worker.facts()
  relay = facts.relays[0].key
  identifier = facts.relays[0].identifier
})
after(async () => {
  const ended = await worker?.stop()
  for (const end of ends.reverse()) await end()
  assert.deepEqual(ended, { code: 0, signal: null }, worker?.log)
})

test('it says what it is, registers its relays, and tells of itself', async () => {
  const { handshake } = peer
  assert.deepEqual([handshake.role, handshake.isGateway, handshake.gatewayReplica, handshake.relayPublicKey], ['gateway-replica', false, true, worker.key])
  assert.equal((await peer.identified).statusCode, 200)
  const registration = await until(() => peer.registrations[0], 10000)
  assert.equal(registration.publicKey, worker.key)
  assert.deepEqual(registration.relays.map(({ identifier, name }) => [identifier, name]), [[identifier, 'Holdfast']])
  const telemetry = await until(() => peer.telemetry[0], 10000)
  assert.equal(telemetry.peerId, worker.key)
  assert.equal(typeof telemetry.hyperbeeLag, 'number')
  await until(async () => (await worker.facts()).gateways[0]?.registered, 10000)
})

test('health and relays are told, and relays are made by nobody else', async () => {
  const health = await gateway.json(peer, 'GET', '/health')
  assert.deepEqual([health.statusCode, health.json.status, health.json.activeRelays.keys], [200, 'healthy', [relay]])
  const relays = await gateway.json(peer, 'GET', '/relays')
  assert.deepEqual([relays.json.count, relays.json.relays[0].publicIdentifier], [1, identifier])
  assert.equal((await gateway.json(peer, 'POST', '/register', { body: {} })).json.status, 'acknowledged')
  for (const path of ['/relay/create', '/relay/join', `/relay/${relay}/disconnect`]) assert.equal((await gateway.json(peer, 'POST', path, { body: {} })).statusCode, 403)
  assert.equal((await gateway.json(peer, 'GET', '/nothing')).statusCode, 404)
})

test('clients publish to its relay and read it, stored and live', async () => {
  const [one, two] = [connection(), connection()], event = author.event({ content: 'by the gateway' }), later = author.event({ content: 'later' })
  const published = await gateway.post(peer, identifier, one, ['EVENT', event])
  assert.ok(published.frames.some(frame => frame[0] === 'OK' && frame[1] === event.id && frame[2] === true), JSON.stringify(published.frames))
  const read = await gateway.post(peer, encodeURIComponent(identifier), two, ['REQ', 's', { ids: [event.id] }, { authors: [author.pubkey], limit: 0 }])
  assert.deepEqual(read.frames.filter(frame => frame[0] !== 'AUTH').map(frame => frame[0]), ['EVENT', 'EOSE'])
  assert.equal(read.frames.find(frame => frame[0] === 'EVENT')[2].id, event.id)
  await gateway.post(peer, relay, one, ['EVENT', later])
  const live = await until(async () => { const frames = await gateway.poll(peer, encodeURIComponent(identifier), two); return frames.length > 0 && frames }, 5000)
  assert.deepEqual(live.map(frame => [frame[0], frame[2].id]), [['EVENT', later.id]])
  const local = await Client.connect(worker.url)
  assert.deepEqual(await local.ids({ ids: [event.id] }), [event.id])
  local.close()
  assert.equal((await gateway.post(peer, 'unknown', one, ['REQ', 's', {}])).statusCode, 404)
  assert.deepEqual(await gateway.poll(peer, relay, connection()), [])
})

test('files of its drives are served, whole and in ranges', async () => {
  const file = join(worker.directory, 'picture.png')
  await writeFile(file, picture)
  const put = await run(['drive', 'put', '--name', 'files', '--data', join(worker.directory, 'data'), '/a/picture.png', file])
  assert.equal(put.code, 0, put.err)
  const answer = await gateway.ask(peer, 'GET', `/drive/${identifier}/a/picture.png`)
  assert.deepEqual([answer.statusCode, answer.headers['content-type']], [200, 'image/png'])
  assert.ok(answer.body.equals(picture))
  const part = await gateway.ask(peer, 'GET', `/drive/${relay}/a/picture.png`, { headers: { range: 'bytes=100000-100099' } })
  assert.deepEqual([part.statusCode, part.headers['content-range']], [206, `bytes 100000-100099/${picture.length}`])
  assert.ok(part.body.equals(picture.subarray(100000, 100100)))
  const unchanged = await gateway.ask(peer, 'GET', `/drive/${relay}/a/picture.png`, { headers: { 'if-none-match': answer.headers.etag } })
  assert.deepEqual([unchanged.statusCode, unchanged.body.length], [304, 0])
  assert.equal((await gateway.ask(peer, 'GET', `/drive/${relay}/b`)).statusCode, 404)
  assert.equal((await gateway.ask(peer, 'GET', '/pfp/nobody')).statusCode, 404)
  const here = await fetch(`${worker.http}/drive/${encodeURIComponent(identifier)}/a/picture.png`)
  assert.ok(Buffer.from(await here.arrayBuffer()).equals(picture))
  assert.equal((await fetch(`${worker.http}/drive/${relay}/a/picture.png`, { headers: { range: 'bytes=-5' } })).headers.get('content-length'), '5')
})

test("the gateway's relay is read from a copy, newest first, and live; it is not written", async () => {
  const events = []
  for (let i = 0; i < 40; i++) {
    events.push(author.event({ kind: 7, content: `event ${i}`, created_at: now() - 1000 + i, tags: [['t', 'copy']] }))
    await gateway.put(events[i])
  }
  await until(async () => (await worker.facts()).gateways[0].replica?.length === gateway.core.length, 20000)
  const key = connection(), name = 'public-gateway:hyperbee'
  const read = await gateway.post(peer, name, key, ['REQ', 'copy', { kinds: [7], '#t': ['copy'], limit: 3, until: events[30].created_at }])
  assert.deepEqual(read.frames.map(frame => frame[0]), ['ACK', 'EVENT', 'EVENT', 'EVENT', 'EOSE'])
  assert.deepEqual(read.frames.filter(frame => frame[0] === 'EVENT').map(frame => frame[2].id), [30, 29, 28].map(i => events[i].id))
  const refused = await gateway.post(peer, name, key, ['EVENT', author.event()])
  assert.deepEqual(refused.frames.map(frame => [frame[0], frame[2]]), [['OK', false]])
  await gateway.post(peer, name, key, ['REQ', 'live', { kinds: [8] }])
  const late = author.event({ kind: 8, content: 'late' })
  await gateway.put(late)
  const live = await until(async () => { const frames = await gateway.poll(peer, name, key); return frames.length > 0 && frames }, 10000)
  assert.deepEqual(live.map(frame => [frame[0], frame[1], frame[2].id]), [['EVENT', 'live', late.id]])
  const here = await Client.connect(`${worker.url}/gateway`)
  assert.deepEqual(await here.ids({ kinds: [8] }), [late.id])
  here.close()
})

test('it finds the gateway again, and serves its own clients meanwhile', async () => {
  const before = peer
  peer.stream.destroy()
  await until(() => gateway.workers.get(worker.key) !== before, 10000)
  const local = await Client.connect(`${worker.url}/gateway`)
  assert.equal((await local.query({ kinds: [7], limit: 5 })).length, 5)
  local.close()
  peer = await until(() => { const found = gateway.workers.get(worker.key); return found && found !== before && found }, 60000)
  await until(() => peer.registrations[0], 10000)
})

test('behind a gateway of ours clients publish, read and fetch by streams', { timeout: 120000 }, async t => {
  const bootstrap = scene.bootstrap.map(({ host, port }) => `${host}:${port}`).join(',')
  const ours = await Gateway.start({ args: ['--workers-enabled', '--registration-open', '--relay-bee', '--gateway-swarm', '--swarm-bootstrap', bootstrap] })
  t.after(() => ours.stop())
  const home = await Worker.start({ bootstrap, args: ['--worker-gateways', `${await swarmKey(ours)}@${ours.url}`, '--relay-gateway-path', 'club', '--relay-drive', 'files'] })
  t.after(() => home.stop())
  await until(async () => (await home.facts()).gateways[0].registered, 60000)
  const writer = await Client.connect(`${ours.url.replace(/\/$/, '')}/club`), reader = await Client.connect(`${ours.url.replace(/\/$/, '')}/club`)
  const event = author.event({ content: 'by stream' })
  assert.deepEqual(await writer.publish(event), [true, ''])
  assert.deepEqual((await reader.query({ ids: [event.id] }, { id: 'q', keep: true })).map(({ id }) => id), [event.id])
  await reader.query({ kinds: [9], limit: 0 }, { id: 'live', keep: true })
  const late = author.event({ kind: 9, content: 'late' }), heard = reader.next(frame => frame[0] === 'EVENT' && frame[1] === 'live')
  assert.deepEqual(await writer.publish(late), [true, ''])
  assert.equal((await heard)[2].id, late.id)
  const file = join(home.directory, 'picture.png')
  await writeFile(file, picture)
  assert.equal((await run(['drive', 'put', '--name', 'files', '--data', join(home.directory, 'data'), '/picture.png', file])).code, 0)
  const answer = await fetch(`${ours.http}/drive/${(await home.facts()).relays[0].key}/picture.png`)
  assert.deepEqual([answer.status, answer.headers.get('content-type')], [200, 'image/png'])
  assert.ok(Buffer.from(await answer.arrayBuffer()).equals(picture))
  const copy = await Client.connect(`${home.url}/gateway`), note = author.event({ kind: 5000, content: "to the gateway's relay" })
  assert.deepEqual(await copy.publish(note), [true, ''])
  await until(async () => (await copy.ids({ kinds: [5000] })).includes(note.id), 20000)
  for (const client of [writer, reader, copy]) client.close()
})

test('a relay with tokens lets in who has one, which is fresh before it ends', { timeout: 120000 }, async t => {
  const bootstrap = scene.bootstrap.map(({ host, port }) => `${host}:${port}`).join(',')
  const ours = await Gateway.start({ args: ['--workers-enabled', '--registration-open', '--tokens-enabled', '--tokens-ttl', '20s', '--tokens-refresh-window', '15s', '--gateway-swarm', '--swarm-bootstrap', bootstrap] })
  t.after(() => ours.stop())
  const home = await Worker.start({ bootstrap, args: ['--worker-gateways', await swarmKey(ours), '--relay-gateway-path', 'club', '--relay-token', '--relay-token-users', author.pubkey] })
  t.after(() => home.stop())
  const tokens = async () => JSON.parse(await readFile(join(home.directory, 'data', 'worker-tokens.json'), 'utf8').catch(() => '[]'))
  const [{ token, sequence, pubkey }] = await until(async () => { const all = await tokens(); return all.length > 0 && all }, 60000)
  assert.equal(pubkey, author.pubkey)
  const url = `${ours.url.replace(/\/$/, '')}/club`
  const client = await Client.connect(`${url}?token=${encodeURIComponent(token)}`)
  assert.deepEqual(await client.publish(author.event({ content: 'with a token' })), [true, ''])
  assert.equal(await (await Client.connect(`${url}?token=nonsense`)).closed, 4403)
  await until(async () => (await tokens())[0]?.sequence > sequence, 60000)
  client.close()
})

test('who is no gateway of its configuration is not served', { timeout: 60000 }, async () => {
  const bootstrap = scene.bootstrap.map(({ host, port }) => `${host}:${port}`).join(',')
  const strict = await Worker.start({ bootstrap, args: ['--worker-gateways', randomBytes(32).toString('hex')] })
  await sleep(5000)
  assert.equal(gateway.workers.has(strict.key), false)
  assert.deepEqual((await strict.facts()).gateways.map(({ connected }) => connected), [false])
  await strict.stop()
  const { code, err } = await run(['worker', '--data', join(worker.directory, 'none'), '--swarm-bootstrap', bootstrap])
  assert.notEqual(code, 0)
  assert.match(err, /worker\.gateways/)
})
