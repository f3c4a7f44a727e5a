// 20,000 clients at once: all are served, and the memory of an idle one stays small.
import { after, before, test } from 'node:test'
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { Gateway } from '../interop/lib/gateway.mjs'
import { Author, Client } from '../interop/lib/client.mjs'

// Each end has a process of its own, and each of those a limit of open files.
const openFiles = Number((await readFile('/proc/self/limits', 'utf8')).match(/Max open files\s+\d+\s+(\d+)/)[1])
const wanted = Math.min(20000, openFiles - 500)
let gateway
before(async () => { gateway = await Gateway.start() })
after(() => gateway.stop())

const anonymous = async () => Number((await readFile(`/proc/${gateway.child.pid}/status`, 'utf8')).match(/RssAnon:\s+(\d+)/)[1]) * 1024

test(`${wanted} connections`, { timeout: 600000 }, async () => {
  const first = await Client.connect(gateway.url, { perMessageDeflate: false })
  await first.publish(new Author().event())
  const before = await anonymous()
  const clients = []
  while (clients.length < wanted) {
    clients.push(...await Promise.all(Array.from({ length: Math.min(500, wanted - clients.length) }, () => Client.connect(gateway.url, { perMessageDeflate: false }))))
  }
  const each = (await anonymous() - before) / wanted
  console.log(`${Math.round(each)} bytes of anonymous memory for each of ${wanted} idle connections`)
  const reader = clients.at(-1)
  await reader.query({ limit: 1 }, { id: 'live', keep: true })
  const live = reader.next(m => m[0] === 'EVENT')
  const event = new Author().event()
  await first.publish(event)
  assert.equal((await live)[2].id, event.id)
  for (const client of clients) client.close()
  first.close()
})
