// 20,000 idle clients: none is lost over a round of pings, the memory of each stays small, and the gateway serves among them.
import { after, before, test } from 'node:test'
import assert from 'node:assert/strict'
import { execFileSync, fork } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { Gateway } from '../interop/lib/gateway.mjs'
import { Author, Client } from '../interop/lib/client.mjs'
import { metrics } from '../interop/lib/command.mjs'

const asked = 20000
const beside = 200 // descriptors that the gateway has beside those of its clients
const processCount = 4
const holdMs = 60000 // longer than websocket.ping_interval
const idleBytesMax = 2048
const clients = []
let gateway

async function hardLimit () {
  const [, hard] = (await readFile('/proc/self/limits', 'utf8')).match(/Max open files\s+\S+\s+(\S+)/)
  return hard === 'unlimited' ? Infinity : Number(hard)
}

// What is started here inherits the limit. Who may not raise it tests as many as it allows, and hears what all would need.
let advice = ''
if (await hardLimit() < asked + beside) {
  const limit = asked + beside
  try {
    execFileSync('prlimit', ['--pid', String(process.pid), `--nofile=${limit}:${limit}`], { stdio: 'pipe' })
  } catch {
    advice = `${asked} connections need a hard limit of ${limit} open files, and it is ${await hardLimit()}: run this with ` +
      `CAP_SYS_RESOURCE, or raise the limit of the session before (ulimit -Hn ${limit}, LimitNOFILE=)`
  }
}
const wanted = Math.min(asked, Math.floor((await hardLimit() - beside) / processCount) * processCount)

before(async () => { gateway = await Gateway.start({ args: ['--gateway-connections-max', String(wanted + 100)] }) })
after(async () => {
  for (const client of clients) client.kill('SIGKILL')
  await gateway?.stop()
})

// Bytes: what the process made (anonymous and shared memory), and what is resident with the pages of mapped files.
async function memory () {
  const status = await readFile(`/proc/${gateway.child.pid}/status`, 'utf8')
  const of = name => Number(status.match(new RegExp(`${name}:\\s+(\\d+)`))[1]) * 1024
  return { made: of('RssAnon') + of('RssShmem'), resident: of('VmRSS') }
}

const answer = (client, isIt) => new Promise((resolve, reject) => {
  client.once('message', message => isIt(message) ? resolve(message) : reject(new Error(JSON.stringify(message))))
  client.once('exit', code => reject(new Error(`a client process ended with ${code}`)))
})

async function stillOpen () {
  const counts = clients.map(client => answer(client, m => m.open !== undefined))
  for (const client of clients) client.send('count')
  return (await Promise.all(counts)).reduce((sum, { open }) => sum + open, 0)
}

test(`${wanted} connections${advice && `, not ${asked}`}`, { timeout: 600000 }, async t => {
  if (advice) t.diagnostic(advice)
  const first = await Client.connect(gateway.url, { perMessageDeflate: false })
  await first.publish(new Author().event())
  const start = await memory()
  const begun = Date.now()
  // A source address each: one address has too few ports for all.
  await Promise.all(Array.from({ length: processCount }, (_, i) => {
    clients[i] = fork(new URL('lib/idle.mjs', import.meta.url), [new URL(gateway.url).port, String(wanted / processCount), `127.0.0.${2 + i}`])
    return answer(clients[i], message => message === 'open')
  }))
  t.diagnostic(`${wanted} opened in ${Date.now() - begun} ms`)
  await sleep(holdMs)
  assert.equal(await stillOpen(), wanted, 'after a round of pings')
  assert.match(await metrics(gateway), new RegExp(`^holdfast_relay_connections\\S* ${wanted + 1}$`, 'm'))
  const { made, resident } = await memory()
  const each = (made - start.made) / wanted
  t.diagnostic(`each idle connection: ${Math.round(each)} bytes of RssAnon and RssShmem, ${Math.round((resident - start.resident) / wanted)} of VmRSS`)
  assert.ok(each < idleBytesMax, `${each} bytes`)
  // Among them, a reader gets what a publisher says.
  const reader = await Client.connect(gateway.url, { perMessageDeflate: false })
  await reader.query({ limit: 1 }, { id: 'live', keep: true })
  const live = reader.next(m => m[0] === 'EVENT')
  const event = new Author().event()
  const published = Date.now()
  assert.deepEqual(await first.publish(event), [true, ''])
  assert.equal((await live)[2].id, event.id)
  t.diagnostic(`published and delivered among them in ${Date.now() - published} ms`)
  first.close()
  reader.close()
})
