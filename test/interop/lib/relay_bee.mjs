// A relay's bee, as a peer on the npm packages follows it from a gateway that listens for peers.
import { connect } from 'node:net'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Corestore from 'corestore'
import Hyperbee from 'hyperbee'
import { until } from './command.mjs'

const ts10 = seconds => String(seconds).padStart(10, '0')

// What the NIP-11 document says of it.
export async function beeInfo (gateway) {
  const response = await fetch(gateway.http + '/', { headers: { accept: 'application/nostr+json' } })
  return (await response.json()).hyperbee
}

export class Follower {
  static async open (gateway) {
    const follower = new Follower()
    follower.gateway = gateway
    follower.directory = await mkdtemp(join(tmpdir(), 'holdfast-bee-'))
    follower.store = new Corestore(follower.directory)
    follower.core = follower.store.get((await beeInfo(gateway)).key)
    await follower.core.ready()
    follower.bee = new Hyperbee(follower.core, { keyEncoding: 'binary', valueEncoding: 'utf-8' })
    await follower.dial()
    return follower
  }

  async dial () {
    await until(() => /cores at 127\.0\.0\.1:(\d+)/.test(this.gateway.out), 10000)
    this.socket = connect(Number(this.gateway.out.match(/cores at 127\.0\.0\.1:(\d+)/)[1]), '127.0.0.1')
    this.stream = this.store.replicate(true)
    this.stream.on('error', () => {})
    this.socket.on('error', () => {})
    this.socket.pipe(this.stream).pipe(this.socket)
  }

  async event (id) {
    const entry = await this.bee.get(Buffer.from(id, 'hex'))
    return entry && JSON.parse(entry.value)
  }

  async has (id) {
    await this.core.update({ wait: true })
    return await this.event(id) !== null
  }

  async range (prefix, { since = 0, until: end = 9999999999 } = {}) {
    const ids = []
    for await (const { value } of this.bee.createReadStream({
      gte: Buffer.from(`${prefix}created_at:${ts10(since)}:id:`), lte: Buffer.from(`${prefix}created_at:${ts10(end)}:id:#`)
    })) ids.push(value)
    return ids
  }

  // Every row, by what kind of row it is: the event rows' ids, and how many index rows there are.
  async rows () {
    const events = [], index = []
    for await (const { key, value } of this.bee.createReadStream()) (key.length === 32 ? events : index).push([key, value])
    return { events, index }
  }

  async close () {
    this.socket.destroy()
    await this.store.close()
    await rm(this.directory, { recursive: true, force: true })
  }
}
