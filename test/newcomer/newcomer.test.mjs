// A newcomer's path, step by step and timed: clone, the command that README.md begins with, a note by a client of nostr-tools, and the note at
// a peer that replicates, on npm hyperbee. The commands are taken from README.md as they stand there.
//
// Without BUILD the clone is built, as a newcomer would; that takes minutes, and the soak does so. With BUILD, a build directory, `make run`
// uses that: CI does so, where the build was a step of its own.
import { after, test } from 'node:test'
import assert from 'node:assert/strict'
import { execFile, execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import WebSocket from 'ws'
import Corestore from 'corestore'
import Hyperbee from 'hyperbee'
import HyperDHT from 'hyperdht'
import Hyperswarm from 'hyperswarm'
import { Relay, useWebSocketImplementation } from 'nostr-tools/relay'
import { Author } from '../interop/lib/client.mjs'
import { until } from '../interop/lib/command.mjs'

const root = new URL('../..', import.meta.url).pathname
const scratch = mkdtempSync(join(tmpdir(), 'holdfast-newcomer-'))
const clone = join(scratch, 'holdfast')
const author = new Author()
const ends = []
useWebSocketImplementation(WebSocket)

after(async () => {
  for (const end of ends.reverse()) await end()
  rmSync(scratch, { recursive: true, force: true })
})

const began = performance.now()
async function step (what, act) {
  const at = performance.now()
  const value = await act()
  console.log(`${((performance.now() - at) / 1000).toFixed(2).padStart(8)} s  ${what}`)
  return value
}

// The lines of the first block of commands under a heading, without what they say of themselves.
function commands (readme, heading) {
  const part = readme.split(`\n## ${heading}\n`)[1]
  assert.ok(part, `README.md has a part "${heading}"`)
  return part.match(/```sh\n([\s\S]*?)```/)[1].split('\n').map(line => line.replace(/#.*/, '').trim()).filter(Boolean)
}

function start (command) {
  const made = { out: '' }
  made.child = spawn('bash', ['-c', command], { cwd: clone, stdio: ['ignore', 'pipe', 'pipe'], detached: true })
  made.exited = new Promise(resolve => made.child.once('close', resolve))
  for (const stream of [made.child.stdout, made.child.stderr]) stream.on('data', data => { made.out += data })
  ends.push(async () => {
    try { process.kill(-made.child.pid, 'SIGINT') } catch {}
    await made.exited
  })
  return made
}

async function publish (url, content) {
  const relay = await Relay.connect(url)
  const note = author.event({ content })
  await relay.publish(note)
  const found = await new Promise(resolve => relay.subscribe([{ ids: [note.id] }], { onevent: resolve }))
  relay.close()
  assert.equal(found.content, content)
  return note
}

// A peer that knows the bee's key and where the network begins, and nothing else.
async function follow (key, bootstrap) {
  const [host, port] = bootstrap.split(':')
  const store = new Corestore(join(scratch, 'peer')), dht = new HyperDHT({ bootstrap: [{ host, port: Number(port) }] })
  const swarm = new Hyperswarm({ dht }), core = store.get(key)
  ends.push(async () => { await swarm.destroy({ force: true }); await dht.destroy({ force: true }); await store.close() })
  swarm.on('connection', stream => { stream.on('error', () => {}); store.replicate(stream) })
  await core.ready()
  swarm.join(core.discoveryKey, { server: false, client: true })
  await until(() => core.length > 0, 30000)
  return { core, bee: new Hyperbee(core, { keyEncoding: 'binary', valueEncoding: 'utf-8' }) }
}

test('from git clone to a note that a replicating peer has', { timeout: 3600000 }, async () => {
  await step('git clone', () => execFileSync('git', ['clone', '--quiet', root, clone]))
  const readme = readFileSync(join(clone, 'README.md'), 'utf8')
  const [run] = commands(readme, 'Start')
  assert.equal(run, 'make run')
  assert.match(readme, /^make run LISTEN=\S+ DATA=\S+$/m, 'README.md says how to have another address')
  assert.match(readme, /ws:\/\/127\.0\.0\.1:7777\/notes/)

  const build = process.env.BUILD ? ` BUILD=${resolve(root, process.env.BUILD)}` : ''
  const made = start(`${run} LISTEN=127.0.0.1:0 DATA=data${build}`)
  const url = await step(build ? 'make run, built before' : 'make run', async () => {
    await until(() => /^ +try /m.test(made.out) || made.child.exitCode !== null, 3000000)
    assert.equal(made.child.exitCode, null, made.out)
    return made.out.match(/relay +(ws:\S+)/)[1].replace(/\/$/, '')
  })
  const [, key, bootstrap] = made.out.match(/its bee +(\S+) .* begins at (\S+)/)

  await step('its page, in a browser', async () => assert.equal((await fetch(url.replace('ws', 'http'))).status, 200))
  const note = await step('a note at the gateway, by nostr-tools', () => publish(url, 'from a newcomer'))
  await step('a note at the member\'s relay', () => publish(`${url}/notes`, 'to a member'))
  const { core, bee } = await step('a peer finds the bee by its key', () => follow(key, bootstrap))
  const row = await step('and has the note', () => until(async () => {
    await core.update({ wait: true })
    return bee.get(Buffer.from(note.id, 'hex'))
  }, 30000))
  assert.deepEqual(JSON.parse(row.value), JSON.parse(JSON.stringify(note)))
  const tries = made.out.match(/^ +try +(.*\n(?: {13}\S.*\n)*)/m)[1].split('\n').map(line => line.trim()).filter(Boolean)
  assert.equal(tries.length, 3, made.out)
  await step('and what it says to try', async () => {
    for (const words of tries) await promisify(execFile)('bash', ['-c', words], { cwd: clone, timeout: 30000 })
  })
  assert.equal(execFileSync('git', ['status', '--short'], { cwd: clone }).toString(), '', 'nothing that it makes is taken for source')
  console.log(`${((performance.now() - began) / 1000).toFixed(2).padStart(8)} s  all of it`)
})
