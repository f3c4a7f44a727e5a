// Two gateways that share a Redis, three workers, and a DHT, all private to this process.
//
//   the gateways' relay  at the first gateway, with a bee that an npm peer follows
//   shared               on workers one and two, by the same key; Home copies what comes new from one to the other
//   solo                 on worker three alone
//
// Where there are namespaces (./storm makes them) each worker is in one of its own, at an address on a bridge that only they see, and the
// directories are small tmpfs of their own.
import { execFileSync } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { existsSync } from 'node:fs'
import { cp, mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { run, until } from '../../interop/lib/command.mjs'
import { Program } from '../../interop/lib/program.mjs'
import { Part } from './parts.mjs'

const here = '10.99.0.1'
const library = ['x86_64-linux-gnu', 'aarch64-linux-gnu'].map(arch => `/usr/lib/${arch}/faketime/libfaketimeMT.so.1`).find(existsSync) ?? null
const hasSpaces = process.env.CHAOS_SPACES === '1'
export const can = { network: hasSpaces, mount: hasSpaces, clock: library !== null }
export const has = (...words) => execFileSync(words[0], words.slice(1), { stdio: ['ignore', 'pipe', 'pipe'] }).toString()

const gatewaySettings = ['--gateway-swarm', '--workers-enabled', '--registration-open', '--relay-bee', '--front-publish-address-max', '0',
  '--front-publish-key-max', '0', '--front-subscribe-address-max', '0', '--front-subscribe-key-max', '0', '--workers-health-interval', '1s',
  '--front-answer-timeout', '5s', '--dispatcher-rest', '2s', '--gateway-drain-timeout', '2s']
const settings = ['--relay-limit-max', '50000', '--store-log-segment', '16m']

const freePort = host => new Promise((resolve, reject) => {
  const server = createServer().once('error', reject).listen(0, host, () => {
    const { port } = server.address()
    server.close(() => resolve(port))
  })
})
const freeUdpPort = host => new Promise(resolve => {
  const socket = createSocket('udp4').bind(0, host, () => {
    const { port } = socket.address()
    socket.close(() => resolve(port))
  })
})

export class World {
  constructor (violate, megabytes) { Object.assign(this, { violate, megabytes, library, parts: {} }) }

  async start () {
    this.directory = await mkdtemp(join(tmpdir(), 'holdfast-chaos-'))
    this.host = hasSpaces ? here : '127.0.0.1'
    if (hasSpaces) this.layCables()
    await this.startNetwork()
    const redis = await this.part('redis', ['--port', '0', '--unixsocket', join(this.directory, 'redis.sock'), '--appendonly', 'yes',
      '--appendfsync', 'always', '--save', '', '--dir', join(this.directory, 'redis')], { program: 'redis-server', ready: /ready to accept/, clock: false })
    await redis.start()
    await Promise.all(['first', 'second'].map(name => this.startGateway(name)))
    await this.shareKeys()
    await Promise.all([['one', 'shared', 11], ['two', 'shared', 12], ['three', 'solo', 13]].map(words => this.startWorker(...words)))
    await until(async () => (await Promise.all(['first', 'second'].map(name => this.admin(name, 'workers'))))
      .every(({ workers }) => ['shared', 'shared', 'solo'].every(path => workers.some(worker => worker.relays.includes(path))) && workers.length === 3), 60000)
  }

  layCables () {
    has('ip', 'link', 'set', 'lo', 'up')
    has('ip', 'link', 'add', 'chaos', 'type', 'bridge')
    has('ip', 'addr', 'add', `${here}/24`, 'dev', 'chaos')
    has('ip', 'link', 'set', 'chaos', 'up')
    execFileSync('nft', ['-f', '-'], { input: `table ip chaos {
      set from { type ipv4_addr; }
      set to { type ipv4_addr; }
      chain input { type filter hook input priority 0; ip saddr @from meta l4proto udp drop; }
      chain output { type filter hook output priority 0; ip daddr @to meta l4proto udp drop; }
    }` })
  }

  layCable (name, number) {
    has('ip', 'netns', 'add', name)
    has('ip', 'link', 'add', `to-${name}`, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name)
    has('ip', 'link', 'set', `to-${name}`, 'master', 'chaos', 'up')
    has('ip', '-n', name, 'link', 'set', 'lo', 'up')
    has('ip', '-n', name, 'addr', 'add', `10.99.0.${number}/24`, 'dev', 'eth0')
    has('ip', '-n', name, 'link', 'set', 'eth0', 'up')
    has('ip', '-n', name, 'route', 'add', 'default', 'via', here)
    return `10.99.0.${number}`
  }

  async startNetwork () {
    this.network = []
    const ports = await Promise.all([1, 2, 3].map(() => freeUdpPort(this.host)))
    this.bootstrap = `${this.host}:${ports[0]}`
    for (const [i, port] of ports.entries()) {
      this.network.push(await Program.start(['dht', 'serve', '--host', this.host, '--port', String(port), '--json',
        ...(i === 0 ? ['--address', this.host] : ['--bootstrap', this.bootstrap, '--persistent', '--open'])], /"bootstrapped":true/))
    }
  }

  async part (name, words, options) {
    const part = this.parts[name] = new Part(this, name, words, options)
    await mkdir(part.directory, { recursive: true })
    if (hasSpaces && name !== 'redis') has('mount', '-t', 'tmpfs', '-o', `size=${this.megabytes}m,mode=700`, 'none', part.directory)
    await part.prepare()
    return part
  }

  async startGateway (name) {
    const port = await freePort('127.0.0.1')
    const part = await this.part(name, ['gateway', '--data', join(this.directory, name, 'data'), '--listen', `127.0.0.1:${port}`, '--swarm-bootstrap', this.bootstrap,
      '--registration-redis', `unix://${join(this.directory, 'redis.sock')}`, ...gatewaySettings, ...settings])
    part.url = `ws://127.0.0.1:${port}`
    await part.start()
    part.key = (await (await fetch(`http://127.0.0.1:${port}/api/gateway`)).json()).gateway
  }

  // The keys of the relay that workers one and two have in common, in directories whose workers are still to come.
  async shareKeys () {
    const scratch = join(this.directory, 'keys')
    const alone = await Program.start(['gateway', '--data', scratch, '--listen', '127.0.0.1:0', '--relay-bee'], /relay at (ws:\S+),/)
    await alone.end()
    for (const name of await readdir(join(scratch, 'keys'))) if (name.startsWith('swarm')) await rm(join(scratch, 'keys', name))
    this.sharedKeys = scratch
  }

  async startWorker (name, path, number) {
    const host = hasSpaces ? this.layCable(name, number) : '127.0.0.1', port = hasSpaces ? 7777 : await freePort(host)
    const data = join(this.directory, name, 'data')
    const part = await this.part(name, ['worker', '--data', data, '--listen', `${host}:${port}`, '--swarm-bootstrap', this.bootstrap,
      '--worker-gateways', `${this.parts.first.key},${this.parts.second.key}`, '--relay-gateway-path', path, ...settings],
    { ready: /holdfast: worker [0-9a-f]{64}/, space: hasSpaces ? name : null })
    if (path === 'shared') await cp(this.sharedKeys, data, { recursive: true })
    Object.assign(part, { host, path, url: `ws://${host}:${port}` })
    await part.start()
  }

  async admin (name, verb) {
    const { out, err, code } = await run(['admin', verb, '--json', '--data', join(this.directory, name, 'data')])
    if (code !== 0) throw new Error(err)
    return JSON.parse(out)
  }

  async end (keeps) {
    const parts = Object.values(this.parts).filter(part => part.child)
    await Promise.all(parts.filter(part => part.name !== 'redis').map(part => part.end('SIGTERM')))
    await this.parts.redis?.end('SIGTERM')
    for (const program of this.network ?? []) await program.end()
    if (keeps) return
    if (hasSpaces) for (const part of parts.filter(part => part.name !== 'redis')) has('umount', part.directory)
    await rm(this.directory, { recursive: true, force: true })
  }
}
