// What bench/drive measures, on npm hyperdrive. Usage: drive.mjs DIRECTORY ROW COUNT, where ROW is small-in, small-out, large-in or large-out, and
// COUNT files of 16 KiB or MiB of one file. Prints {count, seconds, cpu_seconds, made_mb}.
import { readFileSync } from 'node:fs'
import Corestore from 'corestore'
import Hyperdrive from 'hyperdrive'

const [directory, row, given] = process.argv.slice(2)
const count = Number(given)
const store = new Corestore(directory)
const drive = new Hyperdrive(store)
await drive.ready()
const piece = Buffer.alloc(65536)
for (let i = 0; i < piece.length; i++) piece[i] = i * 31 + (i >> 8)
const path = i => `/folder ${i % 100}/file ${i}`

async function smallIn () {
  for (let i = 0; i < count; i++) await drive.put(path(i), piece.subarray(i % 1000, i % 1000 + 16384))
}

async function smallOut () {
  for (let i = 0; i < count; i++) if ((await drive.get(path(i))).length !== 16384) throw new Error('wrong length')
}

function largeIn () {
  const stream = drive.createWriteStream('/large')
  return new Promise((resolve, reject) => {
    let left = count * 16
    stream.on('close', resolve).on('error', reject)
    const more = () => {
      while (left-- > 0) if (!stream.write(piece)) return stream.once('drain', more)
      stream.end()
    }
    more()
  })
}

async function largeOut () {
  let bytes = 0
  for await (const part of drive.createReadStream('/large')) bytes += part.length
  if (bytes !== count * 1048576) throw new Error('wrong length')
}

const began = process.hrtime.bigint()
const cpu = process.cpuUsage()
await ({ 'small-in': smallIn, 'small-out': smallOut, 'large-in': largeIn, 'large-out': largeOut })[row]()
const seconds = Number(process.hrtime.bigint() - began) / 1e9
const used = process.cpuUsage(cpu)
const status = readFileSync('/proc/self/status', 'utf8')
const made = ['RssAnon', 'RssShmem'].reduce((sum, name) => sum + Number(status.match(new RegExp(`${name}:\\s+(\\d+)`))[1]), 0) / 1024
console.log(JSON.stringify({ count, seconds, cpu_seconds: (used.user + used.system) / 1e6, made_mb: made }))
await drive.close()
