// Starts the built gateway on a free port and a scratch data directory, as a user would.
import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export const binary = process.env.HOLDFAST ?? new URL('../../../build/holdfast', import.meta.url).pathname

export class Gateway {
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
    this.log = this.out = ''
    this.child = spawn(binary, ['gateway', '--data', join(this.directory, 'data'), '--listen', '127.0.0.1:0', ...this.args],
      { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...this.env } })
    this.exited = new Promise(resolve => this.child.once('exit', (code, signal) => resolve({ code, signal })))
    this.child.stderr.on('data', data => { this.log += data })
    this.url = await new Promise((resolve, reject) => {
      const onData = data => {
        this.out += data
        const match = this.out.match(/ws:\/\/127\.0\.0\.1:\d+\/?/)
        if (match) resolve(match[0])
      }
      this.child.stdout.on('data', onData)
      this.exited.then(({ code, signal }) => reject(new Error(`the gateway ended with ${code ?? signal}: ${this.out}${this.log}`)))
      setTimeout(() => reject(new Error(`no address within 10 s: ${this.out}${this.log}`)), 10000).unref()
    })
    this.http = this.url.replace(/^ws/, 'http').replace(/\/$/, '')
  }

  // SIGTERM and wait: resolves with how it ended.
  async down () {
    this.child.kill('SIGTERM')
    return this.exited
  }

  async kill () {
    this.child.kill('SIGKILL')
    return this.exited
  }

  async stop () {
    if (this.child.exitCode === null && this.child.signalCode === null) await this.down()
    if (this.ownsDirectory) await rm(this.directory, { recursive: true, force: true })
  }
}
