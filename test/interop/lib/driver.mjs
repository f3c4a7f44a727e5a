// A program of test/support that does what it is told: one JSON object a line goes in, one comes back, in order.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

// In DRIVERS, or where make builds it.
export const driverAt = name => `${process.env.DRIVERS ?? new URL('../../../build/test/support', import.meta.url).pathname}/${name}_driver`

export class LineDriver {
  constructor ([command, ...words]) {
    this.child = spawn(command, words, { stdio: ['pipe', 'pipe', 'inherit'] })
    this.waiting = []
    this.exited = new Promise(resolve => this.child.once('close', (code, signal) => {
      for (const { reject } of this.waiting.splice(0)) reject(new Error(`the driver ended with ${code ?? signal}`))
      resolve(code ?? signal)
    }))
    createInterface({ input: this.child.stdout }).on('line', line => this.waiting.shift().resolve(JSON.parse(line)))
    this.child.stdin.on('error', () => {})
  }

  // The answer, also when it is an error.
  try (command) {
    return new Promise((resolve, reject) => {
      this.waiting.push({ resolve, reject })
      this.child.stdin.write(JSON.stringify(command) + '\n')
    })
  }

  async do (name, rest = {}) {
    const answer = await this.try({ do: name, ...rest })
    assert.equal(answer.error, undefined, `${name} ${JSON.stringify(rest).slice(0, 300)}: ${answer.error} ${answer.why ?? answer.text ?? ''}`)
    return answer
  }

  // What a command answers once that is as wanted.
  async until (name, rest, wanted, timeout = 20000) {
    const start = Date.now()
    for (;;) {
      const answer = await this.do(name, rest)
      if (wanted(answer)) return answer
      assert.ok(Date.now() - start < timeout, `not reached: ${JSON.stringify(answer)}`)
      await new Promise(resolve => setTimeout(resolve, 5))
    }
  }

  async end () {
    this.child.stdin.end()
    assert.equal(await this.exited, 0)
  }
}
