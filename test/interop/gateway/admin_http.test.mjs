// Administration over HTTP: who is let in to what, what is told to who watches, and that none of it is there unless it is configured.
import { after, before, test } from 'node:test'
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { request } from 'node:http'
import { createConnection } from 'node:net'
import { chmod, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { getToken } from 'nostr-tools/nip98'
import { npubEncode, nsecEncode } from 'nostr-tools/nip19'
import { finalizeEvent, generateSecretKey, getPublicKey } from 'nostr-tools/pure'
import { Gateway } from '../lib/gateway.mjs'
import { Author, Client, sleep } from '../lib/client.mjs'
import { administration, ask, run, scratch, selfSigned, until } from '../lib/command.mjs'

const operator = generateSecretKey()
const stranger = generateSecretKey()
const npub = npubEncode(getPublicKey(operator))
const hash = text => createHash('sha256').update(text).digest('hex')

// A field that lets in, but for what is changed in the event.
function signed (url, method, { secret = operator, age = 0, tags, body, kind = 27235 } = {}) {
  const event = finalizeEvent({
    kind,
    created_at: Math.floor(Date.now() / 1000) - age,
    tags: tags ?? [['u', url], ['method', method], ...(body ? [['payload', hash(body)]] : [])],
    content: `${Math.random()}`
  }, secret)
  return `Nostr ${Buffer.from(JSON.stringify(event)).toString('base64')}`
}

// Each from an address of its own, so that failures are not held against later ones.
let address = 0
const from = () => ({ 'x-forwarded-for': `203.0.${113 + (address >> 8)}.${address++ & 255}` })

let directory, config, tokenFile, token, gateway
before(async () => {
  directory = await scratch()
  config = join(directory, 'holdfast.conf')
  tokenFile = join(directory, 'admin.token')
  assert.equal((await run(['admin', 'token', tokenFile])).code, 0)
  token = (await readFile(tokenFile, 'utf8')).trim()
  await writeFile(config, `[gateway]\ntrusted_proxies = 127.0.0.1\n[relay]\nbee = yes\n[registration]\nsecret = not-to-be-told\n[admin]\nkeys = ${npub}\ntoken_file = ${tokenFile}\n`)
  gateway = await Gateway.start({ directory, args: ['--config', config] })
})
after(async () => {
  await gateway.stop()
  await rm(directory, { recursive: true, force: true })
})

const bearer = value => ({ authorization: `Bearer ${value ?? token}` })
const call = (verb, { method = 'GET', headers = {}, body } = {}) => ask(`${gateway.http}/api/admin/${verb}`, { method, headers: { ...from(), ...headers }, body })
const post = (verb, body = {}, headers = bearer()) => call(verb, { method: 'POST', headers, body: JSON.stringify(body) })
const snapshot = async () => JSON.parse((await call('snapshot', { headers: bearer() })).body)

// What the stream says, an object each: {event, id, data}.
async function watch (url = `${gateway.http}/api/admin/events`, headers = bearer()) {
  const answer = await new Promise((resolve, reject) => request(url, { headers: { ...from(), ...headers }, agent: false }, resolve).once('error', reject).end())
  const stream = { status: answer.statusCode, headers: answer.headers, events: [], ended: false, close: () => answer.destroy() }
  let text = ''
  answer.on('data', data => {
    text += data
    for (let end; (end = text.indexOf('\n\n')) >= 0; text = text.slice(end + 2)) {
      const fields = Object.fromEntries(text.slice(0, end).split('\n').map(line => [line.slice(0, line.indexOf(': ')), line.slice(line.indexOf(': ') + 2)]))
      stream.events.push({ ...fields, data: JSON.parse(fields.data) })
    }
  })
  answer.once('close', () => { stream.ended = true })
  answer.on('error', () => {})
  stream.last = name => stream.events.findLast(event => event.event === name)?.data
  return stream
}

// ---- Who is let in ----

test('the token file that was made is its owner\'s, and one that is open to others is not taken', async () => {
  assert.match(token, /^[0-9a-f]{64}$/)
  assert.equal((await stat(tokenFile)).mode & 0o777, 0o600)
  assert.notEqual((await run(['admin', 'token', tokenFile])).code, 0, 'it is never replaced')
  const other = join(directory, 'open.token')
  await writeFile(other, `${token}\n`)
  await chmod(other, 0o644)
  const end = await run(['gateway', '--data', join(directory, 'never'), '--listen', '127.0.0.1:0', '--admin-token-file', other])
  assert.equal(end.code, 1)
  assert.match(end.err, /can be read by others/)
})

test('every route of administration refuses every credential but the right one, and takes a signature once', { timeout: 60000 }, async () => {
  const { routes } = JSON.parse((await ask('/admin/gateway/routes', { ...administration(gateway), method: 'POST' })).body)
  const offered = routes.filter(route => route.server === 'clients' && route.path.startsWith('/api/admin/'))
  const socket = routes.filter(route => route.server === 'admin' && route.access === 'admin')
  assert.deepEqual(offered.map(({ method, path, access }) => [method, path, access]).sort(), socket.map(({ method, path }) => [method, `/api${path}`, 'admin']).sort())
  assert.ok(offered.length >= 20)
  for (const { method, path } of offered) {
    const url = gateway.http + path.replace('*', 'tail')
    const body = method === 'POST' ? '{}' : undefined
    const tried = async (authorization, headers = {}) => (await ask(url, { method, body, headers: { ...from(), ...headers, ...(authorization && { authorization }) } })).status
    const refused = {
      none: undefined,
      'another token': `Bearer ${'0'.repeat(64)}`,
      'half of the token': `Bearer ${token.slice(0, 32)}`,
      'the token as another scheme': `Basic ${token}`,
      nonsense: 'Nostr nonsense',
      'a stranger': signed(url, method, { secret: stranger, body }),
      expired: signed(url, method, { age: 61, body }),
      'too early': signed(url, method, { age: -63, body }),
      'another URL': signed(`${url}/`, method, { body }),
      'another host': signed(url.replace('127.0.0.1', 'localhost'), method, { body }),
      'with a query': signed(`${url}?x=1`, method, { body }),
      'another method': signed(url, 'PUT', { body }),
      'another kind': signed(url, method, { kind: 22242, body }),
      'no method': signed(url, method, { tags: [['u', url], ['payload', hash('{}')]] }),
      'a signature that is changed': signed(url, method, { body }).replace(/^Nostr (.*)$/, (_, text) => {
        const event = JSON.parse(Buffer.from(text, 'base64'))
        event.sig = event.sig.replace(/./, digit => digit === '0' ? '1' : '0')
        return `Nostr ${Buffer.from(JSON.stringify(event)).toString('base64')}`
      })
    }
    if (body) Object.assign(refused, { 'another body': signed(url, method, { body: '{"x":1}' }), 'no payload': signed(url, method) })
    for (const [name, authorization] of Object.entries(refused)) assert.equal(await tried(authorization), 401, `${method} ${path}: ${name}`)
    if (method === 'POST') {
      assert.equal(await tried(`Bearer ${token}`, { origin: 'https://elsewhere.example' }), 403, path)
      assert.equal(await tried(`Bearer ${token}`, { 'sec-fetch-site': 'cross-site' }), 403, path)
    }
    if (path.endsWith('/drain') || path.endsWith('/events')) continue
    const good = await getToken(url, method.toLowerCase(), event => finalizeEvent(event, operator), true, body && JSON.parse(body))
    const authorization = good.includes('Nostr') ? good : `Nostr ${good}`
    assert.notEqual(await tried(authorization), 401, `${method} ${path}: what nostr-tools makes`)
    assert.equal(await tried(authorization), 401, `${method} ${path}: once only`)
  }
  const facts = await snapshot()
  assert.ok(facts.administration.refused > 20 * 14)
})

test('what is only for who is on the machine is not there', async () => {
  for (const verb of ['core/list', 'bee/list', 'drive/list', 'store/compact', 'store/backup', 'relay/export', 'relay/scan', 'link']) {
    assert.equal((await post(verb)).status, 404, verb)
  }
})

test('ten failures within a minute shut an address out, and no other', async () => {
  const one = { 'x-forwarded-for': '198.51.100.7' }
  const tried = headers => ask(`${gateway.http}/api/admin/stats`, { headers })
  for (let i = 0; i < 10; i++) assert.equal((await tried({ ...one, ...bearer('wrong') })).status, 401)
  const shut = await tried({ ...one, ...bearer() })
  assert.deepEqual([shut.status, shut.headers['retry-after']], [429, '60'])
  assert.equal((await tried({ 'x-forwarded-for': '198.51.100.8', ...bearer() })).status, 200)
})

test('a page of the dashboard\'s own origin may act', async () => {
  const own = await post('check', {}, { ...bearer(), origin: gateway.http })
  assert.equal(own.status, 200)
  assert.equal((await post('check', {}, { ...bearer(), 'sec-fetch-site': 'same-origin' })).status, 200)
  assert.equal((await post('check', {}, { ...bearer(), origin: 'null' })).status, 403)
  const preflight = await ask(`${gateway.http}/api/admin/check`, { method: 'OPTIONS', headers: { origin: 'https://elsewhere.example', 'access-control-request-method': 'POST' } })
  assert.equal(preflight.headers['access-control-allow-origin'], undefined)
})

test('a proxy that is trusted says which URL a signature must name; a client cannot', async () => {
  const proxied = { 'x-forwarded-proto': 'https', 'x-forwarded-host': 'relay.example.org' }
  const stats = headers => call('stats', { headers })
  assert.equal((await stats({ ...proxied, authorization: signed('https://relay.example.org/api/admin/stats', 'GET') })).status, 200)
  assert.equal((await stats({ ...proxied, authorization: signed(`${gateway.http}/api/admin/stats`, 'GET') })).status, 401)

  const settings = async (...args) => {
    const own = await Gateway.start({ args: ['--admin-keys', npub, ...args] })
    const tried = async (url, headers = {}) => (await ask(`${own.http}/api/admin/stats`, { headers: { ...headers, authorization: signed(url.replace('SELF', own.http), 'GET') } })).status
    return { own, tried }
  }
  const bare = await settings()
  assert.equal(await bare.tried('SELF/api/admin/stats'), 200)
  assert.equal(await bare.tried('https://relay.example.org/api/admin/stats', proxied), 401)
  assert.equal(await bare.tried('http://relay.example.org/api/admin/stats', { host: 'relay.example.org' }), 401, 'anybody could claim that name')
  await bare.own.stop()
  const named = await settings('--admin-public-url', 'https://relay.example.org/')
  assert.equal(await named.tried('https://relay.example.org/api/admin/stats', { host: 'inner' }), 200)
  assert.equal(await named.tried('SELF/api/admin/stats'), 401)
  await named.own.stop()
  const wrong = await run(['config', 'check', '--admin-public-url', 'relay.example.org'])
  assert.equal(wrong.code, 3)
})

// ---- What it tells ----

test('the configuration is told without its secrets', async () => {
  const answer = await call('config', { headers: bearer() })
  assert.equal(answer.status, 200)
  assert.ok(!answer.body.includes('not-to-be-told'))
  assert.ok(!answer.body.includes(token))
})

test('who watches sees numbers move and each record of the audit log as it is written', async () => {
  const stream = await watch()
  assert.deepEqual([stream.status, stream.headers['content-type']], [200, 'text/event-stream'])
  await until(() => stream.last('snapshot'))
  const first = stream.last('snapshot')
  assert.deepEqual([first.relays[0].stored, first.draining, first.health.status, first.administration.streams], [0, false, 'ok', 1])
  assert.ok(first.process.memory_bytes > 1e6 && first.store.free_bytes > 0)
  const client = await Client.connect(gateway.url)
  assert.deepEqual(await client.publish(new Author().event()), [true, ''])
  await until(() => stream.last('snapshot').relays[0].stored === 1 && stream.last('snapshot').relays[0].connections === 1)
  const later = stream.last('snapshot')
  assert.equal(later.traffic.events_stored, 1)
  assert.ok(later.traffic.bytes_received > first.traffic.bytes_received && later.up_ms > first.up_ms)
  await until(() => stream.last('snapshot').relays[0].bee.events > 0)

  assert.equal((await post('relay/pause', { relay: 'main' })).status, 200)
  await until(() => stream.last('audit'))
  assert.deepEqual([stream.last('audit').kind, stream.last('audit').fields], ['admin.pause', { by: 'token', relay: 'main' }])
  await until(() => stream.last('snapshot').relays[0].bee.paused)
  assert.deepEqual(stream.last('snapshot').health.reasons.map(reason => reason.name), ['bee-paused'])
  const url = `${gateway.http}/api/admin/relay/resume`
  assert.equal((await call('relay/resume', { method: 'POST', body: '{}', headers: { authorization: signed(url, 'POST', { body: '{}' }) } })).status, 200)
  await until(() => stream.last('audit').kind === 'admin.resume')
  assert.equal(stream.last('audit').fields.by, npub)
  const tail = (await post('audit/tail', { count: 2 })).body.trim().split('\n').map(JSON.parse)
  assert.deepEqual(tail, stream.events.filter(event => event.event === 'audit').slice(-2).map(event => event.data))
  assert.ok(JSON.parse((await post('audit/verify')).body).sound)
  client.close()
  stream.close()
  await until(async () => (await snapshot()).administration.streams === 0)
})

test('a watcher that does not read is let go, and the 33rd is turned away', { timeout: 60000 }, async () => {
  const { socketPath } = administration(gateway)
  const idle = createConnection(socketPath)
  await once(idle, 'connect')
  idle.pause()
  idle.on('error', () => {})
  idle.write('GET /admin/events HTTP/1.1\r\nHost: localhost\r\n\r\n')
  await until(async () => (await snapshot()).administration.streams === 1)
  // Many acts, each of which is a record that the watcher is told of.
  const acting = createConnection(socketPath)
  let answered = 0
  acting.on('data', data => { answered += data.toString().split('HTTP/1.1 200').length - 1 })
  const act = 'POST /admin/relay/resume HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}'
  for (let count = 200; (await snapshot()).administration.streams === 1 && count < 20000; count += 200) {
    acting.write(act.repeat(200))
    await until(() => answered === count)
  }
  assert.equal((await snapshot()).administration.streams, 0)
  acting.destroy()
  idle.destroy()

  const streams = await Promise.all(Array.from({ length: 32 }, () => watch()))
  assert.ok(streams.every(stream => stream.status === 200))
  assert.equal((await call('events', { headers: bearer() })).status, 503)
  for (const stream of streams) stream.close()
})

// ---- The dashboard ----

test('the dashboard is served to anybody, and loads nothing from elsewhere', async () => {
  const page = await ask(`${gateway.http}/dashboard`)
  assert.equal(page.status, 200)
  assert.match(page.headers['content-type'], /^text\/html/)
  assert.match(page.headers['content-security-policy'], /^default-src 'self';/)
  assert.equal(page.headers['x-content-type-options'], 'nosniff')
  assert.ok(!/https?:\/\//.test(page.body.replace(/xmlns="[^"]*"/g, '')))
  assert.ok(!/<script(?![^>]*src=)|<style| on[a-z]+=/.test(page.body), 'nothing is inline')
  for (const name of page.body.matchAll(/(?:src|href)="(\/dashboard\/[^"]+)"/g)) assert.equal((await ask(gateway.http + name[1])).status, 200, name[1])
  const again = await ask(`${gateway.http}/dashboard`, { headers: { 'if-none-match': page.headers.etag } })
  assert.deepEqual([again.status, again.body], [304, ''])
  const plain = await (await fetch(`${gateway.http}/dashboard/app.js`, { headers: { 'accept-encoding': 'identity' } })).text()
  const packed = await new Promise((resolve, reject) => request(`${gateway.http}/dashboard/app.js`, { headers: { 'accept-encoding': 'br, gzip' }, agent: false }, answer => {
    const parts = []
    answer.on('data', data => parts.push(data)).once('end', () => resolve({ encoding: answer.headers['content-encoding'], bytes: Buffer.concat(parts) }))
  }).once('error', reject).end())
  assert.equal(packed.encoding, 'gzip')
  assert.equal(gunzipSync(packed.bytes).toString(), plain)
  assert.equal((await ask(`${gateway.http}/dashboard/nothing`)).status, 404)
  assert.equal((await ask(`${gateway.http}/dashboard/../admin.token`)).status, 404)
})

// ---- From another machine ----

test('the commands work over HTTP, with a token or a key, and over TLS with a certificate that is trusted', async () => {
  const { certificate, key } = await selfSigned(directory, 'gateway')
  const own = await Gateway.start({ args: ['--admin-keys', npub, '--admin-token-file', tokenFile, '--gateway-tls-listen', '127.0.0.1:0', '--gateway-tls-certificate', certificate, '--gateway-tls-key', key] })
  const url = (await until(() => own.out.match(/wss:\/\/127\.0\.0\.1:\d+/)))[0].replace('wss', 'https')
  const nsec = join(directory, 'operator.nsec')
  await writeFile(nsec, `${nsecEncode(operator)}\n`)
  const admin = (verb, ...args) => run(['admin', verb, '--url', url, ...args])
  const byToken = await admin('status', '--json', '--token-file', tokenFile, '--ca', certificate)
  assert.equal(byToken.code, 0, byToken.err)
  assert.equal(JSON.parse(byToken.out).relays.main.stored, 0)
  const byKey = await admin('reload', '--nostr-key', nsec, '--ca', certificate)
  assert.equal(byKey.code, 0, byKey.err)
  const tail = await run(['audit', 'tail', '--url', `${own.http}/`, '--token-file', tokenFile])
  assert.equal(JSON.parse(tail.out).fields.by, npub)
  const routes = await admin('routes', '--nostr-key', nsec, '--ca', certificate)
  assert.match(routes.out, /\/api\/admin\/events/)
  const untrusted = await admin('status', '--token-file', tokenFile)
  assert.deepEqual([untrusted.code, untrusted.out], [1, ''])
  assert.match(untrusted.err, /certificate/)
  assert.match((await admin('status', '--ca', certificate)).err, /one of --token-file, --nostr-key/)
  assert.match((await run(['admin', 'status', '--url', 'http://192.0.2.1:1', '--token-file', tokenFile])).err, /readable on the way/)
  const wrong = join(directory, 'wrong.token')
  await run(['admin', 'token', wrong])
  const refused = await admin('drain', '--token-file', wrong, '--ca', certificate)
  assert.equal(refused.code, 1)
  assert.match(refused.err, /needs a token, a signature or a certificate/)
  const link = await run(['admin', 'link', '--data', join(own.directory, 'data')])
  assert.equal(link.out, `${own.http}/dashboard#token=${token}\n`)
  await own.stop()
})

// ---- On and off ----

test('without keys and a token there is no such route and no dashboard, until a reload turns it on', async () => {
  const path = join(directory, 'bare.conf')
  await writeFile(path, '')
  const bare = await Gateway.start({ args: ['--config', path] })
  const { routes } = JSON.parse((await ask('/admin/gateway/routes', { ...administration(bare), method: 'POST' })).body)
  assert.deepEqual(routes.filter(route => route.server === 'clients').map(route => route.path).sort(), ['/', '/health'])
  const tried = async () => Promise.all([
    ask(`${bare.http}/api/admin/stats`, { headers: bearer() }), ask(`${bare.http}/api/admin/drain`, { method: 'POST', headers: bearer() }),
    ask(`${bare.http}/api/admin/events`), ask(`${bare.http}/dashboard`)]).then(answers => answers.map(answer => answer.status))
  assert.deepEqual(await tried(), [404, 404, 404, 404])
  const reload = () => run(['admin', 'reload', '--data', join(bare.directory, 'data')])
  await writeFile(path, `[admin]\ntoken_file = ${tokenFile}\n`)
  assert.equal((await reload()).code, 0)
  assert.equal((await ask(`${bare.http}/api/admin/stats`, { headers: bearer() })).status, 200)
  assert.equal((await ask(`${bare.http}/dashboard`)).status, 200)
  const stream = await watch(`${bare.http}/api/admin/events`)
  await writeFile(path, '[admin]\ntoken_file = /nowhere\n')
  assert.notEqual((await reload()).code, 0)
  assert.equal((await ask(`${bare.http}/api/admin/stats`, { headers: bearer() })).status, 200, 'what is wrong changes nothing')
  await writeFile(path, '')
  assert.equal((await reload()).code, 0)
  await until(() => stream.ended)
  assert.deepEqual(await tried(), [404, 404, 404, 404])
  await bare.stop()
})

test('a token that is changed lets nobody in any more, nor goes on telling who came with it', async () => {
  const stream = await watch()
  const old = token
  await rm(tokenFile)
  await run(['admin', 'token', tokenFile])
  token = (await readFile(tokenFile, 'utf8')).trim()
  assert.equal((await run(['admin', 'reload', '--data', join(directory, 'data')])).code, 0)
  await until(() => stream.ended)
  assert.equal((await call('stats', { headers: bearer(old) })).status, 401)
  assert.equal((await call('stats', { headers: bearer() })).status, 200)
})

test('draining is told to who watches, and what was refused is in the audit log', async () => {
  const stream = await watch()
  await until(() => stream.last('snapshot'))
  assert.equal((await post('drain')).status, 202)
  await until(() => stream.ended)
  assert.equal(stream.last('snapshot').draining, true)
  await gateway.exited
  await sleep(100)
  const tail = (await run(['audit', 'tail', '--data', join(directory, 'data'), '--count', '1000'])).out.trim().split('\n').map(JSON.parse)
  assert.deepEqual(tail.findLast(record => record.kind === 'admin.drain').fields, { by: 'token' })
  const refused = tail.filter(record => record.kind === 'admin.refused')
  const sum = name => refused.reduce((count, record) => count + (record.fields.reasons[name] ?? 0), 0)
  for (const name of ['missing', 'token', 'signature', 'replayed', 'foreign', 'throttled']) assert.ok(sum(name) > 0, name)
  assert.ok(refused.some(record => Object.keys(record.fields.addresses).length > 0))
})
