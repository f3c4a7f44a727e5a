// The example configuration is one that starts, and the deployed gateway's environment is taken as ours.
import { after, before, test } from 'node:test'
import assert from 'node:assert/strict'
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { Gateway } from '../lib/gateway.mjs'
import { file, run, scratch } from '../lib/command.mjs'
import { settings } from './table.mjs'

const timeout = 60000
let directory
before(async () => { directory = await scratch() })
after(() => rm(directory, { recursive: true, force: true }))

const shown = async (args = [], env = {}) => JSON.parse((await run(['config', 'show', '--json', ...args], { env })).out)

// ---- The example ----

test('the example has every setting, behind a semicolon, and says what the program says', { timeout }, async () => {
  const text = await readFile(new URL('../../../packaging/holdfast.conf', import.meta.url), 'utf8')
  assert.equal((await run(['config', 'example'])).out, text)
  const lines = text.split('\n')
  for (const { section, name, default: value } of await settings()) {
    const from = lines.indexOf(`[${section}]`)
    const to = lines.findIndex((line, i) => i > from && line.startsWith('['))
    assert.ok(lines.slice(from, to < 0 ? undefined : to).includes(value ? `;${name} = ${value}` : `;${name} =`), `${section}.${name}`)
  }
  assert.ok(lines.every(line => line.startsWith(';') || line.startsWith('[') || line === ''))
})

test('a gateway starts with every line of the example in force, and nothing is other than without', { timeout }, async () => {
  const text = (await run(['config', 'example'])).out.replace(/^;(?=[a-z_]+ =)/gm, '')
  const config = await file(directory, 'every.conf', text.replace(/^(data|listen) = .*$/gm, ''))
  const all = await file(directory, 'all.conf', text)
  const bare = await shown()
  const full = await shown(['--config', all])
  for (const [section, names] of Object.entries(bare)) {
    if (section === 'relay') continue
    for (const [name, { value }] of Object.entries(names)) {
      assert.deepEqual(full[section][name].value, value, `${section}.${name}`)
      assert.match(full[section][name].from, /all\.conf:\d+/)
    }
  }
  const gateway = await Gateway.start({ args: ['--config', config] })
  assert.deepEqual(await gateway.down(), { code: 0, signal: null })
  await rm(gateway.directory, { recursive: true })
})

// ---- Names of the deployed gateway ----

const deployed = {
  PORT: '4430', GATEWAY_PUBLIC_URL: 'https://relay.example.org', GATEWAY_REGISTRATION_SECRET: 'a secret of members', GATEWAY_REGISTRATION_REDIS: 'redis://127.0.0.1:6379',
  GATEWAY_REGISTRATION_REDIS_PREFIX: 'theirs:', GATEWAY_DEFAULT_TOKEN_TTL: '1800', GATEWAY_TOKEN_REFRESH_WINDOW: '120', GATEWAY_RELAY_CANONICAL_PATH: 'relay',
  GATEWAY_FEATURE_HYPERBEE_RELAY: 'true', GATEWAY_FEATURE_RELAY_DISPATCHER: 'true', GATEWAY_FEATURE_RELAY_TOKEN_ENFORCEMENT: 'TRUE',
  GATEWAY_DISPATCHER_MAX_CONCURRENT: '3', GATEWAY_DISPATCHER_REASSIGN_LAG: '400', GATEWAY_DISPATCHER_CB_THRESHOLD: '7', GATEWAY_DISPATCHER_CB_TIMEOUT_MS: '60000', LOG_LEVEL: 'silent'
}

test('what the deployed gateway reads is taken as ours, with its units and words', { timeout }, async () => {
  const config = await shown([], deployed)
  const value = name => name.split('.').reduce((at, key) => at[key], { ...config, relay: config.relay.main })
  const wanted = {
    'gateway.listen': '0.0.0.0:4430', 'gateway.tls_listen': '', 'relay.public_url': 'wss://relay.example.org', 'registration.secret': '(set)', 'registration.redis': '(set)',
    'registration.redis_prefix': 'theirs:', 'tokens.ttl': 1800000, 'tokens.refresh_window': 120000, 'relay.path': '/relay', 'relay.bee': true, 'workers.enabled': true,
    'gateway.swarm': true, 'tokens.enabled': false, 'dispatcher.in_flight_max': 3, 'dispatcher.reassign_lag': 400, 'dispatcher.failures_max': 7, 'dispatcher.rest': 60000, 'log.level': 'error'
  }
  for (const [name, expected] of Object.entries(wanted)) assert.deepEqual(value(name).value, expected, name)
  assert.equal(value('dispatcher.rest').from, 'GATEWAY_DISPATCHER_CB_TIMEOUT_MS')
})

test('with TLS the port and the files are those of TLS, and without the files do not count', { timeout }, async () => {
  const files = { PORT: '4430', GATEWAY_TLS_KEY: '/key.pem', GATEWAY_TLS_CERT: '/certificate.pem' }
  const on = (await shown([], { ...files, GATEWAY_TLS_ENABLED: 'true' })).gateway
  assert.deepEqual([on.listen.value, on.tls_listen.value, on.tls_key.value, on.tls_certificate.value], ['127.0.0.1:7777', '0.0.0.0:4430', '/key.pem', '/certificate.pem'])
  const off = (await shown([], { ...files, GATEWAY_TLS_ENABLED: 'yes' })).gateway
  assert.deepEqual([off.listen.value, off.tls_listen.value, off.tls_key.value], ['0.0.0.0:4430', '', ''])
})

test('ours wins, from wherever it comes, and the sentence says so', { timeout }, async () => {
  const config = await file(directory, 'ours.conf', '[dispatcher]\nin_flight_max = 9\n')
  const env = { ...deployed, HOLDFAST_DISPATCHER_FAILURES_MAX: '2' }
  const { dispatcher } = await shown(['--config', config, '--dispatcher-rest', '5s'], env)
  assert.deepEqual([dispatcher.in_flight_max.value, dispatcher.failures_max.value, dispatcher.rest.value, dispatcher.reassign_lag.value], [9, 2, 5000, 400])
  const { err } = await run(['config', 'check', '--config', config], { env })
  assert.match(err, /GATEWAY_DISPATCHER_MAX_CONCURRENT is not read: dispatcher\.in_flight_max is set by .*ours\.conf:2/)
  assert.match(err, /GATEWAY_DISPATCHER_CB_THRESHOLD is not read: .* HOLDFAST_DISPATCHER_FAILURES_MAX/)
})

test('PORT and LOG_LEVEL alone are somebody else\'s', { timeout }, async () => {
  const config = await shown([], { PORT: '1', LOG_LEVEL: 'trace', GATEWAY_INTERFACE: 'CGI/1.1' })
  assert.deepEqual([config.gateway.listen.from, config.log.level.from], ['default', 'default'])
})

test('a value that is wrong is refused under the name that it came by', { timeout }, async () => {
  const { code, err } = await run(['config', 'check'], { env: { GATEWAY_DISPATCHER_CB_THRESHOLD: 'many' } })
  assert.equal(code, 3)
  assert.match(err, /GATEWAY_DISPATCHER_CB_THRESHOLD: dispatcher\.failures_max is "many"/)
})

test('a gateway says one line for each name, which names ours or why there is none, and no secret', { timeout }, async () => {
  const env = { GATEWAY_REGISTRATION_SECRET: 'a secret of members', GATEWAY_DISPATCHER_CB_THRESHOLD: '7', GATEWAY_ESCROW_ENABLED: 'true', GATEWAY_NOTHING: '1' }
  const gateway = await Gateway.start({ env })
  try {
    const lines = gateway.log.split('\n').filter(line => line.includes('variable=GATEWAY_'))
    assert.equal(lines.length, 4, gateway.log)
    const about = name => lines.find(line => line.includes(`variable=${name} `))
    assert.match(about('GATEWAY_REGISTRATION_SECRET'), /HOLDFAST_REGISTRATION_SECRET/)
    assert.match(about('GATEWAY_DISPATCHER_CB_THRESHOLD'), /dispatcher\.failures_max; name it HOLDFAST_DISPATCHER_FAILURES_MAX/)
    assert.match(about('GATEWAY_ESCROW_ENABLED'), /no counterpart: escrow is not in this version/)
    assert.match(about('GATEWAY_NOTHING'), /nothing reads it/)
    assert.ok(!gateway.log.includes('a secret of members'))
  } finally {
    await gateway.stop()
  }
})

test('the table of names is complete, and each that is taken names a setting', { timeout }, async () => {
  const known = new Set((await settings()).map(({ section, name }) => `${section}.${name}`))
  const aliases = JSON.parse((await run(['config', 'aliases', '--json'])).out)
  assert.ok(new Set(aliases.map(({ variable }) => variable)).size >= 50)
  for (const { variable, setting, note } of aliases) assert.ok(setting ? known.has(setting) : note.length > 10, variable)
})
