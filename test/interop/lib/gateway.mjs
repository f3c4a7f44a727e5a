// Starts the built gateway on a free port and a scratch data directory, as a user would.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Program } from './program.mjs'

export class Gateway extends Program {
  static async start ({ directory, args = [], env = {} } = {}) {
    const gateway = new Gateway()
    gateway.ownsDirectory = !directory
    gateway.directory = directory ?? await mkdtemp(join(tmpdir(), 'holdfast-'))
    gateway.args = args
    gateway.env = env
    await gateway.up()
    return gateway
  }

  async up () {
    this.launch(['gateway', '--data', join(this.directory, 'data'), '--listen', '127.0.0.1:0', ...this.args], this.env)
    this.url = (await this.printed(/ws:\/\/127\.0\.0\.1:\d+\/?/, 10000))[0]
    this.http = this.url.replace(/^ws/, 'http').replace(/\/$/, '')
  }

  down () { return this.end() }

  kill () { return this.end('SIGKILL') }

  async stop () {
    await this.end()
    if (this.ownsDirectory) await rm(this.directory, { recursive: true, force: true })
  }
}
