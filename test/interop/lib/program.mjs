// A process of the program, with what it has printed.
import { spawn } from 'node:child_process'

export const binary = process.env.HOLDFAST ?? new URL('../../../build/holdfast', import.meta.url).pathname

export class Program {
  // Starts it, and resolves when it has printed what is awaited.
  static async start (args, awaited, timeoutMs) {
    const program = new Program()
    program.launch(args)
    await program.printed(awaited, timeoutMs)
    return program
  }

  launch (args, env = {}) {
    this.out = this.log = ''
    this.child = spawn(binary, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } })
    this.exited = new Promise(resolve => this.child.once('exit', (code, signal) => resolve({ code, signal })))
    this.child.stdout.on('data', data => { this.out += data })
    this.child.stderr.on('data', data => { this.log += data })
  }

  // The match in what it prints; an error when it ends, or takes too long.
  printed (awaited, timeoutMs = 20000) {
    return new Promise((resolve, reject) => {
      const look = () => { const match = this.out.match(awaited); if (match) resolve(match) }
      const fail = why => reject(new Error(`${this.child.spawnargs.slice(1, 3).join(' ')} ${why}: ${this.out}${this.log}`))
      this.child.stdout.on('data', look)
      this.child.once('close', (code, signal) => fail(`ended with ${code ?? signal}`))
      setTimeout(fail, timeoutMs, `has not printed ${awaited} within ${timeoutMs} ms`).unref()
      look()
    })
  }

  get isRunning () { return this.child.exitCode === null && this.child.signalCode === null }

  // Resolves with how it ended.
  async end (signal = 'SIGTERM') {
    if (this.isRunning) this.child.kill(signal)
    return this.exited
  }
}
