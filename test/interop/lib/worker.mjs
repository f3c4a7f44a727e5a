// Starts the built worker on a free port and a scratch data directory, as a user would.
import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { binary } from './gateway.mjs'
import { ask, administration, until } from './command.mjs'

export class Worker {
  static async start ({ bootstrap, args = [] }) {
    const worker = new Worker()
    worker.directory = await mkdtemp(join(tmpdir(), 'holdfast-'))
    worker.args = ['worker', '--data', join(worker.directory, 'data'), '--listen', '127.0.0.1:0', '--swarm-bootstrap', bootstrap, ...args]
    await worker.up()
    return worker
  }

  async up () {
    this.out = this.log = ''
    this.child = spawn(binary, this.args, { stdio: ['ignore', 'pipe', 'pipe'] })
    this.exited = new Promise(resolve => this.child.once('exit', (code, signal) => resolve({ code, signal })))
    this.child.stderr.on('data', data => { this.log += data })
    this.child.stdout.on('data', data => { this.out += data })
    this.key = (await until(() => { if (this.child.exitCode !== null) throw new Error(this.log); return this.out.match(/worker ([0-9a-f]{64})/) }, 20000))[1]
    this.url = this.out.match(/ws:\/\/127\.0\.0\.1:\d+/)[0]
    this.http = this.url.replace('ws', 'http')
  }

  async facts () {
    return JSON.parse((await ask('/admin/worker', administration(this))).body)
  }

  async stop () {
    this.child.kill('SIGTERM')
    const ended = await this.exited
    await rm(this.directory, { recursive: true, force: true })
    return ended
  }
}
