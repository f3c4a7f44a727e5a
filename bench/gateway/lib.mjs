// A gateway under measurement, and a client that publishes a file of events to it.
import { spawn, execFileSync } from 'node:child_process'
import { createReadStream } from 'node:fs'
import { mkdtemp, readFile, rm, stat, readdir } from 'node:fs/promises'
import { request } from 'node:http'
import { createInterface } from 'node:readline'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import WebSocket from 'ws'

const CONNECTIONS = 8, WINDOW = 256, SLICE_MS = 10
const ticks = Number(execFileSync('getconf', ['CLK_TCK']))
export const sleep = ms => new Promise(resolve => setTimeout(resolve, ms))

// The first so many events of the file, as messages.
export async function load (file, count) {
  const frames = []
  for await (const line of createInterface({ input: createReadStream(file) })) {
    if (frames.push(`["EVENT",${line}]`) === count) break
  }
  if (frames.length < count) throw new Error(`${file} has ${frames.length} events, ${count} are needed`)
  return frames
}

async function bytesIn (path) {
  let sum = 0
  for (const entry of await readdir(path, { withFileTypes: true })) {
    const at = join(path, entry.name)
    if (entry.isDirectory()) sum += await bytesIn(at)
    else if (entry.isFile()) sum += (await stat(at)).blocks * 512
  }
  return sum
}

export class Relay {
  static async start (binary, args) {
    const relay = new Relay()
    const began = performance.now()
    relay.directory = await mkdtemp(join(process.env.BENCH_DIR ?? tmpdir(), 'holdfast-bench-'))
    relay.socketPath = join(relay.directory, 'data', 'admin.sock')
    relay.child = spawn(binary, ['gateway', '--data', join(relay.directory, 'data'), '--listen', '127.0.0.1:0', ...args], { stdio: ['ignore', 'pipe', 'ignore'] })
    relay.out = ''
    relay.url = await new Promise(resolve => relay.child.stdout.on('data', data => {
      relay.out += data
      const match = relay.out.match(/ws:\/\/127\.0\.0\.1:\d+/)
      if (match) resolve(match[0])
    }))
    relay.startMs = performance.now() - began
    return relay
  }

  ask (path, body) {
    return new Promise((resolve, reject) => {
      const asked = request({ socketPath: this.socketPath, path, method: body ? 'POST' : 'GET' }, async response => {
        let text = ''
        for await (const part of response) text += part
        resolve(text)
      })
      asked.on('error', reject)
      asked.end(body)
    })
  }

  async bee () { return JSON.parse(await this.ask('/admin/relay/info', '{"relay":"main"}')).bee }
  async stats () { return JSON.parse(await this.ask('/admin/relay/stats', '{"relay":"main"}')) }
  async metric (name) { return Number((await this.ask('/admin/metrics')).match(new RegExp(`^${name}\\{[^}]*\\} (\\d+)`, 'm'))?.[1]) }
  diskBytes () { return bytesIn(this.directory) }

  async cpuUs () {
    const fields = (await readFile(`/proc/${this.child.pid}/stat`, 'utf8')).replace(/.*\) /, '').split(' ')
    return (Number(fields[11]) + Number(fields[12])) * 1e6 / ticks
  }

  // RssAnon + RssShmem, and VmRSS, in bytes.
  async memory () {
    const text = await readFile(`/proc/${this.child.pid}/status`, 'utf8')
    const kib = name => Number(text.match(new RegExp(`${name}:\\s+(\\d+) kB`))[1]) * 1024
    return { own: kib('RssAnon') + kib('RssShmem'), resident: kib('VmRSS') }
  }

  async stop () {
    this.child.kill('SIGTERM')
    await new Promise(resolve => this.child.once('exit', resolve))
    await rm(this.directory, { recursive: true, force: true })
  }
}

// Resolves with the milliseconds to the last OK. perSecond 0: as fast as the windows allow. accepted: called with the number of each
// event that was answered OK.
export async function publish (url, frames, perSecond, accepted = () => {}) {
  const sockets = await Promise.all(Array.from({ length: CONNECTIONS }, () => new Promise(resolve => {
    const socket = new WebSocket(url, { perMessageDeflate: false })
    socket.once('open', () => resolve(socket))
  })))
  let next = 0, answered = 0, refused = 0, pacing = null
  const began = performance.now()
  await new Promise(resolve => {
    const due = () => perSecond ? Math.min(frames.length, Math.floor((performance.now() - began) * perSecond / 1000)) : frames.length
    const fill = socket => {
      while (next < due() && socket.numbers.length < WINDOW) {
        socket.numbers.push(next)
        socket.send(frames[next++])
      }
    }
    for (const socket of sockets) {
      socket.numbers = [] // under way; a relay answers one connection's in order
      socket.on('message', data => {
        const text = data.toString()
        if (!text.startsWith('["OK"')) return
        const number = socket.numbers.shift()
        if (text.includes(',true,')) accepted(number)
        else refused++
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
