// A process that holds idle WebSocket connections: idle.mjs PORT COUNT SOURCE_ADDRESS. Says "open" on its IPC channel when all are
// open, answers pings, and tells at "count" how many are still open. Plain sockets: 20,000 clients of a library would be the larger load.
import { connect } from 'node:net'

const [port, count, localAddress] = [Number(process.argv[2]), Number(process.argv[3]), process.argv[4]]
const atOnce = 100
const pong = Buffer.from([0x8a, 0x80, 0, 0, 0, 0])
const handshake = `GET / HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
  'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n'
let open = 0

function one () {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', localAddress, noDelay: true })
    socket.once('error', reject)
    socket.write(handshake)
    socket.once('data', data => {
      if (!data.toString('latin1').startsWith('HTTP/1.1 101')) return reject(new Error(`refused: ${data.subarray(0, 40)}`))
      socket.removeListener('error', reject)
      socket.on('error', () => {})
      open++
      socket.once('close', () => open--)
      // An idle relay says nothing but pings, each whole and alone.
      socket.on('data', frame => { if (frame[0] === 0x89) socket.write(pong) })
      resolve()
    })
  })
}

process.on('message', () => process.send({ open }))
process.on('disconnect', () => process.exit())
try {
  for (let left = count; left > 0; left -= atOnce) await Promise.all(Array.from({ length: Math.min(atOnce, left) }, one))
  process.send('open')
} catch (error) {
  process.send({ error: error.message })
}
