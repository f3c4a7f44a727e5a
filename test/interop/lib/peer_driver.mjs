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
import { driverAt, LineDriver } from './driver.mjs'

export class PeerDriver extends LineDriver {
  // prefix: what the driver is started by, as in a namespace of its own.
  constructor (prefix = []) { super([...prefix, driverAt('peer')]) }

  static async start (options, prefix) {
    const driver = new PeerDriver(prefix)
    driver.address = (await driver.do('start', options)).address
    await driver.until('node', {}, ({ bootstrapped }) => bootstrapped)
    return driver
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
}
