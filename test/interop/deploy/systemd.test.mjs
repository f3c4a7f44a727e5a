// The units: what systemd thinks of them, that the gateway tells it how it goes, and that it does with the system calls that they leave it.
import { after, before, test } from 'node:test'
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { cp, mkdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { binary } from '../lib/program.mjs'
import { Author, Client } from '../lib/client.mjs'
import { file, run, scratch, until } from '../lib/command.mjs'

const timeout = 60000
const folder = new URL('../../../packaging/systemd/', import.meta.url).pathname
const units = ['holdfast.service', 'holdfast-worker@.service']
const analyze = (...args) => run(args, { program: 'systemd-analyze', env: { SYSTEMD_LOG_LEVEL: 'warning' } })

let directory
before(async () => { directory = await scratch() })
after(() => rm(directory, { recursive: true, force: true }))

// ---- What systemd thinks ----

test('systemd takes the units, and the drop-in for low ports', { timeout }, async () => {
  // The program is not installed here, so it stands in for itself.
  for (const unit of units) {
    const own = join(directory, unit.replace('@.', '@home.'))
    const text = (await readFile(join(folder, unit), 'utf8')).replaceAll('/usr/bin/holdfast', binary).replace(/^Documentation=.*$/m, '')
    await file(directory, unit.replace('@.', '@home.'), text)
    await mkdir(own + '.d', { recursive: true })
    await cp(join(folder, 'low-ports.conf'), join(own + '.d', 'low-ports.conf'))
    const { code, out, err } = await analyze('verify', '--recursive-errors=no', '--man=no', own)
    assert.deepEqual([code, out, err], [0, '', ''], unit)
  }
})

test('the units leave open what a server needs, and nothing else', { timeout }, async () => {
  for (const unit of units) {
    const { out } = await analyze('security', '--offline=true', '--threshold=12', '--no-pager', join(folder, unit))
    assert.match(out, /Overall exposure level for \S+: (0\.\d|1\.[01]) /, out)
    const open = [...out.matchAll(/^✗ (\S+)/gm)].map(match => match[1])
    assert.deepEqual(open.sort(), ['DeviceAllow=', 'IPAddressDeny=', 'PrivateNetwork=', 'RestrictAddressFamilies=~AF_(INET|INET6)', 'RestrictAddressFamilies=~AF_NETLINK',
      'RestrictAddressFamilies=~AF_UNIX', 'RootDirectory=/RootImage='])
  }
})

test('the units reload, restart what a restart can mend, and give more files than connections_max asks for', { timeout }, async () => {
  const { out } = await run(['config', 'explain', '--json', 'gateway.connections_max'])
  for (const unit of units) {
    const text = await readFile(join(folder, unit), 'utf8')
    // A wrong file fails the reload, and does not reach the process; at the start it is the process that says so, whose exit code 3 is the end of it.
    assert.match(text, /^ExecReload=\/usr\/bin\/holdfast config check --config (\S+)\nExecReload=\/bin\/kill -HUP \$MAINPID$/m)
    assert.doesNotMatch(text, /^ExecStartPre=/m, 'RestartPreventExitStatus does not count for it')
    assert.match(text, /^Type=notify$/m)
    assert.match(text, /^StartLimitIntervalSec=0$/m, 'five restarts by hand are no reason to stay down')
    assert.match(text, /^RestartPreventExitStatus=2 3 4 5$/m)
    assert.ok(Number(text.match(/^LimitNOFILE=(\d+)$/m)[1]) >= Number(JSON.parse(out)[0].default) + 256)
  }
})

// ---- What systemd is told ----

async function tell (socket, watchdog = 0, role = 'gateway', ...args) {
  const data = join(directory, `data-${role}-${watchdog}-${socket.startsWith('@')}`)
  const { out, err } = await run([new URL('notify.py', import.meta.url).pathname, socket, String(watchdog), binary, role, '--data', data, '--listen', '127.0.0.1:0',
    ...args], { program: 'python3' })
  assert.notEqual(out, '', err)
  return JSON.parse(out)
}

test('the gateway says when it is ready, reloads and ends, at a path and at an abstract name', { timeout }, async () => {
  for (const socket of [join(directory, 'notify'), `@holdfast-${process.pid}`]) {
    const { messages, code } = await tell(socket)
    const texts = messages.map(({ text }) => text.split('\n')[0])
    assert.deepEqual(texts, ['READY=1', 'RELOADING=1', 'READY=1', 'STOPPING=1'])
    assert.match(messages[1].text, /\nMONOTONIC_USEC=\d+\n/)
    assert.equal(code, 0)
  }
})

test('a worker says so, too', { timeout }, async () => {
  const { messages, code } = await tell(`@holdfast-worker-${process.pid}`, 0, 'worker', '--swarm-bootstrap', '127.0.0.1:9', '--worker-gateways',
    'ab'.repeat(32))
  assert.deepEqual([messages[0].text.split('\n')[0], messages.at(-1).text.split('\n')[0], code], ['READY=1', 'STOPPING=1', 0])
})

test('it gives signs of life at twice the pace that is asked for, and none while it hangs', { timeout }, async () => {
  const { messages, silent } = await tell(join(directory, 'watchdog'), 400000)
  const ready = messages[0].at
  const alive = messages.filter(({ text, at }) => text === 'WATCHDOG=1' && at < ready + 1)
  assert.ok(alive.length >= 3 && alive.length <= 6, `${alive.length}`)
  assert.equal(silent, true)
})

test('a socket that cannot be is refused with its name, and a watchdog of another process is not answered', { timeout }, async () => {
  const { code, err } = await run(['gateway', '--data', join(directory, 'refused'), '--listen', '127.0.0.1:0'], { env: { NOTIFY_SOCKET: 'relative' } })
  assert.equal(code, 1)
  assert.match(err, /NOTIFY_SOCKET is "relative"/)
})

// ---- What it may call ----

// Names of system calls that a line of SystemCallFilter= stands for.
async function calls (groups) {
  const { out } = await analyze('syscall-filter', '--no-pager', ...groups.filter(group => group.startsWith('@')))
  const lines = out.split('\n').map(line => line.trim()).filter(line => line && !line.startsWith('#'))
  const nested = lines.filter(line => line.startsWith('@') && !groups.includes(line))
  return new Set([...lines.filter(line => !line.startsWith('@')), ...nested.length ? await calls(nested) : []])
}

test('it calls nothing that the units forbid', { timeout }, async t => {
  const probe = await run(['-f', '-o', '/dev/null', 'true'], { program: 'strace' }).catch(() => ({ code: 1 }))
  if (probe.code !== 0) return t.diagnostic('strace cannot be used here, so nothing was tried')
  const lines = [...(await readFile(join(folder, units[0]), 'utf8')).matchAll(/^SystemCallFilter=(~?)(.*)$/gm)]
  const allowed = await calls(lines.find(([, not]) => !not)[2].split(' '))
  const forbidden = await calls(lines.find(([, not]) => not)[2].split(' '))
  for (const name of forbidden) allowed.delete(name)
  assert.ok(allowed.size > 200 && !allowed.has('mount') && !allowed.has('ptrace') && allowed.has('futex'))
  const log = join(directory, 'calls')
  const child = spawn('strace', ['-f', '-qq', '-o', log, binary, 'gateway', '--data', join(directory, 'traced'), '--listen', '127.0.0.1:0', '--gateway-swarm', '--relay-bee',
    '--gateway-cores-listen', '127.0.0.1:0', '--swarm-bootstrap', '127.0.0.1:9', '--workers-enabled', '--tokens-enabled'], { stdio: ['ignore', 'pipe', 'ignore'] })
  const ended = new Promise(resolve => child.once('exit', resolve))
  let out = ''
  child.stdout.on('data', data => { out += data })
  await until(() => /ws:\/\/127\.0\.0\.1:\d+/.test(out), 30000)
  const client = await Client.connect(out.match(/ws:\/\/127\.0\.0\.1:\d+/)[0])
  for (let i = 0; i < 20; i++) await client.publish(new Author().event({ kind: 1, content: `${i}` }))
  client.close()
  const own = (await readFile(log, 'utf8')).match(/^(\d+)/)[1]
  process.kill(Number(own), 'SIGHUP')
  await new Promise(resolve => setTimeout(resolve, 500))
  process.kill(Number(own), 'SIGTERM')
  await ended
  const used = new Set([...(await readFile(log, 'utf8')).matchAll(/^\d+ +([a-z_0-9]+)\(/gm)].map(match => match[1]))
  assert.ok(used.has('fdatasync') && used.has('accept4') && used.has('sendmmsg') | used.has('sendto') | used.has('sendmsg'), [...used].join(' '))
  const harmless = ['prlimit64', 'setrlimit'] // refused, the limit that the unit gives stays, and nothing else
  assert.deepEqual([...used].filter(name => !allowed.has(name) && !harmless.includes(name)), [])
})
