// The examples for nginx and Caddy, as they are but for names, ports and certificates, in front of a gateway, with nostr-tools through them.
import { after, before, test } from 'node:test'
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createServer as createHttpServer } from 'node:http'
import { chmod, mkdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import WebSocket from 'ws'
import { Relay, useWebSocketImplementation } from 'nostr-tools/relay'
import { finalizeEvent } from 'nostr-tools/pure'
import { Gateway } from '../lib/gateway.mjs'
import { Author, Client, sleep } from '../lib/client.mjs'
import { ask, file, freePort, run, scratch, selfSigned, until } from '../lib/command.mjs'

const timeout = 60000
const packaging = new URL('../../../packaging/', import.meta.url)
let directory, tls, ca, gateway, witness
const seen = [] // headers that came to the witness
const proxies = {}

// The example with its places filled in; every replacement must have something to replace.
const filled = (text, replacements) => replacements.reduce((now, [from, to]) => {
  assert.ok(now.includes(from), from)
  return now.replaceAll(from, to)
}, text)

async function start (name, command, args, port) {
  const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, HOME: directory, XDG_DATA_HOME: directory, XDG_CONFIG_HOME: directory } })
  let log = ''
  child.stderr.on('data', data => { log += data })
  const ended = new Promise(resolve => child.once('exit', resolve))
  proxies[name] = { child, ended, url: `wss://localhost:${port}`, log: () => log }
  await until(async () => (await ask(`https://localhost:${port}/health`, { ca }).catch(() => ({}))).status === 200, 15000)
    .catch(() => { throw new Error(`${name} does not come up: ${log}`) })
}

async function startNginx (name, upstream) {
  const [port, plain] = [await freePort(), await freePort()]
  const site = filled(await readFile(new URL('nginx/holdfast.conf', packaging), 'utf8'), [
    ['\tlisten [::]:80;\n', ''], ['\tlisten [::]:443 ssl;\n', ''], ['listen 80;', `listen 127.0.0.1:${plain};`], ['listen 443 ssl;', `listen 127.0.0.1:${port} ssl;`],
    ['/etc/letsencrypt/live/relay.example.org/fullchain.pem', tls.certificate], ['/etc/letsencrypt/live/relay.example.org/privkey.pem', tls.key],
    ['server_name relay.example.org;', 'server_name localhost;'], ['http://127.0.0.1:7777', upstream]])
  const own = join(directory, `nginx-${port}`)
  await mkdir(own)
  await file(own, 'site.conf', site)
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(kind => `${kind}_temp_path ${own}/${kind};`).join(' ')
  const config = await file(own, 'nginx.conf', `daemon off; pid ${own}/pid; error_log stderr; worker_processes 1; ${process.getuid() === 0 ? 'user root;' : ''}
events { worker_connections 256; }
http { access_log off; ${temporary} include ${own}/site.conf; }\n`)
  const checked = await run(['-t', '-q', '-p', directory, '-e', 'stderr', '-c', config], { program: '/usr/sbin/nginx' })
  assert.equal(checked.code, 0, checked.err)
  await start(name, '/usr/sbin/nginx', ['-p', directory, '-e', 'stderr', '-c', config], port)
  proxies[name].plain = plain
}

async function startCaddy (name, upstream) {
  const port = await freePort()
  const site = filled(await readFile(new URL('caddy/Caddyfile', packaging), 'utf8'), [
    ['\nrelay.example.org {\n', `\nhttps://localhost:${port} {\n\tbind 127.0.0.1\n\ttls ${tls.certificate} ${tls.key}\n`], ['reverse_proxy 127.0.0.1:7777', `reverse_proxy ${upstream.slice(7)}`]])
  const config = await file(directory, `Caddyfile-${port}`, `{\n\tadmin off\n\tauto_https disable_redirects\n\tskip_install_trust\n}\n${site}`)
  await start(name, 'caddy', ['run', '--config', config, '--adapter', 'caddyfile'], port)
}

before(async () => {
  directory = await scratch()
  tls = await selfSigned(directory, 'localhost')
  await chmod(directory, 0o755)
  ca = await readFile(tls.certificate)
  gateway = await Gateway.start({ args: ['--gateway-trusted-proxies', '127.0.0.1', '--relay-public-url', 'wss://localhost', '--websocket-ping-interval', '1s'] })
  witness = createHttpServer((request, answer) => { seen.push(request.headers); answer.end() }).listen(0, '127.0.0.1')
  await new Promise(resolve => witness.once('listening', resolve))
  for (const [name, upstream] of [['', gateway.http], [' to a witness', `http://127.0.0.1:${witness.address().port}`]]) {
    await startNginx('nginx' + name, upstream)
    await startCaddy('caddy' + name, upstream)
  }
})
after(async () => {
  for (const { child, ended } of Object.values(proxies)) {
    child.kill('SIGTERM')
    await ended
  }
  witness.close()
  await gateway.stop()
  await rm(directory, { recursive: true, force: true })
})

for (const name of ['nginx', 'caddy']) {
  test(`${name}: nostr-tools publishes, reads, hears what comes and authenticates over wss`, { timeout }, async () => {
    class Trusting extends WebSocket {
      constructor (url, protocols) { super(url, protocols, { ca, localAddress: '127.0.0.9' }) }
    }
    useWebSocketImplementation(Trusting)
    const author = new Author()
    const relay = new Relay(proxies[name].url)
    await relay.connect()
    const live = []
    const subscription = relay.subscribe([{ authors: [author.pubkey] }], { onevent: event => live.push(event.id) })
    const events = Array.from({ length: 20 }, (_, i) => author.event({ content: `note ${i} ${'x'.repeat(i * 500)}` }))
    await Promise.all(events.map(event => relay.publish(event)))
    await until(() => live.length === 20)
    assert.deepEqual([...live].sort(), events.map(event => event.id).sort())
    await until(() => relay.challenge)
    await relay.auth(async template => finalizeEvent(template, author.secret))
    assert.equal(await relay.publish(author.event({ tags: [['-']], content: 'mine alone' })), '')
    subscription.close()
    relay.close()
  })

  test(`${name}: a silent connection stays, as pings pass`, { timeout }, async () => {
    const client = await Client.connect(proxies[name].url, { ca, localAddress: '127.0.0.8' })
    let pings = 0
    client.socket.on('ping', () => pings++)
    await sleep(3500)
    assert.ok(pings >= 2, `${pings}`)
    assert.deepEqual(await client.publish(new Author().event({ content: 'still here' })), [true, ''])
    client.close()
  })

  test(`${name}: the address that is passed on is the one that it saw, whatever the client says of itself`, { timeout }, async () => {
    const before = seen.length
    const answer = await ask(proxies[`${name} to a witness`].url.replace('wss', 'https') + '/health', { ca, localAddress: '127.0.0.2', headers: { 'X-Forwarded-For': '203.0.113.7' } })
    assert.equal(answer.status, 200)
    assert.equal(seen[before]['x-forwarded-for'], '127.0.0.2')
    assert.match(seen[before].host, /^localhost/)
  })

  test(`${name}: pages and what the relay says of itself pass, with compression of messages`, { timeout }, async () => {
    const page = await ask(proxies[name].url.replace('wss', 'https') + '/', { ca, headers: { Accept: 'text/html' } })
    assert.deepEqual([page.status, /<html/i.test(page.body)], [200, true])
    const facts = await ask(proxies[name].url.replace('wss', 'https') + '/', { ca, headers: { Accept: 'application/nostr+json' } })
    assert.ok(JSON.parse(facts.body).supported_nips.includes(42))
    const client = await Client.connect(proxies[name].url, { ca, localAddress: '127.0.0.4', perMessageDeflate: true })
    assert.match(client.socket.extensions, /permessage-deflate/)
    client.close()
  })
}

test('nginx sends those who come without TLS to where there is one', { timeout }, async () => {
  const answer = await ask(`http://localhost:${proxies.nginx.plain}/some/path`)
  assert.deepEqual([answer.status, answer.headers.location], [301, 'https://localhost/some/path'])
})

test('timeouts of the examples are longer than two pings', { timeout }, async () => {
  const [{ default: ping }] = JSON.parse((await run(['config', 'explain', '--json', 'websocket.ping_interval'])).out)
  const nginx = await readFile(new URL('nginx/holdfast.conf', packaging), 'utf8')
  for (const setting of ['proxy_read_timeout', 'proxy_send_timeout']) {
    assert.ok(Number(nginx.match(new RegExp(`${setting} (\\d+)s;`))[1]) > 2 * parseInt(ping), setting)
  }
})
