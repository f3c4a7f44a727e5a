// `holdfast up` on free ports and a scratch directory: what it tells when all serves, and what its parts print.
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Program } from './program.mjs'

export class Up extends Program {
  static async start ({ directory, args = [] } = {}) {
    const up = new Up()
    up.ownsDirectory = !directory
    up.directory = directory ?? await mkdtemp(join(tmpdir(), 'holdfast-'))
    up.data = join(up.directory, 'data')
    up.launch(['up', '--json', '--data', up.data, '--listen', '127.0.0.1:0', ...args])
    up.facts = JSON.parse((await up.printed(/^.*\n/, 30000))[0])
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

  down () { return this.end() }

  async stop () {
    await this.end()
    if (this.ownsDirectory) await rm(this.directory, { recursive: true, force: true })
  }
}
