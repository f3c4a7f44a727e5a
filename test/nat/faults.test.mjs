// What befalls machines: their network goes down and comes back, their address is another, they sleep. Readers that follow a core through it
// have what is new soon after, by the same processes. Needs root; see lab.
import assert from 'node:assert/strict'
import { spawn, execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { binary } from '../interop/lib/program.mjs'
import { run, until } from '../interop/lib/command.mjs'

const lab = new URL('lab', import.meta.url).pathname
const place = name => `${process.env.LAB ?? 'hf'}-${name}`
const ip = (name, ...words) => execFileSync('ip', ['-n', place(name), ...words])
const sleep = ms => new Promise(resolve => setTimeout(resolve, ms))
const directory = mkdtempSync(join(tmpdir(), 'holdfast-'))
const bootstrap = ['--bootstrap', '9.9.0.101:49737']
const children = []
const times = []
let key, appended = 0

// A command in a namespace, until the end of all.
function start (name, ...words) {
  const child = spawn('ip', ['netns', 'exec', place(name), binary, ...words, '--json'], { stdio: ['ignore', 'pipe', 'pipe'] })
  child.text = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', data => { child.text += data })
  child.said = pattern => until(() => pattern.test(child.text) || child.exitCode !== null, 20000).then(() => assert.match(child.text, pattern))
  children.push(child)
  return child
}

async function core (name, ...words) {
  const [input] = words[0] === 'append' ? [`line ${appended++}\n`] : []
  const { code, out, err } = await run(['core', words[0], '--data', join(directory, name), ...words.slice(1), '--json'], { input })
  assert.equal(code, 0, err)
  return JSON.parse(out)
}

// How long it takes until a reader has a new block.
async function follows (name, what, timeout) {
  const { length } = await core('writer', 'append', key)
  const began = Date.now()
  await until(async () => (await core(name, 'info', key)).contiguous_length >= length, timeout)
  times.push([what, Date.now() - began])
}

before(async () => {
  execFileSync(lab, ['up'])
  execFileSync(lab, ['side', 'A', 'port'])
  execFileSync(lab, ['side', 'B', 'port'])
  const node = (i, ...words) => start('inet', 'dht', 'serve', '--host', `9.9.0.${i}`, '--port', '49737', ...words).said(/"bootstrapped":true/)
  await node(101, '--address', '9.9.0.101')
  await Promise.all([102, 103, 104].map(i => node(i, ...bootstrap, '--persistent', '--open')))
  key = (await core('writer', 'create')).key
  await core('writer', 'append', key)
  start('hostA', 'core', 'serve', '--data', join(directory, 'writer'), key, ...bootstrap)
})
after(() => {
  for (const child of children) child.kill('SIGKILL')
  execFileSync(lab, ['down'])
  rmSync(directory, { recursive: true, force: true })
  for (const [what, ms] of times) console.log(`${what}: ${ms} ms`)
})

test('readers come back by themselves', { timeout: 120000 }, async () => {
  const moved = start('hostB', 'core', 'fetch', '--live', '--data', join(directory, 'moved'), key, ...bootstrap)
  const slept = start('inet', 'core', 'fetch', '--live', '--data', join(directory, 'slept'), key, ...bootstrap)
  for (const name of ['moved', 'slept']) {
    await until(async () => (await run(['core', 'info', '--data', join(directory, name), key, '--json'])).out.includes('"contiguous_length":1'), 20000)
  }
  // One sleeps for longer than the others wait for it, meanwhile the other is without a network for as long.
  process.kill(slept.pid, 'SIGSTOP')
  ip('hostB', 'link', 'set', 'eth0', 'down')
  await sleep(11000)
  process.kill(slept.pid, 'SIGCONT')
  ip('hostB', 'link', 'set', 'eth0', 'up')
  ip('hostB', 'route', 'add', 'default', 'via', '192.168.2.1')
  await Promise.all([follows('slept', 'after it slept', 30000), follows('moved', 'after its network was down', 30000)])
  ip('hostB', 'addr', 'del', '192.168.2.2/24', 'dev', 'eth0')
  ip('hostB', 'addr', 'add', '192.168.2.77/24', 'dev', 'eth0')
  ip('hostB', 'route', 'add', 'default', 'via', '192.168.2.1')
  await follows('moved', 'after its address was another', 30000)
  for (const child of children) assert.equal(child.exitCode, null, child.text)
  assert.equal(moved.signalCode, null)
})
