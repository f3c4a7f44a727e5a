// Registration and tokens over HTTP: as Hypertuna's workers do it and as ours do, and every route of the server's own table with no
// credential and with wrong, stale, replayed and expired ones.
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { createHmac, createPrivateKey, createPublicKey, randomBytes, sign } from 'node:crypto'
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { Gateway } from '../lib/gateway.mjs'
import { ask, run, scratch } from '../lib/command.mjs'
import { Testnet } from '../lib/testnet.mjs'

const timeout = 120000
const secret = 'a secret of the operator'

// JSON.stringify with members sorted at every depth.
const sorted = value => {
  if (Array.isArray(value)) return value.map(sorted)
  if (value === null || typeof value !== 'object') return value
  return Object.keys(value).sort().reduce((out, key) => { out[key] = sorted(value[key]); return out }, {})
}
const canonical = value => JSON.stringify(sorted(value))
const schemeA = (value, key = secret) => createHmac('sha256', key).update(canonical(value)).digest('hex')
const fresh = () => ({ nonce: randomBytes(12).toString('hex'), issuedAt: Date.now() })

// An Ed25519 key pair in the form that node takes.
class Peer {
  constructor () {
    const seed = randomBytes(32)
    this.secret = createPrivateKey({ key: Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed]), format: 'der', type: 'pkcs8' })
    this.key = createPublicKey(this.secret).export({ format: 'der', type: 'spki' }).subarray(-32).toString('hex')
  }

  sign (purpose, value) {
    return sign(null, Buffer.from(purpose + canonical(value)), this.secret).toString('hex')
  }

  registration (gateway, relays, more = {}) {
    const registration = { version: 1, peer: this.key, gateway, relays, ...fresh(), ...more }
    return { registration, signature: this.sign('holdfast-registration-v1', registration) }
  }

  request (action, fields, more = {}) {
    const payload = { action, peerKey: this.key, ...fields, ...fresh(), ...more }
    return { payload, signature: this.sign('holdfast-request-v1', payload) }
  }
}

const shared = (relayKey, more = {}) => {
  const registration = { relayKey, peers: [], metadata: { name: 'Shared', identifier: relayKey }, ...fresh(), ...more }
  return { registration, signature: schemeA(registration) }
}
const sharedRequest = (action, fields, more = {}) => {
  const payload = { action, ...fields, ...fresh(), ...more }
  return { payload, signature: schemeA(payload) }
}

async function post (gateway, path, body) {
  const answer = await fetch(gateway.http + path, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })
  return { status: answer.status, body: await answer.json().catch(() => null) }
}

async function remove (gateway, relayKey, headers) {
  const answer = await fetch(`${gateway.http}/api/relays/${encodeURIComponent(relayKey)}`, { method: 'DELETE', headers })
  return { status: answer.status, body: await answer.json().catch(() => null) }
}

const removal = (relayKey, { peer, key = secret } = {}) => {
  const { nonce, issuedAt } = fresh()
  const signed = { action: 'delete', relayKey, nonce, issuedAt, ...(peer ? { peerKey: peer.key } : {}) }
  const signature = peer ? peer.sign('holdfast-request-v1', signed) : schemeA(signed, key)
  return { 'x-signature': signature, 'x-nonce': nonce, 'x-issued-at': String(issuedAt), ...(peer ? { 'x-peer': peer.key } : {}) }
}

async function withGateway (settings, use) {
  const net = await Testnet.of(3)
  const gateway = await Gateway.start({ args: ['--gateway-swarm=yes', '--swarm-bootstrap', net.addresses[0], '--workers-enabled=yes',
    '--tokens-enabled=yes', '--registration-secret', secret, ...settings] })
  try {
    const facts = await (await fetch(gateway.http + '/api/gateway')).json()
    await use(gateway, facts)
  } finally {
    await gateway.stop()
    await net.end()
  }
}

const refused = (answer, status, error) => assert.deepEqual([answer.status, answer.body?.error], [status, error])

test('a worker registers by the secret, has tokens issued, refreshed and revoked', { timeout }, () => withGateway([], async gateway => {
  const relayKey = 'npub1abc:myRelay'
  const registered = await post(gateway, '/api/relays', shared(relayKey))
  assert.equal(registered.status, 200)
  assert.equal(registered.body.status, 'ok')
  assert.deepEqual(registered.body.relays, [{ relayKey, status: 'ok' }])

  const issued = await post(gateway, '/api/relay-tokens/issue', sharedRequest('issue', { relayKey, relayAuthToken: 'worker', pubkey: 'ab'.repeat(32) }))
  assert.equal(issued.status, 200)
  assert.equal(issued.body.sequence, 1)
  assert.ok(issued.body.expiresAt > Date.now() && issued.body.refreshAfter < issued.body.expiresAt)
  const payload = JSON.parse(Buffer.from(issued.body.token.split('.')[0], 'base64url'))
  assert.equal(payload.relayKey, relayKey)
  assert.equal(payload.relayAuthToken, undefined)

  const refreshed = await post(gateway, '/api/relay-tokens/refresh', sharedRequest('refresh', { relayKey, token: issued.body.token, ttlSeconds: 60 }))
  assert.equal(refreshed.status, 200)
  assert.equal(refreshed.body.sequence, 2)
  refused(await post(gateway, '/api/relay-tokens/refresh', sharedRequest('refresh', { relayKey, token: 'x.y' })), 400, 'token-invalid')

  const revoked = await post(gateway, '/api/relay-tokens/revoke', sharedRequest('revoke', { relayKey, reason: 'left' }))
  assert.deepEqual(revoked.body, { status: 'revoked', disconnected: 1, sequence: 3 })
  refused(await post(gateway, '/api/relay-tokens/refresh', sharedRequest('refresh', { relayKey, token: refreshed.body.token })), 400, 'token-revoked')

  assert.deepEqual((await remove(gateway, relayKey, removal(relayKey))).body, { status: 'ok' })
  refused(await remove(gateway, relayKey, removal(relayKey)), 404, 'relay-not-registered')
}))

test('a peer proves its key, and nobody else takes its relay', { timeout }, () => withGateway(['--registration-open=yes'], async (gateway, facts) => {
  const peer = new Peer(), other = new Peer(), relayKey = 'cd'.repeat(32)
  const body = peer.registration(facts.gateway, [{ relayKey, identifier: 'npub1xyz:docs', name: 'Docs', isPublic: true, future: { kept: 1.0 } }])
  assert.equal((await post(gateway, '/api/relays', body)).status, 200)
  refused(await post(gateway, '/api/relays', body), 401, 'replayed')
  refused(await post(gateway, '/api/relays', other.registration(facts.gateway, [{ relayKey }])), 403, 'consent-required')
  refused(await post(gateway, '/api/relays', shared(relayKey)), 403, 'not-owner')
  refused(await post(gateway, '/api/relays', peer.registration(other.key, [{ relayKey }])), 401, 'gateway-mismatch')
  const consent = { issuedAt: Date.now(), peer: other.key, relayKey }
  const signed = { owner: peer.key, issuedAt: consent.issuedAt, signature: peer.sign('holdfast-consent-v1', consent) }
  assert.equal((await post(gateway, '/api/relays', other.registration(facts.gateway, [{ relayKey, consent: signed }]))).status, 200)

  const issue = { relayKey, relayAuthToken: 'worker' }
  refused(await post(gateway, '/api/relay-tokens/issue', sharedRequest('issue', issue)), 403, 'not-allowed')
  refused(await post(gateway, '/api/relay-tokens/issue', new Peer().request('issue', issue)), 403, 'not-allowed')
  const [mine, theirs] = [await post(gateway, '/api/relay-tokens/issue', peer.request('issue', issue)),
    await post(gateway, '/api/relay-tokens/issue', other.request('issue', issue))]
  assert.deepEqual([mine.status, theirs.status], [200, 200])
  refused(await post(gateway, '/api/relay-tokens/refresh', other.request('refresh', { relayKey, token: mine.body.token })), 403, 'not-allowed')
  assert.equal((await post(gateway, '/api/relay-tokens/revoke', other.request('revoke', { relayKey, token: theirs.body.token }))).body.disconnected, 1)
  refused(await remove(gateway, relayKey, removal(relayKey, { peer: other })), 403, 'not-owner')
  assert.equal((await remove(gateway, relayKey, removal(relayKey, { peer }))).status, 200)
}))

// What a route that asks for a signature makes of requests that are almost right. Each gives a body for POST, or headers for DELETE.
const cases = {
  'POST /api/relays': { right: relay => shared(relay), part: 'registration' },
  'DELETE /api/relays/*': { headers: true },
  'POST /api/relay-tokens/issue': { right: relay => sharedRequest('issue', { relayKey: relay, relayAuthToken: 'x' }), part: 'payload' },
  'POST /api/relay-tokens/refresh': { right: relay => sharedRequest('refresh', { relayKey: relay, token: 'x.y' }), part: 'payload' },
  'POST /api/relay-tokens/revoke': { right: relay => sharedRequest('revoke', { relayKey: relay }), part: 'payload' }
}

const resign = (body, part, change) => {
  const changed = { ...body[part], ...change }
  for (const key of Object.keys(changed)) if (changed[key] === undefined) delete changed[key]
  return { [part]: changed, signature: schemeA(changed) }
}

async function tryPost (gateway, path, { right, part }, relay) {
  refused(await post(gateway, path, {}), 400 + (part === 'registration' ? 1 : 0), part === 'registration' ? 'unsigned' : 'malformed')
  const body = right(relay)
  refused(await post(gateway, path, { [part]: body[part] }), 401, 'signature-missing')
  refused(await post(gateway, path, { ...body, signature: schemeA(body[part], 'another secret') }), 401, 'signature-invalid')
  refused(await post(gateway, path, { [part]: { ...body[part], relayKey: 'other' }, signature: body.signature }), 401, 'signature-invalid')
  refused(await post(gateway, path, resign(body, part, { issuedAt: Date.now() - 6 * 60000 })), 401, 'stale')
  refused(await post(gateway, path, resign(body, part, { issuedAt: Date.now() + 6 * 60000 })), 401, 'stale')
  refused(await post(gateway, path, resign(body, part, { nonce: undefined, issuedAt: undefined })), 401, 'freshness-required')
  await post(gateway, path, body)
  refused(await post(gateway, path, body), 401, 'replayed')
}

async function tryDelete (gateway, relay) {
  refused(await remove(gateway, relay, {}), 401, 'signature-missing')
  refused(await remove(gateway, relay, removal(relay, { key: 'another secret' })), 401, 'signature-invalid')
  refused(await remove(gateway, relay, removal('other')), 401, 'signature-invalid')
  refused(await remove(gateway, relay, { 'x-signature': schemeA({ relayKey: relay }) }), 401, 'freshness-required')
  const headers = removal(relay)
  await remove(gateway, relay, headers)
  refused(await remove(gateway, relay, headers), 401, 'replayed')
}

test('every route of the table asks for what the table says', { timeout }, () => withGateway([], async gateway => {
  const data = join(gateway.directory, 'data')
  const { routes } = JSON.parse((await run(['admin', 'routes', '--json', '--data', data])).out)
  assert.ok(routes.length > 20)
  const known = new Set(['public', 'signed', 'local', 'admin', 'socket'])
  let signedCount = 0
  for (const { server, method, path, access } of routes) {
    assert.ok(known.has(access), `${method} ${path} says ${access}`)
    if (access === 'signed') {
      const name = `${method} ${path}`
      assert.ok(cases[name], `${name} is not tried here`)
      const relay = `npub1try:${signedCount++}`
      await post(gateway, '/api/relays', shared(relay))
      if (cases[name].headers) await tryDelete(gateway, relay)
      else await tryPost(gateway, path, cases[name], relay)
    }
    // Administration is nowhere but on admin.sock, unless it is configured.
    if (access === 'admin' || access === 'socket') {
      assert.equal(server, 'admin')
      const answer = await fetch(gateway.http + path.replace('*', 'x'), { method, ...(method === 'POST' ? { body: '{}' } : {}) })
      assert.ok([404, 405, 426].includes(answer.status), `${method} ${path} answers ${answer.status} to clients`)
    }
    if (access === 'public' && server === 'clients') assert.equal(method, 'GET', `${path} can be changed by anybody`)
  }
  assert.equal(signedCount, Object.keys(cases).length)
}))

test('an operator ends tokens and takes registrations away over HTTP, and is named in the audit log', { timeout }, async () => {
  const directory = await scratch()
  const file = join(directory, 'admin.token')
  await run(['admin', 'token', file])
  try {
    await withGateway(['--admin-token-file', file], async gateway => {
      const relayKey = 'npub1abc:afar', there = ['--url', gateway.http, '--token-file', file, '--json']
      await post(gateway, '/api/relays', shared(relayKey))
      const issued = await post(gateway, '/api/relay-tokens/issue', sharedRequest('issue', { relayKey, relayAuthToken: 'x' }))
      const admin = async (...args) => JSON.parse((await run(['admin', ...args, ...there])).out)
      assert.deepEqual((await admin('tokens')).tokens.map(token => [token.relay, token.state]), [[relayKey, 'active']])
      assert.equal((await admin('revoke', relayKey, '--reason', 'enough')).revoked, 1)
      refused(await post(gateway, '/api/relay-tokens/refresh', sharedRequest('refresh', { relayKey, token: issued.body.token })), 400, 'token-revoked')
      assert.deepEqual((await admin('registrations')).relays.map(relay => relay.relay), [relayKey])
      const facts = JSON.parse((await ask(`${gateway.http}/api/admin/snapshot`, { headers: { authorization: `Bearer ${(await readFile(file, 'utf8')).trim()}` } })).body)
      assert.deepEqual([facts.registrations.count, facts.tokens.issued, facts.tokens.revoked, facts.dispatcher.jobs.waiting], [1, 1, 1, 0])
      await admin('unregister', relayKey)
      assert.deepEqual((await admin('registrations')).relays, [])
      const records = (await run(['audit', 'tail', ...there])).out.trim().split('\n').map(line => JSON.parse(line))
      for (const kind of ['operator.revoked', 'operator.removed']) assert.equal(records.find(record => record.kind === kind).fields.by, 'token')
    })
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
})

test('lists come in pages, and the command line asks for one after another', { timeout }, () => withGateway([], async gateway => {
  const data = join(gateway.directory, 'data'), count = 1003
  const keys = Array.from({ length: count }, (_, i) => `npub1abc:relay${String(i).padStart(4, '0')}`)
  for (let from = 0; from < count; from += 50) await Promise.all(keys.slice(from, from + 50).map(key => post(gateway, '/api/relays', shared(key))))
  const admin = async (...args) => (await run(['admin', ...args, '--data', data])).out
  const list = async (...args) => JSON.parse(await admin('registrations', '--json', ...args))
  const all = await list()
  assert.deepEqual(all.relays.map(({ relay }) => relay), keys)
  assert.equal(all.next, null)
  assert.deepEqual((await admin('registrations')).trim().split('\n').map(line => line.split(' ')[0]), keys)
  const page = await list('--limit', '2')
  assert.deepEqual([page.relays.map(({ relay }) => relay), page.next], [keys.slice(0, 2), keys[1]])
  await run(['admin', 'unregister', page.next, '--data', data])
  const rest = await list('--after', page.next, '--limit', '1002')
  assert.deepEqual([rest.relays.map(({ relay }) => relay), rest.next], [keys.slice(2), null])
  assert.equal((await run(['admin', 'registrations', '--limit', '0', '--data', data])).code, 2)
  for (let i = 0; i < 3; i++) await post(gateway, '/api/relay-tokens/issue', sharedRequest('issue', { relayKey: keys[0], relayAuthToken: 'x' }))
  const tokens = JSON.parse(await admin('tokens', '--json')).tokens.map(({ id }) => id)
  assert.deepEqual(tokens, [...tokens].sort())
  const first = JSON.parse(await admin('tokens', '--json', '--limit', '1'))
  assert.deepEqual([first.tokens.map(({ id }) => id), first.next], [[tokens[0]], tokens[0]])
  assert.deepEqual(JSON.parse(await admin('tokens', '--json', '--after', first.next)).tokens.map(({ id }) => id), tokens.slice(1))
}))

test('a rotated key signs from the reload on, and what has to wait is named', { timeout }, () => withGateway([], async (gateway, facts) => {
  const data = join(gateway.directory, 'data')
  const call = async (...args) => {
    const { code, out, err } = await run([...args, '--json', '--data', data])
    assert.equal(code, 0, err)
    return { ...JSON.parse(out), err }
  }
  const described = async () => (await fetch(gateway.http + '/api/gateway')).json()
  const signing = await call('key', 'rotate', 'gateway-signing')
  assert.match(signing.err, /from `holdfast admin reload` on/)
  assert.equal((await described()).signingKey, facts.signingKey)
  assert.deepEqual((await call('admin', 'check')).needs_restart, [])
  assert.deepEqual((await call('admin', 'reload')).needs_restart, [])
  assert.equal((await described()).signingKey, signing.public)
  assert.match((await call('key', 'rotate', 'swarm')).err, /until it is started again/)
  assert.deepEqual((await call('admin', 'reload')).needs_restart, ['key swarm'])
  assert.equal((await described()).gateway, facts.gateway)
  const { out } = await run(['admin', 'reload', '--data', data])
  assert.match(out, /key swarm changes only with a restart/)
}))

test('what was done is in the audit log, and an operator ends tokens', { timeout }, () => withGateway([], async (gateway, facts) => {
  const data = join(gateway.directory, 'data'), relayKey = 'npub1abc:audited'
  await post(gateway, '/api/relays', shared(relayKey))
  await post(gateway, '/api/relays', { ...shared(relayKey), signature: '00' })
  const issued = await post(gateway, '/api/relay-tokens/issue', sharedRequest('issue', { relayKey, relayAuthToken: 'x' }))
  const listed = JSON.parse((await run(['admin', 'tokens', '--json', '--data', data])).out).tokens
  assert.deepEqual(listed.map(token => [token.relay, token.state]), [[relayKey, 'active']])
  assert.equal(JSON.parse((await run(['admin', 'revoke', relayKey, '--reason', 'enough', '--json', '--data', data])).out).revoked, 1)
  refused(await post(gateway, '/api/relay-tokens/refresh', sharedRequest('refresh', { relayKey, token: issued.body.token })), 400, 'token-revoked')
  const relays = JSON.parse((await run(['admin', 'registrations', '--json', '--data', data])).out).relays
  assert.deepEqual(relays.map(relay => relay.relay), [relayKey])
  await run(['admin', 'unregister', relayKey, '--data', data])
  const exported = (await run(['audit', 'export', '--data', data])).out.trim().split('\n').map(line => JSON.parse(line))
  const kinds = exported.map(record => record.kind)
  for (const kind of ['registration.merged', 'token.issued', 'operator.revoked', 'refresh.refused', 'operator.removed']) assert.ok(kinds.includes(kind), kind)
  assert.ok(!JSON.stringify(exported).includes(issued.body.token))
  assert.equal(JSON.parse((await run(['audit', 'verify', '--json', '--data', data])).out).sound, true)
  assert.match(facts.gateway, /^[0-9a-f]{64}$/)
  assert.match(facts.signingKey, /^[0-9a-f]{64}$/)
}))

test('without the switch for members\' relays there is no such route', { timeout }, async () => {
  const directory = await scratch()
  const gateway = await Gateway.start({ directory })
  try {
    assert.equal((await post(gateway, '/api/relays', shared('a'))).status, 404)
    const { routes } = JSON.parse((await run(['admin', 'routes', '--json', '--data', join(directory, 'data')])).out)
    assert.deepEqual(routes.filter(route => route.path.startsWith('/api')), [])
  } finally {
    await gateway.stop()
    await rm(directory, { recursive: true, force: true })
  }
})
