// A storm of faults over gateways and workers under load: see README.md. 30 faults, or 100 for each SCALE in the soak.
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

const storm = new URL('storm', import.meta.url).pathname
const count = Number(process.env.EVENTS ?? (process.env.SCALE ? 100 * process.env.SCALE : 30))

test(`${count} faults: what was acknowledged is kept and delivered once, and no subscription dies unheard`, { timeout: 60000 + count * 30000 }, async t => {
  const child = spawn(storm, { stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, EVENTS: String(count) } })
  t.after(() => child.kill('SIGKILL'))
  const exited = new Promise(resolve => child.once('close', resolve))
  let last = ''
  for await (const line of createInterface({ input: child.stdout })) {
    console.log(line)
    last = line
  }
  assert.equal(await exited, 0, last)
})
