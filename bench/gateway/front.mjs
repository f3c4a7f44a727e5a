// What a gateway between a client and a worker's relay adds: the same worker is asked directly and by way of a gateway on a private network on
// loopback, in turns. REQ by id until its EOSE, and EVENT until its OK, one at a time; then as many REQs as are answered with 32 under way.
// Fails when a way answers wrong; the target is at most 1 ms added to a REQ at p50.
// Usage: node bench/gateway/front.mjs build/holdfast [--count N] [--json]
import { execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import WebSocket from 'ws'
import { finalizeEvent, generateSecretKey } from 'nostr-tools/pure'

const program = process.argv[2] ?? new URL('../../build/holdfast', import.meta.url).pathname
const option = (name, otherwise) => { const at = process.argv.indexOf(name); return at < 0 ? otherwise : Number(process.argv[at + 1]) }
const count = option('--count', 2000), round = 100, underWay = 32
const directory = mkdtempSync(join(tmpdir(), 'holdfast-front-'))
const children = []
const sleep = ms => new Promise(resolve => setTimeout(resolve, ms))
const rounded = number => Number(number.toPrecision(3))

function start (args, pattern) {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  children.push(child)
  let text = ''
  return new Promise((resolve, reject) => {
    const hear = data => {
      text += data
      const match = text.match(pattern)
      if (match) resolve({ child, match })
    }
    child.stdout.on('data', hear)
    child.stderr.on('data', hear)
    child.once('exit', code => reject(new Error(`${args[0]} ended with ${code}: ${text}`)))
    setTimeout(() => reject(new Error(`${args[0]} said nothing that matches ${pattern}: ${text}`)), 30000).unref()
  })
}

// A client that asks one thing at a time, or many.
class Client {
  static connect (url) {
    return new Promise((resolve, reject) => {
      const client = new Client()
      client.waiting = new Map()
      client.socket = new WebSocket(url, { perMessageDeflate: false })
      client.socket.once('open', () => resolve(client))
      client.socket.once('error', reject)
      client.socket.once('close', (code, reason) => client.fail(new Error(`closed with ${code} ${reason}`)))
      client.socket.on('message', data => client.take(JSON.parse(data)))
    })
  }

  fail (error) {
    this.error = error
    for (const waiter of this.waiting.values()) waiter.reject(error)
  }

  take ([type, id, what]) {
    const waiter = this.waiting.get(id)
    if (!waiter) return
    if (type === 'EVENT') waiter.events++
    if (type !== 'EOSE' && type !== 'OK' && type !== 'CLOSED') return
    this.waiting.delete(id)
    if (type === 'CLOSED' || what === false) waiter.reject(new Error(`refused: ${what}`))
    else waiter.resolve(waiter.events)
  }

  wait (id) {
    if (this.error) return Promise.reject(this.error)
    return new Promise((resolve, reject) => this.waiting.set(id, { resolve, reject, events: 0 }))
  }

  async ask (eventId) {
    const id = `q${Client.number = (Client.number ?? 0) + 1}`
    const answer = this.wait(id)
    this.socket.send(JSON.stringify(['REQ', id, { ids: [eventId] }]))
    const events = await answer
    this.socket.send(JSON.stringify(['CLOSE', id]))
    if (events !== 1) throw new Error(`${events} events instead of one`)
  }

  publish (event) {
    const answer = this.wait(event.id)
    this.socket.send(JSON.stringify(['EVENT', event]))
    return answer
  }
}

const note = number => finalizeEvent({ kind: 1, created_at: Math.floor(Date.now() / 1000), tags: [], content: `note ${number}` }, key)
const key = generateSecretKey()

async function timed (list, act) {
  const began = process.hrtime.bigint()
  await act()
  list.push(Number(process.hrtime.bigint() - began) / 1e6)
}

const percentile = (list, part) => [...list].sort((a, b) => a - b)[Math.floor(part * (list.length - 1))]

// Both ways in turns, so that what else the machine does falls on both.
async function inTurns (direct, routed, act) {
  const times = { direct: [], routed: [] }
  for (let i = -round; i < count; i += round) {
    for (const [name, client] of [['direct', direct], ['routed', routed]]) {
      const list = i < 0 ? [] : times[name]
      for (let k = 0; k < round; k++) await timed(list, () => act(client))
    }
  }
  const row = {}
  for (const part of [0.5, 0.99]) {
    const [d, r] = [percentile(times.direct, part), percentile(times.routed, part)]
    row[`p${part * 100}`] = { direct_ms: rounded(d), routed_ms: rounded(r), added_ms: rounded(r - d) }
  }
  return row
}

async function rate (client, act) {
  const began = process.hrtime.bigint()
  let left = count * 2
  await Promise.all(Array.from({ length: underWay }, async () => { while (left-- > 0) await act(client) }))
  return Math.round(count * 2 / (Number(process.hrtime.bigint() - began) / 1e9))
}

async function reach (url) {
  for (let i = 0; i < 300; i++) {
    try {
      const client = await Client.connect(url)
      await client.ask(first.id)
      return client
    } catch { await sleep(100) }
  }
  throw new Error(`${url} does not answer`)
}

let first
try {
  const network = await start(['dht', 'testnet', '--nodes', '3', '--port', '0'], /--bootstrap (\S+:\d+)/)
  const bootstrap = network.match[1]
  const gatewayData = join(directory, 'gateway'), workerData = join(directory, 'worker')
  const gateway = await start(['gateway', '--data', gatewayData, '--listen', '127.0.0.1:0', '--swarm-bootstrap', bootstrap, '--gateway-swarm',
    '--workers-enabled', '--registration-open', ...['publish', 'subscribe'].flatMap(act => ['address', 'key'].flatMap(who =>
      [`--front-${act}_${who}_max`, '0']))], /(ws:\/\/127\.0\.0\.1:\d+)/)
  const keys = execFileSync(program, ['key', 'show', '--data', gatewayData, '--json'], { encoding: 'utf8' }).trim().split('\n').map(line => JSON.parse(line))
  const swarmKey = keys.find(k => k.purpose === 'swarm').public
  const worker = await start(['worker', '--data', workerData, '--listen', '127.0.0.1:0', '--swarm-bootstrap', bootstrap, '--worker-gateways', swarmKey,
    '--relay-gateway_path', 'bench'], /(ws:\/\/127\.0\.0\.1:\d+)/)
  first = note(0)
  const direct = await Client.connect(worker.match[1])
  await direct.publish(first)
  const routed = await reach(`${gateway.match[1]}/bench`)
  let number = 0
  const report = {
    req: await inTurns(direct, routed, client => client.ask(first.id)),
    event: await inTurns(direct, routed, client => client.publish(note(++number))),
    req_per_s: { direct: await rate(direct, client => client.ask(first.id)), routed: await rate(routed, client => client.ask(first.id)) },
    load: readFileSync('/proc/loadavg', 'utf8').split(' ')[0],
  }
  if (process.argv.includes('--json')) console.log(JSON.stringify(report))
  else {
    for (const what of ['req', 'event']) {
      for (const [part, row] of Object.entries(report[what])) {
        console.log(`${what.padEnd(6)} ${part.padEnd(4)} direct ${row.direct_ms} ms, by the gateway ${row.routed_ms} ms, added ${row.added_ms} ms`)
      }
    }
    console.log(`req    ${underWay} under way: direct ${report.req_per_s.direct}/s, by the gateway ${report.req_per_s.routed}/s; load ${report.load}`)
    console.log(`target: 1 ms added at p50: ${report.req.p50.added_ms <= 1 ? 'held' : 'MISSED'}`)
  }
} finally {
  for (const child of children.reverse()) child.removeAllListeners('exit').kill('SIGKILL')
  rmSync(directory, { recursive: true, force: true })
}
process.exit(0)
