// Speaks with build/test/support/udx_driver, which does to UDX streams of the program under test what it is told.
//
// One JSON object a line goes in, one comes back. `stream` is a number from 0 to 63, `socket` the number that open gave (0 the first).
//
//   {do: "open"} -> {socket, port};  close_socket {socket}
//   {do: "stream", stream, id?}                  a new one under that number -> {id}
//   {do: "accept", stream, id}                   connects to the source of its first packet, whose stream there has that id
//   {do: "connect", stream, socket?, port, id};  change {stream, socket?, port, id}
//   {do: "generate", stream, bytes, seed, end?}  writes a reproducible sequence, and ends the stream after it
//   {do: "write", stream, hex};  message {stream, hex};  end;  destroy;  pause {paused};  keep_alive {ms}
//   {do: "relay", stream, to}
//   {do: "state", stream} -> {received, hash (SHA-256), ended, changed, closed: null or "HF_OK"…, messages: [hex…], mtu, retransmitted, …}
import { createHash } from 'node:crypto'
import { driverAt, LineDriver } from './driver.mjs'

export class UdxDriver extends LineDriver {
  constructor () { super([driverAt('udx')]) }

  async do (name, stream = 0, rest = {}) { return super.do(name, { stream, ...rest }) }

  // The state of a stream once it is as wanted.
  until (stream, wanted, timeout = 60000) { return super.until('state', stream, wanted, timeout) }
}

// What generate writes, in blocks.
export class Sequence {
  constructor (seed) { this.x = seed | 0 }

  next (bytes) {
    const words = new Uint32Array(bytes / 4)
    let x = this.x
    for (let i = 0; i < words.length; i++) {
      x ^= x << 13
      x ^= x >>> 17
      x ^= x << 5
      words[i] = x
    }
    this.x = x
    return Buffer.from(words.buffer)
  }
}

export function hashOfSequence (seed, bytes) {
  const sequence = new Sequence(seed)
  const hash = createHash('sha256')
  for (let left = bytes; left > 0; left -= 65536) hash.update(sequence.next(Math.min(left, 65536)))
  return hash.digest('hex')
}
