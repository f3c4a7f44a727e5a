// Servers, relays and diallers in the namespaces of lab: ours (peer_driver) and the package's (peer.mjs).
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { createInterface } from 'node:readline'
import { PeerDriver } from '../interop/lib/peer_driver.mjs'

const script = new URL('peer.mjs', import.meta.url).pathname
const into = name => ['ip', 'netns', 'exec', `hf-${name}`]
const sleep = ms => new Promise(resolve => setTimeout(resolve, ms))
const bootstrap = ['9.9.0.101:49737']
const patience = 90000

export class Script {
  constructor (place, ...args) {
    const [command, ...rest] = [...into(place), process.execPath, script, ...args]
    this.child = spawn(command, rest, { stdio: ['ignore', 'pipe', 'inherit'] })
    this.exited = new Promise(resolve => this.child.once('close', resolve))
    this.lines = []
    this.waiting = []
    createInterface({ input: this.child.stdout }).on('line', line => {
      const event = JSON.parse(line)
      if (this.waiting.length) this.waiting.shift()(event)
      else this.lines.push(event)
    })
  }

  next () {
    return this.lines.length ? this.lines.shift() : new Promise(resolve => this.waiting.push(resolve))
  }

  end () {
    this.child.kill('SIGKILL')
    return this.exited
  }
}

export const listeners = {
  async ours () {
    const driver = await PeerDriver.start({ bootstrap, bind: '0.0.0.0:0' }, into('hostA'))
    return { key: await driver.listen({ echo: true }), end: () => driver.end() }
  },
  async js () {
    const script = new Script('hostA', 'server', randomBytes(32).toString('hex'))
    const { key } = await script.next()
    return { key, end: () => script.end() }
  }
}

// A blind relay in the middle of the internet: {key, end}.
export const relays = {
  async ours () {
    const driver = await PeerDriver.start({ bootstrap, bind: '9.9.0.1:49738', open: true }, into('inet'))
    const { key } = await driver.do('relay')
    await driver.until('relay_stats', {}, ({ listening }) => listening)
    return { key, driver, end: () => driver.end() }
  },
  async js () {
    const script = new Script('inet', 'relay', randomBytes(32).toString('hex'))
    const { key } = await script.next()
    return { key, end: () => script.end() }
  }
}

const ways = ({ relayed, punched, local }) => relayed ? 'relayed' : punched ? 'punched' : local ? 'local' : 'direct'

// What became of a dial: {way, ms}; of one that failed {way: 'failed WHY', ms}.
export const diallers = {
  async ours (key, relay, upgrade) {
    const driver = await PeerDriver.start({ bootstrap, bind: '0.0.0.0:0' }, into('hostB'))
    const { state, open_ms: ms, connect_ms: failed, name, why } = await driver.dial(0, key, { relay }, patience)
    if (state === 'open') {
      await driver.do('send', { peer: 0, hex: 'abcd' })
      await driver.until('peer', { peer: 0 }, ({ count }) => count === 1)
    }
    if (upgrade) {
      await driver.until('node', {}, ({ upgrades }) => upgrades === 1, patience)
      await sleep(1000)
      await driver.do('send', { peer: 0, hex: 'abcd' })
      await driver.until('peer', { peer: 0 }, ({ count }) => count === 2)
    }
    const way = ways(await driver.do('node'))
    await driver.end()
    return state === 'open' ? { way, ms } : { way: `failed ${name ?? why}`, ms: failed }
  },
  async js (key, relay) {
    const script = new Script('hostB', 'client', key, ...relay ? [relay] : [])
    const nothing = sleep(patience).then(() => ({ state: 'failed', ms: patience, name: 'nothing' }))
    const { state, ms, name, punched, host } = await Promise.race([script.next(), nothing])
    await script.end()
    const way = ways({ relayed: host === '9.9.0.1', punched, local: /^(192\.168|100\.64)\./.test(host) })
    return state === 'open' ? { way, ms } : { way: `failed ${name}`, ms }
  }
}
