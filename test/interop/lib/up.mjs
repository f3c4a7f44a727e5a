// `holdfast up` on free ports and a scratch directory: what it tells when all serves, and what its parts print.
import { spawn } from 'node:child_process'
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { binary } from './gateway.mjs'

export class Up {
  static async start ({ directory, args = [] } = {}) {
    const up = new Up()
    up.ownsDirectory = !directory
    up.directory = directory ?? await mkdtemp(join(tmpdir(), 'holdfast-'))
    up.data = join(up.directory, 'data')
    up.log = up.out = ''
    up.child = spawn(binary, ['up', '--json', '--data', up.data, '--listen', '127.0.0.1:0', ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
    up.exited = new Promise(resolve => up.child.once('exit', (code, signal) => resolve({ code, signal })))
    up.child.stderr.on('data', data => { up.log += data })
    up.facts = await new Promise((resolve, reject) => {
      up.child.stdout.on('data', data => {
        up.out += data
        if (up.out.includes('\n')) resolve(JSON.parse(up.out))
      })
      up.exited.then(({ code, signal }) => reject(new Error(`ended with ${code ?? signal}: ${up.log}`)))
      setTimeout(() => reject(new Error(`not up within 30 s: ${up.log}`)), 30000).unref()
    })
    return up
  }

  // The process of a part, by what it was started as.
  async process (command) {
    for (const name of await readdir('/proc')) {
      if (!/^\d+$/.test(name)) continue
      const status = await readFile(`/proc/${name}/status`, 'utf8').catch(() => '')
      const words = (await readFile(`/proc/${name}/cmdline`, 'utf8').catch(() => '')).split('\0')
      if (status.includes(`PPid:\t${this.child.pid}\n`) && words[1] === command) return Number(name)
    }
    return null
  }

  async down () {
    this.child.kill('SIGTERM')
    return this.exited
  }

  async stop () {
    if (this.child.exitCode === null && this.child.signalCode === null) await this.down()
    if (this.ownsDirectory) await rm(this.directory, { recursive: true, force: true })
  }
}
