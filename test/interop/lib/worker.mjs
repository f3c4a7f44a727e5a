// Starts the built worker on a free port and a scratch data directory, as a user would.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ask, administration } from './command.mjs'
import { Program } from './program.mjs'

export class Worker extends Program {
  static async start ({ bootstrap, args = [] }) {
    const worker = new Worker()
    worker.directory = await mkdtemp(join(tmpdir(), 'holdfast-'))
    worker.args = ['worker', '--data', join(worker.directory, 'data'), '--listen', '127.0.0.1:0', '--swarm-bootstrap', bootstrap, ...args]
    await worker.up()
    return worker
  }

  async up () {
    this.launch(this.args)
    this.key = (await this.printed(/worker ([0-9a-f]{64})/))[1]
    this.url = (await this.printed(/ws:\/\/127\.0\.0\.1:\d+/))[0]
    this.http = this.url.replace('ws', 'http')
  }

  async facts () {
    return JSON.parse((await ask('/admin/worker', administration(this))).body)
  }

  async stop () {
    const ended = await this.end()
    await rm(this.directory, { recursive: true, force: true })
    return ended
  }
}
