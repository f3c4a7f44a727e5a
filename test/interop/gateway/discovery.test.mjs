// Gateways that announce themselves, heard by a client of the first generation on the npm packages and by ours; and what is not believed.
import { after, before, test } from 'node:test'
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import id from 'hypercore-id-encoding'
import { Gateway } from '../lib/gateway.mjs'
import { metrics, run } from '../lib/command.mjs'
import { Scene } from '../lib/swarm.mjs'
import { beeInfo } from '../lib/relay_bee.mjs'
import { join } from 'node:path'
import { decode, encode, announce, advertise, hear, keyPairOf, says, topic, verifies } from '../lib/discovery.mjs'

const limits = { timeout: 60000 }
const count = (text, name) => Number(text.match(new RegExp(`^${name.replace(/[{}]/g, '\\$&')} (\\d+)`, 'm'))?.[1] ?? NaN)
async function swarmKey ({ directory }) {
  const { out } = await run(['key', 'show', '--json', '--data', join(directory, 'data')])
  return out.trim().split('\n').map(line => JSON.parse(line)).find(({ purpose, state }) => purpose === 'swarm' && state === 'active').public
}
async function listed (scene, ...args) {
  const { code, out, err } = await run(['gateways', 'list', '--json', ...scene.options, ...args])
  return { code, err, gateways: out.trim().split('\n').filter(Boolean).map(line => JSON.parse(line)) }
}

let scene, bootstrap
const ends = []
before(async () => {
  scene = await Scene.of({ after: end => ends.push(end) })
  bootstrap = scene.bootstrap.map(({ host, port }) => `${host}:${port}`).join(',')
})
after(async () => { for (const end of ends.reverse()) await end() })

const startGateway = async (t, ...args) => {
  const gateway = await Gateway.start({ args: ['--gateway-swarm', '--swarm-bootstrap', bootstrap, ...args] })
  t.after(() => gateway.stop())
  return gateway
}

test('a client of the first generation hears, reads and verifies it; a restart keeps the key', limits, async t => {
  const gateway = await startGateway(t, '--discovery-announce', '--relay-bee', '--workers-enabled', '--tokens-enabled', '--discovery-display-name', 'Dörfli "1"',
    '--discovery-region', 'eu', '--discovery-public-url', 'https://gateway.example/')
  const key = await swarmKey(gateway), bee = await beeInfo(gateway)
  const [{ bytes, key: advertiser }] = await hear(scene)
  const { announcement: a, rest } = decode(bytes)
  assert.ok(verifies(a))
  assert.deepEqual([a.gatewayId, a.signatureKey], [key, key])
  assert.notEqual(advertiser, key)
  assert.deepEqual([a.displayName, a.region, a.publicUrl, a.wsUrl, a.ttl, a.protocolVersion], ['Dörfli "1"', 'eu', 'https://gateway.example',
    'wss://gateway.example', 60, 1])
  assert.deepEqual([a.secretUrl, a.secretHash, a.sharedSecretVersion, a.openAccess], ['', '', '', false])
  assert.deepEqual([a.relayKey, a.relayReplicationTopic], [id.decode(bee.key).toString('hex'), a.relayDiscoveryKey])
  assert.deepEqual([a.relayTokenTtl, a.relayTokenRefreshWindow, a.dispatcherMaxConcurrent, a.dispatcherReassignLagBlocks], [3600, 300, 256, 500])
  assert.ok(Math.abs(Date.now() - a.timestamp) < 20000)
  assert.ok(rest.subarray(1).toString().startsWith('holdfast/1'))
  assert.ok(count(await metrics(gateway), 'holdfast_discovery_announcements_total{result="sent"}') >= 1)
  await gateway.down()
  await gateway.up()
  const [again] = await hear(scene)
  assert.deepEqual([decode(again.bytes).announcement.gatewayId, again.key], [key, advertiser])
  const { code, gateways: [ours] } = await listed(scene)
  assert.equal(code, 0)
  assert.deepEqual([ours.key, ours.name, ours.url, ours.region, ours.verified, ours.open, ours.holdfast], [key, 'Dörfli "1"', 'wss://gateway.example', 'eu', true,
    false, true])
})
