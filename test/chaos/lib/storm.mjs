// The load, the storm, and what is asked of it in the end.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Corestore from 'corestore'
import Hyperbee from 'hyperbee'
import HyperDHT from 'hyperdht'
import Hyperswarm from 'hyperswarm'
import { Author, Client, sleep } from '../../interop/lib/client.mjs'
import { until } from '../../interop/lib/command.mjs'
import { Home, Publisher, Subscriber } from './clients.mjs'
import { befall } from './faults.mjs'
import { Ledger } from './ledger.mjs'
import { World } from './world.mjs'

const BEACON_MS = 100     // between beacons while somebody waits for one; signing them takes this process milliseconds each
const LOCATE_MS = [300, 1500] // for all of them to see a beacon; for the first
const SERVING_MS = 60000  // until a relay takes events again after a wave
const SLOW_MS = 3000      // when somebody does not have it, that is told
const PROBE_MS = 30000    // and every subscription has them
const FINAL_MS = 60000

// relay: [[where it is asked for, path], …]; how many subscribers and publishers each; who has it
const plan = [
  { relay: 'own', doors: ['first'], path: '', subscribers: 2, everyMs: 300, homes: ['first'] },
  { relay: 'shared', doors: ['first', 'second'], path: '/shared', subscribers: 3, everyMs: 400, homes: ['one', 'two'] },
  { relay: 'solo', doors: ['first', 'second'], path: '/solo', subscribers: 1, everyMs: 500, homes: ['three'] }
]

export class Storm {
  constructor (megabytes) {
    this.ledger = new Ledger()
    this.world = new World(text => this.ledger.violate(text), megabytes)
    this.author = new Author()
    Object.assign(this, { subscribers: [], publishers: [], homes: {}, waves: [] })
  }

  async start () {
    await this.world.start()
    await this.follow()
    for (const { relay, doors, path, subscribers, everyMs, homes } of plan) {
      for (const door of doors) {
        const url = this.world.parts[door].url + path
        for (let i = 1; i <= subscribers; i++) {
          const subscriber = new Subscriber(this.ledger, `${relay} at ${door} ${i}`, relay, url, this.author.pubkey)
          this.subscribers.push(Object.assign(subscriber, { door }))
        }
        const publisher = new Publisher(this.ledger, `${relay} by ${door}`, relay, url, this.author)
        publisher.begin(everyMs)
        this.publishers.push(publisher)
      }
      for (const home of homes) this.homes[home] = new Home(this.ledger, relay, home, this.world.parts[home].url, this.author)
    }
    this.homes.one.copyTo([this.homes.two])
    this.homes.two.copyTo([this.homes.one])
    this.sendBeacons()
    await this.settle()
  }

  // One event to all homes of a relay. When this process is late itself there are none, or it would never catch up.
  sendBeacons () {
    const due = performance.now() + BEACON_MS
    this.beaconTimer = setTimeout(() => {
      const relays = new Set([...this.ledger.pending.keys()].map(subscriber => subscriber.relay))
      for (const relay of performance.now() > due + BEACON_MS / 2 ? [] : relays) {
        const homes = Object.values(this.homes).filter(home => home.relay === relay), event = homes[0].makeBeacon()
        for (const home of homes) home.send(['EVENT', event])
      }
      this.sendBeacons()
    }, BEACON_MS)
  }

  // A peer on the npm packages that follows the bee of the gateway's relay from before the storm.
  async follow () {
    const [host, port] = this.world.bootstrap.split(':')
    const { hyperbee } = await (await fetch(this.world.parts.first.url.replace('ws', 'http'), { headers: { accept: 'application/nostr+json' } })).json()
    this.bee = { key: hyperbee.key, directory: await mkdtemp(join(tmpdir(), 'holdfast-chaos-bee-')) }
    this.bee.store = new Corestore(this.bee.directory)
    this.bee.dht = new HyperDHT({ bootstrap: [{ host, port: Number(port) }] })
    this.bee.swarm = new Hyperswarm({ dht: this.bee.dht })
    this.bee.swarm.on('connection', stream => { stream.on('error', () => {}); this.bee.store.replicate(stream) })
    this.bee.core = this.bee.store.get(this.bee.key)
    await this.bee.core.ready()
    this.bee.core.download({ start: 0, end: -1 })
    this.bee.swarm.join(this.bee.core.discoveryKey, { server: false, client: true })
    this.bee.reader = new Hyperbee(this.bee.core, { keyEncoding: 'binary', valueEncoding: 'utf-8' })
  }

  // The open subscriptions that a part serves: of a gateway all that came by its door, of a worker those that see its beacon.
  async servedBy (name) {
    if (name === 'first' || name === 'second') return this.subscribers.filter(subscriber => subscriber.door === name && subscriber.isSubscribed)
    if (name === 'redis') return []
    const id = this.homes[name].beacon()
    const found = () => this.subscribers.filter(subscriber => subscriber.isSubscribed && subscriber.here.has(id))
    await until(() => found().length > 0, LOCATE_MS[1]).catch(() => {})
    await sleep(LOCATE_MS[0])
    return found()
  }

  // Who is meant by the schedule's targets for a wave.
  async rank () {
    const [one, two] = await Promise.all(['one', 'two'].map(name => this.servedBy(name)))
    const [busier, other] = one.length >= two.length ? ['one', 'two'] : ['two', 'one']
    return name => ({ busier, other }[name] ?? name)
  }

  // Every relay takes an event, and every subscription gets it, or says that it is not open; then it opens again, and gets it.
  async settle () {
    const began = performance.now(), slowest = { ms: 0, what: '' }
    await Promise.all(plan.map(async ({ relay }) => {
      const publisher = this.publishers.find(one => one.relay === relay)
      const id = await publisher.publish(`probe of ${relay}`, SERVING_MS)
      if (!id) return this.ledger.violate(`${relay} took no event for ${SERVING_MS} ms after the faults were over`)
      const ackedMs = performance.now() - began
      const missing = () => this.subscribers.filter(subscriber => subscriber.relay === relay && !subscriber.got.has(id))
      await until(() => missing().length === 0, SLOW_MS).catch(() => {
        const homes = Object.values(this.homes).filter(home => home.relay === relay)
        console.log(`     ${SLOW_MS} ms after OK ${missing().map(one => one.name).join(', ')} still wait for it; it is ` +
          `at ${homes.filter(home => home.has.has(id)).map(home => home.name).join(', ') || 'no home that is known'}`)
      })
      for (const round of [1, 2]) {
        await until(() => missing().length === 0, PROBE_MS).catch(() => {})
        const silent = missing().filter(subscriber => round === 2 || subscriber.isSubscribed)
        for (const { name, isSubscribed } of silent) {
          this.ledger.violate(`${name} ${isSubscribed ? 'is open but did not get' : 'did not come back to get'} ${id} within ${round * PROBE_MS} ms`)
        }
        if (silent.length || missing().length === 0) break
      }
      const ms = performance.now() - began
      if (ms > slowest.ms) Object.assign(slowest, { ms, what: `${relay}: OK after ${ackedMs.toFixed(0)} ms` })
    }))
    return slowest
  }

  async wave (faults) {
    const who = await this.rank()
    const told = await Promise.all(faults.map(fault => befall(fault, who(fault.target), this)))
    const settled = await this.settle()
    for (const [i, { number, kind, target, ms, variant }] of faults.entries()) {
      const { touched, times } = told[i]
      console.log(`${String(number).padStart(4)} ${kind}${variant === null ? '' : ` (${variant})`}: ${who(target)}, ${ms} ms; ` +
        `${touched.length} touched, next delivery after ${times.join(' ') || 'nothing'} ms; all well ${settled.ms.toFixed(0)} ms after the end (${settled.what})`)
    }
    if (faults.length > 1) console.log('     (at the same time)')
    return settled.ms
  }

  // ---- The end ----

  ackedOf (relay) { return [...this.ledger.acked].filter(([, of]) => of === relay).map(([id]) => id) }

  async judge () {
    for (const publisher of this.publishers) publisher.stop()
    await until(() => this.publishers.every(publisher => publisher.inFlight === 0), FINAL_MS)
    clearTimeout(this.beaconTimer)
    const acked = Object.fromEntries(plan.map(({ relay }) => [relay, this.ackedOf(relay)]))
    for (const { relay, doors, path, homes } of plan) {
      const places = [...doors.map(door => [door, this.world.parts[door].url + path]), ...homes.map(home => [home, this.world.parts[home].url])]
      for (const [place, url] of places) await this.judgeStored(relay, place, url, acked[relay])
    }
    await until(() => this.subscribers.every(({ relay, got }) => acked[relay].every(id => got.has(id))), FINAL_MS).catch(() => {})
    for (const { name, relay, got } of this.subscribers) {
      const missed = acked[relay].filter(id => !got.has(id))
      if (missed.length) this.ledger.violate(`${name} never got ${missed.length} of ${acked[relay].length} events: ${missed.slice(0, 3)}`)
    }
    await this.judgeBee(acked.own)
    return acked
  }

  // Copies from home to home may still be under way.
  async judgeStored (relay, place, url, ids) {
    let missing = ids
    await until(async () => {
      const client = await Client.connect(url).catch(() => null)
      if (!client) return false
      const found = new Set()
      try {
        for (let i = 0; i < missing.length; i += 400) for (const id of await client.ids({ ids: missing.slice(i, i + 400) })) found.add(id)
      } catch {} finally {
        client.close()
      }
      missing = missing.filter(id => !found.has(id))
      return missing.length === 0
    }, FINAL_MS).catch(() => {})
    if (missing.length) this.ledger.violate(`${relay} at ${place} lost ${missing.length} of ${ids.length} acknowledged events: ${missing.slice(0, 3)}`)
  }

  async judgeBee (ids) {
    const events = new Set()
    await until(async () => {
      await this.bee.core.update({ wait: true })
      events.clear()
      for await (const { key } of this.bee.reader.createReadStream()) if (key.length === 32) events.add(key.toString('hex'))
      return ids.every(id => events.has(id))
    }, FINAL_MS).catch(() => {})
    const missing = ids.filter(id => !events.has(id)), strange = [...events].filter(id => this.ledger.sent.get(id)?.relay !== 'own')
    if (missing.length) this.ledger.violate(`the bee's follower lacks ${missing.length} of ${ids.length} acknowledged events`)
    if (strange.length) this.ledger.violate(`the bee's follower has ${strange.length} events that nobody published there`)
    this.bee.count = events.size
  }

  async end (keeps) {
    clearTimeout(this.beaconTimer)
    for (const one of [...this.subscribers, ...this.publishers, ...Object.values(this.homes)]) await one.end()
    await this.world.end(keeps)
    if (this.bee) await rm(this.bee.directory, { recursive: true, force: true }) // the process ends with this
  }
}
