// holdfast doctor: each fault is induced, found, explained, and mended by the command that it names. It changes nothing.
import { after, before, test } from 'node:test'
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createServer } from 'node:net'
import { chmod, chown, cp, mkdir, open, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Gateway } from '../lib/gateway.mjs'
import { binary } from '../lib/program.mjs'
import { Author } from '../lib/client.mjs'
import { file, run, scratch, selfSigned, until } from '../lib/command.mjs'

const timeout = 60000
let directory, machine, data
before(async () => {
  directory = await scratch()
  await chmod(directory, 0o755)
  machine = join(directory, 'machine.so')
  const made = await run(['-shared', '-fPIC', '-D_FILE_OFFSET_BITS=64', '-o', machine, new URL('machine.c', import.meta.url).pathname, '-ldl'], { program: 'gcc' })
  assert.equal(made.code, 0, made.err)
  data = join(directory, 'data')
  const events = Array.from({ length: 20 }, (_, i) => JSON.stringify(new Author().event({ kind: 1, content: `${i}` })) + '\n').join('')
  assert.equal((await run(['relay', 'import', '--data', data], { input: events })).code, 0)
})
after(() => rm(directory, { recursive: true, force: true }))

// What it finds on a machine that is well but for what env says.
async function examine (args = [], env = {}) {
  const { code, out, err } = await run(['doctor', '--json', '--gateway-connections-max', '1000', ...(args.some(arg => arg.startsWith('--data')) ? [] : ['--data', data]),
    ...(args.some(arg => arg.startsWith('--listen') || arg === '--config') ? [] : ['--listen', '127.0.0.1:0']), ...args], { env: { LD_PRELOAD: machine, ...env } })
  assert.notEqual(out, '', err)
  const answer = JSON.parse(out)
  return { code, ...answer, bad: answer.findings.filter(({ level }) => level !== 'ok') }
}

// One finding only, complete.
async function one (check, level, pattern, args, env) {
  const { bad, code } = await examine(args, env)
  assert.deepEqual(bad.map(finding => finding.check), [check], JSON.stringify(bad))
  assert.equal(bad[0].level, level)
  assert.match(bad[0].what, pattern)
  assert.ok(bad[0].why.length > 20 && bad[0].mend.length > 3, JSON.stringify(bad[0]))
  assert.ok(level === 'warning' ? code === 0 : code !== 0, `${code}`)
  return { ...bad[0], code }
}

async function snapshot (folder) {
  const names = (await readdir(folder, { recursive: true })).sort()
  return Promise.all(names.map(async name => {
    const { mode, size, mtimeMs } = await stat(join(folder, name))
    return [name, mode, size, mtimeMs]
  }))
}

test('on a machine that is well all is well, each check is one line, and nothing is changed', { timeout }, async () => {
  const before = await snapshot(data)
  const { code, bad, findings } = await examine()
  assert.deepEqual([code, bad], [0, []])
  for (const check of ['permissions', 'lock', 'store', 'configuration', 'open files', 'clock', 'time zone', 'disk space', 'quota', 'file system', 'sync',
    'memory', 'inotify', 'ports', 'IPv6', 'names', 'UDP']) assert.ok(findings.some(finding => finding.check === check), check)
  const { out } = await run(['doctor', '--data', data, '--listen', '127.0.0.1:0', '--gateway-connections-max', '1000'], { env: { LD_PRELOAD: machine } })
  const lines = out.trim().split('\n')
  assert.equal(lines.length, findings.length + 2)
  assert.ok(lines.slice(0, -2).every(line => line.startsWith('ok ') && line.length < 130), out)
  assert.match(lines.at(-1), /All is well/)
  assert.deepEqual(await snapshot(data), before)
})

test('a data directory that is not there yet is nothing wrong, and is not made', { timeout }, async () => {
  const { bad } = await examine(['--data', join(directory, 'none')])
  assert.deepEqual(bad, [])
  await assert.rejects(stat(join(directory, 'none')))
})

// ---- The machine ----

test('too few open files', { timeout }, async () => {
  const { out, code } = await run(['-c', `ulimit -n 900; exec '${binary}' doctor --json --data '${data}' --listen 127.0.0.1:0`], { program: 'bash', env: { LD_PRELOAD: machine } })
  const found = JSON.parse(out).findings.find(finding => finding.check === 'open files')
  assert.deepEqual([found.level, code], ['fault', 1])
  assert.match(found.what, /900 .* 50256/)
  assert.match(found.mend, /LimitNOFILE=50256/)
})

test('a clock that nothing keeps right, that is behind, and that was ahead', { timeout }, async () => {
  await one('clock', 'warning', /not synchronised/, [], { MACHINE_UNSYNCHRONISED: '1' })
  const { bad } = await examine(['--data', join(directory, 'none')], { MACHINE_CLOCK_SHIFT_S: String(-86400 * 3650) })
  assert.match(bad[0].what, /hours before this program was built/)
  const later = join(directory, 'later')
  await cp(data, later, { recursive: true })
  const then = Date.now() / 1000 + 86400 * 3
  await utimes(join(later, 'FORMAT'), then, then)
  await one('clock', 'fault', /FORMAT .* 7[12] hours from now/, ['--data', later])
})

test('a disk with little room, and one with none', { timeout }, async () => {
  await one('disk space', 'warning', /500\.0 MiB are free/, [], { MACHINE_FREE_BYTES: String(500 << 20) })
  await one('disk space', 'fault', /free/, [], { MACHINE_FREE_BYTES: String(10 << 20) })
})

test('file systems that lose things', { timeout }, async () => {
  for (const [type, name] of [['01021994', 'tmpfs'], ['6969', 'nfs'], ['794c7630', 'overlayfs'], ['ff534d42', 'cifs']]) {
    await one('file system', 'warning', new RegExp(name), [], { MACHINE_FILE_SYSTEM: type })
  }
})

test('a sync that is slow, and one that fails', { timeout }, async () => {
  await one('sync', 'warning', /takes [4-9]\d ms/, [], { MACHINE_SYNC_MS: '40' })
  await one('sync', 'fault', /failed/, [], { MACHINE_SYNC_FAILS: '1' })
})

test('less memory than connections may hold', { timeout }, async () => {
  await one('memory', 'warning', /700\.0 MiB/, [], { MACHINE_MEMORY_MIB: '700' })
  assert.match((await one('memory', 'fault', /300\.0 MiB/, [], { MACHINE_MEMORY_MIB: '300' })).mend, /memory-max="150 MiB"/)
})

// ---- The network ----

test('a port that another has', { timeout }, async () => {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise(resolve => server.once('listening', resolve))
  const { port } = server.address()
  const { mend } = await one('ports', 'fault', new RegExp(`127\\.0\\.0\\.1:${port} is taken by process ${process.pid}`), ['--listen', `127.0.0.1:${port}`])
  assert.match(mend, new RegExp(`sport = :${port}`))
  server.close()
})

test('a low port that the service may have, and who asks may not', { timeout }, async t => {
  if (process.getuid() !== 0) return t.diagnostic('only root can listen at low ports, so nothing was tried')
  const unable = ['--bounding-set', '-net_bind_service', '--inh-caps', '-net_bind_service', binary, 'doctor', '--json']
  const ports = async (data, listen) => JSON.parse((await run([...unable, '--data', data, '--listen', listen], { program: 'setpriv' })).out).findings
    .find(({ check }) => check === 'ports')
  const low = await Gateway.start({ args: ['--listen', '127.0.0.1:917'] })
  assert.match((await ports(join(low.directory, 'data'), '127.0.0.1:917')).what, /917 is taken by the running gateway/)
  assert.match((await ports(join(low.directory, 'data'), '127.0.0.1:918')).what, /this user may not listen at/)
  await low.stop()
})

test('an address that is not of this machine', { timeout }, async () => {
  await one('ports', 'fault', /192\.0\.2\.1:7777 is no address of this machine/, ['--listen', '192.0.2.1:7777', '--relay-public-url', 'ws://x', '--gateway-connections-per-address-max', '9',
    '--store-quota', '1GiB', '--gateway-trusted-proxies', '127.0.0.1'])
})

test('a public IPv6 address, and IPv4 only', { timeout }, async () => {
  const args = ['--listen', '0.0.0.0:0', '--gateway-trusted-proxies', '127.0.0.1', '--relay-public-url', 'wss://relay.example.org', '--store-quota', '1GiB']
  assert.match((await one('IPv6', 'warning', /IPv4 only/, args, { MACHINE_IPV6: '1' })).mend, /\[::\]:0/)
})

test('a bootstrap node whose name is not found', { timeout }, async () => {
  const { bad } = await examine(['--gateway-swarm', '--swarm-bootstrap', 'node.invalid:49737'])
  assert.deepEqual(bad.filter(({ check }) => check !== 'UDP buffers').map(({ check }) => check), ['names'])
  assert.match(bad.find(({ check }) => check === 'names').what, /node\.invalid/)
})

test('datagrams that do not pass, and small buffers for them', { timeout }, async () => {
  const args = ['--gateway-swarm', '--swarm-bootstrap', '127.0.0.1:49737']
  const large = await file(directory, 'large', '8388608\n')
  await one('UDP', 'fault', /does not arrive/, args, { MACHINE_NO_DATAGRAMS: '1', MACHINE_RMEM_MAX_FILE: large })
  const small = await file(directory, 'small', '212992\n')
  assert.match((await one('UDP buffers', 'warning', /212992/, args, { MACHINE_RMEM_MAX_FILE: small })).mend, /net\.core\.rmem_max = 4194304/)
})

// ---- The configuration ----

test('a configuration that is wrong', { timeout }, async () => {
  const config = await file(directory, 'wrong.conf', '[relay]\nlimit_maxx = 5\n')
  const { code, bad } = await examine(['--config', config])
  assert.deepEqual([code, bad[0].check], [3, 'configuration'])
  assert.match(bad[0].what, /wrong\.conf:2: .*limit_maxx/)
})

const strangers = ['--gateway-trusted-proxies', '127.0.0.1', '--relay-public-url', 'wss://relay.example.org', '--store-quota', '1GiB']
const unwise = [
  ['registration', /open = yes/, [...strangers, '--gateway-swarm', '--swarm-bootstrap', '127.0.0.1:1', '--workers-enabled', '--registration-open']],
  ['registration', /nobody may register/, ['--gateway-swarm', '--swarm-bootstrap', '127.0.0.1:1', '--workers-enabled']],
  ['registration', /shorter than 16/, ['--gateway-swarm', '--swarm-bootstrap', '127.0.0.1:1', '--workers-enabled', '--registration-secret', 'short']],
  ['registration', /hypertuna = yes/, [...strangers, '--gateway-swarm', '--swarm-bootstrap', '127.0.0.1:1', '--workers-enabled', '--registration-secret', 'a long enough secret',
    '--compatibility-hypertuna']],
  ['proxies', /0\.0\.0\.0\/0/, [...strangers.slice(2), '--gateway-trusted-proxies', '0.0.0.0/0']],
  ['public address', /public_url is not set/, ['--gateway-trusted-proxies', '127.0.0.1', '--store-quota', '1GiB']],
  ['encryption', /without TLS/, ['--listen', '0.0.0.0:0', '--gateway-connections-per-address-max', '100', ...strangers.slice(2)]],
  ['limits', /connections_per_address_max/, ['--gateway-tls-listen', '0.0.0.0:0', 'TLS', ...strangers.slice(2)]],
  ['quota', /not set/, strangers.slice(0, 4)],
  ['quota', /the disk has/, [...strangers.slice(0, 4), '--store-quota', '900TiB']],
  ['swarm', /names no node/, ['--gateway-swarm']]
]
test('what is allowed and unwise', { timeout }, async () => {
  const large = await file(directory, 'large', '8388608\n')
  const { certificate, key } = await selfSigned(directory, 'relay.example.org')
  const longer = await run(['x509', '-in', certificate, '-signkey', key, '-days', '90', '-out', certificate + '.90'], { program: 'openssl' })
  assert.equal(longer.code, 0, longer.err)
  const tls = ['--gateway-tls-certificate', certificate + '.90', '--gateway-tls-key', key]
  await chmod(key, 0o600)
  for (const [check, pattern, args] of unwise) {
    await one(check, 'warning', pattern, args.flatMap(arg => arg === 'TLS' ? tls : [arg]), { MACHINE_RMEM_MAX_FILE: large })
  }
  const strict = await run(['doctor', '--strict', '--data', data, '--listen', '127.0.0.1:0', '--gateway-swarm'], { env: { LD_PRELOAD: machine } })
  assert.equal(strict.code, 1)
})

test('a setting is mended where it stands', { timeout }, async () => {
  const config = await file(directory, 'open.conf', '[gateway]\nlisten = 127.0.0.1:0\nswarm = yes\ntrusted_proxies = 127.0.0.1\n[swarm]\nbootstrap = 127.0.0.1:1\n' +
    '[store]\nquota = 1 GiB\n[relay]\npublic_url = wss://relay.example.org\n[workers]\nenabled = yes\n[registration]\nopen = yes\n')
  const large = await file(directory, 'large', '8388608\n')
  const mend = async pattern => {
    const { bad } = await examine(['--config', config], { MACHINE_RMEM_MAX_FILE: large })
    assert.match(bad[0].what, pattern)
    const command = bad[0].mend.replaceAll('sudo ', '').replace(/ && systemctl .*/, '')
    const done = await run(['-c', command], { program: 'bash' })
    assert.equal(done.code, 0, command + done.err)
  }
  await mend(/open = yes/)
  assert.match(await readFile(config, 'utf8'), /\nopen = no\n$/)
  await mend(/nobody may register/)
  assert.match(await readFile(config, 'utf8'), /\[registration\]\nsecret = [0-9a-f]{64}\n$/)
  const { bad } = await examine(['--config', config], { MACHINE_RMEM_MAX_FILE: large })
  assert.deepEqual(bad.map(({ check }) => check), ['secrets'])
  assert.equal((await run(['-c', bad[0].mend], { program: 'bash' })).code, 0)
  assert.deepEqual((await examine(['--config', config], { MACHINE_RMEM_MAX_FILE: large })).bad, [])
})

test('a secret in a file of root\'s is closed to others, and not to the service', { timeout }, async t => {
  if (process.getuid() !== 0) return t.diagnostic('only root can be another user, so nothing was tried')
  const folder = join(directory, 'etc')
  await mkdir(folder)
  await chmod(folder, 0o755)
  const program = join(folder, 'holdfast')
  await cp(binary, program, { dereference: true })
  const config = await file(folder, 'secret.conf', '[registration]\nsecret = 0123456789abcdef0123456789abcdef\n')
  const service = ['--reuid', '7777', '--regid', '7777', '--clear-groups', program, 'doctor', '--json', '--config', config, '--data', join(folder, 'none')]
  const secrets = async () => {
    const { out, err } = await run(service, { program: 'setpriv' })
    assert.notEqual(out, '', err)
    const { findings } = JSON.parse(out)
    assert.ok(findings.some(({ check, level }) => check === 'configuration' && level === 'ok'), out)
    return findings.filter(({ check }) => check === 'secrets')
  }
  const [{ mend }] = await secrets()
  await chmod(folder, 0o750)
  await chown(folder, 0, 7777)
  assert.deepEqual(await secrets(), [], 'nobody else can enter the folder')
  await chmod(folder, 0o755)
  assert.equal((await run(['-c', mend.replaceAll('sudo ', '')], { program: 'bash' })).code, 0)
  assert.deepEqual(await secrets(), [])
})

test('certificates: of another key, soon over, over, and a key that all can read', { timeout }, async () => {
  const mine = join(directory, 'tls')
  await mkdir(mine)
  const { certificate, key } = await selfSigned(mine, 'relay.example.org')
  await chmod(key, 0o600)
  const args = ['--gateway-tls-listen', '127.0.0.1:0', '--gateway-tls-certificate', certificate, '--gateway-tls-key', key]
  await one('certificate', 'warning', /ends in [012] days/, args)
  await one('certificate', 'fault', /ended \d+ days ago/, args, { MACHINE_CLOCK_SHIFT_S: String(86400 * 4) })
  const other = await run(['genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-out', join(mine, 'other.pem')], { program: 'openssl' })
  assert.equal(other.code, 0)
  await one('certificate', 'fault', /key/, [...args.slice(0, -1), join(mine, 'other.pem')])
  await chmod(key, 0o644)
  const { bad } = await examine(args)
  assert.deepEqual(bad.map(({ check }) => check).sort(), ['certificate', 'secrets'])
})

test('names of the deployed gateway that are left in the environment', { timeout }, async () => {
  const { bad } = await examine([], { GATEWAY_TOKEN_REFRESH_WINDOW: '60', GATEWAY_ESCROW_ENABLED: 'true', GATEWAY_NOTHING: '1' })
  assert.deepEqual(bad.map(({ check }) => check), ['environment', 'environment', 'environment'])
  assert.deepEqual(bad.map(({ mend }) => mend).sort(), ['unset GATEWAY_ESCROW_ENABLED', 'unset GATEWAY_NOTHING', 'unset GATEWAY_TOKEN_REFRESH_WINDOW'])
})

// ---- The data directory ----

test('a data directory and keys that others can read', { timeout }, async () => {
  const loose = join(directory, 'loose')
  await cp(data, loose, { recursive: true })
  await chmod(loose, 0o755)
  assert.equal((await one('permissions', 'warning', /mode 755/, ['--data', loose])).mend, `chmod 0700 ${loose}`)
  await chmod(loose, 0o700)
  await mkdir(join(loose, 'keys'), { recursive: true })
  await writeFile(join(loose, 'keys', 'some.key'), 'secret', { mode: 0o644 })
  await chmod(join(loose, 'keys'), 0o700)
  assert.match((await one('secrets', 'fault', /some\.key can be read by others/, ['--data', loose])).mend, /^chmod go= /)
})

test('a data directory of another user', { timeout }, async t => {
  if (process.getuid() !== 0) return t.diagnostic('only root can be another user, so nothing was tried')
  const others = join(directory, 'others')
  await cp(data, others, { recursive: true })
  await chmod(directory, 0o755)
  const { out, code } = await run(['-c', `import os,sys; os.setgid(65534); os.setuid(65534); os.execv(sys.argv[1], sys.argv[1:])`, binary, 'doctor', '--json', '--data', others,
    '--listen', '127.0.0.1:0'], { program: 'python3', env: { LD_PRELOAD: machine } })
  const found = JSON.parse(out).findings.find(({ level }) => level === 'fault' )
  assert.match(JSON.stringify(JSON.parse(out).findings), /belongs to user 0; you are 65534/)
  assert.ok(found && code !== 0)
})

test('a format that is not ours, and a store that is damaged', { timeout }, async () => {
  const strange = join(directory, 'strange')
  await cp(data, strange, { recursive: true })
  await writeFile(join(strange, 'FORMAT'), 'holdfast 99\n')
  assert.equal((await examine(['--data', strange])).code, 4)
  await writeFile(join(strange, 'FORMAT'), 'holdfast 1\n')
  const log = (await readdir(join(strange, 'store'), { recursive: true })).filter(name => /log/.test(name))
  let damaged = 0
  for (const name of log) {
    const path = join(strange, 'store', name)
    const { size } = await stat(path)
    if (!(await stat(path)).isFile() || size < 2000) continue
    const handle = await open(path, 'r+')
    await handle.write(Buffer.alloc(64, 0xff), 0, 64, 1000)
    await handle.close()
    damaged++
  }
  assert.ok(damaged > 0, log.join())
  const { code, bad } = await examine(['--data', strange])
  assert.deepEqual([code, bad.map(({ check }) => check)], [5, ['store']], JSON.stringify(bad))
})

test('a gateway that runs, and one that has been stopped', { timeout }, async () => {
  const gateway = await Gateway.start({ args: ['--gateway-connections-max', '1000'] })
  try {
    const args = ['--data', join(gateway.directory, 'data'), '--listen', gateway.url.match(/127\.0\.0\.1:\d+/)[0]]
    const { bad, findings } = await examine(args)
    assert.deepEqual(bad, [])
    assert.match(JSON.stringify(findings), new RegExp(`in use by process ${gateway.child.pid}, which answers`))
    assert.match(JSON.stringify(findings), /is taken by the running gateway/)
    gateway.child.kill('SIGSTOP')
    const stopped = await examine(args)
    assert.ok(stopped.bad.some(({ check, what }) => check === 'lock' && what.includes(`Process ${gateway.child.pid} `) && /does not answer/.test(what)))
    assert.equal(stopped.code, 4)
  } finally {
    gateway.child.kill('SIGCONT')
    await gateway.stop()
  }
})

test('a lock that something else holds', { timeout }, async () => {
  const held = join(directory, 'held')
  await cp(data, held, { recursive: true })
  const holder = spawn('flock', [join(held, 'LOCK'), '-c', 'echo held; sleep 30'], { stdio: ['ignore', 'pipe', 'ignore'], detached: true })
  let out = ''
  holder.stdout.on('data', text => { out += text })
  await until(() => out.includes('held'))
  try {
    await one('lock', 'warning', /has no admin\.sock/, ['--data', held])
  } finally {
    process.kill(-holder.pid)
  }
})
