// What a gateway holds for clients that are silent and workers that wait: its memory with none, with the workers, and with the clients, too; its CPU
// in ten seconds of silence. A curve: a row for each quarter of the workers and of the clients.
//   node bench/gateway/idle.mjs HOLDFAST [--clients N, 10000] [--workers N, 200]
// Each worker is a process of its own, with one relay that it has registered; each client has one subscription at the gateway's relay.
import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import WebSocket from 'ws'
import { Relay, sleep } from './lib.mjs'

const binary = process.argv[2]
const option = (name, otherwise) => { const at = process.argv.indexOf(name); return at < 0 ? otherwise : Number(process.argv[at + 1]) }
const clientCount = option('--clients', 10000), workerCount = option('--workers', 200)
const TARGET_MIB = 60, AT_A_TIME = 10, SILENCE_MS = 10000
if (!binary) {
  console.error('usage: idle.mjs HOLDFAST [--clients N] [--workers N]')
  process.exit(2)
}
const directory = await mkdtemp(join(process.env.BENCH_DIR ?? tmpdir(), 'holdfast-idle-'))
const children = []

function start (args, pattern) {
  const child = spawn(binary, args, { stdio: ['ignore', 'pipe', 'ignore'] })
  children.push(child)
  let out = ''
  return new Promise((resolve, reject) => {
    child.stdout.on('data', data => {
      out += data
      const match = out.match(pattern)
      if (match) resolve(match)
    })
    child.once('exit', code => reject(new Error(`${args[0]} ended with ${code}: ${out}`)))
  })
}

const mib = bytes => (bytes / 1048576).toFixed(1)
async function row (relay, name) {
  await sleep(3000)
  const { own, resident } = await relay.memory()
  console.log(`${name.padEnd(32)} ${mib(own).padStart(7)} MiB made, ${mib(resident).padStart(7)} MiB resident`)
  return own
}

const connect = url => new Promise((resolve, reject) => {
  const socket = new WebSocket(url, { perMessageDeflate: false })
  socket.once('error', reject)
  socket.once('open', () => socket.send('["REQ","a",{"kinds":[1],"limit":0}]'))
  socket.on('message', data => { if (String(data).startsWith('["EOSE"')) resolve(socket) })
})

const [, bootstrap] = await start(['dht', 'testnet', '--nodes', '3'], /--bootstrap (\S+)/)
const relay = await Relay.start(binary, ['--gateway-swarm', '--swarm-bootstrap', bootstrap, '--workers-enabled', '--registration-open', '--relay-bee',
  '--gateway-connections-max', String(clientCount + 100), '--registration-record_age', '1h'])
const { gateway } = await (await fetch(`${relay.url.replace('ws', 'http')}/api/gateway`)).json()
let held = await row(relay, 'nobody')

const isRegistered = async count => JSON.parse(await relay.ask('/admin/workers')).workers.filter(worker => worker.relays.length > 0).length >= count
for (let quarter = 1, started = 0; quarter <= 4; quarter++) {
  for (const until = Math.round(workerCount * quarter / 4); started < until;) {
    const batch = Math.min(AT_A_TIME, until - started)
    await Promise.all(Array.from({ length: batch }, (_, i) => start(['worker', '--data', join(directory, `worker-${started + i}`), '--listen', '127.0.0.1:0',
      '--swarm-bootstrap', bootstrap, '--worker-gateways', gateway, '--relay-gateway-path', `relay-${started + i}`], /holdfast: worker/)))
    started += batch
    while (!await isRegistered(started)) await sleep(100)
  }
  held = await row(relay, `${started} workers`)
}

const sockets = []
for (let quarter = 1; quarter <= 4; quarter++) {
  for (const until = Math.round(clientCount * quarter / 4); sockets.length < until;) {
    sockets.push(...await Promise.all(Array.from({ length: Math.min(100, until - sockets.length) }, () => connect(relay.url))))
  }
  held = await row(relay, `${workerCount} workers, ${sockets.length} clients`)
}
const before = await relay.cpuUs()
await sleep(SILENCE_MS)
console.log(`CPU in ${SILENCE_MS / 1000} s of silence: ${((await relay.cpuUs() - before) / 1000).toFixed(0)} ms`)
const isMet = held <= TARGET_MIB * 1048576 * Math.max(1, clientCount / 10000)
console.log(`target: ${TARGET_MIB} MiB made: ${isMet ? 'held' : 'missed'}`)
for (const socket of sockets) socket.terminate()
for (const child of children.reverse()) child.kill('SIGTERM')
await relay.stop()
await sleep(1000)
await rm(directory, { recursive: true, force: true })
process.exit(isMet ? 0 : 1)
