// What a relay's bee costs: the same events published with the bee off and on, paced and as fast as they go.
//   build/bench/gen … > events.jsonl; node bench/relay_bee.mjs HOLDFAST events.jsonl [events per second, 8000] [seconds, 5]
// Prints one line each: the rate of OKs, CPU of the relay per event, and with the bee how long it was behind the last OK, rows and bytes of
// disk per event, CPU per row, and whether every event that the relay has is in the bee.
import { spawn, execFileSync } from 'node:child_process'
import { createReadStream } from 'node:fs'
import { mkdtemp, readFile, rm, stat, readdir } from 'node:fs/promises'
import { request } from 'node:http'
import { createInterface } from 'node:readline'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import WebSocket from 'ws'

const [binary, file, rate = '8000', seconds = '5'] = process.argv.slice(2)
if (!file) {
  console.error('usage: relay_bee.mjs HOLDFAST EVENTS.jsonl [events per second] [seconds]')
  process.exit(2)
}
const CONNECTIONS = 8, WINDOW = 256, SLICE_MS = 10
const ticks = Number(execFileSync('getconf', ['CLK_TCK']))
const sleep = ms => new Promise(resolve => setTimeout(resolve, ms))

async function load (count) {
  const frames = []
  for await (const line of createInterface({ input: createReadStream(file) })) {
    if (frames.push(`["EVENT",${line}]`) === count) break
  }
  return frames
}

async function start (args) {
  const directory = await mkdtemp(join(process.env.BENCH_DIR ?? tmpdir(), 'holdfast-bee-'))
  const child = spawn(binary, ['gateway', '--data', join(directory, 'data'), '--listen', '127.0.0.1:0', ...args], { stdio: ['ignore', 'pipe', 'ignore'] })
  let out = ''
  const url = await new Promise(resolve => child.stdout.on('data', data => {
    out += data
    const match = out.match(/ws:\/\/127\.0\.0\.1:\d+/)
    if (match) resolve(match[0])
  }))
  return { directory, child, url, socketPath: join(directory, 'data', 'admin.sock') }
}

const ask = (relay, path, body) => new Promise((resolve, reject) => {
  const asked = request({ socketPath: relay.socketPath, path, method: body ? 'POST' : 'GET' }, async response => {
    let text = ''
    for await (const part of response) text += part
    resolve(text)
  })
  asked.on('error', reject)
  asked.end(body)
})
const bee = async relay => JSON.parse(await ask(relay, '/admin/relay/info', '{"relay":"main"}')).bee
const metric = async (relay, name) => Number((await ask(relay, '/admin/metrics')).match(new RegExp(`^${name}\\{[^}]*\\} (\\d+)`, 'm'))?.[1])

async function cpuUs (relay) {
  const fields = (await readFile(`/proc/${relay.child.pid}/stat`, 'utf8')).replace(/.*\) /, '').split(' ')
  return (Number(fields[11]) + Number(fields[12])) * 1e6 / ticks
}

async function diskBytes (path) {
  let sum = 0
  for (const entry of await readdir(path, { withFileTypes: true })) {
    const at = join(path, entry.name)
    if (entry.isDirectory()) sum += await diskBytes(at)
    else if (entry.isFile()) sum += (await stat(at)).blocks * 512
  }
  return sum
}

// Resolves with the milliseconds to the last OK. perSecond 0: as fast as the windows allow.
async function publish (relay, frames, perSecond) {
  const sockets = await Promise.all(Array.from({ length: CONNECTIONS }, () => new Promise(resolve => {
    const socket = new WebSocket(relay.url, { perMessageDeflate: false })
    socket.once('open', () => resolve(socket))
  })))
  let next = 0, answered = 0, refused = 0, pacing = null
  const began = performance.now()
  await new Promise(resolve => {
    const due = () => perSecond ? Math.min(frames.length, Math.floor((performance.now() - began) * perSecond / 1000)) : frames.length
    const fill = socket => { while (next < due() && socket.inFlight < WINDOW) { socket.inFlight++; socket.send(frames[next++]) } }
    for (const socket of sockets) {
      socket.inFlight = 0
      socket.on('message', data => {
        const text = data.toString()
        if (!text.startsWith('["OK"')) return
        if (!text.includes(',true,')) refused++
        socket.inFlight--
        if (++answered === frames.length) resolve()
        fill(socket)
      })
      fill(socket)
    }
    if (perSecond) pacing = setInterval(() => sockets.forEach(fill), SLICE_MS)
  })
  clearInterval(pacing)
  for (const socket of sockets) socket.terminate()
  return { ms: performance.now() - began, refused }
}

async function measure (frames, perSecond, isOn) {
  const relay = await start(isOn ? ['--relay-bee'] : [])
  const before = await cpuUs(relay)
  const { ms, refused } = await publish(relay, frames, perSecond)
  const published = performance.now()
  let facts = isOn ? await bee(relay) : null
  for (; facts?.lag_events > 0; facts = await bee(relay)) await sleep(20)
  const behindMs = performance.now() - published
  await sleep(1500) // what is put off is paid, too
  const result = { rate: frames.length / ms * 1000, refused, cpuUs: (await cpuUs(relay) - before) / frames.length, bytes: await diskBytes(relay.directory) / frames.length }
  if (isOn) {
    const stored = JSON.parse(await ask(relay, '/admin/relay/stats', '{"relay":"main"}')).events
    Object.assign(result, { behindMs, stored, inBee: facts.events, puts: facts.puts, batches: facts.batches, busyUs: await metric(relay, 'holdfast_relay_bee_busy_microseconds_total') })
  }
  relay.child.kill('SIGTERM')
  await new Promise(resolve => relay.child.once('exit', resolve))
  await rm(relay.directory, { recursive: true, force: true })
  return result
}

function print (name, off, on, count) {
  const puts = on.puts / count
  console.log(`${name}\n` +
    `  off  ${off.rate.toFixed(0)} /s, ${off.cpuUs.toFixed(1)} us CPU and ${off.bytes.toFixed(0)} B per event, ${off.refused} refused\n` +
    `  on   ${on.rate.toFixed(0)} /s, ${on.cpuUs.toFixed(1)} us CPU and ${on.bytes.toFixed(0)} B per event, ${on.refused} refused: ${(100 * on.rate / off.rate).toFixed(0)} % of the rate\n` +
    `  bee  ${on.inBee} events of ${on.stored} in it ${on.behindMs.toFixed(0)} ms after the last OK, in ${on.batches} batches\n` +
    `       ${puts.toFixed(1)} puts per event; ${((on.cpuUs - off.cpuUs) / puts).toFixed(1)} us CPU and ${((on.bytes - off.bytes) / puts).toFixed(0)} B per put, ` +
    `${(on.busyUs / on.puts).toFixed(1)} us of it on the loop`)
  return on.inBee === on.stored
}

const frames = await load(Number(rate) * Number(seconds))
let sound = true
for (const [name, perSecond] of [[`${frames.length} events, ${rate} /s`, Number(rate)], [`${frames.length} events, as fast as they go`, 0]]) {
  sound = print(name, await measure(frames, perSecond, false), await measure(frames, perSecond, true), frames.length) && sound
}
process.exit(sound ? 0 : 1)
