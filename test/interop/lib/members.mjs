// A private network, a gateway that lets workers in, and workers, each a process of its own in a directory of its own.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { run, until } from './command.mjs'
import { Program } from './program.mjs'

export class Members {
  // A network and a gateway. settings: flags of the gateway beside those that make it one with workers.
  static async start (settings = []) {
    const members = await Members.prepare()
    members.settings = settings
    await members.startGateway()
    return members
  }

  // The network alone.
  static async prepare () {
    const members = new Members()
    members.directory = await mkdtemp(join(tmpdir(), 'holdfast-'))
    members.programs = []
    members.settings = []
    const network = await members.keep(Program.start(['dht', 'testnet', '--nodes', '3'], /--bootstrap (\S+)/))
    members.bootstrap = network.out.match(/--bootstrap (\S+)/)[1]
    return members
  }

  async keep (starting) {
    const program = await starting
    this.programs.push(program)
    return program
  }

  path (name) { return join(this.directory, name) }

  async startGateway (name = 'gateway') {
    this.gateway = await this.keep(Program.start(['gateway', '--data', this.path(name), '--listen', '127.0.0.1:0', '--gateway-swarm',
      '--swarm-bootstrap', this.bootstrap, '--workers-enabled', '--registration-open', ...this.settings], /relay at (ws:\S+),/))
    this.url = this.gateway.out.match(/relay at (ws:\S+),/)[1]
    ;({ gateway: this.key, signingKey: this.signingKey } = await (await fetch(`${this.url.replace('ws', 'http')}/api/gateway`)).json())
  }

  async worker (name, args = []) {
    const worker = await this.keep(Program.start(['worker', '--data', this.path(name), '--listen', '127.0.0.1:0', '--swarm-bootstrap', this.bootstrap,
      '--worker-gateways', this.key, ...args], /holdfast: worker ([0-9a-f]{64})/))
    worker.key = worker.out.match(/holdfast: worker ([0-9a-f]{64})/)[1]
    worker.url = worker.out.match(/relay at (ws:\S+),/)[1]
    return worker
  }

  async admin (verb, ...args) {
    const { out, err, code } = await run(['admin', verb, '--json', '--data', this.path('gateway'), ...args])
    if (code !== 0) throw new Error(err)
    return JSON.parse(out)
  }

  // Until so many workers are connected and the path is known.
  async registered (path, workers) {
    await until(async () => {
      const { relays } = await this.admin('registrations')
      return (await this.admin('workers')).workers.filter(worker => worker.relays.includes(path)).length === workers && relays.length > 0
    }, 30000)
  }

  async stop () {
    for (const program of this.programs.reverse()) await program.end()
    await rm(this.directory, { recursive: true, force: true })
  }
}
