// The WebSocket protocol as the `ws` package and raw sockets speak it. (RFC 6455, 7692)
import { after, before, describe, test } from 'node:test'
import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { once } from 'node:events'
import { Gateway } from './lib/gateway.mjs'
import { Author, Client, sleep } from './lib/client.mjs'

let gateway
before(async () => { gateway = await Gateway.start() })
after(() => gateway.stop())

// A raw socket after the handshake, to send what no library would.
async function raw () {
  const { hostname, port } = new URL(gateway.http)
  const socket = connect({ host: hostname, port })
  socket.on('error', () => {})
  socket.write(`GET / HTTP/1.1\r\nHost: ${hostname}:${port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n')
  let got = Buffer.alloc(0)
  while (!got.includes('\r\n\r\n')) got = Buffer.concat([got, (await once(socket, 'data'))[0]])
  assert.match(got.toString(), /^HTTP\/1\.1 101 /)
  assert.match(got.toString(), /sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=/i)
  return socket
}

// A client frame with a zero mask, so that bytes stay readable.
function frame (opcode, payload, { fin = true, masked = true, rsv = 0 } = {}) {
  const body = Buffer.from(payload)
  const head = [(fin ? 0x80 : 0) | rsv << 4 | opcode]
  if (body.length < 126) head.push((masked ? 0x80 : 0) | body.length)
  else head.push((masked ? 0x80 : 0) | 126, body.length >> 8, body.length & 255)
  return Buffer.concat([Buffer.from(head), masked ? Buffer.alloc(4) : Buffer.alloc(0), body])
}

async function closeCode (socket) {
  let got = Buffer.alloc(0)
  socket.on('data', data => { got = Buffer.concat([got, data]) })
  await Promise.race([once(socket, 'close'), sleep(5000).then(() => { throw new Error('not closed') })])
  const at = got.indexOf(0x88)
  return at < 0 ? null : got.readUInt16BE(at + 2)
}

describe('frames', () => {
  for (const [what, bytes, code] of [
    ['an unmasked frame', () => frame(1, 'x', { masked: false }), 1002],
    ['a reserved opcode', () => frame(3, 'x'), 1002],
    ['a reserved bit', () => frame(1, 'x', { rsv: 2 }), 1002],
    ['a fragmented ping', () => frame(9, 'x', { fin: false }), 1002],
    ['a continuation of nothing', () => frame(0, 'x'), 1002],
    ['a new message inside a fragmented one', () => Buffer.concat([frame(1, 'x', { fin: false }), frame(1, 'y')]), 1002],
    ['invalid UTF-8', () => frame(1, [0xff, 0xfe]), 1007],
    ['UTF-8 cut at the end of a message', () => frame(1, [0xe2, 0x82]), 1007],
    ['a close code that may not be sent', () => frame(8, [0x03, 0xed]), 1002],
    ['a close frame of one byte', () => frame(8, [3]), 1002]
  ]) {
    test(`${what} ends the connection with ${code}`, async () => {
      const socket = await raw()
      socket.write(bytes())
      assert.equal(await closeCode(socket), code)
    })
  }

  test('a message in a hundred fragments with pings between is one message', async () => {
    const author = new Author()
    const event = author.event({ content: 'é'.repeat(300) })
    const text = Buffer.from(JSON.stringify(['EVENT', event]))
    const socket = await raw()
    let got = Buffer.alloc(0)
    socket.on('data', data => { got = Buffer.concat([got, data]) })
    const size = Math.ceil(text.length / 100)
    for (let at = 0, first = true; at < text.length; at += size, first = false) {
      socket.write(Buffer.concat([frame(first ? 1 : 0, text.subarray(at, at + size), { fin: at + size >= text.length }),
        at + size < text.length ? frame(9, 'p') : Buffer.alloc(0)]))
    }
    for (let i = 0; i < 100 && !got.includes('"OK"'); i++) await sleep(20)
    assert.ok(got.includes(`["OK","${event.id}",true,""]`))
    assert.ok(got.includes(Buffer.from([0x8a, 1, 0x70])), 'pings are answered')
    socket.destroy()
  })

  test('bytes one at a time', async () => {
    const socket = await raw()
    socket.setNoDelay(true)
    let got = Buffer.alloc(0)
    socket.on('data', data => { got = Buffer.concat([got, data]) })
    for (const byte of frame(1, '["CLOSE",1]')) { socket.write(Buffer.from([byte])); await sleep(1) }
    for (let i = 0; i < 100 && !got.includes('NOTICE'); i++) await sleep(20)
    assert.ok(got.includes('NOTICE'))
    socket.destroy()
  })
})

describe('with the ws client', () => {
  test('permessage-deflate is negotiated and works both ways', async () => {
    const client = await Client.connect(gateway.url, { perMessageDeflate: { threshold: 0 } })
    assert.match(client.socket.extensions, /permessage-deflate/)
    const event = new Author().event({ content: 'abc '.repeat(2000) })
    assert.deepEqual(await client.publish(event), [true, ''])
    assert.equal((await client.query({ ids: [event.id] }))[0].content, event.content)
    client.close()
  })

  test('without it, no extension is forced', async () => {
    const client = await Client.connect(gateway.url, { perMessageDeflate: false })
    assert.equal(client.socket.extensions, '')
    client.close()
  })

  test('a message above the limit ends the connection with 1009', async () => {
    const client = await Client.connect(gateway.url)
    client.socket.send('x'.repeat(8 << 20))
    assert.equal(await client.closed, 1009)
  })

  test('a zip bomb ends the connection with 1009', async () => {
    const client = await Client.connect(gateway.url, { perMessageDeflate: { threshold: 0 } })
    client.socket.send(Buffer.alloc(64 << 20, 'x').toString())
    assert.equal(await client.closed, 1009)
  })

  test('pings are answered and a close is echoed', async () => {
    const client = await Client.connect(gateway.url)
    client.socket.ping('are you there')
    const [data] = await once(client.socket, 'pong')
    assert.equal(data.toString(), 'are you there')
    client.socket.close(1000, 'bye')
    assert.equal(await client.closed, 1000)
  })

  test('SIGTERM closes with 1001 and the program ends with 0', async () => {
    const own = await Gateway.start()
    const client = await Client.connect(own.url)
    const { code } = await own.down()
    assert.equal(await client.closed, 1001)
    assert.equal(code, 0)
    await own.stop()
  })
})

describe('hostile clients cost only themselves', () => {
  test('one that subscribes to everything and never reads is dropped; others go on', async () => {
    const deaf = await raw()
    deaf.write(frame(1, '["REQ","all",{}]'))
    deaf.pause()
    const client = await Client.connect(gateway.url)
    const author = new Author()
    for (let i = 0; i < 300; i++) {
      const events = Array.from({ length: 4 }, (_, k) => author.event({ content: `${i} ${k} ` + 'x'.repeat(30000) }))
      const answers = await Promise.all(events.map(event => client.publish(event)))
      assert.ok(answers.every(([accepted]) => accepted))
    }
    const { readFile } = await import('node:fs/promises')
    const status = await readFile(`/proc/${gateway.child.pid}/status`, 'utf8')
    const anonymousMiB = Number(status.match(/RssAnon:\s+(\d+)/)[1]) / 1024
    assert.ok(anonymousMiB < 256, `${anonymousMiB} MiB of anonymous memory`)
    deaf.destroy()
    client.close()
  })

  test('half a handshake, half a frame and silence harm nobody', async () => {
    const { hostname, port } = new URL(gateway.http)
    const sockets = Array.from({ length: 200 }, (_, i) => {
      const socket = connect({ host: hostname, port })
      socket.on('error', () => {})
      if (i % 2) socket.write('GET / HTTP/1.1\r\nHo')
      return socket
    })
    for (let i = 0; i < 50; i++) (await raw().then(socket => { sockets.push(socket); socket.write(Buffer.from([0x81, 0xfe, 0xff])) }))
    const client = await Client.connect(gateway.url)
    assert.equal((await client.publish(new Author().event()))[0], true)
    client.close()
    for (const socket of sockets) socket.destroy()
  })

  for (const [what, text, pattern] of [
    ['no HTTP', '\x16\x03\x01garbage\r\n\r\n', /^HTTP\/1\.1 400 /],
    ['two Content-Lengths', 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab', /^HTTP\/1\.1 400 /],
    ['a header of 1 MiB', 'GET / HTTP/1.1\r\nX: ' + 'a'.repeat(1 << 20), /^HTTP\/1\.1 431 /],
    ['a path with ..', 'GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n', /^HTTP\/1\.1 40[04] /],
    ['an unknown path', 'GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n', /^HTTP\/1\.1 404 /]
  ]) {
    test(`HTTP: ${what}`, async () => {
      const { hostname, port } = new URL(gateway.http)
      const socket = connect({ host: hostname, port })
      socket.on('error', () => {})
      socket.write(text)
      const [data] = await Promise.race([once(socket, 'data'), sleep(5000).then(() => [''])])
      assert.match(data.toString(), pattern)
      socket.destroy()
    })
  }
})
