// The processes of the storm, each of which can be killed, started again, frozen, and given another clock.
import { spawn } from 'node:child_process'
import { createWriteStream } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { binary } from '../../interop/lib/program.mjs'
import { sleep } from '../../interop/lib/client.mjs'

const READY_MS = 20000
const BACK_MS = 60000 // until a part must be there again: what it needs (Redis, a disk) may be away for a while

export class Part {
  // of: {directory, library (of faketime, or null), violate}
  constructor (of, name, words, { ready = /relay at (ws:\S+),/, program = binary, space = null, clock = true } = {}) {
    Object.assign(this, { of, name, words, ready, program, space, directory: join(of.directory, name) })
    this.clock = clock && of.library ? join(of.directory, `${name}.clock`) : null
    this.isWanted = false
    this.starts = 0
  }

  async prepare () {
    await mkdir(this.directory, { recursive: true })
    this.file = createWriteStream(join(this.of.directory, `${this.name}.log`))
    await this.shift(0)
  }

  async shift (seconds) {
    if (this.clock) await writeFile(this.clock, `${seconds < 0 ? '' : '+'}${seconds}`)
  }

  environment () {
    return !this.clock ? process.env : { ...process.env, LD_PRELOAD: this.of.library, FAKETIME_TIMESTAMP_FILE: this.clock,
      FAKETIME_CACHE_DURATION: '1', DONT_FAKE_MONOTONIC: '1', FAKETIME_DONT_FAKE_MONOTONIC: '1' }
  }

  // One attempt; false when it ended before it was ready.
  async tryStart () {
    const [program, words] = this.space ? ['ip', ['netns', 'exec', this.space, this.program, ...this.words]] : [this.program, this.words]
    const child = this.child = spawn(program, words, { stdio: ['ignore', 'pipe', 'pipe'], env: this.environment() })
    let out = ''
    this.starts++
    child.stdout.on('data', data => { out += data; this.file.write(data) })
    child.stderr.on('data', data => this.file.write(data))
    this.exited = new Promise(resolve => child.once('exit', (code, signal) => {
      if (this.isWanted && this.child === child && this.isReady) this.of.violate(`${this.name} ended by itself with ${code ?? signal}`)
      this.isReady = false
      resolve({ code, signal })
    }))
    for (const end = performance.now() + READY_MS; performance.now() < end; await sleep(20)) {
      if (child.exitCode !== null || child.signalCode !== null) return false
      if (!this.ready.test(out)) continue
      this.out = out
      return this.isReady = true
    }
    child.kill('SIGKILL')
    await this.exited
    return false
  }

  // As a supervisor does: again until it is there.
  async start () {
    this.isWanted = true
    this.isReady = false
    for (const end = performance.now() + BACK_MS; performance.now() < end; await sleep(300)) {
      if (await this.tryStart()) return
    }
    throw new Error(`${this.name} could not be started`)
  }

  async end (signal) {
    this.isWanted = false
    if (this.child.exitCode !== null || this.child.signalCode !== null) return
    this.child.kill('SIGCONT')
    this.child.kill(signal)
    const { code } = await this.exited
    if (signal === 'SIGTERM' && code !== 0 && this.program === binary) this.of.violate(`${this.name} answered SIGTERM with ${code}`)
  }

  signal (name) { this.child.kill(name) }
}
