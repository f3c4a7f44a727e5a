// What hypercore on npm does, for bench/core to stand beside: appends, and replication over TCP between two processes. Prints JSON lines.
//
//   node bench/core/peer.mjs all [--scale 1] [--directory DIR]         every row below, each in a process of its own
//   node bench/core/peer.mjs append --block-bytes 100 --batch 1 --blocks 20000 [--durability disk]
//   node bench/core/peer.mjs serve --block-bytes 100 --blocks 20000    writes a core, prints {port, key}, serves it until standard input ends
//   node bench/core/peer.mjs fetch --port P --key KEY                  downloads all of it; for measuring against ours, too
//   node bench/core/peer.mjs replicate --block-bytes 100 --blocks 20000   both, in a process each
//
// A row: {row, side, block_bytes, batch, blocks, durability, seconds, blocks_per_second, mb_per_second, cpu_us_per_block, made_mb, resident_mb,
// resident_peak_mb}; made is RssAnon and RssShmem, resident VmRSS, its peak VmHWM, all at the end of the row. CPU is the process's own, all threads. The writer's
// row of a replication ends when its input does, so its rate is the reader's and a little less; its CPU and memory are what it is there for.
//
// Settings: everything is at its default. The store is hypercore-storage on RocksDB: write buffer 64 MiB, block cache as RocksDB makes it, values
// from 4 KiB on in files of their own, cache of 8,192 tree nodes, six background jobs. Replication runs as the package is used: Noise XX and the secret stream on the
// socket, keep-alive of 5 s, at most 48 requests in flight (16 to 512 on UDX only), ranges downloaded in random order, one request a block.
//
// Durability: a batch goes to RocksDB's write-ahead log without a sync, as the package always does (durability "os": it survives the end of the process,
// not of the machine). Neither hypercore nor its storage has an option for more: rocksdb-native sets no WriteOptions::sync. What comes nearest is
// flushing the column family after each append, which writes and syncs a table: --durability disk does that. It does more work than a sync of
// the log would, so it is a bound for what the package can do, not for RocksDB.
import { spawn } from 'node:child_process'
import { randomFillSync } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { createConnection, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import Hypercore from 'hypercore'
import { Clock, print } from '../clock.mjs'

const text = { type: 'string' }
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { 'block-bytes': text, batch: text, blocks: text, durability: text, port: text, key: text, scale: text, directory: text }
})
const blockBytes = Number(values['block-bytes'] ?? 100)
const count = Number(values.blocks ?? 20000)
const durability = values.durability ?? 'os'

// Appends `blocks` blocks in batches; random bytes, so that nothing gains by compressing them.
async function fill (core, blocks, batch) {
  const pool = randomFillSync(Buffer.alloc(blockBytes + 65536))
  for (let at = 0; at < blocks; at += batch) {
    const list = Array.from({ length: Math.min(batch, blocks - at) }, (_, i) => pool.subarray((at + i) % 65536, (at + i) % 65536 + blockBytes))
    await core.append(list)
    if (durability === 'disk') await core.core.storage.db.flush()
  }
}

async function append (directory) {
  const batch = Number(values.batch ?? 1)
  const core = new Hypercore(join(directory, 'core'))
  await core.ready()
  const clock = new Clock()
  await fill(core, count, batch)
  print(await clock.row({ row: 'append', side: 'writer', block_bytes: blockBytes, batch, durability }, count, count * blockBytes))
  await core.close()
}

function pair (socket, stream) {
  const drop = () => { socket.destroy(); stream.destroy() }
  for (const end of [socket, stream]) end.on('error', drop).on('close', drop)
  socket.pipe(stream).pipe(socket)
}

async function serve (directory) {
  const core = new Hypercore(join(directory, 'core'))
  await core.ready()
  await fill(core, count, Math.max(1, Math.min(1000, (1 << 20) / blockBytes | 0)))
  const clock = { started: null }
  const server = createServer(socket => {
    clock.started ??= new Clock()
    pair(socket, core.replicate(false))
  })
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve))
  print({ port: server.address().port, key: core.id })
  await new Promise(resolve => process.stdin.resume().once('end', resolve))
  server.close()
  if (clock.started) print(await clock.started.row({ row: 'replicate', side: 'writer', block_bytes: blockBytes, durability }, count, count * blockBytes))
  await core.close()
}

async function fetch (directory) {
  const core = new Hypercore(join(directory, 'core'), values.key)
  await core.ready()
  const clock = new Clock()
  const socket = createConnection(Number(values.port), '127.0.0.1')
  pair(socket, core.replicate(true))
  while (core.length === 0) await new Promise(resolve => core.once('append', resolve))
  await core.download({ start: 0, end: core.length }).done()
  print(await clock.row({ row: 'replicate', side: 'reader', block_bytes: core.byteLength / core.length, durability }, core.length, core.byteLength))
  socket.destroy()
  await core.close()
}

// Another process of this script: {lines, end()}.
function start (args) {
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url), ...args, ...(values.directory ? ['--directory', values.directory] : [])],
    { stdio: ['pipe', 'pipe', 'inherit'] })
  const exited = new Promise((resolve, reject) => child.once('close', code => code === 0 ? resolve() : reject(new Error(`${args[0]} ended with ${code}`))))
  return { lines: createInterface({ input: child.stdout })[Symbol.asyncIterator](), end () { child.stdin.end(); return exited } }
}

// Passes on all that it prints.
async function passed ({ lines, end }) {
  const ended = end()
  for await (const line of lines) process.stdout.write(line + '\n')
  await ended
}

async function replicate () {
  const writer = start(['serve', '--block-bytes', `${blockBytes}`, '--blocks', `${count}`])
  const { port, key } = JSON.parse((await writer.lines.next()).value)
  await passed(start(['fetch', '--port', `${port}`, '--key', key]))
  await passed(writer)
}

async function all () {
  const scale = Number(values.scale ?? 1)
  const rows = [
    ['append', 100, 1, 20000], ['append', 100, 1000, 500000], ['append', 65536, 1, 4000], ['append', 65536, 16, 8000],
    ['append', 100, 1, 300, 'disk'], ['append', 100, 1000, 100000, 'disk'], ['append', 65536, 16, 1600, 'disk'],
    ['replicate', 100, 1, 50000], ['replicate', 65536, 1, 4000]
  ]
  for (const [row, bytes, batch, blocks, kept = 'os'] of rows) {
    const args = [row, '--block-bytes', bytes, '--batch', batch, '--blocks', Math.max(batch, Math.round(blocks * scale)), '--durability', kept]
    await passed(start(args.map(String)))
  }
}

const commands = { append, serve, fetch, replicate, all }
const command = commands[positionals[0]]
if (!command) {
  console.error(`one of: ${Object.keys(commands).join(', ')}`)
  process.exit(2)
}
const directory = await mkdtemp(join(values.directory ?? tmpdir(), 'holdfast-peer-'))
try {
  await command(directory)
} finally {
  await rm(directory, { recursive: true, force: true })
}
