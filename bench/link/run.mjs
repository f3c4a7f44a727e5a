// How much of a link's capacity a UDX stream fills, ours and npm udx-native's, over the same emulated link, each alone on it. Needs root.
// Usage: run.mjs BUILD_DIRECTORY [--seconds S] [--rate BYTES_PER_S] [--loss A,B,…] [--rtt MS,MS,…] [--seed N] [--only ours|package]
// A row for each loss and round trip: what came, as a share of the link's rate; `behind` counts the rows in which we are under 95 % of the package.
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { dirname, join } from 'node:path'

const here = dirname(fileURLToPath(import.meta.url))
const [build, ...rest] = process.argv.slice(2)
const options = { seconds: '8', rate: '12500000', loss: '0,0.001,0.01,0.05', rtt: '1,20,100,300', seed: '1' }
for (let i = 0; i < rest.length; i += 2) options[rest[i].slice(2)] = rest[i + 1]
const rate = Number(options.rate)
const spaces = [`hf${process.pid}a`, `hf${process.pid}b`]
const addresses = ['10.77.0.1', '10.77.0.2']
const ip = (...args) => execFileSync('ip', args)
const within = (space, command, args) => spawn('ip', ['netns', 'exec', space, command, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })

async function line (child) {
  for await (const text of createInterface({ input: child.stdout })) return text
  throw new Error('it ended without a word')
}

async function startLink (loss, rttMs) {
  const queue = Math.max(131072, Math.round(rate * rttMs / 1000))
  const link = spawn(join(build, 'bench/link_emulate'), [...spaces, 'hf0', '--rate', rate, '--queue', queue, '--delay', rttMs * 500, '--loss', loss,
    '--seed', options.seed].map(String), { stdio: ['ignore', 'pipe', 'inherit'] })
  await line(link)
  for (const i of [0, 1]) {
    ip('-n', spaces[i], 'addr', 'add', addresses[i], 'peer', addresses[1 - i], 'dev', 'hf0')
    ip('-n', spaces[i], 'link', 'set', 'hf0', 'up', 'mtu', '1500', 'txqueuelen', '10000')
  }
  return link
}

const sides = {
  ours: (space, mode, args) => within(space, join(build, 'bench/udx'), [mode, ...args]),
  package: (space, mode, args) => within(space, process.execPath, [join(here, 'package.mjs'), mode, ...args])
}

async function transfer (side, loss, rttMs) {
  const link = await startLink(loss, rttMs)
  const end = (me, port, id) => ['--bind', `${addresses[me]}:${port}`, '--remote', `${addresses[1 - me]}:${port}`, '--id', id, '--remote-id', 3 - id,
    '--seconds', options.seconds].map(String)
  const receiver = sides[side](spaces[1], 'receive', end(1, 7000, 2))
  await new Promise(resolve => setTimeout(resolve, 500))
  const sender = sides[side](spaces[0], 'send', end(0, 7000, 1))
  const timer = setTimeout(() => { receiver.kill(); sender.kill() }, Number(options.seconds) * 1000 + 60000)
  const result = await line(receiver).then(JSON.parse, () => ({ rate: 0, cpu_s: 0 }))
  clearTimeout(timer)
  sender.kill()
  link.kill()
  await once(link, 'close')
  return result
}

const only = options.only ? [options.only] : ['ours', 'package']
let behind = 0
for (const space of spaces) {
  ip('netns', 'add', space)
  ip('-n', space, 'link', 'set', 'lo', 'up')
}
try {
  console.log(`link: ${rate} bytes/s, a queue of one round trip (128 KiB at least), ${options.seconds} s, seed ${options.seed}`)
  for (const loss of options.loss.split(',').map(Number)) {
    for (const rttMs of options.rtt.split(',').map(Number)) {
      const row = { loss, rtt_ms: rttMs }
      for (const side of only) {
        const result = await transfer(side, loss, rttMs)
        row[side] = Number((result.rate / rate).toFixed(3))
        row[`${side}_cpu_s`] = Number(result.cpu_s.toFixed(2))
      }
      if (only.length === 2) {
        row.ratio = Number((row.ours / row.package).toFixed(2))
        behind += row.ratio < 0.95
      }
      console.log(JSON.stringify(row))
    }
  }
} finally {
  for (const space of spaces) ip('netns', 'del', space)
}
if (only.length === 2) console.log(`behind: ${behind}`)
