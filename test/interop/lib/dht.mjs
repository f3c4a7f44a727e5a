// Networks of DHT nodes on loopback: of the program under test, of npm hyperdht, or of both.
import { spawn } from 'node:child_process'
import DHT from 'hyperdht'
import { binary } from './program.mjs'
import { run } from './command.mjs'

export const hex = bytes => Buffer.from(bytes).toString('hex')
const host = '127.0.0.1'

// A `dht` command that goes on: its lines of JSON.
export class Running {
  constructor (args) {
    this.lines = []
    this.waiting = []
    let rest = ''
    this.child = spawn(binary, ['dht', ...args, '--json'], { stdio: ['ignore', 'pipe', 'inherit'] })
    this.child.stdout.on('data', data => {
      const parts = (rest + data).split('\n')
      rest = parts.pop()
      for (const part of parts) this.lines.push(JSON.parse(part))
      for (const wake of this.waiting.splice(0)) wake()
    })
    this.ended = new Promise(resolve => this.child.once('exit', code => {
      this.isOver = true
      for (const wake of this.waiting.splice(0)) wake()
      resolve(code)
    }))
  }

  // The first line that fits, also one of before.
  async line (fits = () => true, timeoutMs = 20000) {
    const end = Date.now() + timeoutMs
    for (let at = 0; ; at++) {
      while (at >= this.lines.length) {
        if (this.isOver || Date.now() > end) throw new Error(`no such line: ${JSON.stringify(this.lines)}`)
        await new Promise(resolve => {
          this.waiting.push(resolve)
          setTimeout(resolve, 200).unref()
        })
      }
      if (fits(this.lines[at])) return this.lines[at]
    }
  }

  async stop (signal = 'SIGTERM') {
    this.child.kill(signal)
    return this.ended
  }
}

const parse = text => ({ host: text.split(':')[0], port: Number(text.split(':')[1]) })

// A network: `ours` nodes of the program and `theirs` of the package; who comes first is the bootstrap node.
export class Network {
  static async start ({ ours = 0, theirs = 0 }) {
    const network = new Network()
    network.running = []
    network.nodes = []
    if (ours > 0) {
      network.testnet = new Running(['testnet', '--nodes', ours])
      network.running.push(network.testnet)
      network.bootstrap = [parse((await network.testnet.line()).bootstrap)]
    } else {
      const probe = new Running(['serve', '--host', host, '--address', host]) // a port that is free
      const { listening } = await probe.line()
      await probe.stop()
      network.bootstrap = [parse(listening)]
      network.nodes.push(DHT.bootstrapper(network.bootstrap[0].port, host, { host }))
      await network.nodes[0].fullyBootstrapped()
    }
    while (network.nodes.length < theirs) {
      const node = new DHT({ bootstrap: network.bootstrap, ephemeral: false, firewalled: false, host, port: 0 })
      await node.fullyBootstrapped()
      network.nodes.push(node)
    }
    return network
  }

  // A peer of the package.
  async peer (options = {}) {
    const node = new DHT({ bootstrap: this.bootstrap, host, ...options })
    await node.fullyBootstrapped()
    this.nodes.push(node)
    return node
  }

  get args () { return ['--bootstrap', this.bootstrap.map(n => `${n.host}:${n.port}`).join(','), '--host', host] }

  // One of our commands: {code, out, err}, and what it printed as JSON.
  async ask (command, ...args) {
    const result = await run(['dht', command, ...args, ...this.args, '--json'])
    const lines = result.out.split('\n').filter(Boolean).map(line => JSON.parse(line))
    return { ...result, lines, json: lines[0] }
  }

  async serve (...args) {
    const node = new Running(['serve', ...this.args, ...args])
    this.running.push(node)
    return node
  }

  async stop () {
    await Promise.all(this.nodes.map(node => node.destroy({ force: true })))
    await Promise.all(this.running.map(node => node.stop()))
  }
}
