// The alert rules and the dashboard against live gateways: every alert is seen to fire on a fault, and to end when it is mended.
import { after, before, describe, test } from 'node:test'
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { createHmac, randomBytes } from 'node:crypto'
import { access, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Author, Client, sleep } from '../lib/client.mjs'
import { freePort, run, scratch, until } from '../lib/command.mjs'
import { Gateway } from '../lib/gateway.mjs'
import { Members } from '../lib/members.mjs'
import { Prometheus, rulesPath } from './prometheus.mjs'

const root = new URL('../../../', import.meta.url).pathname
const timeout = 60000
const names = ['life', 'store', 'quota', 'disk', 'rotten', 'bee', 'limits', 'memory', 'lonely', 'desk', 'members']
const ports = {}, gateways = {}
let directory, prometheus, members, rules
const author = new Author()

const admin = (gateway, verb, ...args) => run(['admin', verb, '--data', join(gateway.directory, 'data'), ...args])
const publishAll = (client, events) => Promise.all(events.map(event => client.publish(event)))

async function start (name, args = [], options = {}) {
  gateways[name] = await Gateway.start({ args: ['--gateway-metrics-listen', `127.0.0.1:${ports[name]}`, ...args], ...options })
  return gateways[name]
}

// A certificate for so many days, in files of the same names.
function certify (days) {
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', String(days), '-subj', '/CN=localhost',
    '-keyout', join(directory, 'key.pem'), '-out', join(directory, 'certificate.pem')], { stdio: 'ignore' })
}

async function startRedis () {
  const socket = join(directory, 'redis.sock')
  const child = spawn('redis-server', ['--port', '0', '--unixsocket', socket, '--save', '', '--dir', directory], { stdio: 'ignore' })
  const exited = new Promise(resolve => child.once('exit', resolve))
  await until(() => access(socket).then(() => true, () => false), 10000)
  return { url: `unix://${socket}`, end: () => { child.kill('SIGTERM'); return exited } }
}
let redis

before(async () => {
  directory = await scratch()
  rules = await readFile(rulesPath, 'utf8')
  for (const name of names) ports[name] = await freePort()
  certify(100)
  redis = await startRedis()
  const faults = join(directory, 'faults')
  await mkdir(faults)
  execFileSync('cc', ['-shared', '-fPIC', '-o', join(directory, 'faulty.so'), new URL('faulty_os.c', import.meta.url).pathname, '-ldl'])
  members = await Members.start(['--gateway-metrics-listen', `127.0.0.1:${ports.members}`, '--dispatcher-in-flight-max', '1',
    '--dispatcher-waiting-max', '1', '--dispatcher-failures-max', '3', '--dispatcher-rest', '3s', '--front-answer-timeout', '1s'])
  const network = ['--gateway-swarm', '--swarm-bootstrap', members.bootstrap]
  await writeFile(join(directory, 'bee.conf'), '[relay]\nname = before\n')
  const disk = join(directory, 'disk')
  await mkdir(disk)
  if (process.getuid() === 0) execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=24m,mode=700', 'none', disk])
  await Promise.all([
    start('life', ['--gateway-drain-timeout', '8s']),
    start('store', ['--gateway-ingest-queue-max', '64'], { env: { LD_PRELOAD: join(directory, 'faulty.so'), FAULTY_OS: faults } }),
    start('quota', ['--store-quota', '3MiB', '--store-log-segment', '1MiB']),
    start('disk', ['--store-log-segment', '1MiB'], { directory: disk }),
    start('rotten', []),
    start('bee', ['--config', join(directory, 'bee.conf'), '--relay-bee', '--relay-bee-interval', '13s', '--gateway-cores-listen', '127.0.0.1:0', '--gateway-tls-listen',
      '127.0.0.1:0', '--gateway-tls-certificate', join(directory, 'certificate.pem'), '--gateway-tls-key', join(directory, 'key.pem')]),
    start('limits', ['--gateway-connections-max', '10']),
    start('memory', ['--gateway-memory-max', '16MiB']),
    start('lonely', ['--gateway-swarm', '--swarm-bootstrap', `127.0.0.1:${ports.lonely}`]),
    start('desk', [...network, '--workers-enabled', '--tokens-enabled', '--registration-secret', 'secret', '--registration-redis', redis.url])
  ])
  prometheus = await Prometheus.start(directory, ports)
})

after(async () => {
  await prometheus?.stop()
  await Promise.all(Object.values(gateways).map(gateway => gateway.stop()))
  await redis?.end()
  await members?.stop()
  if (process.getuid() === 0) execFileSync('umount', ['-l', join(directory, 'disk')])
  await rm(directory, { recursive: true, force: true })
})

describe('alerts', { concurrency: true, timeout }, () => {
  test('a gateway that ends slowly, is gone, and starts again and again', async () => {
    const gateway = gateways.life
    const deaf = await Client.connect(gateway.url)
    deaf.socket.pause()
    gateway.child.kill('SIGTERM')
    await prometheus.fires('HoldfastNotReady', 'life')
    await gateway.exited
    await prometheus.fires('HoldfastDown', 'life')
    deaf.close()
    await prometheus.resolves('HoldfastNotReady', 'life')
    const restarting = prometheus.fires('HoldfastRestarting', 'life', 40000)
    for (let i = 0; i < 5; i++) {
      await gateway.up()
      await sleep(1001) // the time of the start is told in seconds
      if (i < 4) await gateway.down()
    }
    await prometheus.resolves('HoldfastDown', 'life')
    await restarting
    await prometheus.resolves('HoldfastRestarting', 'life')
  })

  test('a disk that is slow, then fails, and a clock that is set', async () => {
    const gateway = gateways.store
    const fault = (name, value) => writeFile(join(directory, 'faults', name), String(value))
    const client = await Client.connect(gateway.url)
    await fault('sync_ms', 600)
    const burst = publishAll(client, Array.from({ length: 400 }, (_, i) => author.event({ content: `slow ${i}` })))
    await Promise.all([prometheus.fires('HoldfastIngestBacklog', 'store'), prometheus.fires('HoldfastCommitsSlow', 'store')])
    await fault('sync_ms', 0)
    assert.ok((await burst).every(([accepted]) => accepted))
    await prometheus.resolves('HoldfastIngestBacklog', 'store')
    await prometheus.resolves('HoldfastCommitsSlow', 'store')

    await fault('shift_s', 5)
    await prometheus.fires('HoldfastClockStepped', 'store')
    await prometheus.resolves('HoldfastClockStepped', 'store')

    await fault('fail_writes', 1)
    assert.equal((await client.publish(author.event({ content: 'to a broken disk' })))[0], false)
    await admin(gateway, 'reload')
    await Promise.all([prometheus.fires('HoldfastStoreFailing', 'store'), prometheus.fires('HoldfastAuditLost', 'store')])
    await fault('fail_writes', 0)
    client.close()
    await gateway.down()
    await gateway.up()
    await prometheus.resolves('HoldfastStoreFailing', 'store')
    await prometheus.resolves('HoldfastAuditLost', 'store')
  })

  test('a quota that is nearly used up, then full', async () => {
    const gateway = gateways.quota
    const client = await Client.connect(gateway.url)
    const ids = []
    for (let full = false; !full;) {
      const event = author.event({ content: `${ids.length} ${'x'.repeat(8000)}` })
      full = !(await client.publish(event))[0]
      ids.push(event.id)
    }
    await Promise.all([prometheus.fires('HoldfastStoreFull', 'quota'), prometheus.fires('HoldfastStoreNearQuota', 'quota')])
    assert.ok((await client.publish(author.event({ kind: 5, tags: ids.slice(0, -10).map(id => ['e', id]) })))[0])
    assert.equal((await run(['store', 'compact', '--data', join(gateway.directory, 'data')])).code, 0)
    assert.ok((await client.publish(author.event({ content: 'there is room' })))[0])
    await prometheus.resolves('HoldfastStoreFull', 'quota')
    await prometheus.resolves('HoldfastStoreNearQuota', 'quota')
    client.close()
  })

  test('a disk with little room', async t => {
    if (process.getuid() !== 0) return t.diagnostic('only root can mount a small disk')
    const ballast = join(directory, 'disk', 'ballast')
    await writeFile(ballast, Buffer.alloc(22 << 20)).catch(() => {})
    await prometheus.fires('HoldfastDiskNearlyFull', 'disk')
    await rm(ballast)
    await prometheus.resolves('HoldfastDiskNearlyFull', 'disk')
  })

  test('a record that has changed on the disk', async () => {
    const gateway = gateways.rotten
    const client = await Client.connect(gateway.url)
    const event = author.event({ content: 'a mark to be found in the file' })
    await client.publish(event)
    client.close()
    await gateway.down()
    const log = join(gateway.directory, 'data', 'store', 'log')
    const path = join(log, (await readdir(log))[0])
    const bytes = await readFile(path)
    await gateway.up()
    const rotten = Buffer.from(bytes)
    rotten[rotten.indexOf('a mark')] ^= 1
    await writeFile(path, rotten)
    const reader = await Client.connect(gateway.url)
    await reader.query({ ids: [event.id] })
    reader.close()
    await prometheus.fires('HoldfastStoreCorrupt', 'rotten')
    await gateway.down()
    await writeFile(path, bytes)
    await gateway.up()
    await prometheus.resolves('HoldfastStoreCorrupt', 'rotten')
  })

  test('a bee that is behind and paused, a certificate that expires, a configuration that is wrong', async () => {
    const gateway = gateways.bee
    const client = await Client.connect(gateway.url)
    await client.publish(author.event({ content: 'not in the bee for a while' }))
    client.close()
    const bee = prometheus.fires('HoldfastBeeBehind', 'bee').then(() => prometheus.resolves('HoldfastBeeBehind', 'bee'))
    assert.equal((await admin(gateway, 'pause')).code, 0)
    assert.equal((await prometheus.fires('HoldfastDegraded', 'bee')).reason, 'bee-paused')
    assert.equal((await admin(gateway, 'resume')).code, 0)
    await prometheus.resolves('HoldfastDegraded', 'bee')
    certify(5)
    assert.equal((await admin(gateway, 'reload')).code, 0)
    await prometheus.fires('HoldfastCertificateExpiring', 'bee')
    assert.ok(!prometheus.firing.has('HoldfastCertificateExpiresSoon bee'))
    certify(1)
    assert.equal((await admin(gateway, 'reload')).code, 0)
    await prometheus.fires('HoldfastCertificateExpiresSoon', 'bee')
    await writeFile(join(directory, 'bee.conf'), '[relay]\nnaem = wrong\n')
    gateway.child.kill('SIGHUP')
    await prometheus.fires('HoldfastReloadFailed', 'bee')
    await writeFile(join(directory, 'bee.conf'), '[relay]\nname = after\n')
    certify(100)
    gateway.child.kill('SIGHUP')
    for (const alert of ['HoldfastReloadFailed', 'HoldfastCertificateExpiring', 'HoldfastCertificateExpiresSoon']) await prometheus.resolves(alert, 'bee')
    await bee
  })

  test('as many connections as there may be, and more', async () => {
    const clients = []
    for (let i = 0; i < 10; i++) clients.push(await Client.connect(gateways.limits.url))
    await prometheus.fires('HoldfastConnectionsNearMax', 'limits')
    await assert.rejects(Client.connect(gateways.limits.url))
    assert.equal((await prometheus.fires('HoldfastConnectionsRefused', 'limits')).reason, 'full')
    for (const client of clients) client.close()
    await prometheus.resolves('HoldfastConnectionsNearMax', 'limits')
    await prometheus.resolves('HoldfastConnectionsRefused', 'limits')
  })

  test('clients that hold more than there is memory for', async () => {
    const clients = []
    const large = JSON.stringify([{ '#t': Array.from({ length: 5000 }, () => randomBytes(32).toString('hex')) }]).slice(1, -1)
    for (let i = 0; i < 40; i++) {
      const client = await Client.connect(gateways.memory.url)
      for (let k = 0; k < 6; k++) client.send(`["REQ","s${k}",${large}]`)
      clients.push(client)
      if (prometheus.firing.has('HoldfastMemoryShort memory')) break
      await sleep(20)
    }
    await prometheus.fires('HoldfastMemoryShort', 'memory')
    for (const client of clients) client.close()
    await prometheus.resolves('HoldfastMemoryShort', 'memory')
  })

  test('no node of the DHT answers', async () => {
    await prometheus.fires('HoldfastSwarmUnreachable', 'lonely')
    const net = spawn(process.env.HOLDFAST, ['dht', 'testnet', '--nodes', '3', '--port', String(ports.lonely)], { stdio: 'ignore' })
    try {
      await prometheus.resolves('HoldfastSwarmUnreachable', 'lonely', 40000)
    } finally {
      net.kill('SIGTERM')
    }
  })

  test('refreshes that are refused, a relay that nobody serves, and Redis gone', async () => {
    const gateway = gateways.desk
    const sorted = value => JSON.stringify(value, Object.keys(value).sort())
    const signed = value => createHmac('sha256', 'secret').update(sorted(value)).digest('hex')
    const fresh = () => ({ nonce: randomBytes(12).toString('hex'), issuedAt: Date.now() })
    const post = (path, body) => fetch(gateway.http + path, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })
    const registration = { relayKey: 'notes', peers: [], ...fresh() }
    assert.equal((await post('/api/relays', { registration, signature: signed(registration) })).status, 200)
    await prometheus.fires('HoldfastRelayWithoutWorker', 'desk')
    for (let i = 0; i < 30; i++) {
      const payload = { action: 'refresh', relayKey: 'notes', token: 'x.y', ...fresh() }
      assert.ok((await post('/api/relay-tokens/refresh', { payload, signature: signed(payload) })).status >= 400)
    }
    await Promise.all([prometheus.fires('HoldfastTokenQuarantine', 'desk'), prometheus.fires('HoldfastTokenRefreshFailing', 'desk')])
    assert.equal((await admin(gateway, 'unregister', 'notes')).code, 0)
    await redis.end()
    await prometheus.fires('HoldfastRegistrationsOffline', 'desk')
    redis = await startRedis()
    for (const alert of ['HoldfastRegistrationsOffline', 'HoldfastTokenQuarantine', 'HoldfastTokenRefreshFailing', 'HoldfastRelayWithoutWorker']) await prometheus.resolves(alert, 'desk')
  })

  test('workers that are not there, do not keep up, and fail', async t => {
    await prometheus.fires('HoldfastNoPeers', 'members')
    const worker = await members.worker('worker', ['--relay-gateway-path', 'notes'])
    t.after(() => worker.child.kill('SIGKILL'))
    await members.registered('notes', 1)
    await prometheus.resolves('HoldfastNoPeers', 'members')
    const http = members.url.replace('ws', 'http')
    const client = await Client.connect(`${members.url}/notes`)
    assert.deepEqual(await client.publish(author.event({ content: 'all is well' })), [true, ''])
    worker.child.kill('SIGSTOP')
    let goesOn = true
    const load = (async () => {
      for (let i = 0; goesOn; i++) {
        client.send(['EVENT', author.event({ content: `too much ${i}` })])
        await sleep(50)
      }
    })()
    await Promise.all(['HoldfastDispatcherSaturated', 'HoldfastDispatcherRefusing', 'HoldfastBreakerOpen'].map(alert => prometheus.fires(alert, 'members')))
    worker.child.kill('SIGCONT')
    await prometheus.resolves('HoldfastBreakerOpen', 'members')
    goesOn = false
    await load
    await prometheus.resolves('HoldfastDispatcherSaturated', 'members')
    await prometheus.resolves('HoldfastDispatcherRefusing', 'members')
    client.close()
    await worker.end('SIGKILL')
    goesOn = true
    const visits = (async () => { while (goesOn) { await fetch(`${http}/drive/notes/file`).catch(() => {}); await sleep(20) } })()
    await prometheus.fires('HoldfastServerErrors', 'members')
    goesOn = false
    await visits
    await prometheus.resolves('HoldfastServerErrors', 'members')
  })
})

// What an expression asks for, without the names that Prometheus itself makes.
const asked = expression => [...expression.matchAll(/\bholdfast_\w+/g)].map(([name]) => name)

test('alerts and dashboard ask for metrics that there are, in expressions that promtool takes', async () => {
  const texts = await Promise.all(names.map(name => fetch(`http://127.0.0.1:${ports[name]}/metrics`).then(answer => answer.text())))
  const there = new Set(texts.flatMap(text => [...text.matchAll(/^(holdfast_\w+)/gm)].map(match => match[1])))
  const dashboard = JSON.parse(await readFile(join(root, 'monitoring', 'grafana.json'), 'utf8'))
  const targets = dashboard.panels.flatMap(panel => panel.targets ?? [])
  const expressions = [...targets.map(target => target.expr), ...dashboard.annotations.list.map(list => list.expr)]
    .map(text => text.replaceAll('$__rate_interval', '1m').replaceAll('$instance', '.*'))
  assert.ok(expressions.length > 50)
  const alone = expressions.map((expr, i) => `    - {record: "r:${i}", expr: ${JSON.stringify(expr)}}`)
  await writeFile(join(directory, 'dashboard.yml'), `groups:\n- name: dashboard\n  rules:\n${alone.join('\n')}\n`)
  execFileSync('promtool', ['check', 'rules', join(directory, 'dashboard.yml')])
  for (const text of [rules, ...expressions]) for (const name of asked(text)) assert.ok(there.has(name), `${name} is nowhere`)
  for (const expr of expressions) {
    const answer = await prometheus.ask('query', { query: expr })
    assert.equal(answer.status, 'success', `${expr}: ${answer.error}`)
  }
  const ids = dashboard.panels.map(panel => panel.id)
  assert.equal(new Set(ids).size, ids.length)
  const places = dashboard.panels.flatMap(({ gridPos: { x, y, w, h } }) => Array.from({ length: w * h }, (_, i) => `${x + i % w} ${y + Math.floor(i / w)}`))
  assert.equal(new Set(places).size, places.length, 'panels lie upon each other')
  const runbooks = await readFile(join(root, 'docs', 'runbooks.md'), 'utf8').catch(() => null)
  const anchors = new Set([...(runbooks ?? '').matchAll(/^#+ (.+)$/gm)].map(([, title]) => title.toLowerCase().replace(/[^\w\s-]/g, '').trim().replace(/\s/g, '-')))
  for (const [, anchor] of rules.matchAll(/runbooks\.md#([\w-]+)/g)) assert.ok(!runbooks || anchors.has(anchor), `docs/runbooks.md has no section ${anchor}`)
})

test('promtool finds nothing wrong, and every alert was seen', async () => {
  execFileSync('promtool', ['check', 'rules', rulesPath])
  const { data } = await prometheus.ask('rules', { type: 'alert' })
  const all = data.groups.flatMap(group => group.rules)
  assert.ok(all.length >= 25)
  for (const { annotations } of all) assert.ok(annotations.summary && annotations.description && annotations.runbook)
  const fired = await prometheus.ask('query', { query: 'sum by (alertname) (count_over_time(ALERTS{alertstate="firing"}[10m]))' })
  const seen = new Set(fired.data.result.map(({ metric }) => metric.alertname))
  if (process.getuid() !== 0) seen.add('HoldfastDiskNearlyFull')
  assert.deepEqual(all.map(rule => rule.name).filter(name => !seen.has(name)), [], 'never fired')
})
