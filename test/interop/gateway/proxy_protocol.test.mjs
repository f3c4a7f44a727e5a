// The PROXY protocol with Debian's HAProxy in front, versions 1 and 2, plain and TLS: the gateway sees the client and not the proxy; and who is no
// trusted proxy, or says nothing of a client, is refused.
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import WebSocket from 'ws'
import { Author, Client } from '../lib/client.mjs'
import { freePort, metrics, run, scratch, selfSigned, until } from '../lib/command.mjs'
import { Gateway } from '../lib/gateway.mjs'

const timeout = 60000
const portOf = (gateway, scheme) => Number(gateway.out.match(new RegExp(`${scheme}://127\\.0\\.0\\.1:(\\d+)`))[1])
const refused = async (gateway, reason) => Number((await metrics(gateway)).match(new RegExp(`^holdfast_sockets_refused_total\\{reason="${reason}"\\} (\\d+)`, 'm'))[1])

// HAProxy on ports of its own: v1 and v2 to the plain listener, tls (passed through) with v2 to the other.
async function startProxy (directory, gateway) {
  const ports = { v1: await freePort(), v2: await freePort(), tls: await freePort() }
  const part = (name, to, how) => `listen ${name}\n  bind 127.0.0.1:${ports[name]}\n  server gateway 127.0.0.1:${to} ${how}\n`
  await writeFile(join(directory, 'haproxy.cfg'), `defaults
  mode tcp
  timeout connect 5s
  timeout client 30s
  timeout server 30s
${part('v1', portOf(gateway, 'ws'), 'send-proxy')}${part('v2', portOf(gateway, 'ws'), 'send-proxy-v2 proxy-v2-options crc32c,unique-id')}${part('tls', portOf(gateway, 'wss'), 'send-proxy-v2')}`)
  const child = spawn('haproxy', ['-db', '-f', join(directory, 'haproxy.cfg')], { stdio: 'ignore' })
  const exited = new Promise(resolve => child.once('exit', resolve))
  await until(() => new Promise(resolve => {
    const socket = connect(ports.tls, '127.0.0.1').once('connect', () => { socket.destroy(); resolve(true) }).once('error', () => resolve(false))
  }), 10000)
  return { ports, stop: () => { child.kill('SIGTERM'); return exited } }
}

// What comes back to raw bytes until the gateway ends the connection, or a while has passed.
const say = (port, bytes, ms = 3000) => new Promise(resolve => {
  let answer = ''
  const socket = connect({ port, host: '127.0.0.1' }, () => socket.write(bytes))
  const timer = setTimeout(() => socket.destroy(), ms)
  socket.on('data', data => { answer += data })
  socket.on('error', () => {})
  socket.on('close', () => { clearTimeout(timer); resolve(answer) })
})

test('clients behind HAProxy are seen as themselves, and nobody else is let in', { timeout }, async () => {
  const directory = await scratch()
  const { certificate, key } = await selfSigned(directory, 'localhost')
  const gateway = await Gateway.start({ args: ['--gateway-tls-listen', '127.0.0.1:0', '--gateway-tls-certificate', certificate, '--gateway-tls-key', key,
    '--gateway-proxy-protocol', 'yes', '--gateway-trusted-proxies', '127.0.0.1', '--gateway-connections-per-address-max', '2', '--gateway-header-timeout', '1s'] })
  await until(() => gateway.out.includes('wss://'))
  const proxy = await startProxy(directory, gateway)
  try {
    const author = new Author()
    for (const url of [`ws://127.0.0.1:${proxy.ports.v1}`, `ws://127.0.0.1:${proxy.ports.v2}`, `wss://127.0.0.1:${proxy.ports.tls}`]) {
      const client = await Client.connect(url, { rejectUnauthorized: false })
      assert.deepEqual(await client.publish(author.event({ content: url })), [true, ''])
      client.close() // the proxy may take a while to say so
      await until(async () => /^holdfast_relay_connections\{.*\} 0$/m.test(await metrics(gateway)))
    }

    // Limits are of the client: two of one address, and any number of others.
    const plain = portOf(gateway, 'ws')
    const get = 'GET /health HTTP/1.1\r\nHost: x\r\n\r\n'
    const open = (address, port) => new Promise(resolve => {
      const socket = connect(plain, '127.0.0.1', () => socket.write(`PROXY TCP4 ${address} 127.0.0.1 ${port} 80\r\n${get}`))
      socket.on('error', () => {})
      socket.once('data', data => resolve({ socket, status: String(data).split(' ')[1] }))
      socket.once('close', () => resolve({ socket, status: 'closed' }))
    })
    const sockets = []
    for (const [address, status] of [['192.0.2.1', '200'], ['192.0.2.1', '200'], ['192.0.2.1', 'refused'], ['192.0.2.2', '200']]) {
      const opened = await open(address, 1000)
      sockets.push(opened.socket)
      if (status === '200') assert.equal(opened.status, '200')
      else assert.notEqual(opened.status, '200')
    }
    assert.equal(await refused(gateway, 'address'), 1)
    for (const socket of sockets) socket.destroy()

    assert.match(await say(plain, `PROXY TCP6 2001:db8::1 ::1 1 2\r\n${get}`, 500), /^HTTP\/1.1 200/)
    const local = Buffer.concat([Buffer.from('\r\n\r\n\0\r\nQUIT\n'), Buffer.from([0x20, 0, 0, 0]), Buffer.from(get)])
    assert.match(await say(plain, local, 500), /^HTTP\/1.1 200/, 'a check of the proxy itself')

    assert.equal(await refused(gateway, 'proxy'), 0)
    assert.equal(await say(plain, get), '', 'no header')
    assert.equal(await say(plain, 'PROXY TCP4 1.2.3.4 1.2.3.4 1 99999\r\n' + get), '', 'a wrong one')
    assert.equal(await say(plain, 'PROXY UNKNOWN ' + 'x'.repeat(200)), '', 'a long one')
    assert.equal(await say(plain, 'PROXY TC'), '', 'one that never ends')
    assert.equal(await refused(gateway, 'proxy'), 4)
    assert.match(gateway.log, /a connection was refused.*PROXY protocol/)
  } finally {
    await proxy.stop()
    await gateway.stop()
    await rm(directory, { recursive: true, force: true })
  }
})

test('a header of an address that is not trusted is refused; without the setting it is no HTTP', { timeout }, async () => {
  const spoof = 'PROXY TCP4 192.0.2.1 127.0.0.1 1 80\r\nGET /health HTTP/1.1\r\nHost: x\r\n\r\n'
  const strict = await Gateway.start({ args: ['--gateway-proxy-protocol', 'yes', '--gateway-trusted-proxies', '10.0.0.0/8'] })
  try {
    assert.doesNotMatch(await say(portOf(strict, 'ws'), spoof), /200/)
    assert.equal(await refused(strict, 'untrusted'), 1)
    assert.match(strict.log, /trusted_proxies/)
  } finally {
    await strict.stop()
  }
  const none = await Gateway.start({ args: ['--gateway-trusted-proxies', '127.0.0.1'] })
  try {
    assert.match(await say(portOf(none, 'ws'), spoof), /^HTTP\/1.1 400/)
    await new Promise((resolve, reject) => new WebSocket(none.url).once('open', function () { this.close(); resolve() }).once('error', reject))
  } finally {
    await none.stop()
  }
})

test('who has gone before it was let in is nobody: not refused, not counted', { timeout }, async () => {
  const gateway = await Gateway.start({ args: ['--gateway-proxy-protocol', 'yes', '--gateway-trusted-proxies', '10.0.0.0/8'] })
  const port = portOf(gateway, 'ws')
  try {
    gateway.child.kill('SIGSTOP')
    await Promise.all(Array.from({ length: 20 }, () => new Promise(resolve => {
      const socket = connect(port, '127.0.0.1', () => socket.resetAndDestroy()).once('close', resolve)
    })))
    gateway.child.kill('SIGCONT')
    assert.equal(await refused(gateway, 'untrusted'), 0)
    assert.match(await say(port, 'x'), /^HTTP\/1.1 503/)
    assert.equal(await refused(gateway, 'untrusted'), 1)
    assert.match(gateway.log, /address=127\.0\.0\.1:\d+ reason="only gateway\.trusted_proxies/)
  } finally {
    await gateway.stop()
  }
})

test('a configuration that trusts nobody is refused', { timeout }, async () => {
  const { code, err } = await run(['gateway', '--data', '/nonexistent', '--gateway-proxy-protocol', 'yes'])
  assert.equal(code, 3)
  assert.match(err, /trusted_proxies/)
})
