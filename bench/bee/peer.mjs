// What hyperbee on npm does, for bench/bee to stand beside. Prints a row of JSON; the arguments are those of bench/bee.
//
//   node bench/bee/peer.mjs put --block-bytes 100 --batch 1000 --blocks 20000
//   node bench/bee/peer.mjs get --block-bytes 100 --blocks 50000
//   node bench/bee/peer.mjs scan --block-bytes 100 --blocks 50000
//
// Settings and durability are the defaults, as told in bench/core/peer.mjs. Keys and values are binary, the package's fastest encoding.
import { randomFillSync } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import Hyperbee from 'hyperbee'
import Hypercore from 'hypercore'
import { Clock, print } from '../clock.mjs'

const text = { type: 'string' }
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { 'block-bytes': text, batch: text, blocks: text, durability: text, directory: text }
})
const valueBytes = Number(values['block-bytes'] ?? 100)
const count = Number(values.blocks ?? 50000)
const pool = randomFillSync(Buffer.alloc(valueBytes + 65536))
const keyOf = i => Buffer.from(`user/${(Math.imul(i, 2654435761) >>> 0).toString(16).padStart(8, '0')}`)
const valueOf = i => pool.subarray(i % 65536, i % 65536 + valueBytes)

async function open (directory) {
  const bee = new Hyperbee(new Hypercore(join(directory, 'core')))
  await bee.ready()
  return bee
}

async function fill (bee, size) {
  for (let at = 0; at < count; at += size) {
    const batch = bee.batch()
    for (let i = at; i < Math.min(count, at + size); i++) await batch.put(keyOf(i), valueOf(i))
    await batch.flush()
  }
}

async function put (bee) {
  const batch = Number(values.batch ?? 1)
  const clock = new Clock()
  if (batch > 1) await fill(bee, batch)
  else for (let i = 0; i < count; i++) await bee.put(keyOf(i), valueOf(i))
  print(await clock.row({ row: 'put', side: 'writer', block_bytes: valueBytes, batch }, count, count * valueBytes))
  return bee
}

// Reads a bee that is there: opened anew, with empty caches.
async function reading (directory, bee, row, read) {
  await fill(bee, 1000)
  await bee.close()
  bee = await open(directory)
  const clock = new Clock()
  await read(bee)
  print(await clock.row({ row, side: 'reader', block_bytes: valueBytes }, count, count * valueBytes))
  return bee
}

const commands = {
  put: (directory, bee) => put(bee),
  get: (directory, bee) => reading(directory, bee, 'get', async bee => {
    for (let i = 0; i < count; i++) if (await bee.get(keyOf(i * 7919 % count)) === null) throw new Error('a key is missing')
  }),
  scan: (directory, bee) => reading(directory, bee, 'scan', async bee => {
    let found = 0
    for await (const entry of bee.createReadStream()) found += entry !== null
    if (found !== count) throw new Error('keys are missing')
  })
}
const command = commands[positionals[0]]
if (!command) {
  console.error(`one of: ${Object.keys(commands).join(', ')}`)
  process.exit(2)
}
const directory = await mkdtemp(join(values.directory ?? tmpdir(), 'holdfast-peer-'))
try {
  const bee = await command(directory, await open(directory))
  await bee.close()
} finally {
  await rm(directory, { recursive: true, force: true })
}
