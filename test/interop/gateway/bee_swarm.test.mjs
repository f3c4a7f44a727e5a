// The relay's bee is found by its key alone, and followed with npm hyperswarm, corestore and hyperbee.
import { test } from 'node:test'
import assert from 'node:assert/strict'
import Hyperbee from 'hyperbee'
import { Gateway } from '../lib/gateway.mjs'
import { Author, Client } from '../lib/client.mjs'
import { metrics, run, until } from '../lib/command.mjs'
import { Scene } from '../lib/swarm.mjs'
import { beeInfo } from '../lib/relay_bee.mjs'

const timeout = 60000

test('a reader finds the bee by its key, looks up one event without the rest, and sees what comes', { timeout }, async t => {
  const scene = await Scene.of(t)
  const names = scene.bootstrap.map(({ host, port }) => `${host}:${port}`).join(',')
  const gateway = await Gateway.start({ args: ['--relay-bee', '--gateway-swarm', '--swarm-bootstrap', names] })
  scene.onEnd(() => gateway.stop())
  const client = await Client.connect(gateway.url)
  scene.onEnd(() => client.close())
  const author = new Author()
  const events = []
  for (let i = 0; i < 200; i++) {
    events.push(author.event({ content: `note ${i}` }))
    assert.deepEqual(await client.publish(events[i]), [true, ''])
  }
  const { key } = await until(async () => { const info = await beeInfo(gateway); return info.lag_events === 0 && info }, 10000)
  const { swarm, store } = await scene.peer()
  const core = store.get(key)
  await core.ready()
  let fetched = 0
  core.on('download', () => fetched++)
  swarm.join(core.discoveryKey, { server: false })
  const bee = new Hyperbee(core, { keyEncoding: 'binary', valueEncoding: 'utf-8' })
  await until(() => core.length > 0, 20000)
  const found = await until(() => bee.get(Buffer.from(events[77].id, 'hex')), 20000)
  assert.deepEqual(JSON.parse(found.value), JSON.parse(JSON.stringify(events[77])))
  assert.ok(fetched < core.length / 2, `${fetched} of ${core.length} blocks`)
  const late = author.event({ content: 'late' })
  await client.publish(late)
  await until(() => bee.get(Buffer.from(late.id, 'hex')), 10000)
  const text = await metrics(gateway)
  assert.match(text, /^holdfast_swarm_connections\{direction="accepted"\} 1$/m)
  assert.match(text, /^holdfast_swarm_topics 1$/m)
  assert.match(text, /^holdfast_dht_nodes [1-9]/m)
})

test('the swarm is joined only when a network is named', { timeout }, async t => {
  const { code, err } = await run(['gateway', '--data', '/nonexistent/data', '--gateway-swarm', '--listen', '127.0.0.1:0'])
  assert.notEqual(code, 0)
  assert.ok(err)
  const scene = await Scene.of(t)
  const refused = await run(['gateway', '--data', `${scene.directory}/data`, '--relay-bee', '--gateway-swarm', '--listen', '127.0.0.1:0'])
  assert.notEqual(refused.code, 0)
  assert.match(refused.err, /swarm\.bootstrap/)
})
