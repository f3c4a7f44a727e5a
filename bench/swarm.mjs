// Holdfast beside npm hyperswarm and corestore, on a network of npm nodes on loopback: from start to announced, memory when idle, time to connect,
// and a core carried by its key from one process to another. Everything is from the beginning of a process to its end, finding each other included.
// Usage: swarm.mjs [--mib N] [--small N]     MiB in blocks of 64 KiB, and blocks of 100 bytes; settings of both sides are the shipped ones
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import crypto from 'hypercore-crypto'
import DHT from 'hyperdht'
import z32 from 'z32'

const program = process.env.HOLDFAST ?? new URL('../build/holdfast', import.meta.url).pathname
const peer = new URL('./swarm_peer.mjs', import.meta.url).pathname
const option = (name, otherwise) => { const at = process.argv.indexOf(name); return at < 0 ? otherwise : Number(process.argv[at + 1]) }
const host = '127.0.0.1'
const directory = mkdtempSync(join(tmpdir(), 'holdfast-swarm-'))
let places = 0
const place = () => join(directory, `${places++}`)
const rounded = number => Number(number.toPrecision(3))
const median = list => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)]
const sleep = ms => new Promise(resolve => setTimeout(resolve, ms))

function start (command, args) {
  const child = spawn(command, args.map(String), { stdio: ['ignore', 'pipe', 'inherit'] })
  child.began = process.hrtime.bigint()
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  child.line = async () => JSON.parse((await lines.next()).value)
  child.ms = () => Number(process.hrtime.bigint() - child.began) / 1e6
  return child
}

async function run (command, args) {
  const child = start(command, args)
  const [result] = await Promise.all([child.line(), once(child, 'close')])
  return { ...result, ms: child.ms() }
}

function memoryMib (pid) {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const kib = name => Number(status.match(new RegExp(`${name}:\\s+(\\d+)`))[1])
  return { made: (kib('RssAnon') + kib('RssShmem')) / 1024, resident: kib('VmRSS') / 1024 }
}

const cpu = pid => { const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' '); return (Number(fields[11]) + Number(fields[12])) / 100 }

const nodes = []
for (let i = 0; i < 6; i++) {
  const node = i === 0 ? DHT.bootstrapper(49700 + process.pid % 200, host, { host })
    : new DHT({ bootstrap: [{ host, port: nodes[0].address().port }], ephemeral: false, firewalled: false, host })
  await node.ready()
  nodes.push(node)
}
const bootstrap = `${host}:${nodes[0].address().port}`

async function ourServer (blocks, bytes) {
  const data = place()
  const { key } = await run(program, ['core', 'create', '--data', data, '--name', 'bench', '--json'])
  const input = join(directory, 'input')
  writeFileSync(input, Buffer.alloc(blocks * bytes, 7))
  if (blocks > 0) await run(program, ['core', 'append', '--data', data, key, '--file', input, '--block-size', bytes, '--json'])
  const child = start(program, ['core', 'serve', '--data', data, '--bootstrap', bootstrap, key, '--json'])
  await child.line()
  child.announced = child.ms()
  child.key = key
  return child
}

async function theirServer (blocks, bytes) {
  const child = start(process.execPath, [peer, 'serve', place(), bootstrap, blocks, bytes])
  const { key } = await child.line()
  return Object.assign(child, { key, announced: child.ms() })
}

async function carried (side, blocks, bytes) {
  const server = await (side === 'ours' ? ourServer : theirServer)(blocks, bytes)
  const before = cpu(server.pid)
  const fetched = side === 'ours' ? await run(program, ['core', 'fetch', '--data', place(), '--bootstrap', bootstrap, server.key, '--json'])
    : await run(process.execPath, [peer, 'fetch', place(), bootstrap, server.key, blocks])
  const seconds = side === 'ours' ? fetched.ms / 1000 : fetched.seconds
  const used = cpu(server.pid) - before
  server.kill('SIGTERM')
  await once(server, 'close')
  return { seconds, server_cpu_s: used }
}

async function idle (side) {
  const server = await (side === 'ours' ? ourServer : theirServer)(1, 100)
  await sleep(5000)
  const row = { announced_ms: server.announced, ...memoryMib(server.pid) }
  const client = new DHT({ bootstrap: [{ host, port: nodes[0].address().port }] })
  const topic = crypto.discoveryKey(z32.decode(server.key))
  const peers = new Set()
  for await (const { peers: found } of client.lookup(topic)) for (const { publicKey } of found) peers.add(publicKey.toString('hex'))
  const times = []
  for (let i = 0; i < 21; i++) {
    const began = process.hrtime.bigint()
    const stream = client.connect(Buffer.from([...peers][0], 'hex'), { keyPair: DHT.keyPair() })
    stream.on('error', () => {})
    await once(stream, 'open')
    times.push(Number(process.hrtime.bigint() - began) / 1e6)
    stream.destroy()
    await sleep(30)
  }
  await client.destroy()
  server.kill('SIGTERM')
  await once(server, 'close')
  return { ...row, connect_ms: median(times) }
}

const table = []
const [ours, theirs] = [await idle('ours'), await idle('theirs')]
for (const [what, key] of [['start to announced, ms', 'announced_ms'], ['idle, MiB made', 'made'], ['idle, MiB resident', 'resident'], ['dialled by npm hyperdht, ms', 'connect_ms']]) {
  table.push({ what, ours: ours[key], package: theirs[key], ratio: theirs[key] / ours[key] })
}
for (const [what, blocks, bytes] of [['64 KiB blocks, MB/s', option('--mib', 256) * 16, 65536], ['100 B blocks, 1,000/s', option('--small', 100000), 100]]) {
  const [a, b] = [await carried('ours', blocks, bytes), await carried('theirs', blocks, bytes)]
  const rate = ({ seconds }) => bytes > 1000 ? blocks * bytes / seconds / 1e6 : blocks / seconds / 1000
  table.push({ what, ours: rate(a), package: rate(b), ratio: rate(a) / rate(b) })
  table.push({ what: '  CPU of the server, s', ours: a.server_cpu_s, package: b.server_cpu_s, ratio: b.server_cpu_s / a.server_cpu_s })
}
for (const { what, ours: a, package: b, ratio } of table) console.log(JSON.stringify({ what, ours: rounded(a), package: rounded(b), times: rounded(ratio) }))
for (const node of nodes) await node.destroy({ force: true })
rmSync(directory, { recursive: true, force: true })
