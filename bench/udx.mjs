// UDX streams of ours beside those of udx-native, in one run: 64 KiB writes from one process to another over 127.0.0.1, in turns.
//
//     node bench/udx.mjs [--rounds N] [--mib N]
//
// prints each round, then the medians and their ratios: bytes a second, and CPU seconds of both processes for each GiB.
import { execFileSync, fork } from 'node:child_process'
import UDX from 'udx-native'

const program = process.env.UDX_BENCH ?? new URL('../build/bench/udx', import.meta.url).pathname
const option = (name, otherwise) => {
  const at = process.argv.indexOf(name)
  return at < 0 ? otherwise : Number(process.argv[at + 1])
}
const BLOCK = 65536

function cpu () {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e6
}

function ours (bytes) {
  const lines = execFileSync(program, ['loopback', '--bytes', String(bytes)], { encoding: 'utf8' }).trim().split('\n').map(JSON.parse)
  return { rate: lines.find(l => l.mode === 'receive').rate, cpu: lines.reduce((sum, l) => sum + l.cpu_s, 0) }
}

function open () {
  const udx = new UDX()
  const socket = udx.createSocket()
  socket.bind(0, '127.0.0.1')
  return { udx, socket }
}

function receive () {
  const { udx, socket } = open()
  const stream = udx.createStream(2)
  let bytes = 0
  let start = 0
  stream.on('data', data => {
    if (bytes === 0) start = performance.now()
    bytes += data.length
  })
  stream.on('end', () => {
    process.send({ rate: bytes / (performance.now() - start) * 1e3, cpu: cpu() })
    stream.end()
  })
  stream.on('close', () => setTimeout(() => process.exit(0), 300))
  process.on('message', ({ port }) => {
    stream.connect(socket, 1, port, '127.0.0.1')
    process.send({ ready: true })
  })
  process.send({ port: socket.address().port })
}

function send (bytes) {
  const { udx, socket } = open()
  const child = fork(new URL(import.meta.url).pathname, ['--receive'])
  const stream = udx.createStream(1)
  const block = Buffer.alloc(BLOCK)
  const before = cpu()
  let left = bytes
  const write = () => {
    while (left > 0) {
      left -= BLOCK
      if (!stream.write(block)) {
        stream.once('drain', write)
        return
      }
    }
    stream.end()
  }
  return new Promise(resolve => {
    let result
    child.on('message', m => {
      if (m.port) {
        stream.connect(socket, 2, m.port, '127.0.0.1')
        stream.resume()
        child.send({ port: socket.address().port })
      } else if (m.ready) write()
      else result = m
    })
    stream.once('close', () => socket.close().then(() => {
      const wait = () => result ? resolve({ rate: result.rate, cpu: result.cpu + cpu() - before }) : setTimeout(wait, 5)
      wait()
    }))
  })
}

const median = numbers => [...numbers].sort((a, b) => a - b)[numbers.length >> 1]

async function main () {
  const rounds = option('--rounds', 5)
  const bytes = option('--mib', 256) << 20
  const all = { ours: [], 'udx-native': [] }
  const perGib = r => r.cpu * 2 ** 30 / bytes
  for (let i = 0; i < rounds; i++) {
    for (const [name, run] of [['ours', ours], ['udx-native', send]]) {
      const result = await run(bytes)
      all[name].push(result)
      console.log(`${name.padEnd(11)} ${(result.rate / 1e6).toFixed(1).padStart(8)} MB/s ${perGib(result).toFixed(2).padStart(7)} CPU s/GiB`)
    }
  }
  const rate = name => median(all[name].map(r => r.rate))
  const cost = name => median(all[name].map(perGib))
  console.log(JSON.stringify({
    rate_ours: Math.round(rate('ours')),
    rate_native: Math.round(rate('udx-native')),
    rate_ratio: +(rate('ours') / rate('udx-native')).toFixed(1),
    cpu_ratio: +(cost('udx-native') / cost('ours')).toFixed(1)
  }))
}

if (process.argv.includes('--receive')) receive()
else await main()
