// Administration by certificate: who has one that is named is let in, by the connection itself and by nothing that a request says; what is
// revoked lets in no more, also where it is open already; and nobody else's page acts with it.
import { after, before, test } from 'node:test'
import assert from 'node:assert/strict'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { Agent, request } from 'node:https'
import { createConnection } from 'node:net'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { Authorities } from '../lib/authorities.mjs'
import { administration, ask, run, scratch, selfSigned, until } from '../lib/command.mjs'
import { Gateway } from '../lib/gateway.mjs'

const timeout = 60000
const token = 't'.repeat(64)
const proxy = '127.0.0.9'
let directory, server, authorities, gateway, url
let refusals = 0

// The ports of "relay at wss://127.0.0.1:…", in the order of the configuration.
const ports = text => [...text.matchAll(/wss:\/\/127\.0\.0\.1:(\d+)/g)].map(([, port]) => Number(port))

before(async () => {
  directory = await scratch()
  server = await selfSigned(directory, 'localhost')
  authorities = new Authorities(directory)
  authorities.found('ours')
  authorities.issue('ours', 'ada', { subject: '/O=Dorf Grünau/CN=ada, of the hill' })
  authorities.issue('ours', 'bob')
  authorities.issue('ours', 'cleo')
  authorities.issue('ours', 'eve')
  authorities.issue('ours', 'likeada', { subject: '/O=Dorf Grünau/CN=ada' })
  await writeFile(join(directory, 'token'), token, { mode: 0o600 })
  await writeFile(join(directory, 'holdfast.conf'), `[gateway]
tls_listen = 127.0.0.1:0
tls_certificate = ${server.certificate}
tls_key = ${server.key}
tls_client = ask
tls_client_ca = ${authorities.path('ours.pem')}
tls_client_crl = ${authorities.path('ours.crl')}
trusted_proxies = ${proxy}
[relay]
bee = yes
[admin]
token_file = ${join(directory, 'token')}
certificates = CN=ada\\, of the hill,O=Dorf Grünau | ${authorities.fingerprint('bob')} | CN=cleo
`)
  gateway = await Gateway.start({ directory, args: ['--config', join(directory, 'holdfast.conf')] })
  await until(() => ports(gateway.out).length > 0)
  url = `https://127.0.0.1:${ports(gateway.out)[0]}`
})
after(async () => {
  await gateway?.stop()
  await rm(directory, { recursive: true, force: true })
})

const shown = who => ({ rejectUnauthorized: false, ...(who && authorities.pair(who)) })
const call = (who, path, { method = 'GET', ...rest } = {}) =>
  ask(`${url}${path}`, { ...shown(who), method, ...(method === 'POST' && { body: '{}' }), ...rest })
const newest = async kind => {
  const { body } = await ask('/admin/audit/tail', { ...administration(gateway), method: 'POST', body: '{"count":100}' })
  return body.trim().split('\n').map(line => JSON.parse(line)).findLast(record => record.kind === kind)
}
const reload = () => ask('/admin/reload', { ...administration(gateway), method: 'POST', body: '{}' })

test('every route takes the certificates that are named, and no others, nor what a request says of one', { timeout }, async () => {
  const { routes } = JSON.parse((await ask('/admin/gateway/routes', { ...administration(gateway), method: 'POST' })).body)
  const offered = routes.filter(route => route.server === 'clients' && route.path.startsWith('/api/admin/'))
  assert.ok(offered.length >= 20)
  for (const { method, path: route } of offered) {
    const path = route.replace('*', 'tail')
    const tried = async (who, options = {}) => (await call(who, path, { method, ...options })).status
    const refused = {
      none: [null],
      'one that is not named': ['eve'],
      'a name that begins like one': ['likeada'],
      'none, and a field that tells of one': [null, { headers: { 'x-ssl-client-s-dn': 'CN=cleo', 'x-client-cert': 'CN=cleo', 'ssl-client-verify': 'SUCCESS' } }],
      'one that is not named, and a field that tells of one': ['eve', { headers: { 'x-ssl-client-s-dn': 'CN=cleo' } }],
      'what a proxy passed on (X-Forwarded-For)': ['cleo', { headers: { 'x-forwarded-for': '203.0.113.7' } }],
      'what a proxy passed on (Forwarded)': ['cleo', { headers: { forwarded: 'for=203.0.113.7' } }],
      'what a proxy passed on (Via)': ['cleo', { headers: { via: '1.1 proxy' } }],
      'the certificate of a proxy itself': ['cleo', { localAddress: proxy }],
      'the certificate of a proxy itself, and who is behind it': ['cleo', { localAddress: proxy, headers: { 'x-forwarded-for': '203.0.113.7' } }],
      'a token that is wrong': ['cleo', { headers: { authorization: `Bearer ${'0'.repeat(64)}`, 'x-forwarded-for': `203.0.113.${refusals++ % 250}` }, localAddress: proxy }]
    }
    for (const [name, [who, options]] of Object.entries(refused)) assert.equal(await tried(who, options), 401, `${method} ${path}: ${name}`)
    assert.equal(await tried('cleo', { headers: { 'sec-fetch-site': 'cross-site' } }), 403, `${method} ${path}: a page elsewhere`)
    assert.equal(await tried('cleo', { headers: { origin: 'https://elsewhere.example' } }), 403, `${method} ${path}: a page elsewhere, by its origin`)
    if (path.endsWith('/drain') || path.endsWith('/events')) continue
    for (const who of ['ada', 'bob', 'cleo']) {
      const status = await tried(who, { headers: { origin: url, 'sec-fetch-site': 'same-origin' } })
      assert.ok(status !== 401 && status !== 403, `${method} ${path}: ${who} gets ${status}`)
    }
  }
  assert.equal((await ask(`${gateway.http}/api/admin/health`)).status, 401, 'without TLS there is none')
  assert.equal((await call(null, '/api/admin/health', { headers: { authorization: `Bearer ${token}` } })).status, 200, 'the token still lets in')
})


test('what was done by certificate has its name in the audit log', { timeout }, async () => {
  for (const [who, by] of [['ada', 'certificate CN=ada\\, of the hill,O=Dorf Grünau'], ['bob', `certificate ${authorities.fingerprint('bob')}`]]) {
    assert.equal((await call(who, '/api/admin/relay/pause', { method: 'POST' })).status, 200)
    await until(async () => (await newest('admin.pause'))?.fields.by === by)
  }
  assert.equal((await call('bob', '/api/admin/relay/resume', { method: 'POST' })).status, 200)
})

test('the command line comes by certificate, too', { timeout }, async () => {
  const how = who => ['admin', 'health', '--url', url.replace('127.0.0.1', 'localhost'), '--ca', server.certificate,
    '--certificate', authorities.path(`${who}.pem`), '--certificate-key', authorities.path(`${who}.key`)]
  const good = await run(how('bob'))
  assert.equal(good.code, 0, good.err)
  assert.match(good.out, /status: ok/)
  const other = await run(how('eve'))
  assert.notEqual(other.code, 0)
  assert.match(other.err, /a certificate that is right/)
  assert.notEqual((await run(how('bob').slice(0, -2))).code, 0, 'a certificate without its key')
})

test('a request within another one\'s body is no request', { timeout }, async () => {
  const inner = 'POST /api/admin/drain HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}'
  const said = await new Promise((resolve, reject) => {
    let text = ''
    const socket = connect({ port: Number(new URL(url).port), host: '127.0.0.1', ...shown('eve') }, () => {
      socket.write(`POST /api/admin/check HTTP/1.1\r\nHost: x\r\nContent-Length: ${inner.length}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n${inner}`)
    })
    socket.on('data', data => { text += data })
    socket.on('error', reject)
    socket.on('close', () => resolve(text))
  })
  assert.match(said, /^HTTP\/1\.1 4\d\d /)
  assert.equal(said.match(/HTTP\/1\.1/g).length, 1)
  assert.equal(JSON.parse((await ask('/admin/health', administration(gateway))).body).status, 'ok')
})

test('who comes through a proxy of the PROXY protocol has the certificate that he showed himself', { timeout }, async () => {
  const other = await scratch()
  const bare = await Gateway.start({ directory: other, args: ['--gateway-tls-listen', '127.0.0.1:0', '--gateway-tls-certificate', server.certificate,
    '--gateway-tls-key', server.key, '--gateway-tls-client', 'ask', '--gateway-tls-client-ca', authorities.path('ours.pem'),
    '--gateway-trusted-proxies', '127.0.0.1', '--gateway-proxy-protocol', 'yes', '--admin-certificates', 'CN=cleo'] })
  try {
    await until(() => ports(bare.out).length > 0)
    const through = (header, who) => new Promise((resolve, reject) => {
      let text = ''
      const socket = createConnection(ports(bare.out)[0], '127.0.0.1', () => {
        socket.write(header)
        const secure = connect({ socket, ...shown(who) }, () => secure.write('GET /api/admin/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'))
        secure.on('data', data => { text += data })
        secure.on('error', reject)
        secure.on('close', () => resolve(Number(text.slice(9, 12))))
      })
    })
    assert.equal(await through('PROXY TCP4 203.0.113.7 127.0.0.1 4000 443\r\n', 'cleo'), 200)
    assert.equal(await through('PROXY TCP4 203.0.113.7 127.0.0.1 4000 443\r\n', 'eve'), 401)
    assert.equal(await through('PROXY TCP4 203.0.113.7 127.0.0.1 4000 443\r\n', null), 401)
    assert.equal(await through('PROXY UNKNOWN\r\n', 'cleo'), 401, 'the proxy for itself')
  } finally {
    await bare.stop()
    await rm(other, { recursive: true, force: true })
  }
})

test('a certificate that is revoked lets in no more, on a connection that is open, nor to what is watched', { timeout }, async () => {
  const agent = new Agent({ keepAlive: true, maxSockets: 1, ...shown('cleo') })
  const again = () => call('cleo', '/api/admin/health', { agent })
  const watched = await new Promise((resolve, reject) => request(`${url}/api/admin/events`, { ...shown('cleo'), agent: false }, resolve).once('error', reject).end())
  let ended = false
  watched.on('data', () => {}).once('close', () => { ended = true }).on('error', () => {})
  assert.equal((await again()).status, 200)
  authorities.revoke('ours', 'cleo')
  assert.equal((await again()).status, 200, 'the list is read on reload')
  assert.equal(ended, false)
  assert.equal((await reload()).status, 200)
  assert.equal((await again()).status, 401)
  await until(() => ended, 5000)
  agent.destroy()
  assert.equal((await call('bob', '/api/admin/health')).status, 200)
})

test('what is taken out of the list lets in no more', { timeout }, async () => {
  const config = join(directory, 'holdfast.conf')
  await writeFile(config, (await readFile(config, 'utf8')).replace(/certificates = .*/, 'certificates = CN=ada\\, of the hill,O=Dorf Grünau'))
  assert.equal((await call('bob', '/api/admin/health')).status, 200)
  assert.equal((await reload()).status, 200)
  assert.equal((await call('bob', '/api/admin/health')).status, 401)
  assert.equal((await call('ada', '/api/admin/health')).status, 200)
})

test('settings that do not go together are refused', { timeout }, async () => {
  const without = await run(['gateway', '--data', join(directory, 'none'), '--admin-certificates', 'CN=ada'])
  assert.equal(without.code, 3)
  assert.match(without.err, /admin\.certificates needs gateway\.tls_client/)
  const wrong = await run(['gateway', '--data', join(directory, 'none'), '--listen', '127.0.0.1:0', '--gateway-tls-listen', '127.0.0.1:0', '--gateway-tls-certificate',
    server.certificate, '--gateway-tls-key', server.key, '--gateway-tls-client', 'ask', '--gateway-tls-client-ca', authorities.path('ours.pem'), '--admin-certificates', 'ada'])
  assert.equal(wrong.code, 1)
  assert.match(wrong.err, /admin\.certificates has "ada"/)
})
