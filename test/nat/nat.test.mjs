// Peers behind NATs of every kind find a way to each other, ours with ours and ours with the package's. Needs root; see lab.
//
// By default ours dials ours through eight pairs of NATs, and the package's through some. RUNS="port-symmetric:ours-js …" chooses pairs of
// server's and client's NAT and who is which; RELAYED="js-ours-ours …" server, client and relay; UPGRADED as well. ALL=1 tries every one.
import assert from 'node:assert/strict'
import { spawn, execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { createInterface } from 'node:readline'
import { after, before, test } from 'node:test'
import { PeerDriver } from '../interop/lib/peer_driver.mjs'

const lab = new URL('lab', import.meta.url).pathname
const script = new URL('peer.mjs', import.meta.url).pathname
const into = name => ['ip', 'netns', 'exec', `hf-${name}`]
const sleep = ms => new Promise(resolve => setTimeout(resolve, ms))
const bootstrap = ['9.9.0.101:49737']
const words = (name, otherwise) => (process.env[name] ?? otherwise).split(/\s+/)

const pairs = 'none-none none-port port-none port-port port-full address-port symmetric-port port-symmetric'.split(' ')
const all = pairs.flatMap(pair => ['ours-ours', 'js-ours', 'ours-js'].map(who => `${pair}:${who}`))
const some = [...pairs.map(pair => `${pair}:ours-ours`), 'port-port:js-ours', 'port-port:ours-js', 'address-port:js-ours', 'symmetric-port:ours-js']
const runs = words('RUNS', (process.env.ALL ? all : some).join(' '))
const relayed = words('RELAYED', process.env.ALL ? 'ours-ours-ours js-ours-ours ours-js-ours ours-ours-js js-ours-js ours-js-js' : 'ours-ours-ours js-ours-js ours-js-ours')
const upgraded = words('UPGRADED', process.env.ALL ? 'ours-ours-ours js-ours-ours' : 'ours-ours-ours')
const patience = 90000

class Script {
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

let network
const outcomes = []

before(async () => {
  execFileSync(lab, ['up'])
  network = new Script('inet', 'network')
  await network.next()
})
after(async () => {
  await network?.end()
  execFileSync(lab, ['down'])
  console.log('\nserver     client     who            way                ms')
  for (const { server, client, names, way, ms } of outcomes) {
    console.log(server.padEnd(10), client.padEnd(10), names.padEnd(14), way.padEnd(18), ms)
  }
  const count = way => outcomes.filter(outcome => outcome.way.startsWith(way)).length
  console.log(`direct ${count('direct')}, punched ${count('punched')}, relayed ${count('relayed')}, failed ${count('failed')}`)
})

const listeners = {
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
const relays = {
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

// What became of a dial: {way, ms, name}.
const diallers = {
  async ours (key, relay, upgrade) {
    const driver = await PeerDriver.start({ bootstrap, bind: '0.0.0.0:0' }, into('hostB'))
    const { state, open_ms: ms, connect_ms: failed, name, why } = await driver.dial(0, key, { relay }, patience)
    if (state === 'open') {
      await driver.do('send', { peer: 0, hex: 'abcd' })
      await driver.until('peer', { peer: 0 }, ({ count }) => count === 1)
    }
    if (upgrade) await driver.until('node', {}, ({ upgrades }) => upgrades === 1, patience)
    if (upgrade) {
      await sleep(1000)
      await driver.do('send', { peer: 0, hex: 'abcd' })
      await driver.until('peer', { peer: 0 }, ({ count }) => count === 2)
    }
    const { punched, local, relayed } = await driver.do('node')
    await driver.end()
    return state === 'open' ? { way: relayed ? 'relayed' : punched ? 'punched' : local ? 'local' : 'direct', ms } : { way: `failed ${name ?? why}`, ms: failed }
  },
  async js (key, relay) {
    const script = new Script('hostB', 'client', key, ...relay ? [relay] : [])
    const { state, ms, name, punched, host } = await Promise.race([script.next(), sleep(patience).then(() => ({ state: 'failed', ms: patience, name: 'nothing' }))])
    await script.end()
    return state === 'open' ? { way: host === '9.9.0.1' ? 'relayed' : punched ? 'punched' : 'direct', ms } : { way: `failed ${name}`, ms }
  }
}

for (const run of runs.filter(Boolean)) {
  const [pair, names] = run.split(':')
  const [server, client] = pair.split('-')
  test(`server behind ${server}, client behind ${client}, ${names}`, async () => {
    const [listens, dials] = names.split('-')
    execFileSync(lab, ['side', 'A', server])
    execFileSync(lab, ['side', 'B', client])
    const listener = await listeners[listens]()
    try {
      const { way, ms } = await diallers[dials](listener.key)
      outcomes.push({ server, client, names, way, ms })
      assert.doesNotMatch(way, /failed/)
    } finally {
      await listener.end()
    }
  })
}

// Two symmetric NATs: only a relay helps. server-client-relay.
for (const names of relayed.filter(Boolean)) {
  test(`both behind symmetric NATs, over a relay, ${names}`, async () => {
    const [listens, dials, middle] = names.split('-')
    execFileSync(lab, ['side', 'A', 'symmetric'])
    execFileSync(lab, ['side', 'B', 'symmetric'])
    const relay = await relays[middle]()
    const listener = await listeners[listens]()
    try {
      const { way, ms } = await diallers[dials](listener.key, relay.key)
      outcomes.push({ server: 'symmetric', client: 'symmetric', names, way, ms })
      assert.equal(way, 'relayed')
    } finally {
      await listener.end()
      await relay.end()
    }
  })
}

for (const names of upgraded.filter(Boolean)) {
  test(`relayed at first, then directly, ${names}`, async () => {
    const [listens, dials, middle] = names.split('-')
    execFileSync(lab, ['side', 'A', 'port'])
    execFileSync(lab, ['side', 'B', 'symmetric'])
    const relay = await relays[middle]()
    const listener = await listeners[listens]()
    try {
      const { way, ms } = await diallers[dials](listener.key, relay.key, true)
      outcomes.push({ server: 'port', client: 'symmetric', names, way: way + ', upgraded', ms })
      if (relay.driver) await relay.driver.until('relay_stats', {}, ({ sessions, now }) => sessions === 0 && now === 0, 30000)
    } finally {
      await listener.end()
      await relay.end()
    }
  })
}
