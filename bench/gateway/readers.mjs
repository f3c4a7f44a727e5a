// How soon peers on the npm packages see what a relay has accepted, in its bee.
//   build/bench/gen … > events.jsonl; node bench/gateway/readers.mjs HOLDFAST events.jsonl [--seconds N]
// sparse: 2,000 events a second are published, 20 of them looked up by their id on a core of which nothing else is fetched: from the OK to the
// event in hand, the reader's round trips included. follower: 500 events a second while a reader fetches every block: how far it is behind
// when the last OK comes. The client publishes from a process of its own.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Relay, load, publish, sleep } from './lib.mjs'

const SPARSE = { rate: 2000, lookups: 20, targetMs: 150, warmUpMs: 3000 } // the reader's code is compiled as it goes
const FOLLOWER = { rate: 500 }
const MISSED_MS = 30000

// ---- The client's process ----

async function client ([url, file, rate, seconds, lookups]) {
  const frames = await load(file, rate * seconds)
  const every = lookups > 0 ? Math.round(rate / lookups) : Infinity
  let since = 0
  const { ms, refused } = await publish(url, frames, Number(rate), number => {
    if (++since < every) return
    const atMs = performance.timeOrigin + performance.now()
    const { id, kind } = JSON.parse(frames[number])[1]
    if (kind !== 1) return // others may be replaced before they are looked up
    since = 0
    process.send({ id, atMs })
  })
  process.send({ ms, refused, count: frames.length })
}

// ---- The reader ----

async function open (relay) {
  const { default: Corestore } = await import('corestore')
  const { default: Hyperbee } = await import('hyperbee')
  const directory = await mkdtemp(join(process.env.BENCH_DIR ?? tmpdir(), 'holdfast-bench-'))
  const store = new Corestore(directory)
  const core = store.get((await relay.bee()).key)
  await core.ready()
  core.setMaxListeners(0) // a look-up each
  const socket = connect(Number(relay.out.match(/cores at 127\.0\.0\.1:(\d+)/)[1]), '127.0.0.1')
  const stream = store.replicate(true)
  stream.on('error', () => {})
  socket.pipe(stream).pipe(socket)
  const bee = new Hyperbee(core, { keyEncoding: 'binary', valueEncoding: 'utf-8' })
  await core.update({ wait: true })
  const close = async () => {
    socket.destroy()
    await store.close()
    await rm(directory, { recursive: true, force: true })
  }
  const reader = { core, bee, close, fetched: 0 }
  core.on('download', () => reader.fetched++)
  return reader
}

async function see ({ core, bee }, { id, atMs }) {
  const key = Buffer.from(id, 'hex')
  const passedMs = () => performance.timeOrigin + performance.now() - atMs
  const ends = AbortSignal.timeout(MISSED_MS)
  for (let seen = core.length; ;) { // what is accepted now is not in a version that the reader has already
    if (core.length === seen) await once(core, 'append', { signal: ends })
    seen = core.length
    if (await bee.get(key)) return passedMs()
    if (ends.aborted) throw new Error(`${id} was not seen within ${MISSED_MS} ms`)
  }
}

const at = (sorted, share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]

function publishing (relay, file, rate, seconds, lookups, heard) {
  const child = fork(import.meta.filename, ['client', relay.url, file, rate, seconds, lookups])
  return new Promise((resolve, reject) => {
    child.on('message', message => message.id ? heard(message) : resolve(message))
    child.once('exit', code => code && reject(new Error(`the client ended with ${code}`)))
  })
}

async function sparse (binary, file, seconds) {
  const relay = await Relay.start(binary, ['--relay-bee', '--gateway-cores-listen', '127.0.0.1:0'])
  const reader = await open(relay)
  const lookups = []
  let beganMs
  const { ms, count, refused } = await publishing(relay, file, SPARSE.rate, seconds, SPARSE.lookups, message => {
    beganMs ??= message.atMs
    lookups.push(see(reader, message).then(tookMs => ({ tookMs, isWarm: message.atMs >= beganMs + SPARSE.warmUpMs })))
  })
  const seen = await Promise.all(lookups)
  const sorted = isWarm => seen.filter(look => look.isWarm === isWarm).map(look => look.tookMs).sort((a, b) => a - b)
  const [first, latencies] = [sorted(false), sorted(true)]
  const { version } = await relay.bee()
  await reader.close()
  await relay.stop()
  const p99 = at(latencies, 0.99)
  const say = sorted => `p50 ${at(sorted, 0.5).toFixed(0)} ms, p99 ${at(sorted, 0.99).toFixed(0)} ms, most ${sorted.at(-1).toFixed(0)} ms`
  console.log(`sparse    ${(count / ms * 1000).toFixed(0)} /s published (${refused} refused), ${latencies.length} looked up: ${say(latencies)} (target p99 ${SPARSE.targetMs}); ` +
    `the first ${first.length}: ${say(first)}; ${reader.fetched} of ${version} blocks fetched`)
  return p99 <= SPARSE.targetMs
}

async function follower (binary, file, seconds) {
  const relay = await Relay.start(binary, ['--relay-bee', '--gateway-cores-listen', '127.0.0.1:0'])
  const reader = await open(relay)
  const all = reader.core.download({ start: 0, end: -1 })
  const { ms, count, refused } = await publishing(relay, file, FOLLOWER.rate, seconds, 0, () => {})
  const behind = (await relay.bee()).version - reader.core.contiguousLength
  const ended = performance.now()
  for (;;) {
    const { version, lag_events: lag } = await relay.bee()
    if (lag === 0 && reader.core.contiguousLength >= version) break
    await sleep(10)
  }
  const caughtMs = performance.now() - ended
  all.destroy()
  await reader.close()
  await relay.stop()
  console.log(`follower  ${(count / ms * 1000).toFixed(0)} /s published (${refused} refused): ${behind} blocks behind the bee at the last OK, all there ${caughtMs.toFixed(0)} ms after it`)
  return caughtMs < 1000
}

if (process.argv[2] === 'client') {
  await client(process.argv.slice(3))
  process.disconnect()
} else {
  const [binary, file, flag, value = '15'] = process.argv.slice(2)
  if (!file || (flag && flag !== '--seconds')) {
    console.error('usage: readers.mjs HOLDFAST EVENTS.jsonl [--seconds N]')
    process.exit(2)
  }
  const isNear = await sparse(binary, file, Number(value))
  const keepsUp = await follower(binary, file, Number(value))
  process.exit(isNear && keepsUp ? 0 : 1)
}
