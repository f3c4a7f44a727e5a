// What an operator relies on: configuration, the data directory, signals, closed administration, TLS, several relays.
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { chmod, mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import { Gateway } from './lib/gateway.mjs'
import { Author, Client, sleep } from './lib/client.mjs'
import { administration, ask, file, outsideAddress, run, scratch, selfSigned, until } from './lib/command.mjs'

const timeout = 60000

async function withDirectory (use) {
  const directory = await scratch()
  try {
    await use(directory)
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

async function withGateway (options, use) {
  const gateway = await Gateway.start(options)
  try {
    await use(gateway)
  } finally {
    await gateway.stop()
  }
}

const information = async (gateway, path = '/') =>
  JSON.parse((await ask(gateway.http + path, { headers: { Accept: 'application/nostr+json' } })).body)

const reload = async gateway => {
  const before = gateway.log.length
  gateway.child.kill('SIGHUP')
  await until(() => /reloaded|reload refused|certificate stays/.test(gateway.log.slice(before)))
  return gateway.log.slice(before)
}

// ---- Configuration ----

test('a flag beats the environment, which beats the file, which beats the default', { timeout }, () => withDirectory(async directory => {
  const config = await file(directory, 'holdfast.conf', '[relay]\nname = by file\nlimit_max = 7\n\n[log]\nlevel = warn\n')
  const shown = async (args, env) => JSON.parse((await run(['config', 'show', '--json', '--config', config, ...args], { env })).out)
  const byFile = await shown([], {})
  assert.equal(byFile.relay.main.name.value, 'by file')
  assert.equal(byFile.relay.main.name.from, `${config}:2`)
  assert.equal(byFile.relay.main.subscriptions_max.from, 'default')
  const byEnvironment = await shown([], { HOLDFAST_RELAY_NAME: 'by environment' })
  assert.deepEqual(byEnvironment.relay.main.name, { value: 'by environment', from: 'HOLDFAST_RELAY_NAME' })
  assert.equal(byEnvironment.relay.main.limit_max.value, 7)
  const byFlag = await shown(['--relay-name', 'by flag'], { HOLDFAST_RELAY_NAME: 'by environment' })
  assert.deepEqual(byFlag.relay.main.name, { value: 'by flag', from: '--relay-name' })
}))

test('the order holds for what is served, not only for what is shown', { timeout }, () => withDirectory(async directory => {
  const config = await file(directory, 'holdfast.conf', '[relay]\nname = by file\ndescription = from the file\ncontact = mailto:file@example.org\n')
  await withGateway({
    args: ['--config', config, '--relay-name=by flag'],
    env: { HOLDFAST_RELAY_NAME: 'by environment', HOLDFAST_RELAY_DESCRIPTION: 'from the environment' }
  }, async gateway => {
    const facts = await information(gateway)
    assert.equal(facts.name, 'by flag')
    assert.equal(facts.description, 'from the environment')
    assert.equal(facts.contact, 'mailto:file@example.org')
  })
}))

const wrongFiles = [
  ['an unknown setting', '[relay]\n\nlimit_maxx = 5\n', /:3: .*"limit_maxx".*"limit_max"/],
  ['an unknown section', '[realy]\nname = x\n', /:1: .*\[realy\].*\[relay\]/],
  ['an unknown section without entries', '[log]\nlevel = info\n[realy]\n', /:3: .*\[realy\]/],
  ['a setting of another section', '[log]\nquota = 1GiB\n', /:2: .*"quota".*\[store\]/],
  ['a value that is no number', '[relay]\nlimit_max = many\n', /:2: .*limit_max.*"many"/],
  ['a number with a tail', '[relay]\nlimit_max = 5x\n', /:2: .*limit_max/],
  ['a negative number', '[relay]\nlimit_max = -5\n', /:2: .*limit_max/],
  ['a number past its bound', '[relay]\nlimit_max = 99999999999999999999\n', /:2: .*limit_max/],
  ['a time without unit', '[relay]\nquery_timeout = 5 lightyears\n', /:2: .*query_timeout/],
  ['neither yes nor no', '[relay]\nauth = maybe\n', /:2: .*auth.*maybe.*yes or no/],
  ['a line without =', '[relay]\nname\n', /:2:/],
  ['a section that does not end', '[relay\nname = x\n', /:1:/],
  ['an entry before any section', 'name = x\n', /:1: .*section/],
  ['an entry twice', '[relay]\nname = a\nname = b\n', /:3: .*second time.*:2/],
  ['a line that is too long', `[relay]\nname = ${'x'.repeat(400)}\n`, /:2: .*longer/],
  ['a relay without number', '[relay side]\nname = x\n', /"side" has no number/],
  ['two relays with one number', '[relay a]\nnumber = 5\n[relay b]\nnumber = 5\n', /"a".*"b".*number 5/],
  ['two relays at one path', '[relay a]\nnumber = 5\npath = /x\n[relay b]\nnumber = 6\npath = /x\n', /both at \/x/],
  ['a relay at the path of another\'s name', '[relay a]\nnumber = 5\n[relay b]\nnumber = 6\npath = /a\n', /both at \/a/],
  ['a relay where the health is', '[relay a]\nnumber = 5\npath = /health\n', /\/health/],
  ['metrics for other machines', '[gateway]\nmetrics_listen = 0.0.0.0:9777\n', /:2: .*metrics_listen.*loopback/],
  ['writers that are no keys', '[relay]\nwriters = alice\n', /writers.*alice/],
  ['proxies that are no addresses', '[gateway]\ntrusted_proxies = everybody\n', /trusted_proxies.*everybody/],
  ['an unknown log level', '[log]\nlevel = loud\n', /level.*loud/],
  ['TLS without a key', '[gateway]\ntls_listen = 127.0.0.1:0\n', /tls_key/]
]
for (const [what, text, sentence] of wrongFiles) {
  test(`config check refuses ${what} and says where`, { timeout }, () => withDirectory(async directory => {
    const config = await file(directory, 'holdfast.conf', text)
    const { code, out, err } = await run(['config', 'check', '--config', config])
    assert.match(err, sentence)
    assert.equal(code, 3)
    assert.equal(out, '')
    assert.equal(err.trim().split('\n').length, 1, 'one sentence')
    const started = await run(['gateway', '--data', join(directory, 'data'), '--listen', '127.0.0.1:0', '--config', config], { timeoutMs: 5000 })
    assert.equal(started.code, 3)
    await assert.rejects(stat(join(directory, 'data')), { code: 'ENOENT' }, 'nothing was made')
  }))
}

test('unknown variables and flags are refused with the nearest name', { timeout }, async () => {
  const variable = await run(['config', 'check'], { env: { HOLDFAST_STORE_QOUTA: '1GiB' } })
  assert.equal(variable.code, 3)
  assert.match(variable.err, /HOLDFAST_STORE_QOUTA.*HOLDFAST_STORE_QUOTA/)
  const flag = await run(['config', 'check', '--store-qouta', '1GiB'])
  assert.equal(flag.code, 2)
  assert.match(flag.err, /--store-qouta.*--store-quota/)
  const wrong = await run(['config', 'check'], { env: { HOLDFAST_STORE_QUOTA: 'lots' } })
  assert.equal(wrong.code, 3)
  assert.match(wrong.err, /HOLDFAST_STORE_QUOTA.*lots/)
  const missing = await run(['config', 'check', '--config', '/nonexistent/holdfast.conf'])
  assert.equal(missing.code, 3)
  assert.match(missing.err, /\/nonexistent\/holdfast\.conf/)
})

test('a right configuration is called right, and every setting is explained', { timeout }, () => withDirectory(async directory => {
  const config = await file(directory, 'holdfast.conf', '; comment\n[relay "side"]\nnumber = 2\npath = /s\n\n[store]\nquota = 20 GiB\n')
  const { code, out } = await run(['config', 'check', '--config', config])
  assert.equal(code, 0)
  assert.match(out, /right/)
  const shown = JSON.parse((await run(['config', 'show', '--json', '--config', config])).out)
  assert.equal(shown.store.quota.value, 20 * 2 ** 30)
  assert.equal(shown.relay.side.number.value, 2)
  const explained = JSON.parse((await run(['config', 'explain', '--json'])).out)
  for (const setting of explained) assert.ok(setting.reason.length > 10, setting.name)
  const names = new Set(explained.map(setting => `${setting.section}.${setting.name}`))
  for (const section of ['gateway', 'websocket', 'store', 'log']) {
    for (const name of Object.keys(shown[section])) assert.ok(names.has(`${section}.${name}`), name)
  }
  for (const name of Object.keys(shown.relay.main)) assert.ok(names.has(`relay.${name}`), name)
  const unknown = await run(['config', 'explain', 'store.qouta'])
  assert.equal(unknown.code, 2)
  assert.match(unknown.err, /quota/)
}))

test('what config show prints is a configuration', { timeout }, () => withDirectory(async directory => {
  const shown = await run(['config', 'show', '--relay-name', 'Round trip', '--store-quota', '3MiB'])
  const config = await file(directory, 'holdfast.conf', shown.out)
  const checked = await run(['config', 'show', '--json', '--config', config])
  assert.equal(checked.code, 0, checked.err)
  assert.equal(JSON.parse(checked.out).relay.main.name.value, 'Round trip')
  assert.equal(JSON.parse(checked.out).store.quota.value, 3 * 2 ** 20)
}))

// ---- The data directory ----

async function everyFile (directory) {
  const found = []
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name)
    found.push(path)
    if (entry.isDirectory()) found.push(...await everyFile(path))
  }
  return found
}

test('the data directory is closed to others, and so is all that is in it', { timeout }, () => withGateway({}, async gateway => {
  const data = join(gateway.directory, 'data')
  assert.equal((await stat(data)).mode & 0o777, 0o700)
  assert.match(await readFile(join(data, 'FORMAT'), 'utf8'), /^holdfast \d+\n$/)
  const paths = await everyFile(data)
  for (const name of ['LOCK', 'keys', 'store', 'admin.sock']) assert.ok(paths.includes(join(data, name)), name)
  const keys = paths.filter(path => path.startsWith(join(data, 'keys/')))
  assert.ok(keys.length > 0)
  for (const path of paths) {
    const status = await stat(path)
    assert.equal(status.mode & 0o077, 0, `${path} is open to others`)
    if (keys.includes(path) && status.isFile()) assert.equal(status.mode & 0o777, 0o600, path)
  }
}))

test('a directory that others may enter is closed at start', { timeout }, () => withDirectory(async directory => {
  await mkdir(join(directory, 'data'), { mode: 0o755 })
  await chmod(join(directory, 'data'), 0o755)
  await withGateway({ directory }, async () => assert.equal((await stat(join(directory, 'data'))).mode & 0o777, 0o700))
}))

test('an unknown format, a foreign directory and open keys are refused with a sentence', { timeout }, () => withDirectory(async directory => {
  const data = join(directory, 'data')
  const start = () => run(['gateway', '--data', data, '--listen', '127.0.0.1:0'], { timeoutMs: 5000 })
  const gateway = await Gateway.start({ directory })
  await gateway.down()
  const format = await readFile(join(data, 'FORMAT'), 'utf8')
  await writeFile(join(data, 'FORMAT'), 'holdfast 99\n')
  const future = await start()
  assert.equal(future.code, 4)
  assert.match(future.err, /format 99/)
  await writeFile(join(data, 'FORMAT'), 'something else\n')
  const garbled = await start()
  assert.notEqual(garbled.code, 0)
  assert.match(garbled.err, /FORMAT/)
  await writeFile(join(data, 'FORMAT'), format)
  const [key] = (await readdir(join(data, 'keys'))).filter(name => name.endsWith('.key'))
  await chmod(join(data, 'keys', key), 0o644)
  const open = await start()
  assert.notEqual(open.code, 0)
  assert.match(open.err, new RegExp(`${key}.*0600`))
  await chmod(join(data, 'keys', key), 0o600)
  await gateway.up()
  await gateway.down()
  await mkdir(join(directory, 'home'))
  await writeFile(join(directory, 'home', 'letter.txt'), 'mine')
  const foreign = await run(['gateway', '--data', join(directory, 'home'), '--listen', '127.0.0.1:0'], { timeoutMs: 5000 })
  assert.equal(foreign.code, 4)
  assert.match(foreign.err, /letter\.txt/)
}))

test('a second gateway on the same directory is refused and names the first', { timeout }, () => withGateway({}, async gateway => {
  const second = await run(['gateway', '--data', join(gateway.directory, 'data'), '--listen', '127.0.0.1:0'], { timeoutMs: 5000 })
  assert.equal(second.code, 4)
  assert.match(second.err, new RegExp(`in use by process ${gateway.child.pid}\\.`))
  assert.equal(second.out, '')
  const client = await Client.connect(gateway.url)
  assert.deepEqual(await client.publish(new Author().event()), [true, ''])
  client.close()
  assert.equal((await ask('/admin/config', administration(gateway))).status, 200, 'the socket of the first one still answers')
}))

test('an address in use is refused with its name', { timeout }, () => withGateway({}, async gateway => {
  const taken = new URL(gateway.http).host
  await withDirectory(async directory => {
    const second = await run(['gateway', '--data', join(directory, 'data'), '--listen', taken], { timeoutMs: 5000 })
    assert.notEqual(second.code, 0)
    assert.match(second.err, new RegExp(taken.replaceAll('.', '\\.')))
    assert.equal(second.err.trim().split('\n').filter(line => line.startsWith('holdfast:')).length, 1)
  })
}))

test('identity and events outlive restarts and kill -9', { timeout }, () => withGateway({}, async gateway => {
  const before = await information(gateway)
  const author = new Author()
  const event = author.event({ content: 'stays' })
  const client = await Client.connect(gateway.url)
  assert.deepEqual(await client.publish(event), [true, ''])
  await gateway.down()
  await gateway.up()
  assert.equal((await information(gateway)).self ?? '', before.self ?? '')
  assert.equal((await information(gateway)).pubkey ?? '', before.pubkey ?? '')
  await gateway.kill()
  await gateway.up()
  assert.deepEqual(await information(gateway), before)
  const reader = await Client.connect(gateway.url)
  assert.deepEqual(await reader.ids({ authors: [author.pubkey] }), [event.id])
  reader.close()
}))

// ---- Signals ----

test('SIGHUP applies limits, texts, writers and log level, to open connections too', { timeout }, () => withDirectory(async directory => {
  const config = await file(directory, 'holdfast.conf', '[relay]\nname = old\nlimit_max = 5\n')
  await withGateway({ args: ['--config', config] }, async gateway => {
    const author = new Author()
    const client = await Client.connect(gateway.url)
    for (let i = 0; i < 8; i++) assert.deepEqual(await client.publish(author.event({ content: `${i}` })), [true, ''])
    assert.equal((await client.query({ authors: [author.pubkey] })).length, 5)
    await writeFile(config, `[relay]\nname = new\nlimit_max = 7\nwriters = ${author.pubkey}\n\n[log]\nlevel = debug\njson = yes\n`)
    assert.match(await reload(gateway), /reloaded/)
    assert.equal((await client.query({ authors: [author.pubkey] })).length, 7)
    assert.equal((await information(gateway)).name, 'new')
    const [accepted, reason] = await client.publish(new Author().event())
    assert.equal(accepted, false)
    assert.match(reason, /^restricted: /)
    assert.deepEqual(await client.publish(author.event({ content: 'mine' })), [true, ''])
    assert.equal(JSON.parse((await ask('/admin/config', administration(gateway))).body).log.level.value, 'debug')
    client.close()
  })
}))

test('a bad reload is refused as a whole: every old setting stays', { timeout }, () => withDirectory(async directory => {
  const good = '[relay]\nname = old\nlimit_max = 5\n[relay side]\nnumber = 2\n'
  const config = await file(directory, 'holdfast.conf', good)
  await withGateway({ args: ['--config', config] }, async gateway => {
    const author = new Author()
    const client = await Client.connect(gateway.url)
    for (let i = 0; i < 8; i++) await client.publish(author.event({ content: `${i}` }))
    const before = JSON.parse((await ask('/admin/config', administration(gateway))).body)
    const bad = [
      '[relay]\nname = new\nlimit_max = 3\nlimit_maxx = 1\n[relay side]\nnumber = 2\n',
      '[relay]\nname = new\nlimit_max = 3\n',
      '[gateway]\ntrusted_proxies = 127.0.0.1\n[relay]\nname = new\nlimit_max = 3\n[relay side]\nnumber = 2\nwriters = alice\n',
      '[relay]\nname = new\nlimit_max = 3\n[relay side]\nnumber = 2\n[log]\nlevel = loud\n',
      '[relay]\nname = new\nlimit_max = 3\n[relay other]\nnumber = 2\n'
    ]
    for (const text of bad) {
      await writeFile(config, text)
      assert.match(await reload(gateway), /reload refused/, text)
      assert.equal((await client.query({ authors: [author.pubkey] })).length, 5, text)
      assert.equal((await information(gateway)).name, 'old', text)
      assert.deepEqual(JSON.parse((await ask('/admin/config', administration(gateway))).body), before)
    }
    await rm(config)
    assert.match(await reload(gateway), /reload refused/)
    const answer = await ask('/admin/reload', { method: 'POST', ...administration(gateway) })
    assert.ok(answer.status >= 400, 'admin.sock says so too')
    assert.match(JSON.parse(answer.body).error, /holdfast\.conf/)
    await writeFile(config, good.replace('old', 'fine'))
    assert.match(await reload(gateway), /reloaded/)
    assert.equal((await information(gateway)).name, 'fine')
    client.close()
  })
}))

test('a reload in the middle of administration harms neither', { timeout }, () => withDirectory(async directory => {
  const config = await file(directory, 'holdfast.conf', '[relay]\nname = one\n')
  await withGateway({ args: ['--config', config] }, async gateway => {
    const author = new Author()
    const lines = Array.from({ length: 400 }, (_, i) => JSON.stringify(author.event({ content: `${i}` })))
    const body = ['{"relay":"main"}', ...lines].join('\n')
    let reloading = true
    const reloads = (async () => { for (let i = 0; reloading; i++) { await reload(gateway); await sleep(5) } })()
    for (let i = 0; i < 10; i++) {
      const answers = await Promise.all([
        ask('/admin/relay/import', { method: 'POST', body, ...administration(gateway) }),
        ask('/admin/relay/count', { method: 'POST', body: '{"relay":"main"}\n{}\n', ...administration(gateway) })])
      for (const answer of answers) assert.equal(answer.status, 200, answer.body)
    }
    reloading = false
    await reloads
    const client = await Client.connect(gateway.url)
    assert.equal((await client.count({ authors: [author.pubkey] }))[2].count, 400)
    client.close()
  })
}))

test('SIGTERM while publishing loses no OK, answers 503 meanwhile and ends with 0', { timeout }, () => withGateway({}, async gateway => {
  const author = new Author()
  const acknowledged = new Set()
  const clients = await Promise.all(Array.from({ length: 4 }, () => Client.connect(gateway.url)))
  const publishing = clients.map(async (client, k) => {
    try {
      for (let i = 0; ; i++) {
        const events = Array.from({ length: 8 }, (_, j) => author.event({ content: `${k} ${i} ${j}` }))
        await Promise.all(events.map(async event => { if ((await client.publish(event))[0]) acknowledged.add(event.id) }))
      }
    } catch (error) {
      assert.match(error.message, /closed with|not open/i)
    }
  })
  await sleep(300)
  const begun = Date.now()
  const ended = await gateway.down()
  assert.deepEqual(ended, { code: 0, signal: null })
  assert.ok(Date.now() - begun < 9000, 'it does not wait for clients that would stay for ever')
  await Promise.all(publishing)
  for (const client of clients) assert.equal(client.closeCode, 1001)
  assert.ok(acknowledged.size > 0)
  await gateway.up()
  const reader = await Client.connect(gateway.url)
  const all = [...acknowledged]
  let found = 0
  for (let at = 0; at < all.length; at += 200) found += (await reader.query({ ids: all.slice(at, at + 200) })).length
  assert.equal(found, all.length)
  reader.close()
}))

test('SIGTERM ends in time with a client that neither reads nor answers the close', { timeout }, () =>
  withGateway({ args: ['--gateway-drain-timeout', '500ms'] }, async gateway => {
    const client = await Client.connect(gateway.url)
    client.socket._socket.pause()
    const begun = Date.now()
    assert.deepEqual(await gateway.down(), { code: 0, signal: null })
    assert.ok(Date.now() - begun < 3000)
    client.close()
  }))

// ---- Closed administration ----

test('administration and metrics are not there for others, whatever they say of themselves', { timeout }, async t => {
  const outside = outsideAddress()
  const args = ['--gateway-metrics-listen', '127.0.0.1:0', ...outside ? ['--listen', `127.0.0.1:0,${outside}:0`] : []]
  await withGateway({ args }, async gateway => {
    await until(() => gateway.out.split('\n').length > (outside ? 3 : 2))
    const urls = [...gateway.out.matchAll(/ page at (http:\/\/\S+)/g)].map(match => match[1])
    const routes = [['GET', '/metrics'], ['GET', '/admin/metrics'], ['GET', '/admin/config'], ['POST', '/admin/reload'], ['POST', '/admin/drain'],
      ...['stats', 'count', 'scan', 'export', 'import', 'rebuild'].map(name => ['POST', `/admin/relay/${name}`]),
      ...['stats', 'verify', 'compact', 'backup'].map(name => ['POST', `/admin/store/${name}`])]
    const disguises = [{}, { 'X-Forwarded-For': '127.0.0.1' }, { 'X-Forwarded-For': '::1' }, { Forwarded: 'for=127.0.0.1' }, { 'X-Real-IP': '127.0.0.1' },
      { Host: 'localhost' }, { Host: '127.0.0.1' }, { 'X-Forwarded-For': '127.0.0.1, 127.0.0.1', Host: 'localhost' }]
    const spellings = path => [path, `${path}?x=1`, `/${path}`, path.replace('/', '/./'), path.toUpperCase(), `${path}/`, path.replace('m', '%6d'), `/x/..${path}`]
    if (outside) {
      assert.equal(urls.length, 2)
      for (const [method, path] of routes) {
        for (const headers of disguises) {
          for (const spelling of spellings(path)) {
            const { status, body } = await ask(urls[1], { method, headers, path: spelling })
            assert.ok([400, 403, 404, 405].includes(status), `${method} ${spelling} ${JSON.stringify(headers)}: ${status}`)
            assert.doesNotMatch(body, /holdfast_/)
          }
        }
      }
      assert.equal((await ask(urls[1])).status, 200, 'the page is for everybody')
      assert.equal((await ask(`${urls[1]}/health`)).status, 200)
    } else {
      t.diagnostic('this machine has only the loopback address')
    }
    // Where clients come in there are none, also not from the loopback, where a proxy would be that says nothing of whom it serves.
    for (const url of urls) assert.equal((await ask(`${url}/metrics`)).status, 404)
    // On their own listener they are there for a neighbour, not for one who came through a proxy or a rebound name.
    const metrics = gateway.out.match(/metrics at (http:\/\/127\.\S+)/)[1]
    assert.match((await ask(metrics)).body, /^holdfast_/m)
    for (const path of ['', '/health', '/admin/metrics', '/admin/config']) {
      assert.equal((await ask(metrics.replace(/\/metrics$/, path))).status, 404, `${path} is not there`)
    }
    for (const headers of [{ 'X-Forwarded-For': '203.0.113.5' }, { 'X-Forwarded-For': '127.0.0.1' }, { Forwarded: 'for=203.0.113.5' }, { Host: 'evil.example' }]) {
      assert.equal((await ask(metrics, { headers })).status, 403, JSON.stringify(headers))
    }
    for (const [method, path] of routes) assert.ok((await ask(urls[0] + path, { method })).status >= 400, path)
    // On the socket: all of it, and the relay is not drained by any of the above.
    const { status, body } = await ask('/admin/metrics', administration(gateway))
    assert.equal(status, 200)
    assert.match(body, /^holdfast_/m)
    assert.equal(gateway.child.exitCode, null)
  })
})

test('X-Forwarded-For counts from trusted proxies only', { timeout }, async () => {
  const connectMany = async (gateway, headers) => {
    const clients = []
    try {
      for (let i = 0; i < 4; i++) clients.push(await Client.connect(gateway.url, { headers: headers(i) }))
      return 'all'
    } catch (error) {
      return error.message
    } finally {
      for (const client of clients) client.close()
      await sleep(100)
    }
  }
  await withGateway({ args: ['--gateway-connections-per-address-max', '3'] }, async gateway => {
    assert.notEqual(await connectMany(gateway, i => ({ 'X-Forwarded-For': `203.0.113.${i}` })), 'all', 'a spoofed header opens no door')
  })
  // Behind a trusted proxy all come from one address: the proxy's. It is not counted as one client.
  await withGateway({ args: ['--gateway-connections-per-address-max', '3', '--gateway-trusted-proxies', '127.0.0.1'] }, async gateway => {
    assert.equal(await connectMany(gateway, i => ({ 'X-Forwarded-For': `203.0.113.${i}` })), 'all')
  })
})

// ---- TLS ----

test('wss:// works, and a certificate that is replaced is served after SIGHUP while old connections live', { timeout }, () =>
  withDirectory(async directory => {
    const { certificate, key } = await selfSigned(directory, 'first')
    await withGateway({ args: ['--gateway-tls-listen', '127.0.0.1:0', '--gateway-tls-certificate', certificate, '--gateway-tls-key', key] }, async gateway => {
      const url = (await until(() => gateway.out.match(/wss:\/\/127\.0\.0\.1:\d+/)))[0]
      const served = () => new Promise((resolve, reject) => {
        const socket = connectTls({ host: '127.0.0.1', port: new URL(url).port, rejectUnauthorized: false }, () => {
          resolve(socket.getPeerCertificate().subject.CN)
          socket.destroy()
        })
        socket.once('error', reject)
      })
      const old = await Client.connect(url, { ca: await readFile(certificate) })
      const author = new Author()
      assert.deepEqual(await old.publish(author.event({ content: 'over TLS' })), [true, ''])
      assert.equal(await served(), 'first')
      const page = await ask(url.replace('wss', 'https'), { ca: await readFile(certificate) })
      assert.equal(page.status, 200)
      await selfSigned(directory, 'second')
      assert.equal(await served(), 'first', 'not before it is asked to')
      assert.match(await reload(gateway), /reloaded/)
      assert.equal(await served(), 'second')
      assert.deepEqual(await old.publish(author.event({ content: 'still here' })), [true, ''])
      const fresh = await Client.connect(url, { ca: await readFile(certificate) })
      assert.equal((await fresh.query({ authors: [author.pubkey] })).length, 2)
      // A broken replacement leaves the good one in use, and a key that does not fit the certificate is broken.
      await writeFile(certificate, 'not a certificate')
      assert.match(await reload(gateway), /certificate|refused/)
      assert.equal(await served(), 'second')
      const other = join(directory, 'other')
      await mkdir(other)
      const third = await selfSigned(other, 'third')
      await rename(third.certificate, certificate)
      assert.match(await reload(gateway), /certificate|refused/)
      assert.equal(await served(), 'second')
      assert.deepEqual(await fresh.publish(author.event({ content: 'and on' })), [true, ''])
      old.close()
      fresh.close()
    })
  }))

test('plain HTTP on the TLS port and TLS on the plain port harm nobody', { timeout }, () => withDirectory(async directory => {
  const { certificate, key } = await selfSigned(directory, 'first')
  await withGateway({ args: ['--gateway-tls-listen', '127.0.0.1:0', '--gateway-tls-certificate', certificate, '--gateway-tls-key', key] }, async gateway => {
    const port = new URL((await until(() => gateway.out.match(/wss:\/\/127\.0\.0\.1:\d+/)))[0]).port
    await assert.rejects(ask(`http://127.0.0.1:${port}/`))
    await assert.rejects(ask(gateway.http.replace('http', 'https'), { rejectUnauthorized: false }))
    const client = await Client.connect(gateway.url)
    assert.deepEqual(await client.publish(new Author().event()), [true, ''])
    client.close()
  })
  const wrong = await run(['gateway', '--data', join(directory, 'd2'), '--listen', '127.0.0.1:0', '--gateway-tls-certificate', key, '--gateway-tls-key', key],
    { timeoutMs: 5000 })
  assert.notEqual(wrong.code, 0)
  assert.match(wrong.err, /key\.pem|certificate/)
}))

// ---- Several relays ----

test('relays are instances: paths, texts, identities, writers and events of their own', { timeout }, () => withDirectory(async directory => {
  const owner = new Author()
  const stranger = new Author()
  const config = await file(directory, 'holdfast.conf',
    `[relay]\nname = Main\n\n[relay club]\nnumber = 2\nname = Club\nwriters = ${owner.pubkey}\nlimit_max = 2\n\n[relay "side"]\nnumber = 3\npath = /by/side\nname = Side\n`)
  await withGateway({ args: ['--config', config] }, async gateway => {
    const base = gateway.url.replace(/\/$/, '')
    const open = path => Client.connect(base + path)
    let [main, club, side] = await Promise.all([open('/'), open('/club'), open('/by/side')])
    const facts = await Promise.all(['/', '/club', '/by/side'].map(path => information(gateway, path)))
    assert.deepEqual(facts.map(fact => fact.name), ['Main', 'Club', 'Side'])
    assert.equal(new Set(facts.map(fact => fact.self ?? fact.name)).size, 3)
    await assert.rejects(open('/nowhere'))
    const heard = { main: [], club: [], side: [] }
    for (const [name, client] of Object.entries({ main, club, side })) {
      await client.query({}, { id: 'live', keep: true })
      client.socket.on('message', data => { const m = JSON.parse(data); if (m[0] === 'EVENT' && m[1] === 'live') heard[name].push(m[2].content) })
    }
    assert.deepEqual(await main.publish(stranger.event({ content: 'main' })), [true, ''])
    assert.match((await club.publish(stranger.event({ content: 'club' })))[1], /^restricted: /)
    const event = owner.event({ content: 'both', kind: 1 })
    assert.deepEqual(await club.publish(event), [true, ''])
    assert.deepEqual(await side.publish(event), [true, ''], 'known to one relay is not known to another')
    for (let i = 0; i < 3; i++) await club.publish(owner.event({ content: `club ${i}` }))
    assert.equal((await club.query({})).length, 2, 'its own limit')
    assert.deepEqual((await main.query({})).map(e => e.content), ['main'])
    assert.deepEqual((await side.query({})).map(e => e.content), ['both'])
    assert.deepEqual(await main.ids({ ids: [event.id] }), [])
    // A deletion on one relay leaves the other's copy.
    assert.deepEqual(await club.publish(owner.event({ kind: 5, tags: [['e', event.id]] })), [true, ''])
    assert.deepEqual(await club.ids({ ids: [event.id] }), [])
    assert.deepEqual(await side.ids({ ids: [event.id] }), [event.id])
    await sleep(100)
    assert.deepEqual(heard.main, ['main'])
    assert.deepEqual(heard.side, ['both'])
    await gateway.down()
    await gateway.up()
    ;[main, club, side] = await Promise.all(['/', '/club', '/by/side'].map(path => Client.connect(gateway.url.replace(/\/$/, '') + path)))
    assert.deepEqual((await main.query({})).map(e => e.content), ['main'])
    assert.equal((await club.count({}))[2].count, 4)
    assert.deepEqual(await side.ids({}), [event.id])
    assert.deepEqual((await Promise.all(['/', '/club', '/by/side'].map(path => information(gateway, path)))).map(f => f.self), facts.map(f => f.self))
    for (const client of [main, club, side]) client.close()
  })
}))
