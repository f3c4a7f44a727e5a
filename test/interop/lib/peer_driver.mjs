// Speaks with build/test/support/peer_driver, a node of HyperDHT whose servers and dials do what they are told.
//
// One JSON object a line goes in, one comes back. `peer` is a number: below 4096 the caller's choice for a dial, above it one that was accepted.
//
//   {do: "start", bootstrap: ["HOST:PORT"…], bind?, role?, open?, address?, local?, gap?} -> {address};  node -> {bootstrapped, …, open, local, punched, …}
//   {do: "listen", server?, seed?, echo?, refuse?, no_local?, no_punch?, relay?} -> {key};  close_server;  suspend_server {resume?}
//   {do: "server", server?} -> {listening, closed, relays, connections, refused, accepted: [peer…]}
//   {do: "dial", peer, key, seed?, relays?, relay?, no_local?, echo?};  cancel {peer}
//   {do: "peer", peer} -> {state: dialling, connected, open, closed or failed, code, name, why, key, received, count, hash, datagrams, …_ms}
//   {do: "send", peer, hex, datagram?};  generate {peer, bytes, seed};  close {peer, destroy?}
//   {do: "relay", seed?, sessions?, pairs?} -> {key};  relay_stats -> {listening, sessions, joined, now, waiting, refused}
//
// Messages go over a channel of protocol "test" with one type of message, raw.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

const program = process.env.PEER_DRIVER ?? new URL('../../../build/test/support/peer_driver', import.meta.url).pathname

export class PeerDriver {
  constructor (prefix = [], driver = program) {
    const [command, ...words] = [...prefix, driver]
    this.child = spawn(command, words, { stdio: ['pipe', 'pipe', 'inherit'] })
    this.waiting = []
    this.exited = new Promise(resolve => this.child.once('close', (code, signal) => {
      for (const { reject } of this.waiting.splice(0)) reject(new Error(`the driver ended with ${code ?? signal}`))
      resolve(code ?? signal)
    }))
    createInterface({ input: this.child.stdout }).on('line', line => this.waiting.shift().resolve(JSON.parse(line)))
    this.child.stdin.on('error', () => {})
  }

  static async start (options, prefix) {
    const driver = new PeerDriver(prefix)
    driver.address = (await driver.do('start', options)).address
    await driver.until('node', {}, ({ bootstrapped }) => bootstrapped)
    return driver
  }

  async do (name, rest = {}) {
    const answer = await new Promise((resolve, reject) => {
      this.waiting.push({ resolve, reject })
      this.child.stdin.write(JSON.stringify({ do: name, ...rest }) + '\n')
    })
    assert.equal(answer.error, undefined, `${name} ${JSON.stringify(rest)}: ${answer.error} ${answer.why ?? ''}`)
    return answer
  }

  // What a command answers once that is as wanted.
  async until (name, rest, wanted, timeout = 20000) {
    const start = Date.now()
    for (;;) {
      const answer = await this.do(name, rest)
      if (wanted(answer)) return answer
      assert.ok(Date.now() - start < timeout, `not reached: ${JSON.stringify(answer)}`)
      await new Promise(resolve => setTimeout(resolve, 5))
    }
  }

  // A server that is announced: its key in hexadecimal.
  async listen (options = {}) {
    const { key } = await this.do('listen', options)
    await this.until('server', { server: options.server ?? 0 }, ({ listening }) => listening)
    return key
  }

  // The peer once it is open, or has failed.
  async dial (peer, key, options = {}, timeout) {
    await this.do('dial', { peer, key, ...options })
    return this.until('peer', { peer }, ({ state }) => state !== 'dialling' && state !== 'connected', timeout)
  }

  async end () {
    this.child.stdin.end()
    assert.equal(await this.exited, 0)
  }
}
