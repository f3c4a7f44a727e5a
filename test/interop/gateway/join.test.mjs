// How somebody becomes a member of a relay: a joiner of Hypertuna's kind, played on the npm packages, at our worker, and ours at a worker of
// Hypertuna's kind; what is refused; and that a member is let in by the gateways of both kinds.
import { after, before, test } from 'node:test'
import assert from 'node:assert/strict'
import { createCipheriv, randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import c from 'compact-encoding'
import crypto from 'hypercore-crypto'
import Protomux from 'protomux'
import { generateSecretKey, getPublicKey, nip19 } from 'nostr-tools'
import { verifyEvent } from 'nostr-tools/pure'
import { Gateway } from '../lib/gateway.mjs'
import { Author, Client, now } from '../lib/client.mjs'
import { run, until } from '../lib/command.mjs'
import { Scene } from '../lib/swarm.mjs'
import { Worker } from '../lib/worker.mjs'
import { HypertunaGateway } from '../lib/hypertuna_gateway.mjs'
import { HypertunaHost, HypertunaJoiner, encryptBlock } from '../lib/hypertuna_join.mjs'
import { HypertunaWorker } from '../lib/hypertuna_worker.mjs'

const timeout = 120000
const owner = new Author(), connection = () => randomBytes(16).toString('hex')
const standard = (key, iv, text) => { const c = createCipheriv('aes-256-cbc', key, iv); return Buffer.concat([c.update(text), c.final()]) }

/* In AES the challenge is answered for a host: who hands it on to another cannot use the answer there. */
const boundTo = (host, text) => crypto.hash(Buffer.concat([Buffer.from(text), Buffer.from(host, 'hex')])).toString('hex')

let scene, bootstrap, worker, identifiers
const ends = []
const joiner = async (key = worker.key) => HypertunaJoiner.connect(await scene.peer(), key)
const failed = ({ status, json }) => [status, json.error]

before(async () => {
  scene = await Scene.of({ after: end => ends.push(end) })
  bootstrap = scene.bootstrap.map(({ host, port }) => `${host}:${port}`).join(',')
  const config = join(scene.directory, 'worker.conf')
  await writeFile(config, `[compatibility]\nhypertuna = yes\n[relay main]\njoin = open\ntoken = yes\npolicy = members\nadmins = ${owner.pubkey}\n` +
    `[relay club]\nnumber = 2\njoin = closed\npolicy = members\nadmins = ${owner.pubkey}\n[relay shut]\nnumber = 3\n`)
  worker = await Worker.start({ bootstrap, args: ['--config', config] })
  identifiers = Object.fromEntries((await worker.facts()).relays.map(({ relay, identifier }) => [relay, identifier]))
})
after(async () => {
  const ended = await worker?.stop()
  for (const end of ends.reverse()) await end()
  assert.deepEqual(ended, { code: 0, signal: null }, worker?.log)
})

test('the cipher of these scripts is the one of the vectors', async () => {
  const { aesVariant } = JSON.parse(await readFile(new URL('../../vectors/gateway-crypto.json', import.meta.url)))
  const bytes = name => Buffer.from(aesVariant[name], 'hex')
  assert.deepEqual(Buffer.from(encryptBlock(bytes('keyHex'), bytes('blockHex'))), bytes('variantBlockHex'))
})

test("a joiner of Hypertuna's becomes a member: with a token, on the list, told of in the relay", { timeout }, async () => {
  const secret = generateSecretKey(), pubkey = getPublicKey(secret), guest = await joiner(), event = HypertunaJoiner.event(secret, identifiers.main)
  const local = await Client.connect(worker.url)
  const asked = await guest.askToJoin(secret, identifiers.main, event)
  assert.equal(asked.status, 200, JSON.stringify(asked.json))
  assert.match(asked.json.challenge, /^[0-9a-f]{64}$/)
  assert.equal(nip19.npubEncode(asked.json.relayPubkey), identifiers.main.split(':')[0])
  assert.deepEqual(await local.ids({ kinds: [9021] }), [event.id])
  assert.equal((await local.publish(new Author(secret).event({ content: 'too early' })))[0], false)
  const { status, json } = await guest.meet(secret, asked.json)
  assert.deepEqual([status, json.success, json.publicIdentifier], [200, true, identifiers.main])
  assert.match(json.authToken, /^[0-9a-f]{64}$/)
  assert.deepEqual((await worker.facts()).relays.map(({ members }) => members), [1, 0, 0])

  const [told] = await until(async () => { const all = await local.query({ kinds: [9000] }); return all.length > 0 && all }, 5000)
  assert.ok(verifyEvent(told))
  assert.equal(told.pubkey, asked.json.relayPubkey)
  assert.deepEqual(told.tags, [['h', identifiers.main], ['p', pubkey, 'member', json.authToken]])
  assert.deepEqual(await local.publish(new Author(secret).event({ content: 'a member now' })), [true, ''])
  assert.equal((await local.publish(new Author().event({ content: 'a stranger' })))[0], false)

  // A gateway of Hypertuna's brings the member's token, and no other one.
  const gateway = await HypertunaGateway.start(await scene.peer()), peer = await gateway.worker(worker.key)
  const post = headers => gateway.post(peer, identifiers.main, connection(), ['REQ', 's', { kinds: [9021] }], headers)
  assert.equal((await post({})).statusCode, 403)
  assert.equal((await post({ 'x-auth-token': randomBytes(32).toString('hex') })).statusCode, 403)
  assert.ok((await post({ 'x-auth-token': json.authToken })).frames.some(frame => frame[0] === 'EVENT' && frame[2].id === event.id))

  // The answer is good once, and so is the request, for whoever has read it.
  assert.deepEqual(failed(await guest.meet(secret, asked.json)), [400, 'Challenge not found or expired'])
  assert.equal((await guest.askToJoin(secret, identifiers.main, event)).status, 409)
  assert.equal((await (await joiner()).askToJoin(secret, identifiers.main, event)).status, 409)

  // It can ask for nothing else here.
  for (const [method, path] of [['GET', '/relays'], ['POST', `/post/relay/${identifiers.main}`], ['GET', '/drive/a/b']]) assert.equal((await guest.ask(method, path, {})).status, 403)
  local.close()
})

test('a stranger is not told what the relays are, nor does a handshake that is none do any harm', { timeout }, async () => {
  const guest = await joiner(), { json: health } = await guest.ask('GET', '/health')
  assert.deepEqual([health.status, health.activeRelays.keys], ['healthy', []])
  for (const handshake of [[], 1, null, 'x', { version: 7 }]) {
    const { swarm } = await scene.peer()
    const closed = new Promise(resolve => swarm.on('connection', stream => {
      stream.once('close', resolve)
      Protomux.from(stream).createChannel({ protocol: 'hypertuna-relay-v2', handshake: c.json, onopen: resolve, onclose: resolve }).open(handshake)
    }))
    swarm.joinPeer(Buffer.from(worker.key, 'hex'))
    await closed
  }
  assert.equal((await guest.ask('GET', '/health')).json.status, 'healthy')
})

test('members are there after a restart', { timeout }, async () => {
  worker.child.kill('SIGTERM')
  await worker.exited
  await worker.up()
  assert.deepEqual((await worker.facts()).relays.map(({ members }) => members), [1, 0, 0])
})

test('a request that does not prove whose it is gets no challenge', { timeout }, async () => {
  const secret = generateSecretKey(), guest = await joiner(), event = HypertunaJoiner.event(secret, identifiers.main)
  const ask = (event, name = identifiers.main) => guest.ask('POST', `/post/join/${name}`, { event }).then(({ status }) => status)
  assert.equal(await ask({ ...event, sig: '0'.repeat(128) }), 400)
  assert.equal(await ask({ ...event, sig: HypertunaJoiner.event(generateSecretKey(), identifiers.main).sig }), 400)
  const { sig, ...unsigned } = event
  assert.equal(await ask(unsigned), 400)
  assert.equal(await ask({ ...event, pubkey: getPublicKey(generateSecretKey()) }), 400)
  const { json } = await guest.meet(secret, { challenge: 'ab'.repeat(32), relayPubkey: getPublicKey(generateSecretKey()) })
  assert.deepEqual(json, { error: 'Challenge not found or expired' })
  assert.equal(await ask(event), 200) /* the forged copies have not spoiled it */
})

test('a request of another kind, of another relay or of another time is refused', { timeout }, async () => {
  const secret = generateSecretKey(), guest = await joiner()
  const ask = (changes, name = identifiers.main) => guest.ask('POST', `/post/join/${name}`, { event: HypertunaJoiner.event(secret, name, changes) }).then(failed)
  assert.deepEqual(await ask({ kind: 9022 }), [400, 'Invalid event kind'])
  assert.deepEqual(await guest.ask('POST', `/post/join/${identifiers.main}`, {}).then(failed), [400, 'Missing required fields'])
  assert.deepEqual(await ask({}, 'npub1x:nobodys'), [404, 'Relay not found'])
  assert.deepEqual(await ask({}, identifiers.shut), [404, 'Relay not found'])
  assert.equal((await ask({ tags: [['h', identifiers.club]] }))[0], 400)
  assert.equal((await ask({ tags: [] }))[0], 400)
  assert.equal((await ask({ created_at: now() - 3600 }))[0], 400)
  assert.equal((await ask({ created_at: now() + 3600 }))[0], 400)
})

test('what meets no challenge is answered in one way, five times', { timeout }, async () => {
  const secret = generateSecretKey(), guest = await joiner(), pubkey = getPublicKey(secret)
  const { json: challenge } = await guest.askToJoin(secret, identifiers.main)
  const iv = randomBytes(16).toString('base64'), prove = proof => guest.ask('POST', '/verify-ownership', { pubkey, iv, ...proof }).then(failed)
  const other = await (await joiner()).ask('POST', '/verify-ownership', { pubkey, iv, ciphertext: 'AAAA' })
  assert.deepEqual(failed(other), [400, 'Challenge not found or expired'])
  assert.deepEqual(await prove({}), [400, 'Missing required fields'])
  const badPadding = (key, iv, text) => { const c = createCipheriv('aes-256-cbc', key, iv).setAutoPadding(false); return Buffer.concat([c.update(Buffer.concat([Buffer.from(text), Buffer.alloc(16, 17)])), c.final()]) }
  const wrong = [400, 'Challenge verification failed']
  assert.deepEqual(await prove({ ciphertext: 'rubbish' }), wrong)
  assert.deepEqual(await prove({ ciphertext: randomBytes(80).toString('base64') }), wrong)
  assert.deepEqual(failed(await guest.meet(secret, challenge, badPadding)), wrong)
  assert.deepEqual(failed(await guest.meet(secret, { ...challenge, challenge: '0'.repeat(64) })), wrong)
  assert.deepEqual(failed(await guest.meet(generateSecretKey(), challenge)), [400, 'Challenge not found or expired'])
  assert.deepEqual(await prove({ ciphertext: '' + randomBytes(64).toString('base64') }), wrong)
  assert.deepEqual(failed(await guest.meet(secret, challenge)), [400, 'Challenge not found or expired'])
})

test('a body that is too large, and one request too many, are refused', { timeout }, async () => {
  const secret = generateSecretKey(), guest = await joiner()
  assert.equal((await guest.askToJoin(secret, identifiers.main, HypertunaJoiner.event(secret, identifiers.main, { content: 'x'.repeat(70000) }))).status, 413)
  assert.equal((await guest.ask('POST', '/verify-ownership', 'x'.repeat(70000))).status, 413)
  assert.equal((await guest.ask('POST', `/post/join/${identifiers.main}`, '{"event":')).status, 400)
  const answers = []
  for (let i = 0; i < 10; i++) answers.push((await guest.askToJoin(secret, identifiers.main)).status)
  assert.equal(answers.at(-1), 429)
})

test('a closed relay keeps the request, and gives a challenge to whom it lists', { timeout }, async () => {
  const secret = generateSecretKey(), guest = await joiner(), event = HypertunaJoiner.event(secret, identifiers.club)
  assert.deepEqual(await guest.askToJoin(secret, identifiers.club, event), { status: 200, json: { status: 'pending' } })
  const local = await Client.connect(`${worker.url}/club`)
  assert.deepEqual(await local.ids({ kinds: [9021] }), [event.id])
  local.close()
  const { json } = await guest.askToJoin(owner.secret, identifiers.club)
  assert.equal((await guest.meet(owner.secret, json)).status, 200)
})

test('without compatibility the cipher is AES, and the token is told to nobody else', { timeout }, async t => {
  const strict = await Worker.start({ bootstrap, args: ['--worker-gateways', randomBytes(32).toString('hex'), '--relay-join', 'open'] })
  t.after(() => strict.stop())
  const { identifier } = (await strict.facts()).relays[0], secret = generateSecretKey(), guest = await joiner(strict.key)
  const { json: challenge } = await guest.askToJoin(secret, identifier)
  assert.equal(challenge.cipher, 'aes-256-cbc')
  assert.deepEqual(failed(await guest.meet(secret, challenge)), [400, 'Challenge verification failed'])
  assert.deepEqual(failed(await guest.meet(secret, { ...challenge, challenge: boundTo(randomBytes(32), challenge.challenge) }, standard)), [400, 'Challenge verification failed'])
  assert.equal((await guest.meet(secret, { ...challenge, challenge: boundTo(strict.key, challenge.challenge) }, standard)).status, 200)
  const local = await Client.connect(strict.url)
  const [told] = await until(async () => { const all = await local.query({ kinds: [9000] }); return all.length > 0 && all }, 5000)
  assert.deepEqual(told.tags, [['h', identifier], ['p', getPublicKey(secret), 'member']])
  local.close()

  const key = join(scene.directory, 'me.nsec'), me = generateSecretKey()
  await writeFile(key, nip19.nsecEncode(me) + '\n')
  const { code, out, err } = await run(['relay', 'join', strict.key, identifier, '--nostr-key', key, '--json', ...scene.options])
  assert.equal(code, 0, err)
  const membership = JSON.parse(out), [{ key: relayKey }] = (await strict.facts()).relays
  assert.deepEqual([membership.status, membership.relay, membership.identifier], ['member', relayKey, identifier])
  assert.equal((await strict.facts()).relays[0].members, 2)
  const nobodys = await run(['relay', 'join', strict.key, 'npub1x:nobodys', '--nostr-key', key, ...scene.options])
  assert.deepEqual([nobodys.code, /Relay not found/.test(nobodys.err)], [1, true], nobodys.err)
})

test("ours joins at a worker of Hypertuna's, open and closed", { timeout }, async () => {
  const peer = await scene.peer(), hostSecret = generateSecretKey(), identifier = `${nip19.npubEncode(getPublicKey(hostSecret))}:theirClub`
  const host = new HypertunaHost({ secret: hostSecret, identifier })
  const theirs = new HypertunaWorker(peer.swarm, { host })
  await theirs.join()
  const hostKey = Buffer.from(peer.swarm.keyPair.publicKey).toString('hex')
  const secret = generateSecretKey(), pubkey = getPublicKey(secret), key = join(scene.directory, 'joiner.key')
  await writeFile(key, Buffer.from(secret).toString('hex'))
  const ask = (...more) => run(['relay', 'join', hostKey, identifier, '--nostr-key', key, ...scene.options, ...more])

  const strict = await ask()
  assert.deepEqual([strict.code, /compatibility-hypertuna/.test(strict.err)], [1, true], strict.err)
  const joined = await ask('--compatibility-hypertuna', '--json')
  assert.equal(joined.code, 0, joined.err)
  const membership = JSON.parse(joined.out)
  assert.deepEqual([membership.relay, membership.identifier, membership.token], [host.relayKey, identifier, host.members.get(pubkey)])
  assert.equal(membership.url, `ws://127.0.0.1:8443/${identifier.replace(':', '/')}?token=${membership.token}`)
  assert.ok(host.events.every(event => verifyEvent(event) && event.pubkey === pubkey && event.tags[0][1] === identifier))

  host.isOpen = false
  const pending = await ask('--compatibility-hypertuna', '--json')
  assert.deepEqual([pending.code, JSON.parse(pending.out)], [0, { status: 'pending' }], pending.err)
  const other = await run(['relay', 'join', hostKey, 'npub1x:other', '--nostr-key', key, ...scene.options])
  assert.deepEqual([other.code, /Relay not found/.test(other.err)], [1, true], other.err)
})

test("behind a gateway of ours the new member's address lets in, and the relay says what it is", { timeout }, async t => {
  const ours = await Gateway.start({ args: ['--workers-enabled', '--registration-open', '--tokens-enabled', '--gateway-swarm', '--swarm-bootstrap', bootstrap] })
  t.after(() => ours.stop())
  const { out } = await run(['key', 'show', '--json', '--data', join(ours.directory, 'data')])
  const gatewayKey = out.trim().split('\n').map(line => JSON.parse(line)).find(({ purpose, state }) => purpose === 'swarm' && state === 'active').public
  const base = ours.url.replace(/\/$/, '')
  const home = await Worker.start({ bootstrap, args: ['--worker-gateways', `${gatewayKey}@${base}`, '--relay-gateway-path', 'club', '--relay-token', '--relay-join', 'open', '--relay-policy', 'members', '--relay-admins', owner.pubkey, '--relay-name', 'Our club'] })
  const facts = await until(async () => { const facts = await home.facts(); return facts.gateways[0].registered && facts }, 60000)
  const secret = generateSecretKey(), key = join(scene.directory, 'member.key')
  await writeFile(key, Buffer.from(secret).toString('hex'))
  const { code, out: text, err } = await run(['relay', 'join', home.key, facts.relays[0].identifier, '--nostr-key', key, '--json', ...scene.options])
  assert.equal(code, 0, err)
  const { url } = JSON.parse(text)
  assert.ok(url.startsWith(`${base}/club?token=`), url)
  const client = await Client.connect(url)
  assert.deepEqual(await client.publish(new Author(secret).event({ content: 'by the gateway' })), [true, ''])
  client.close()

  const document = async () => (await fetch(`${ours.http}/club`, { headers: { accept: 'application/nostr+json' } })).json()
  const itsOwn = await document()
  assert.deepEqual([itsOwn.name, itsOwn.hyperbee, nip19.npubEncode(itsOwn.self), itsOwn.limitation.restricted_writes], ['Our club', undefined, facts.relays[0].identifier.split(':')[0], true])
  const open = await Worker.start({ bootstrap, args: ['--worker-gateways', gatewayKey, '--relay-gateway-path', 'open', '--relay-name', 'Open'] })
  const [{ key: openKey }] = (await until(async () => { const facts = await open.facts(); return facts.gateways[0].registered && facts }, 60000)).relays
  const { hyperbee } = await (await fetch(`${ours.http}/open`, { headers: { accept: 'application/nostr+json' } })).json()
  assert.ok(hyperbee.key && hyperbee.discovery_key && openKey)
  await open.stop()
  await home.stop()
  await until(async () => { const { name, self } = await document(); return name === 'Our club' && self === undefined }, 30000)
})
