// The gateway's pool of workers against one of Hypertuna's, on the packages: found by the topic, identified, asked, polled, replicated to.
import { test } from 'node:test'
import assert from 'node:assert/strict'
import Hypercore from 'hypercore'
import { join } from 'node:path'
import { until } from '../lib/command.mjs'
import { HypertunaWorker, sha256, topic } from '../lib/hypertuna_worker.mjs'
import { Scene } from '../lib/swarm.mjs'
import { WorkersDriver } from '../lib/workers_driver.mjs'

const timeout = 90000

async function start (t, { worker: about = {}, ...options } = {}) {
  const scene = await Scene.of(t)
  const worker = new HypertunaWorker(scene.swarm(), about)
  await worker.join()
  const bootstrap = scene.bootstrap.map(({ host, port }) => `${host}:${port}`).join(',')
  const driver = await WorkersDriver.start({ bootstrap, data: join(scene.directory, 'gateway'), hypertuna: true, blocks: 100, ...options })
  scene.onEnd(() => driver.end())
  return { scene, worker, driver, key: worker.swarm.keyPair.publicKey.toString('hex') }
}

test('a worker is found, told who we are, registers, and is asked how it is', { timeout }, async t => {
  assert.equal(topic.toString('hex'), 'd65146229ec407141842845e8dcbe8d7bef761ae0599ec88b1dcd1756d855d5e')
  const { worker, driver, key } = await start(t, { health_ms: 1000 })
  assert.deepEqual(await driver.event('connected'), { event: 'connected', worker: key, hypertuna: true })
  assert.deepEqual([worker.handshake.role, worker.handshake.isGateway, worker.handshake.version], ['gateway', true, '2.0'])
  assert.deepEqual(worker.handshake.capabilities.slice(0, 4), ['http', 'websocket', 'health', 'telemetry'])
  const register = await driver.event('request')
  assert.equal(register.path, '/gateway/register')
  assert.equal(JSON.parse(register.body).relays[0].name, 'é')
  await until(() => worker.registered.length === 1)
  assert.equal(worker.registered[0].statusCode, 200)
  assert.equal(worker.registered[0].body.publicKey, key)
  assert.equal((await driver.event('telemetry')).queue_depth, 3)
  const identify = await until(() => worker.asked.find(({ path }) => path === '/identify-gateway'))
  const { status, payload, peer } = JSON.parse(identify.body)
  assert.deepEqual([identify.method, status, payload.role, peer], ['POST', 'identified', 'gateway', driver.key])
  await until(() => worker.healthChecks >= 2, 10000)
  await driver.do('ask', { worker: key, method: 'GET', path: '/health' })
  const reply = await driver.event('reply')
  assert.deepEqual([reply.code, reply.status, JSON.parse(reply.body)], ['HF_OK', 200, { status: 'healthy' }])
  await driver.do('frame', { worker: key, text: '["TOKEN","REVOKED",{}]' })
  await until(() => worker.frames.length === 1)
  assert.deepEqual(worker.errors, [])
})

test('a WebSocket is posted and polled, and every event comes once', { timeout }, async t => {
  const stored = { id: 'a', content: 'stored ☃ "quoted"' }
  const { worker, driver, key } = await start(t, { worker: { events: [stored] } })
  await driver.event('connected')
  const { stream } = await driver.do('open', { worker: key, method: 'GET', path: '/', relay: 'ab'.repeat(32), token: 'secret' })
  assert.equal((await driver.event('head')).status, 101)
  const frame = async type => {
    const event = await driver.event('data', ({ text }) => JSON.parse(text)[0] === type)
    return JSON.parse(event.text)
  }
  await driver.do('send', { stream, text: '["REQ","sub",{"kinds":[1]}]' })
  assert.deepEqual(await frame('EVENT'), ['EVENT', 'sub', stored])
  assert.deepEqual(await frame('EOSE'), ['EOSE', 'sub'])
  await driver.do('send', { stream, text: '["EVENT",{"id":"b","content":"live"}]' })
  assert.deepEqual(await frame('OK'), ['OK', 'b', true, ''])
  assert.deepEqual((await frame('EVENT'))[2].id, 'b')
  await new Promise(resolve => setTimeout(resolve, 2500))
  driver.seen.push(...(await driver.do('events')).events)
  assert.deepEqual(driver.seen.filter(({ event, text }) => event === 'data' && !text.startsWith('["NOTICE"')), []) // neither EOSE nor ACK
  const posts = worker.asked.filter(({ path }) => path === `/post/relay/${'ab'.repeat(32)}`)
  assert.equal(posts.length, 2)
  assert.ok(posts.every(({ headers }) => headers['x-auth-token'] === 'secret'))
  const keys = new Set(posts.map(({ body }) => JSON.parse(body).connectionKey))
  assert.match([...keys][0], /^[0-9a-f]{32}$/)
  assert.equal(keys.size, 1)
  await driver.do('send', { stream, text: '["CLOSE","sub"]' })
  await until(() => worker.asked.some(({ body }) => body.includes('CLOSE')))
  await new Promise(resolve => setTimeout(resolve, 300))
  const polls = worker.asked.length
  await new Promise(resolve => setTimeout(resolve, 2500))
  assert.equal(worker.asked.length, polls) // nobody asks for what nobody wants
  await driver.do('close', { stream })
})

test('a file of a drive comes whole, and what nobody answers ends', { timeout }, async t => {
  const file = Buffer.from(Array.from({ length: 700001 }, (_, i) => (i * 7919) >> 3 & 255))
  const { driver, key } = await start(t, { worker: { file }, request_ms: 3000 })
  await driver.event('connected')
  await driver.do('open', { worker: key, http: true, method: 'GET', path: '/drive/a:b/c.png' })
  const head = await driver.event('head')
  assert.deepEqual([head.status, head.fields['content-type'], head.fields['content-length']], [200, 'image/png', '700001'])
  const ended = await driver.event('ended')
  assert.deepEqual([ended.code, ended.received, ended.hash], ['HF_OK', file.length, sha256(file)])
  await driver.do('open', { worker: key, http: true, method: 'GET', path: '/nobody' })
  assert.equal((await driver.event('ended')).code, 'HF_ETIMEOUT')
})

test('the bee is replicated inside of a channel', { timeout }, async t => {
  let core
  const openBee = key => { core = new Hypercore(join(directory, 'replica'), key); return core }
  let directory
  const scene = await Scene.of(t)
  directory = scene.directory
  const worker = new HypertunaWorker(scene.swarm(), { openBee })
  await worker.join()
  const bootstrap = scene.bootstrap.map(({ host, port }) => `${host}:${port}`).join(',')
  const driver = await WorkersDriver.start({ bootstrap, data: join(directory, 'gateway'), hypertuna: true, blocks: 100 })
  scene.onEnd(() => driver.end())
  await driver.event('connected')
  await until(() => core, 10000)
  scene.onEnd(() => core.close())
  assert.equal(core.key.toString('hex'), driver.bee)
  assert.equal((await core.get(77, { timeout: 20000 })).toString(), 'block 77')
  await core.download({ start: 0, end: 100 }).done()
  assert.equal(core.contiguousLength, 100)
  assert.deepEqual([worker.beeHandshake.replicationMode, worker.beeHandshake.role, worker.beeHandshake.hyperbeeKey], ['upload', 'gateway', driver.bee])
})

test('a worker that falls silent, goes, or is not wanted', { timeout }, async t => {
  const { worker, driver, key } = await start(t, { health_ms: 500 })
  await driver.event('connected')
  const { stream } = await driver.do('open', { worker: key, method: 'GET', path: '/', relay: 'r' })
  worker.silent = true
  assert.deepEqual(await driver.event('ended', event => event.stream === stream).then(({ code }) => code), 'HF_ECLOSED')
  assert.equal((await driver.event('gone')).why, 1)
  worker.silent = false
  await driver.event('connected') // it is still at the topic
  worker.stream.destroy()
  assert.equal((await driver.event('gone')).why, 0)
})

test('without compatibility it is turned away', { timeout }, async t => {
  const { worker, driver } = await start(t, { hypertuna: false })
  await until(() => worker.closed > 0, 20000)
  assert.deepEqual((await driver.do('events')).events.filter(({ event }) => event === 'connected'), [])
})
